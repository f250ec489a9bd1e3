// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run.hpp>

#include <cmath>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// exp(x) and a quotient, rounded to S like everything in the textbook formula.
template <class S>
inline S rounded_exp(S x) {
    if constexpr (sizeof(S) == 2) return S(std::exp(static_cast<float>(x)));
    else return std::exp(x);
}
template <class S>
inline S rounded_sum(S a, S b) {
    if constexpr (sizeof(S) == 2) return S(static_cast<float>(a) + static_cast<float>(b));
    else return a + b;
}
template <class S>
inline S rounded_quotient(S a, S b) {
    if constexpr (sizeof(S) == 2) return S(static_cast<float>(a) / static_cast<float>(b));
    else return a / b;
}

template <bool>
struct naive_kernel {
    template <class S, class O, class R>
    void operator()(const batch<S, O>& b, const R&) const {
        for (std::size_t row = 0; row < b.rows; ++row) {
            const stepped<const S> in{b.in.data + static_cast<std::ptrdiff_t>(row) * b.in.stride, b.in.step};
            const stepped<O> out{b.out.data + static_cast<std::ptrdiff_t>(row) * b.out.stride, b.out.step};
            const auto term = [&](std::size_t i) {
                return rounded_exp(static_cast<O>(load_element<compute_t<S, O>>(in.at(i))));
            };
            O sum(0.0f);
            for (std::size_t i = 0; i < b.length; ++i) sum = rounded_sum(sum, term(i));
            for (std::size_t i = 0; i < b.length; ++i) {
                const O quotient = rounded_quotient(term(i), sum);
                std::memcpy(static_cast<void*>(out.at(i)), &quotient, sizeof quotient);
            }
        }
    }
};

}  // namespace detail

/// The textbook formula along the last axis, every step rounded to the element type of `out`:
///
///     out_i = exp(in_i) / (exp(in_0) + exp(in_1) + ...)
///
/// For teaching and comparison only. It overflows to NaN for logits above 88.7 in float and bfloat16, 709.8 in double and
/// 11.09 in float16, divides 0 by 0 when all logits are very negative, and loses small terms of long sums.
/// Errors as safe_softmax.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void naive_softmax(const In& in, Out&& out) {
    detail::elementwise<detail::naive_kernel>("naive_softmax", in, out, {});
}

/// The same in place.
template <writable_view InOut>
void naive_softmax(InOut&& inout) {
    smx::SMX_ABI::naive_softmax(inout, inout);
}

}  // namespace SMX_ABI
}  // namespace smx
