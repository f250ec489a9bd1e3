// SPDX-License-Identifier: BSL-1.0
// The library, once for each build: BENCH_NAME and BENCH_ROLE are its row's, see CMakeLists.txt.
#include "competitor.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <array>
#include <span>

namespace bench {
namespace {

template <class T, class F>
call bind(const problem<T>& p, F f) {
    const std::size_t kept = p.function == function::logsumexp ? 1 : p.length;
    if (p.outer == 1 && p.inner == 1) {
        const std::span<const T> in(p.in, p.length);
        const std::span<T> out(p.out, kept);
        return [=] { f(in, out, smx::softmax_options{}); };
    }
    using extents = std::array<std::size_t, 3>;
    using strides = std::array<std::ptrdiff_t, 3>;
    const auto pitch = static_cast<std::ptrdiff_t>(p.pitch), inner = static_cast<std::ptrdiff_t>(p.inner);
    const auto out_pitch = p.function == function::logsumexp ? inner : pitch;
    if (p.inner == 1) {
        const smx::tensor_view<const T, 2> in(p.in, std::array{p.outer, p.length},
                                              std::array{pitch, std::ptrdiff_t(1)});
        const smx::tensor_view<T, 2> out(p.out, std::array{p.outer, kept}, std::array{out_pitch, std::ptrdiff_t(1)});
        return [=] { f(in, out, smx::softmax_options{}); };
    }
    const smx::tensor_view<const T, 3> in(p.in, extents{p.outer, p.length, p.inner}, strides{pitch, inner, 1});
    const smx::tensor_view<T, 3> out(p.out, extents{p.outer, kept, p.inner}, strides{out_pitch, inner, 1});
    return [=] { f(in, out, smx::softmax_options{.axis = 1}); };
}

template <class T>
call library(const problem<T>& p) {
    const auto softmax = [](const auto& in, const auto& out, const auto& options) {
        smx::safe_softmax(in, out, options);
    };
    const auto log_softmax = [](const auto& in, const auto& out, const auto& options) {
        smx::log_softmax(in, out, options);
    };
    const auto logsumexp = [](const auto& in, const auto& out, const auto& options) {
        smx::logsumexp(in, out, options);
    };
    switch (p.function) {
        case function::softmax: return bind(p, softmax);
        case function::log_softmax: return bind(p, log_softmax);
        case function::logsumexp: return bind(p, logsumexp);
    }
    return {};
}

const bool added = add({BENCH_NAME,
                        "",
                        role::BENCH_ROLE,
                        {library<float>, library<double>, library<smx::float16>, library<smx::bfloat16>}});

}  // namespace
}  // namespace bench
