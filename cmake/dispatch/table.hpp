// SPDX-License-Identifier: BSL-1.0

// The kernels of one instruction set, SMX_TABLE, which the compiler was told to use for the file that includes this. What is
// compiled here may run only after the processor has been asked; so nothing is included that could leave an inline function
// of somebody else for the linker to share.

#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/job_kernels.hpp>
#include <safe_softmax/detail/kernels.hpp>
#include <safe_softmax/detail/segments.hpp>

#define SMX_JOIN_(a, b) a##b
#define SMX_JOIN(a, b) SMX_JOIN_(a, b)

namespace smx {
namespace dispatch {

static_assert(isa::SMX_COMPILED_ISA == isa::SMX_TABLE,
              "this file was compiled with the flags of another instruction set");

static_assert(vocabulary::functions == 3 && vocabulary::types == 4,
              "list the new one below: a function in both forms of SMX_FUNCTIONS, a type in SMX_TO and SMX_FUNCTION");

// known_rows::batch: a table serves every rank. With SMX_TABLE_BFLOAT16_ONLY there are only the kernels that write rows of bfloat16
// from float arithmetic, which are all that BF16 makes faster; dispatch.cpp takes the others from the table before. It saves
// users half a minute of compilation. With SMX_TABLE_ONE_KERNEL, softmax of float alone: for measuring what a call costs.
#define SMX_ROWS(f, in, out) \
    &detail::kernels<detail::default_backend, in, out>::run<vocabulary::function::f, vocabulary::known_rows::batch>
#define SMX_SEGMENT(f, in, out) detail::segment_kernel_of<vocabulary::function::f, in, out>()
#if defined(SMX_TABLE_BFLOAT16_ONLY)
#define SMX_TO(k, f, in) {nullptr, nullptr, nullptr, k(f, in, bfloat16)}
#define SMX_FUNCTION(k, f) {SMX_TO(k, f, float), {}, SMX_TO(k, f, float16), SMX_TO(k, f, bfloat16)}
#define SMX_FUNCTIONS(k)                                           \
    {                                                              \
        SMX_FUNCTION(k, softmax), SMX_FUNCTION(k, log_softmax), {} \
    }
#define SMX_JOB_IN_FLOAT &detail::run_job_in<detail::default_backend, float>
#define SMX_JOB_IN_DOUBLE nullptr
#elif defined(SMX_TABLE_ONE_KERNEL)
#define SMX_FUNCTIONS(k)                 \
    {                                    \
        {                                \
            {                            \
                k(softmax, float, float) \
            }                            \
        }                                \
    }
#define SMX_JOB_IN_FLOAT nullptr
#define SMX_JOB_IN_DOUBLE nullptr
#else
#define SMX_TO(k, f, in) {k(f, in, float), k(f, in, double), k(f, in, float16), k(f, in, bfloat16)}
#define SMX_FUNCTION(k, f) {SMX_TO(k, f, float), SMX_TO(k, f, double), SMX_TO(k, f, float16), SMX_TO(k, f, bfloat16)}
#define SMX_FUNCTIONS(k) {SMX_FUNCTION(k, softmax), SMX_FUNCTION(k, log_softmax), SMX_FUNCTION(k, logsumexp)}
#define SMX_JOB_IN_FLOAT &detail::run_job_in<detail::default_backend, float>
#define SMX_JOB_IN_DOUBLE &detail::run_job_in<detail::default_backend, double>
#endif

extern const table SMX_JOIN(table_, SMX_TABLE);
constinit const table SMX_JOIN(table_, SMX_TABLE) = {
    isa::SMX_TABLE, SMX_FUNCTIONS(SMX_ROWS), SMX_FUNCTIONS(SMX_SEGMENT), {SMX_JOB_IN_FLOAT, SMX_JOB_IN_DOUBLE}};

}  // namespace dispatch
}  // namespace smx
