// SPDX-License-Identifier: BSL-1.0
#include "job_arrays.hpp"

#include <algorithm>

namespace softmax_test {
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

}  // namespace softmax_test
