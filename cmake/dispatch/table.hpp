// SPDX-License-Identifier: BSL-1.0

// The kernels of one instruction set, SMX_TABLE, which the compiler was told to use for the file that includes this. What is
// compiled here may run only after the processor has been asked; so nothing is included that could leave an inline function
// of somebody else for the linker to share.

#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/job_kernels.hpp>
#include <safe_softmax/detail/kernels.hpp>

#define SMX_JOIN_(a, b) a##b
#define SMX_JOIN(a, b) SMX_JOIN_(a, b)

namespace smx {
namespace dispatch {

static_assert(isa::SMX_COMPILED_ISA == isa::SMX_TABLE, "this file was compiled with the flags of another instruction set");

static_assert(vocabulary::functions == 3 && vocabulary::types == 4, "the table below lists them all");

// Many = true: a table serves every rank.
#define SMX_KERNEL(f, in, out) &detail::kernels<detail::default_backend, in, out>::run<vocabulary::function::f, true>
#define SMX_TO(f, in) \
    { SMX_KERNEL(f, in, float), SMX_KERNEL(f, in, double), SMX_KERNEL(f, in, float16), SMX_KERNEL(f, in, bfloat16) }
#define SMX_FUNCTION(f) \
    { SMX_TO(f, float), SMX_TO(f, double), SMX_TO(f, float16), SMX_TO(f, bfloat16) }

extern const table SMX_JOIN(table_, SMX_TABLE);
constinit const table SMX_JOIN(table_, SMX_TABLE) = {
    isa::SMX_TABLE,
    {SMX_FUNCTION(softmax), SMX_FUNCTION(log_softmax), SMX_FUNCTION(logsumexp)},
    {&detail::run_job_in<detail::default_backend, float>, &detail::run_job_in<detail::default_backend, double>}};

}  // namespace dispatch
}  // namespace smx
