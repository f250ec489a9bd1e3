// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Gradients of the logits from results.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/masked_options.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_backward.hpp>

namespace smx {
inline namespace SMX_ABI {

/// Gradient of softmax: from its output and the gradient arriving there to the gradient at the logits,
///
///     dx_i = scale * y_i * (dy_i - sum_j y_j*dy_j)
///
/// @param y        probabilities, what safe_softmax wrote: any readable_view of rank up to 8, or a dynamic one
/// @param dy       gradient at y: a readable_view of the same extents
/// @param dx       gradient at the logits: a writable_view of the same extents; the very elements of `dy` or of `y`, or memory
///                 apart from both
/// @param options  axis (the last by default) and scale, as they were given to safe_softmax; `special` does not matter
///
/// Element types may be mixed. Sums and differences are in double, and carry twice its digits as soon as y, dy or dx is
/// double; dx is rounded to its type at the end.
///
/// An element with y_i = 0 contributes nothing whatever its dy is, and its dx is exactly +0: a row of zeros, which is what
/// a fully masked row gives, has a gradient of zeros. For the elements with y_i != 0:
///
/// | row                          | dx                                                                              |
/// | ---------------------------- | ------------------------------------------------------------------------------- |
/// | a NaN in y or dy             | NaN                                                                             |
/// | dy infinite, no NaN          | the limit for infinite dy that are one number, growing: +inf where dy is +inf, -inf where it is -inf (0 where all are the same infinity); elsewhere -inf, 0 or +inf as the sum of y at +inf is above, equal to or below that at -inf; all of it times scale |
/// | length 1, y = 1              | 0                                                                               |
/// | length 0                     | nothing is written                                                              |
///
/// Error, for y in [0, 1] and barring underflow: at most 0.51 ulp of dx for float, float16 and bfloat16, 4 ulp for double, plus
/// scale*y_i times the error of the sum: (n/32 + 6) * 2^-53 * sum_j |y_j*dy_j|, and n * 2^-104 * sum_j |y_j*dy_j| where double
/// is involved. So the digits are right even where dy_i and the sum cancel, unless next to nothing is left. |scale| above 2^1023
/// counts as that. Largest seen, by tests/backward_test.cpp, which has the rows and enforces this: 0.65 of it in double (at y 4.3649e-05
/// and dy 0.074892 among 5003, scale -0.3), 0.98 in the others, nearly all of which is the rounding of the result.
///
/// The bits of a row depend on its values, its length, the element types and scale, and on nothing else, among machines with fused
/// multiply-add.
///
/// Throws std::invalid_argument, before anything is written, if ranks or extents differ, the axis is out of range, the scale is
/// not finite, dx overlaps itself or (other than element by element) y or dy. Built without exceptions: prints the text to stderr
/// and aborts. Allocates nothing, locks nothing; takes up to 80 KiB of stack (compiled with optimisation).
///
/// Source: the derivative of the quotient, with sums in pairs of doubles after T. J. Dekker (1971) and D. E. Knuth.
template <vocabulary::readable_array Y, vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void softmax_backward(const Y& y, const DY& dy, DX&& dx, const softmax_options& options = {}) {
    const detail::arguments_of arg{"softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dx, "dx"), "dx", options);
}

/// The same in place: dx over dy.
template <vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void softmax_backward(const Y& y, DY&& dy, const softmax_options& options = {}) {
    const detail::arguments_of arg{"softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dy, "dy"), "dy", options);
}

/// Gradient of masked_softmax:
///
///     dx_i = (scale/temperature) * y_i * (dy_i - sum_j y_j*dy_j) * [softcap: 1/cosh(in_i*(scale/temperature)/softcap)^2]
///
/// @param y, dy, dx as in softmax_backward
/// @param options  those of masked_softmax. What is beyond a length or the diagonal is not read, and its dx is +0. Mask, bias, slope and sink are
///                 in y already and not looked at: probabilities of 0 contribute nothing
///
/// Of what else went in, the gradients follow from dz, that is dx with scale 1 and without temperature and softcap: of an added mask or a bias it is dz,
/// summed over the axes along which it was broadcast, and of a sink -(1 - sum_j y_j) * sum_j y_j*dy_j.
///
/// Special values, bits, errors: softmax_backward; and in NaN with a softcap: NaN where y_i is not 0. Error as there; the factor of a softcap adds
/// 2^-35 of dx, in double (2*|in_i*scale/softcap| + 8) * 2^-53. Largest seen, by tests/masked_backward_test.cpp: 0.48 of it in double, else 0.98.
template <vocabulary::readable_array Y, vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void masked_softmax_backward(const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, array_ref(), arg(y, "y"),
                                arg(dy, "dy"), arg(dx, "dx"), "dx", options);
}

/// The same in place: dx over dy.
template <vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void masked_softmax_backward(const Y& y, DY&& dy, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, array_ref(), arg(y, "y"),
                                arg(dy, "dy"), arg(dy, "dy"), "dy", options);
}

/// The same with the logits, which a softcap takes. In place where dx is dy.
///
/// @param in       logits, what masked_softmax was given
/// @param y, dy    as in softmax_backward
/// @param dx       as in softmax_backward; apart from `in`
/// @param options  as above
template <vocabulary::readable_array In, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<In, DX> && vocabulary::maybe_same_rank<Y, DX> &&
             vocabulary::maybe_same_rank<DY, DX>)
void masked_softmax_backward(const In& in, const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, arg(in, "in"), arg(y, "y"),
                                arg(dy, "dy"), arg(dx, "dx"), "dx", options);
}

