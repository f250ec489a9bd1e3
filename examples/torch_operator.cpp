// SPDX-License-Identifier: BSL-1.0
// The library as operators of PyTorch, in a shared library that C++, Python and TorchScript load:
//
//     torch.ops.load_library("libsafe_softmax_torch.so")
//     p = torch.ops.safe_softmax.softmax(logits, -1)
//     torch.ops.safe_softmax.log_softmax(logits, 1, dtype=torch.float32, scale=0.125).sum().backward()
#include <safe_softmax/torch.hpp>

#include <torch/library.h>

#include <cstdint>

namespace {

using dtype_argument = c10::optional<at::ScalarType>;

smx::torch_options options(dtype_argument dtype, double scale, bool ieee) {
    return {.scale = scale, .special = ieee ? smx::special_values::ieee : smx::special_values::safe, .dtype = dtype};
}

at::Tensor softmax(const at::Tensor& logits, std::int64_t dim, dtype_argument dtype, double scale, bool ieee) {
    return smx::torch_softmax(logits, dim, options(dtype, scale, ieee));
}
at::Tensor log_softmax(const at::Tensor& logits, std::int64_t dim, dtype_argument dtype, double scale, bool ieee) {
    return smx::torch_log_softmax(logits, dim, options(dtype, scale, ieee));
}
at::Tensor logsumexp(const at::Tensor& logits, std::int64_t dim, bool keepdim, dtype_argument dtype, double scale,
                     bool ieee) {
    return smx::torch_logsumexp(logits, dim, keepdim, options(dtype, scale, ieee));
}

}  // namespace

TORCH_LIBRARY(safe_softmax, library) {
    library.def(
        "softmax(Tensor logits, int dim, *, ScalarType? dtype=None, float scale=1.0, bool ieee=False) -> Tensor");
    library.def(
        "log_softmax(Tensor logits, int dim, *, ScalarType? dtype=None, float scale=1.0, bool ieee=False) -> Tensor");
    library.def(
        "logsumexp(Tensor logits, int dim, bool keepdim=False, *, ScalarType? dtype=None, float scale=1.0, bool "
        "ieee=False) -> Tensor");
}

// The same functions with autograd and, in inference mode, without: a Function that nobody asks for gradients costs little.
TORCH_LIBRARY_IMPL(safe_softmax, AutogradCPU, library) {
    library.impl("softmax", softmax);
    library.impl("log_softmax", log_softmax);
    library.impl("logsumexp", logsumexp);
}
TORCH_LIBRARY_IMPL(safe_softmax, CPU, library) {
    library.impl("softmax", softmax);
    library.impl("log_softmax", log_softmax);
    library.impl("logsumexp", logsumexp);
}
