// SPDX-License-Identifier: BSL-1.0

// Which table of kernels is the active one. Compiled for the oldest processor of all.

#define SMX_DISPATCH 1
#include "processor.hpp"

#include <safe_softmax/detail/dispatch.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace smx {
namespace dispatch {

// SMX_TABLES is X(name) X(name) …: what dispatch.cmake compiles, ascending.
#define X(name) extern const table table_##name;
SMX_TABLES
#undef X

constinit active_pointer active = {nullptr};

namespace {

constexpr const table* compiled[] = {
#define X(name) &table_##name,
    SMX_TABLES
#undef X
};
constexpr std::size_t count = sizeof compiled / sizeof compiled[0];

struct all_tables {
    table t[count];
};

/// With what a table leaves out, since the one before it serves as well.
all_tables complete() noexcept {
    all_tables all{};
    for (std::size_t i = 0; i < count; ++i) {
        table& t = all.t[i] = *compiled[i];
        if (i == 0) continue;  // there is none before it
        for (std::size_t f = 0; f < vocabulary::functions; ++f) {
            for (std::size_t pair = 0; pair < vocabulary::types * vocabulary::types; ++pair) {
                const std::size_t in = pair / vocabulary::types, out = pair % vocabulary::types;
                if (t.run[f][in][out] != nullptr) continue;
                t.run[f][in][out] = all.t[i - 1].run[f][in][out];
                t.run_segment[f][in][out] = all.t[i - 1].run_segment[f][in][out];
            }
        }
        for (std::size_t wide = 0; wide < 2; ++wide)
            if (t.run_job[wide] == nullptr) t.run_job[wide] = all.t[i - 1].run_job[wide];
    }
    return all;
}

const table (&tables())[count] {
    static const all_tables all = complete();
    return all.t;
}

const table* available_table(isa level) noexcept {
    for (const table& t : tables())
        if (t.level == level && processor_has(level)) return &t;
    return nullptr;
}

const table& best() noexcept {
    const table* found = &tables()[0];  // what every processor has
    for (const table& t : tables())
        if (processor_has(t.level)) found = &t;
    return *found;
}

/// The table that SMX_ISA names. If there is none, says so and returns null.
const table* wanted(const char* name) noexcept {
    for (const table& t : tables())
        if (std::strcmp(name_of(t.level), name) == 0 && processor_has(t.level)) return &t;
    std::fprintf(stderr, "safe_softmax: SMX_ISA is \"%s\", but this processor and program have", name);
    for (const table& t : tables())
        if (processor_has(t.level)) std::fprintf(stderr, " %s", name_of(t.level));
    std::fprintf(stderr, ": taking %s\n", name_of(best().level));
    return nullptr;
}

}  // namespace

// Several threads may come here at once; they choose the same. Unless set_active_isa is among them, which then wins.
const table& choose() noexcept {
    const char* name = std::getenv("SMX_ISA");
    const table* chosen = name != nullptr && *name != '\0' ? wanted(name) : nullptr;
    if (chosen == nullptr) chosen = &best();
    return *active.store_first(chosen);
}

}  // namespace dispatch

bool is_available(isa wanted) noexcept { return dispatch::available_table(wanted) != nullptr; }

bool set_active_isa(isa wanted) noexcept {
    const dispatch::table* t = dispatch::available_table(wanted);
    if (t == nullptr) return false;
    dispatch::active.store(t);
    return true;
}

}  // namespace smx
