// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cfenv>
#include <cstdlib>
#include <string_view>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace softmax_test {

/// While it lives, the processor computes as the environment variable SMX_TEST_ENVIRONMENT says: "up", "down" and "zero"
/// round that way, "flush" makes subnormal numbers zero (x86 only). The library has to give the same results.
class caller_environment {
public:
    caller_environment() {
        if (wanted().rounding != FE_TONEAREST) std::fesetround(wanted().rounding);
#if defined(__SSE__)
        if (wanted().flushes) _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
    }
    ~caller_environment() {
        if (wanted().rounding != FE_TONEAREST) std::fesetround(FE_TONEAREST);
#if defined(__SSE__)
        if (wanted().flushes) _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
    }
    caller_environment(const caller_environment&) = delete;
    caller_environment& operator=(const caller_environment&) = delete;

private:
    struct environment {
        int rounding = FE_TONEAREST;
        bool flushes = false;
    };
    static const environment& wanted() {
        static const environment found = [] {
            const char* name = std::getenv("SMX_TEST_ENVIRONMENT");
            const std::string_view text = name == nullptr ? "" : name;
            if (text == "up") return environment{FE_UPWARD};
            if (text == "down") return environment{FE_DOWNWARD};
            if (text == "zero") return environment{FE_TOWARDZERO};
            if (text == "flush") return environment{FE_TONEAREST, true};
            if (!text.empty()) std::abort();
            return environment{};
        }();
        return found;
    }
};

}  // namespace softmax_test
