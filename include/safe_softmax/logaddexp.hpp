// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// log(exp(a) + exp(b)), of numbers and views.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_family.hpp>

namespace smx {
inline namespace SMX_ABI {

/// log(exp(a) + exp(b)), for float, double, float16, bfloat16 and registered types.
///
/// | a, b                         | result |
/// | ---------------------------- | ------ |
/// | a NaN                        | NaN    |
/// | a +inf, no NaN               | +inf   |
/// | -inf, b                      | b      |
/// | -inf, -inf                   | -inf   |
///
/// These are NumPy's. Error, in ulp of the largest of |a|, |b| and |result|: at most 2 in double, 0.51 in all other types, for which it
/// is computed in double; largest seen, by tests/family_test.cpp: 1.76 (-0.474615 and -0.103239), 0.500. Same bits wherever there is fma.
///
/// Source: the larger plus log1p(exp(-|a - b|)), the formula of NumPy.
template <element T>
T logaddexp(T a, T b) noexcept {
    using S = vocabulary::storage_t<T>;
    const S storage_a = vocabulary::bit_cast<S>(a), storage_b = vocabulary::bit_cast<S>(b);
    S result;
    constexpr auto type = vocabulary::scalar_type_of<T>();
    using operand = vocabulary::operand;
    detail::run_logaddexp_of_numbers(operand{&storage_a, sizeof(S), type}, operand{&storage_b, sizeof(S), type},
                                     operand{&result, sizeof(S), type});
    return vocabulary::bit_cast<T>(result);
}

/// Element by element: out_i = log(exp(in_i) + exp(other_i)).
///
/// @param in     a readable_view of any rank up to 8, or a dynamic one
/// @param other  a readable_view; it is broadcast to the extents of `in` as in NumPy
/// @param out    a writable_view of the extents of `in`; the very elements of `in` or `other`, or memory apart from them
///
/// Throws std::invalid_argument, before anything is written, as masked_softmax does.
template <vocabulary::readable_array In, vocabulary::readable_array Other, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void logaddexp(const In& in, const Other& other, Out&& out) {
    const detail::arguments_of arg{"logaddexp"};
    detail::run_logaddexp(arg(in, "in"), arg(other, "other"), arg(out, "out"));
}

}  // namespace SMX_ABI
}  // namespace smx
