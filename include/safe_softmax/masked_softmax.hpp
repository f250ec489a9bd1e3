// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Softmax of what a mask lets through, with what attention adds to logits.

#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/masked_options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_masked.hpp>

namespace smx {
inline namespace SMX_ABI {

/// Softmax of the logits that a mask lets through:
///
///     out_i = exp(logit_i) / (sum_j exp(logit_j) + exp(sink))    over the j that are not masked out;    +0 where masked out
///
/// @param in       elements of any readable_view of rank up to 8, or a dynamic one
/// @param mask     bool or an unsigned byte: a logit takes part where it is not 0, as with `where=` in JAX. Floating: it is added to the logit, and
///                 -inf masks out. Broadcast to the extents of `in` as in NumPy: aligned at the last axis, extents of 1 and
///                 missing axes repeat; zero strides do, too. A view, an array_ref, or a
///                 dynamic array
/// @param out      probabilities: a writable_view of the same extents; the very elements of `in`, or memory apart from
///                 everything else
/// @param options  see masked_options
///
/// What is masked out by mask, bias, length or causality gives exactly +0 (logarithm: -inf), whatever stands there, a NaN or +inf
/// included; what is beyond a row's length or the causal diagonal is not even read.
///
/// | row, of what is not masked out | safe                                     | ieee    |
/// | ------------------------------ | ---------------------------------------- | ------- |
/// | nothing, or all -inf           | all +0 (log: all -inf)                   | all NaN (with a finite sink: +0) |
/// | a NaN logit, or a sink of NaN  | NaN where not masked out                 | same    |
/// | +inf k times, no NaN           | 1/k there, +0 elsewhere (log: -log k, -inf); a sink of +inf counts as one of the k | all NaN |
/// | finite, sink +inf              | all +0 (log: all -inf)                   | same    |
///
/// +inf and -inf in one logit's sum make -inf. softcap turns an infinite element into the cap itself.
///
/// Arithmetic is in float, in double as soon as in, out, mask or bias is double. Error as safe_softmax: 5 ulp in float and
/// double, 0.52 in 16 bits (log: 3 and 0.52), for in*scale, bias and mask of up to 2^70 (2^40 for results in double); a logit may be off
/// by 2^-100 of the largest of the three, and a sum beyond the range of double counts as infinite. With softcap in float arithmetic
/// the logit itself is off by up to 2^-50*cap more, and by 2^-33 where one number is added to it. A temperature makes
/// scale/temperature, rounded to double, the scale. Largest seen, by tests/masked_softmax_test.cpp, which makes each of its calls from a
/// seed and enforces these bounds: 2.50 ulp in float (seed 20322807, element 31), 3.42 in double (20348807, 62), 0.506 in 16 bits
/// (20351803, 6); log: 1.63 (20292801, 38), 2.28 (20264804, 567) and 0.500.
///
/// The bits of a row depend on its elements, mask, options, length and the element types, and on nothing else, among machines
/// with fused multiply-add. Without bias, slope, softcap, sink and an added mask they are those of safe_softmax.
///
/// Throws std::invalid_argument, before anything is written: as safe_softmax, for arrays that cannot be broadcast, lengths
/// out of range, temperatures that are not positive and finite, a softcap that is negative or not finite, a slope that is not
/// finite, a `lengths` that is not of integers. Allocates nothing, locks nothing; takes up to 80 KiB of stack (compiled with optimisation).
///
/// Source: for ALiBi O. Press, N. A. Smith, M. Lewis, "Train short, test long" (2021); for sinks G. Xiao and others, "Efficient streaming
/// language models with attention sinks" (2023); the method is that of safe_softmax.
template <vocabulary::readable_array In, vocabulary::any_array Mask, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_softmax(const In& in, const Mask& mask, Out&& out, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_softmax, arg(in, "in"), arg.any(mask, "mask"),
                       arg(out, "out"), options);
}

/// The same with no mask but that of the options: causal, lengths, bias. The second array is written to: in place under a mask is
/// masked_softmax(x, mask, x), or, for one that is added, masked_softmax(x, x, {.bias = mask}).
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_softmax(const In& in, Out&& out, const masked_options& options) {
    const detail::arguments_of arg{"masked_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_softmax, arg(in, "in"), array_ref(), arg(out, "out"),
                       options);
}

/// The logarithm of masked_softmax, right to the last digits near 0 as log_softmax is:
///
///     out_i = logit_i - log(sum_j exp(logit_j) + exp(sink))    over the j that are not masked out;    -inf where masked out
///
/// Parameters, special values, bits and errors: as masked_softmax.
template <vocabulary::readable_array In, vocabulary::any_array Mask, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_log_softmax(const In& in, const Mask& mask, Out&& out, const masked_options& options = {}) {
    const detail::arguments_of arg{"masked_log_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_log_softmax, arg(in, "in"), arg.any(mask, "mask"),
                       arg(out, "out"), options);
}

/// The same with no mask but that of the options.
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_log_softmax(const In& in, Out&& out, const masked_options& options) {
    const detail::arguments_of arg{"masked_log_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_log_softmax, arg(in, "in"), array_ref(),
                       arg(out, "out"), options);
}

}  // namespace SMX_ABI
}  // namespace smx
