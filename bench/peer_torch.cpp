// SPDX-License-Identifier: BSL-1.0
#include "competitor.hpp"

#include <ATen/core/ivalue.h>  // first: clang wants it complete

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

namespace bench {
namespace {

template <class T>
constexpr at::ScalarType type = at::kFloat;
template <>
constexpr at::ScalarType type<double> = at::kDouble;
template <>
constexpr at::ScalarType type<smx::float16> = at::kHalf;
template <>
constexpr at::ScalarType type<smx::bfloat16> = at::kBFloat16;

template <class T>
call pytorch(const problem<T>& p) try {
    if (!p.dense()) return {};
    at::set_num_threads(1);
    // For the rest of this thread: nothing is recorded for gradients.
    static const c10::InferenceMode no_gradients;
    const auto extent = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    const auto tensor = [&](const T* data, std::size_t length) {
        return at::from_blob(const_cast<T*>(data), {extent(p.outer), extent(length), extent(p.inner)},
                             at::TensorOptions().dtype(type<T>));
    };
    const bool reduces = p.function == function::logsumexp;
    const at::Tensor in = tensor(p.in, p.length);
    at::Tensor out = p.in_place() ? in : tensor(p.out, reduces ? 1 : p.length);
    const auto flat = [&](at::Tensor t) { return p.inner == 1 ? t.squeeze(2) : t; };
    const auto bind = [in = flat(in), out = flat(out)](auto f) -> call {
        auto run = [=]() mutable { f(out, in); };
        run();  // throws where the type is not supported
        return run;
    };
    switch (p.function) {
        case function::softmax:
            return bind([](at::Tensor& y, const at::Tensor& x) { at::_softmax_out(y, x, 1, false); });
        case function::log_softmax:
            return bind([](at::Tensor& y, const at::Tensor& x) { at::_log_softmax_out(y, x, 1, false); });
        case function::logsumexp:
            return bind([](at::Tensor& y, const at::Tensor& x) { at::logsumexp_out(y, x, 1, true); });
    }
    return {};
} catch (const c10::Error&) {
    return {};
}

const bool added = add({"PyTorch",
                        TORCH_VERSION,
                        role::peer,
                        {pytorch<float>, pytorch<double>, pytorch<smx::float16>, pytorch<smx::bfloat16>}});

}  // namespace
}  // namespace bench
