// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/job_shape.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/job_kernels.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Hands a checked job to the kernels.
SMX_ALWAYS_INLINE void run_job(const job& j) noexcept {
#if SMX_DISPATCH
    dispatch::active_table().run_job[j.wide ? 1 : 0](j);
#else
    if (j.wide) run_job_in<default_backend, double>(j);
    else run_job_in<default_backend, float>(j);
#endif
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
