// SPDX-License-Identifier: BSL-1.0

// Which table of kernels is the active one. Compiled for the oldest processor of all.

#define SMX_DISPATCH 1
#include "processor.hpp"

#include <safe_softmax/detail/dispatch.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace smx {
namespace dispatch {

// Ascending; dispatch.cmake compiles these.
#if defined(SMX_X86) && defined(_MSC_VER)
#define SMX_TABLES(X) X(sse2) X(avx2) X(avx512)
#elif defined(SMX_X86)
#define SMX_TABLES(X) X(sse2) X(avx2) X(avx512) X(avx512bf16)
#else
#define SMX_TABLES(X) X(SMX_COMPILED_ISA)
#endif

#define SMX_TABLE_OF_(name) table_##name
#define SMX_TABLE_OF(name) SMX_TABLE_OF_(name)
#define SMX_DECLARE(name) extern const table SMX_TABLE_OF(name);
SMX_TABLES(SMX_DECLARE)
#undef SMX_DECLARE

constinit std::atomic<const table*> active = nullptr;

namespace {

constexpr const table* tables[] = {
#define SMX_ADDRESS(name) &SMX_TABLE_OF(name),
    SMX_TABLES(SMX_ADDRESS)
#undef SMX_ADDRESS
};

const table* available_table(isa level) noexcept {
    for (const table* t : tables)
        if (t->level == level && processor_has(level)) return t;
    return nullptr;
}

const table& best() noexcept {
    const table* found = tables[0];  // what every processor has
    for (const table* t : tables)
        if (processor_has(t->level)) found = t;
    return *found;
}

/// The table that SMX_ISA names. If there is none, says so and returns null.
const table* wanted(const char* name) noexcept {
    for (const table* t : tables)
        if (std::strcmp(name_of(t->level), name) == 0 && processor_has(t->level)) return t;
    std::fprintf(stderr, "safe_softmax: SMX_ISA is \"%s\", but this processor and program have", name);
    for (const table* t : tables)
        if (processor_has(t->level)) std::fprintf(stderr, " %s", name_of(t->level));
    std::fprintf(stderr, ": taking %s\n", name_of(best().level));
    return nullptr;
}

}  // namespace

// Several threads may come here at once; they choose the same. Unless set_active_isa is among them, which then wins.
const table& choose() noexcept {
    const char* name = std::getenv("SMX_ISA");
    const table* chosen = name != nullptr && *name != '\0' ? wanted(name) : nullptr;
    if (chosen == nullptr) chosen = &best();
    const table* found = nullptr;
    return active.compare_exchange_strong(found, chosen, std::memory_order_relaxed) ? *chosen : *found;
}

}  // namespace dispatch

bool is_available(isa wanted) noexcept { return dispatch::available_table(wanted) != nullptr; }

bool set_active_isa(isa wanted) noexcept {
    const dispatch::table* t = dispatch::available_table(wanted);
    if (t == nullptr) return false;
    dispatch::active.store(t, std::memory_order_relaxed);
    return true;
}

}  // namespace smx
