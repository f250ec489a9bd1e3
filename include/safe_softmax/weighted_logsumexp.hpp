// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Weighted sums of exponentials of any sign: SciPy's logsumexp with b and return_sign.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_family.hpp>

namespace smx {

/// How weighted_logsumexp is taken; an aggregate: `{.weights = b}`.
struct weighted_options {
    std::ptrdiff_t axis = -1;                       ///< the axis along which a row runs; negative counts from the back
    double scale = 1.0;                             ///< the logits are multiplied by it
    special_values special = special_values::safe;  ///< what rows without a proper answer give
    array_ref weights{};  ///< floating, of any sign; broadcast to the logits as in NumPy; none: all 1
};

/// A number as its sign (1, -1, 0) and the logarithm of its magnitude.
template <element T>
struct signed_logarithm {
    T log;   ///< -inf for 0
    T sign;  ///< 1, -1 or 0
};

inline namespace SMX_ABI {

/// Logarithm of the magnitude of a weighted sum of exponentials along one axis, and its sign: what SciPy's logsumexp gives
/// with b= and return_sign=True.
///
///     out = log|sum_j weights_j * exp(scale*in_j)|,    sign = that of the sum
///
/// @param in       logits: any readable_view of rank up to 8, or a dynamic one
/// @param out      a writable_view of the extents of `in` without the axis, or with extent 1 there; apart from everything else
/// @param sign     the same; may be left out
/// @param options  see weighted_options
///
/// A logit whose weight is 0 takes no part, whatever it is, +inf and NaN included.
///
/// | row, of logits with other weights    | out  | sign           | ieee |
/// | ------------------------------------ | ---- | -------------- | ---- |
/// | a NaN, or a weight that is not finite | NaN | NaN            | same |
/// | a +inf, with weights of one sign     | +inf | that sign      | NaN  |
/// | a +inf, with weights of both signs   | NaN  | NaN            | same |
/// | all -inf                             | -inf | 0              | NaN  |
/// | none, or the sum is exactly 0        | -inf | 0              | same |
///
/// Error: kappa*2^-57 for what the sum may be off, of its value, with kappa = sum |w_j| exp(z_j) / |sum w_j exp(z_j)| for what cancels,
/// plus 3 ulp (float: 0.51, 16 bits: 0.52) of the largest of |max|, |log|sum/exp(max)|| and |out|. Of the first nothing is to be seen
/// for kappa up to 16, unless all three of those are near 0; 8 digits are left for a kappa of 1e9. Largest seen,
/// by tests/family_test.cpp with kappa up to 16: 0.74 ulp in double (30 logits with ties), 0.500 in the others. No weight is too large or too small.
///
/// Works element by element, at about 60 ns each; logsumexp is much faster where there are no weights. Bits as safe_softmax.
/// Throws std::invalid_argument, before anything is written, as masked_softmax does.
template <vocabulary::readable_array In, vocabulary::writable_array Out, vocabulary::writable_array Sign>
    requires(vocabulary::maybe_reduced_rank<In, Out> && vocabulary::maybe_reduced_rank<In, Sign>)
void weighted_logsumexp(const In& in, Out&& out, Sign&& sign, const weighted_options& options) {
    const detail::arguments_of arg{"weighted_logsumexp"};
    detail::run_weighted(arg.function, arg(in, "in"), arg(out, "out"), arg(sign, "sign"), options);
}

/// The same without the sign: the logarithm of the magnitude of a negative sum, too, for which SciPy's logsumexp without return_sign gives NaN.
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_reduced_rank<In, Out>
void weighted_logsumexp(const In& in, Out&& out, const weighted_options& options) {
    const detail::arguments_of arg{"weighted_logsumexp"};
    detail::run_weighted(arg.function, arg(in, "in"), arg(out, "out"), array_ref(), options);
}

/// The same of a single row, as values of its element type.
template <readable_view In>
    requires(vocabulary::rank_of<const In> == 1)
auto weighted_logsumexp(const In& in, const weighted_options& options) {
    using T = std::remove_cv_t<vocabulary::element_of<const In>>;
    using S = vocabulary::storage_t<T>;
    S log[1], sign[1];
    const detail::arguments_of arg{"weighted_logsumexp"};
    detail::run_weighted(arg.function, arg(in, "in"), array_ref(log), array_ref(sign), options);
    return signed_logarithm<T>{vocabulary::bit_cast<T>(log[0]), vocabulary::bit_cast<T>(sign[0])};
}

}  // namespace SMX_ABI
}  // namespace smx
