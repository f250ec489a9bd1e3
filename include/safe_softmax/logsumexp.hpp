// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// The logarithm of a sum of exponentials along an axis.

#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/bits.hpp>
#include <safe_softmax/detail/run.hpp>

namespace smx {
inline namespace SMX_ABI {

/// Logarithm of the sum of exponentials along one axis:
///
///     out = log(sum_j exp(scale*in_j))
///
/// @param in       logits: any readable_view of any rank
/// @param out      a writable_view of the extents of `in` without the axis, or with extent 1 there; apart from `in`
/// @param options  axis (the last by default), scale (1), special (safe)
///
/// Arithmetic is in float, in double as soon as either side is double.
///
/// | row of scaled logits | safe   | ieee |
/// | -------------------- | ------ | ---- |
/// | a NaN anywhere       | NaN    | NaN  |
/// | all -inf             | -inf   | NaN  |
/// | a +inf, no NaN       | +inf   | NaN  |
/// | length 1, finite     | x*scale | same |
/// | length 0             | -inf   | same |
///
/// Error, for every length up to 2^28, every finite logit and every scale: at most 3 ulp in float and double, 0.52 ulp in
/// float16 and bfloat16, where the ulp is that of the largest of |max|, |log sum exp(x - max)| and |result|, since the
/// first two can cancel. Largest seen, by tests/accuracy_test.cpp, which has the rows and enforces these bounds: 1.36 ulp in
/// float (1.355 for 83 ascending float16, scale -1), 2.29 in double (2.290 for 39 ascending bfloat16, scale -1), 0.5 in 16 bits.
///
/// Bits, errors and threads: as safe_softmax.
///
/// Source: as log_softmax, with the maximum added last.
template <readable_view In, writable_view Out>
    requires vocabulary::reduced_rank<In, Out>
void logsumexp(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::reduction(detail::to_kernels<detail::function::logsumexp>{}, "logsumexp", in, out, options);
}

/// The same of a single row, as a value of its element type.
template <readable_view In>
    requires(vocabulary::rank_of<const In> == 1)
auto logsumexp(const In& in, const softmax_options& options = {}) {
    using element_type = std::remove_cv_t<vocabulary::element_of<const In>>;
    vocabulary::storage_t<element_type> result[1];
    smx::SMX_ABI::logsumexp(in, result, options);
    return vocabulary::bit_cast<element_type>(result[0]);
}

}  // namespace SMX_ABI
}  // namespace smx
