// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Log-probabilities along an axis.

#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run.hpp>

namespace smx {
inline namespace SMX_ABI {

/// Logarithm of the softmax along one axis:
///
///     out_i = scale*in_i - log(sum_j exp(scale*in_j))
///
/// right to the last digits near zero too: {20, 0} gives {-2.0611536e-9, -20}.
///
/// @param in       logits: any readable_view of any rank
/// @param out      log-probabilities: a writable_view of the same extents, of any element type; the very elements of
///                 `in`, or memory apart from it
/// @param options  axis (the last by default), scale (1), special (safe)
///
/// Arithmetic is in float, in double as soon as either side is double.
///
/// | row of scaled logits | safe                        | ieee    |
/// | -------------------- | --------------------------- | ------- |
/// | a NaN anywhere       | all NaN                     | all NaN |
/// | all -inf             | all -inf                    | all NaN |
/// | +inf k times, no NaN | -log k there, -inf elsewhere | all NaN |
/// | -inf among others    | -inf there                  | same    |
/// | length 1, finite     | +0 or -0                    | same    |
/// | length 0             | nothing is written          | same    |
///
/// Error, for every length up to 2^28, every finite logit and every scale: at most 3 ulp in float and double, 0.52 ulp in
/// float16 and bfloat16. Largest seen, by tests/accuracy_test.cpp, which has the rows and enforces these bounds: 1.87 ulp in float
/// (1.865 at the float16 1024 among 171 from 1e3+N(0,10)), 2.8 in double (2.75 at the float16 77.25 among 26 from
/// U(-80,80)), 0.5001 in 16 bits.
///
/// Bits, errors and threads: as safe_softmax.
///
/// Source: the largest term stays out of the sum and enters through log1p, as in Blanchard, Higham, Higham (2021); the
/// difference to the maximum is taken before the logarithm is subtracted.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void log_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::elementwise(detail::to_kernels<detail::function::log_softmax>{}, "log_softmax", in, out, options);
}

/// The same in place.
template <writable_view InOut>
void log_softmax(InOut&& inout, const softmax_options& options = {}) {
    detail::elementwise(detail::to_kernels<detail::function::log_softmax>{}, "log_softmax", inout, inout, options);
}

}  // namespace SMX_ABI
}  // namespace smx
