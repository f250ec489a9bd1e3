// SPDX-License-Identifier: BSL-1.0
#include "instruction_sets.hpp"

#include <gtest/gtest.h>

namespace softmax_test {
namespace {

void on_each(const std::vector<smx::isa>& levels, const std::function<void(smx::isa)>& f) {
    const smx::isa before = smx::active_isa();
    for (const smx::isa level : levels) {
        SCOPED_TRACE(smx::name_of(level));
        smx::set_active_isa(level);
        f(level);
    }
    smx::set_active_isa(before);
}

}  // namespace

std::vector<smx::isa> all_isas() {
    std::vector<smx::isa> found;
    using enum smx::isa;
    for (const smx::isa level : {scalar, sse2, avx2, avx512, avx512bf16, neon64})
        if (smx::is_available(level)) found.push_back(level);
    return found;
}

std::vector<smx::isa> fused_isas() {
    std::vector<smx::isa> found = all_isas();
    std::erase_if(found,
                  [](smx::isa level) { return level == smx::isa::sse2 || (level == smx::isa::scalar && !SMX_FUSED); });
    return found;
}

void on_every_isa(const std::function<void(smx::isa)>& f) { on_each(all_isas(), f); }
void on_every_fused_isa(const std::function<void(smx::isa)>& f) { on_each(fused_isas(), f); }

}  // namespace softmax_test
