// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/row_options.hpp>
#include <safe_softmax/detail/run_job.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/backward_rows.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class B, class T>
class backward_rows;

/// Everything is checked here, before anything is written. The operands are those of struct backward.
template <class Options>
SMX_NOINLINE void run_backward(const char* function, job_function f, const array_ref& y, const array_ref& dy,
                               const array_ref& dx, const char* dx_name, const Options& options,
                               const job_runner* runner = nullptr) {
    job_builder b(function, f, y, options.axis, options.scale, options.special, "y");
    b.add_same(1, dy, "dy");
    b.may_be_output();
    b.add_output(2, dx, dx_name);
    if (b.finish()) run_job_by<backward_rows>(runner, b.job());
}

/// The same for masked functions. Of the options, those that say what was masked out are not needed: y tells.
template <class Options>
SMX_NOINLINE void run_masked_backward(const char* function, job_function f, const array_ref& logits, const array_ref& y,
                                      const array_ref& dy, const array_ref& dx, const char* dx_name,
                                      const Options& options, const job_runner* runner = nullptr) {
    job_builder b(function, f, y, options.axis, options.scale, options.special, "y");
    b.job().causal = options.causal;
    b.job().causal_offset = options.causal_offset;
    set_softcap(b, options.softcap);
    if (options.softcap != 0 && !logits)
        refuse(function, "options.softcap is %g, which takes the logits, too: before y", options.softcap);
    if (logits) b.add_same(backward_of::logits, logits, "in");
    if (options.lengths) add_lengths(b, backward_of::lengths, options.lengths);
    if (options.temperature) add_temperature(b, backward_of::temperature, options.temperature);
    b.add_same(backward_of::dy, dy, "dy");
    b.may_be_output();
    b.add_output(backward_of::dx, dx, dx_name);
    if (b.finish()) run_job_by<backward_rows>(runner, b.job());
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
