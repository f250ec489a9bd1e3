// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Softmax of the negated.

#include <safe_softmax/softmax.hpp>

namespace smx {
inline namespace SMX_ABI {

/// The softmax of negated logits: out_i = exp(-scale*in_i) / sum_j exp(-scale*in_j). Bit for bit safe_softmax with the scale
/// negated, and everything that is said there holds; its table of special values speaks of -scale*in: -inf has the probability.
///
/// @param in       logits, or energies: any readable_view of any rank
/// @param out      a writable_view of the same extents; the very elements of `in`, or memory apart from it
/// @param options  as in safe_softmax
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void softmin(const In& in, Out&& out, const softmax_options& options = {}) {
    // What is not finite is refused below, as it was given.
    const double scale = detail::is_finite(options.scale) ? -options.scale : options.scale;
    const softmax_options negated{options.axis, scale, options.special};
    detail::elementwise(detail::to_kernels<detail::function::softmax>{}, "softmin", in, out, negated);
}

/// The same in place.
template <writable_view InOut>
void softmin(InOut&& inout, const softmax_options& options = {}) {
    smx::SMX_ABI::softmin(inout, inout, options);
}

}  // namespace SMX_ABI
}  // namespace smx
