// SPDX-License-Identifier: BSL-1.0

// probe [<isa> | best]: which instruction set the first call takes; given one, whether it is taken when asked for; whether it
// was the best there is.

#include <safe_softmax/safe_softmax.hpp>

#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
    float row[3] = {1, 2, 3};
    smx::safe_softmax(row);
    std::printf("active: %s\n", smx::name_of(smx::active_isa()));
    if (argc < 2) return 0;
    constexpr smx::isa levels[] = {smx::isa::scalar, smx::isa::sse2,       smx::isa::avx,   smx::isa::avx2,
                                   smx::isa::avx512, smx::isa::avx512bf16, smx::isa::neon64};
    if (std::strcmp(argv[1], "best") == 0) {
        for (const smx::isa level : levels)
            if (smx::is_available(level) && level > smx::active_isa()) return 1;
        return 0;
    }
    for (const smx::isa level : levels) {
        if (std::strcmp(smx::name_of(level), argv[1]) != 0) continue;
        const smx::isa before = smx::active_isa();
        const bool taken = smx::set_active_isa(level);
        std::printf("%s: %s, active: %s\n", argv[1], taken ? "taken" : "refused", smx::name_of(smx::active_isa()));
        if (taken != smx::is_available(level) || smx::active_isa() != (taken ? level : before)) return 1;
        smx::safe_softmax(row);
        return 0;
    }
    return 1;
}
