// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the processor can do and the operating system lets it do.

#include <safe_softmax/isa.hpp>

#include <atomic>

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define SMX_X86 1
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace smx {
namespace dispatch {

#if defined(SMX_X86)

/// Registers that CPUID answers with; zeros for a leaf it does not know.
struct cpuid_answer {
    unsigned eax, ebx, ecx, edx;
};
inline cpuid_answer cpuid(unsigned leaf, unsigned subleaf) noexcept {
    cpuid_answer a{0, 0, 0, 0};
#if defined(_MSC_VER) && !defined(__clang__)
    int r[4];
    __cpuid(r, 0);
    if (static_cast<unsigned>(r[0]) < leaf) return a;
    __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
    a = {static_cast<unsigned>(r[0]), static_cast<unsigned>(r[1]), static_cast<unsigned>(r[2]),
         static_cast<unsigned>(r[3])};
#else
    __get_cpuid_count(leaf, subleaf, &a.eax, &a.ebx, &a.ecx, &a.edx);
#endif
    return a;
}

/// The states that the operating system saves: bit 1 xmm, 2 ymm, 5 to 7 zmm and masks. Only where CPUID says OSXSAVE.
inline unsigned saved_states() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return static_cast<unsigned>(_xgetbv(0));
#else
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

// Bits as in the Intel SDM, volume 2A, CPUID; volume 1, 14.3 and 15.2 for the order in which to ask.
inline isa best_of_processor() noexcept {
    const auto all = [](unsigned value, unsigned bits) { return (value & bits) == bits; };
    const cpuid_answer base = cpuid(1, 0), extended = cpuid(7, 0), more = cpuid(7, 1);
    constexpr unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if (!all(base.ecx, fma | osxsave | avx | f16c) || !all(saved_states(), 0x6)) return isa::sse2;
    constexpr unsigned avx2 = 1u << 5;
    if (!all(extended.ebx, avx2)) return isa::sse2;
    constexpr unsigned avx512f = 1u << 16, avx512dq = 1u << 17, avx512bw = 1u << 30, avx512vl = 1u << 31;
    if (!all(extended.ebx, avx512f | avx512dq | avx512bw | avx512vl) || !all(saved_states(), 0xe6)) return isa::avx2;
    constexpr unsigned avx512_bf16 = 1u << 5;
    return all(more.eax, avx512_bf16) ? isa::avx512bf16 : isa::avx512;
}

inline bool processor_has(isa level) noexcept {
    static_assert(isa::scalar < isa::sse2 && isa::sse2 < isa::avx2 && isa::avx2 < isa::avx512 &&
                  isa::avx512 < isa::avx512bf16);
    // Asked once: in a virtual machine a CPUID takes tens of microseconds.
    static constinit std::atomic<isa> best = isa::scalar;
    isa found = best.load(std::memory_order_relaxed);
    if (found == isa::scalar) best.store(found = best_of_processor(), std::memory_order_relaxed);
    return level <= found;
}

#else

inline bool processor_has(isa) noexcept { return true; }  // there is one table, for the processor of the whole program

#endif

}  // namespace dispatch
}  // namespace smx
