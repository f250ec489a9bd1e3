// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/isa.hpp>
#include <safe_softmax/detail/job.hpp>
#include <safe_softmax/detail/work.hpp>

#if SMX_DISPATCH
#include <atomic>
#endif

// Run-time dispatch: a table of kernels for each instruction set. The tables are compiled from cmake/dispatch/, one file
// and one set of compiler flags each; public functions, compiled with SMX_DISPATCH, hand their work to the active one.

namespace smx {
namespace dispatch {

using kernel = void (*)(const vocabulary::work&) noexcept;
using job_kernel = void (*)(const vocabulary::job&) noexcept;
/// Of a segment of a row, the last argument, as in segments.hpp. Null: rows of these types are not shared.
using segment_kernel = void (*)(const vocabulary::work&, vocabulary::shared_row&, vocabulary::stage,
                                std::size_t) noexcept;

struct table {
    isa level;
    kernel run[vocabulary::functions][vocabulary::types][vocabulary::types];  // [function][type of in][type of out]
    segment_kernel run_segment[vocabulary::functions][vocabulary::types][vocabulary::types];
    job_kernel run_job[2];  // in float, in double
};

#if SMX_DISPATCH

/// Null until the first call.
extern std::atomic<const table*> active;
/// Makes the choice.
const table& choose() noexcept;

SMX_INLINE_VOCABULARY const table& active_table() noexcept {
    const table* t = active.load(std::memory_order_acquire);  // the table is complete; on x86 a plain load
    return t != nullptr ? *t : choose();
}

#endif

}  // namespace dispatch

inline namespace SMX_ABI {

#if SMX_DISPATCH
SMX_ALWAYS_INLINE isa active_isa() noexcept { return dispatch::active_table().level; }
#else
SMX_ALWAYS_INLINE isa active_isa() noexcept { return isa::SMX_COMPILED_ISA; }
#endif

}  // namespace SMX_ABI
}  // namespace smx
