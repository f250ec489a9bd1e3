// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/isa.hpp>
#include <safe_softmax/detail/job.hpp>
#include <safe_softmax/detail/work.hpp>

#if SMX_DISPATCH && !defined(__GNUC__)
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

/// A table that threads may read while one of them stores it.
#if defined(__GNUC__)
// Without <atomic>: that header would take a fifth of the time that compiling a source with softmax in three types takes.
struct active_pointer {
    const table* value;
    SMX_INLINE_VOCABULARY const table* load() const noexcept { return __atomic_load_n(&value, __ATOMIC_ACQUIRE); }
    SMX_INLINE_VOCABULARY void store(const table* t) noexcept { __atomic_store_n(&value, t, __ATOMIC_RELEASE); }
    /// Stores t unless a table is there already; the one that is there afterwards.
    SMX_INLINE_VOCABULARY const table* store_first(const table* t) noexcept {
        const table* found = nullptr;
        return __atomic_compare_exchange_n(&value, &found, t, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? t : found;
    }
};
#else
struct active_pointer {
    std::atomic<const table*> value;
    SMX_INLINE_VOCABULARY const table* load() const noexcept { return value.load(std::memory_order_acquire); }
    SMX_INLINE_VOCABULARY void store(const table* t) noexcept { value.store(t, std::memory_order_release); }
    SMX_INLINE_VOCABULARY const table* store_first(const table* t) noexcept {
        const table* found = nullptr;
        return value.compare_exchange_strong(found, t, std::memory_order_acq_rel) ? t : found;
    }
};
#endif
/// Null until the first call.
extern active_pointer active;
/// Makes the choice.
const table& choose() noexcept;

SMX_INLINE_VOCABULARY const table& active_table() noexcept {
    const table* t = active.load();  // the table is complete; on x86 a plain load
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
