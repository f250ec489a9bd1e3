// SPDX-License-Identifier: BSL-1.0
// PyTorch in C++: tensors as they are, and gradients. Exits with 0 if a batch with a fully masked row trains on, where torch.softmax gives
// NaN.
#include <safe_softmax/torch.hpp>

#include <iostream>
#include <limits>

int main() {
    const float masked = -std::numeric_limits<float>::infinity();
    const at::Tensor scores =
        at::tensor({1.0f, 2.0f, 3.0f, masked, masked, masked}).view({2, 3}).set_requires_grad(true);
    const at::Tensor values = at::randn({3, 4});

    const at::Tensor theirs = at::softmax(scores, 1), ours = smx::torch_softmax(scores, 1);
    std::cout << "torch.softmax\n" << theirs << "\nsmx::torch_softmax\n" << ours << "\n";
    at::matmul(ours, values).sum().backward();
    std::cout << "its gradient\n" << scores.grad() << "\n";

    // Into memory that is there: half a batch, along the first axis, in bfloat16.
    const at::Tensor batch = at::randn({8, 5}), out = at::zeros({16, 5}, at::kBFloat16);
    smx::safe_softmax(batch, out.slice(0, 8, 16), {.axis = 0});
    const bool sums = at::allclose(out.to(at::kFloat).sum(0), at::ones({5}), 0, 0.02);
    return theirs.isnan().any().item<bool>() && !ours.isnan().any().item<bool>() &&
                   scores.grad().isfinite().all().item<bool>() && sums
               ? 0
               : 1;
}
