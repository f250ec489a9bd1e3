// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// The textbook formula, for comparison.

#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run.hpp>

#if !defined(__GNUC__)
#include <math.h>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

#if defined(__GNUC__)
// The functions of C: std::exp(float) is one that objects compiled for different processors may share. Without their header, which takes a
// sixth of the time that compiling a source with softmax in three types takes, if run-time dispatch has the kernels.
SMX_ALWAYS_INLINE float c_exp(float x) noexcept { return __builtin_expf(x); }
SMX_ALWAYS_INLINE double c_exp(double x) noexcept { return __builtin_exp(x); }
#else
SMX_ALWAYS_INLINE float c_exp(float x) noexcept { return ::expf(x); }
SMX_ALWAYS_INLINE double c_exp(double x) noexcept { return ::exp(x); }
#endif

/// exp(x) and a quotient, rounded to S like everything in the textbook formula.
template <class S>
inline S rounded_exp(S x) {
    if constexpr (sizeof(S) == 2) return S(c_exp(static_cast<float>(x)));
    else return c_exp(x);
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

struct to_naive_rows {
    template <known_rows, class S, class O, std::size_t>
    void run(const work& w) const noexcept {
        for_each_outer<S, O>(w, [](const work& inner) {
            for (std::size_t j = 0; j < inner.rows.extent; ++j)
                row(stepped<const S>{in_row<S>(inner, j), inner.in_step},
                    stepped<O>{out_row<O>(inner, j), inner.out_step}, inner.length);
        });
    }

private:
    template <class S, class O>
    static void row(stepped<const S> in, stepped<O> out, std::size_t length) noexcept {
        const auto term = [&](std::size_t i) {
            return rounded_exp(static_cast<O>(load_element<compute_t<S, O>>(in.at(i))));
        };
        O sum(0.0f);
        for (std::size_t i = 0; i < length; ++i) sum = rounded_sum(sum, term(i));
        for (std::size_t i = 0; i < length; ++i) {
            const O quotient = rounded_quotient(term(i), sum);
            std::memcpy(static_cast<void*>(out.at(i)), &quotient, sizeof quotient);
        }
    }
};

}  // namespace detail

/// The textbook formula along the last axis, every step rounded to the element type of `out`:
///
///     out_i = exp(in_i) / (exp(in_0) + exp(in_1) + ...)
///
/// @param in   logits: any readable_view of any rank
/// @param out  a writable_view of the same extents; the very elements of `in`, or memory apart from it
///
/// For teaching and comparison only. It overflows to NaN for logits above 88.7 in float and bfloat16, 709.8 in double and
/// 11.09 in float16, divides 0 by 0 when all logits are very negative, and loses small terms of long sums.
/// Errors as safe_softmax.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void naive_softmax(const In& in, Out&& out) {
    detail::elementwise(detail::to_naive_rows{}, "naive_softmax", in, out, {});
}

/// The same in place.
template <writable_view InOut>
void naive_softmax(InOut&& inout) {
    smx::SMX_ABI::naive_softmax(inout, inout);
}

}  // namespace SMX_ABI
}  // namespace smx
