// SPDX-License-Identifier: BSL-1.0

// What the three main functions do not bring in, compiled with the headers as the user's own, which have to be without a warning.

#include <safe_softmax/safe_softmax.hpp>

#include <cstddef>
#include <vector>

namespace consumer {

struct one_after_the_other {
    std::size_t concurrency() const { return 2; }
    void operator()(std::size_t tasks, const smx::parallel_task& task) const {
        for (std::size_t i = 0; i < tasks; ++i) task(i);
    }
};

bool rest_is_right();
bool rest_is_right() {
    constexpr one_after_the_other executor;
    constexpr std::size_t rows = 3, columns = 100000;
    const std::vector<float> logits(rows * columns, 1.0f);
    std::vector<float> shares(logits.size()), gradient(logits.size());
    const smx::tensor_view<const float, 2> in(logits.data(), {rows, columns});
    const smx::tensor_view<float, 2> out(shares.data(), {rows, columns}), dx(gradient.data(), {rows, columns});
    smx::masked_options causal;
    causal.causal = true;
    smx::masked_softmax(executor, in, out, causal);
    bool right = shares[0] == 1 && shares[1] == 0;
    smx::safe_softmax(executor, smx::const_dynamic_view(in), smx::dynamic_view(out));
    right = right && shares[0] > 0.99e-5f && shares[0] < 1.01e-5f;
    smx::softmax_backward(executor, out, in, dx);
    return right && gradient[0] > -1e-12f && gradient[0] < 1e-12f;
}

}  // namespace consumer
