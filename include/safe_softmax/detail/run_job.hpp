// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operands of all jobs, and the environment, here and not only where they are used: the single header has kernels under a condition,
// and what else needs a header has to come before it.
#include <safe_softmax/detail/backward_job.hpp>
#include <safe_softmax/detail/cross_entropy_job.hpp>
#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/family_job.hpp>
#include <safe_softmax/detail/job_shape.hpp>
#include <safe_softmax/detail/masked_job.hpp>
#include <safe_softmax/detail/online_job.hpp>
#include <safe_softmax/simd/environment.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/simd/backend.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Hands a checked job to the kernels. Rows: those for jobs of its function; with run-time dispatch the tables know them
/// (job_kernels.hpp). Called from templates only: a plain inline function would have the kernels compiled into every source.
template <template <class, class> class Rows>
SMX_ALWAYS_INLINE void run_job(const job& j) noexcept {
#if SMX_DISPATCH
    dispatch::active_table().run_job[j.wide ? 1 : 0](j);
#else
    if (j.wide) Rows<default_backend, double>::run(j);
    else Rows<default_backend, float>::run(j);
#endif
}

/// Who runs a job in place of the calling thread: threads, see split_job.hpp.
struct job_runner {
    void (*run)(const job_runner& self, const job& j, dispatch::job_kernel kernel);
};

/// The same by a runner, if there is one.
template <template <class, class> class Rows>
SMX_ALWAYS_INLINE void run_job_by(const job_runner* runner, const job& j) {
    if (runner == nullptr) return run_job<Rows>(j);
#if SMX_DISPATCH
    // One and the same for all threads, even if one of them makes another instruction set the active one.
    runner->run(*runner, j, dispatch::active_table().run_job[j.wide ? 1 : 0]);
#else
    runner->run(*runner, j, j.wide ? &Rows<default_backend, double>::run : &Rows<default_backend, float>::run);
#endif
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
