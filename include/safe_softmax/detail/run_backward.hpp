// SPDX-License-Identifier: BSL-1.0
#pragma once

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
SMX_NOINLINE void run_backward(const char* function, job_function f, const array_ref& y, const array_ref& dy, const array_ref& dx,
                               const char* dx_name, const Options& options) {
    job_builder b(function, f, y, options.axis, options.scale, options.special, "y");
    b.add_same(1, dy, "dy");
    b.may_be_output();
    b.add_output(2, dx, dx_name);
    if (b.finish()) run_job<backward_rows>(b.job());
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