/// Gradient of log_softmax: from its output and the gradient arriving there to the gradient at the logits,
///
///     dx_i = scale * (dy_i - exp(y_i) * sum_j dy_j)
///
/// @param y        log-probabilities, what log_softmax wrote, at most 0 but for rounding: any readable_view of rank up to 8, or a dynamic one
/// @param dy, dx, options  as in softmax_backward
///
/// | row                           | dx                                                                            |
/// | ----------------------------- | ----------------------------------------------------------------------------- |
/// | y_i = -inf                    | scale*dy_i: its probability is 0                                              |
/// | a NaN in dy                   | NaN where y_i is not -inf                                                     |
/// | y_i is NaN                    | NaN there                                                                     |
/// | dy infinite, no NaN           | the limit for infinite dy that are one number, growing: with N of them +inf less those that are -inf and s_i = 1, -1 or 0 for those and the finite, scale times an infinity of the sign of s_i - exp(y_i)*N; where that is 0: scale*dy_i if dy_i is finite, else 0 |
/// | length 0                      | nothing is written                                                            |
///
/// Error, barring underflow: for float, float16 and bfloat16 at most 0.51 ulp of dx plus 2^-36 of |scale*exp(y_i)*sum|, for double
/// 4 ulp of the larger of |scale*dy_i| and |scale*exp(y_i)*sum|; in both cases plus the error of the sum as in softmax_backward.
/// Largest seen, by the same test: 0.41 of it in double (at the float16 y -0.28223 and dy 0.67041 among 31, scale -0.3), 0.98 in the others.
///
/// Bits, errors and threads: as softmax_backward.
template <vocabulary::readable_array Y, vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void log_softmax_backward(const Y& y, const DY& dy, DX&& dx, const softmax_options& options = {}) {
    const detail::arguments_of arg{"log_softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::log_softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dx, "dx"), "dx", options);
}

/// The same in place: dx over dy.
template <vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void log_softmax_backward(const Y& y, DY&& dy, const softmax_options& options = {}) {
    const detail::arguments_of arg{"log_softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::log_softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dy, "dy"), "dy", options);
}

/// Gradient of masked_log_softmax: as log_softmax_backward, but where y_i is -inf the element was masked out. There dx is exactly
/// +0, and dy does not count, whatever it is, a NaN included. Options, and the gradients of mask and bias, as in masked_softmax_backward;
/// of a sink it is -(1 - sum_j exp(y_j)) * sum_j dy_j over those that count.
template <vocabulary::readable_array Y, vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void masked_log_softmax_backward(const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, array_ref(),
                                arg(y, "y"), arg(dy, "dy"), arg(dx, "dx"), "dx", options);
}

/// The same in place: dx over dy.
template <vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void masked_log_softmax_backward(const Y& y, DY&& dy, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, array_ref(),
                                arg(y, "y"), arg(dy, "dy"), arg(dy, "dy"), "dy", options);
}

/// The same with the logits, which a softcap takes.
template <vocabulary::readable_array In, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<In, DX> && vocabulary::maybe_same_rank<Y, DX> &&
             vocabulary::maybe_same_rank<DY, DX>)
void masked_log_softmax_backward(const In& in, const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, arg(in, "in"),
                                arg(y, "y"), arg(dy, "dy"), arg(dx, "dx"), "dx", options);
}

}  // namespace SMX_ABI
}  // namespace smx
