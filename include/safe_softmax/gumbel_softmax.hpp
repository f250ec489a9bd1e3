// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Softmax with noise: a differentiable stand-in for samples.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/random.hpp>
#include <safe_softmax/detail/run_family.hpp>

namespace smx {

/// How gumbel_softmax is taken; an aggregate: `{.temperature = 0.5, .hard = true}`.
struct gumbel_options {
    std::ptrdiff_t axis = -1;  ///< the axis along which a row runs; negative counts from the back
    double temperature = 1.0;  ///< positive; the smaller, the closer a row comes to a single 1
    bool hard = false;  ///< 1 at the largest, +0 elsewhere: a sample, drawn with the probabilities of softmax(logits)
    special_values special = special_values::safe;  ///< what rows without a proper answer give
};

inline namespace SMX_ABI {

/// Softmax of logits with noise, a differentiable stand-in for a sample:
///
///     out_i = exp((in_i + g_i)/temperature) / sum_j exp((in_j + g_j)/temperature),    g_i = -log(-log(u_i))
///
/// @param in       logits: any readable_view of rank up to 8, or a dynamic one
/// @param out      a writable_view of the same extents; the very elements of `in`, or memory apart from it
/// @param engine   any random engine of the standard library, or of its kind. It is drawn from once for each call, for 64 bits: one draw of
///                 std::mt19937_64, two of std::mt19937 (whose first one leads), whatever the extents
/// @param options  see gumbel_options
///
/// The noise of the element whose row-major index is n, rows counted over all axes but options.axis, is made of the n-th number
/// that SplitMix64 gives from that seed: u = (its upper 52 bits + 1/2)*2^-52, in (0, 1). Noise and softmax are in double, so that results
/// are the same on every machine with fused multiply-add and with every standard library. With `hard`, the first of equal ones. The gradient of
/// the soft result, which hard results are trained with, is the caller's.
///
/// | row of logits        | safe                                         | ieee    |
/// | -------------------- | -------------------------------------------- | ------- |
/// | a NaN anywhere       | all NaN                                      | all NaN |
/// | all -inf             | all +0                                       | all NaN |
/// | +inf k times, no NaN | as if these were 0, and all others -inf      | all NaN |
/// | -inf among others    | exactly +0 there                             | same    |
///
/// Error, before a result is rounded to its type: with z = (in + g)/temperature, at most (2*max|z| + 8) * 2^-52 of the result, which is what rounding
/// in + g to double costs.
///
/// Throws std::invalid_argument, before anything is written: as masked_softmax, and for a temperature that is not positive and finite.
///
/// Source: E. Jang, S. Gu, B. Poole, "Categorical reparameterization with Gumbel-softmax" (2016).
template <vocabulary::readable_array In, vocabulary::writable_array Out, random_engine Engine>
    requires vocabulary::maybe_same_rank<In, Out>
void gumbel_softmax(const In& in, Out&& out, Engine& engine, const gumbel_options& options = {}) {
    const vocabulary::gumbel_call call{detail::draw_bits(engine), options.hard};
    const detail::arguments_of arg{"gumbel_softmax"};
    detail::run_gumbel(arg.function, arg(in, "in"), arg(out, "out"), call, options);
}

/// The same in place.
template <writable_view InOut, random_engine Engine>
void gumbel_softmax(InOut&& inout, Engine& engine, const gumbel_options& options = {}) {
    smx::SMX_ABI::gumbel_softmax(inout, inout, engine, options);
}

}  // namespace SMX_ABI
}  // namespace smx
