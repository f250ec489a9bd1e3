// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Probabilities along an axis: the function that the library is named after.

#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run.hpp>

namespace smx {
inline namespace SMX_ABI {

/// Softmax along one axis:
///
///     out_i = exp(scale*in_i) / sum_j exp(scale*in_j)
///
/// as if the exponentials had no largest number and no rounding. NaN comes out only where NaN went in; every other row
/// is a probability distribution, or all zeros if everything was masked with -inf.
///
/// @param in       logits: any readable_view of any rank
/// @param out      probabilities: a writable_view of the same extents, of any element type; the very elements of `in`,
///                 or memory apart from it
/// @param options  axis (the last by default), scale (1), special (safe)
///
/// Arithmetic is in float, in double as soon as either side is double.
///
/// | row of scaled logits      | safe                  | ieee    |
/// | ------------------------- | --------------------- | ------- |
/// | a NaN anywhere            | all NaN               | all NaN |
/// | all -inf                  | all +0                | all NaN |
/// | +inf k times, no NaN      | 1/k there, +0 elsewhere | all NaN |
/// | -inf among others         | exactly +0 there      | same    |
/// | length 0                  | nothing is written    | same    |
///
/// Error, for every length up to 2^28, every finite logit and every scale: at most 5 ulp in float and double, 0.52 ulp in
/// float16 and bfloat16, subnormal float16 results included. Largest seen, by tests/accuracy_test.cpp, which has the rows and
/// enforces these bounds: 3.15 ulp in float (3.148 at the float16 -99 among 172, one large and a tail, scale 0.1118), 3.71 in
/// double (3.703 at the float 198.770309 among 23 from 200+N(0,3), scale 3), 0.511 in 16 bits (at the float 17.2241421 among 178
/// from N(0,10), to float16). A probability below the smallest normal number of the arithmetic may come out as +0.
///
/// The bits of a row depend on its values, its length, the element types, scale and special_values, and on nothing else,
/// among machines with fused multiply-add. A NaN is that of std::numeric_limits, without the sign or payload of one that came in.
///
/// Throws std::invalid_argument, before anything is written, if extents differ, the axis is out of range, the scale is
/// not finite, out overlaps itself or (other than element by element) in; views of crossing strides for which a search of
/// 100,000 steps finds no overlap pass. Built without exceptions: prints the text to
/// stderr and aborts. Allocates nothing, locks nothing; takes up to 80 KiB of stack (compiled with optimisation). Calls
/// from several threads do not touch each other; one call on several threads: parallel.hpp. Floating-point exception flags are not
/// meaningful afterwards. On x86, a row whose results are 16 MiB or more (arithmetic in float) leaves them in memory, not in a cache.
///
/// Source of the method: P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
/// functions", IMA J. Numer. Anal. 41 (2021), for dividing instead of subtracting a logarithm; the maximum as an integer
/// exponent: detail/exp.hpp.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void safe_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::elementwise(detail::to_kernels<detail::function::softmax>{}, "safe_softmax", in, out, options);
}

/// The same in place.
template <writable_view InOut>
void safe_softmax(InOut&& inout, const softmax_options& options = {}) {
    detail::elementwise(detail::to_kernels<detail::function::softmax>{}, "safe_softmax", inout, inout, options);
}

}  // namespace SMX_ABI
}  // namespace smx
