// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Instruction sets, and the choice among them at run time.

#include <safe_softmax/config.hpp>

namespace smx {

/// Instruction sets, each with all that the ones of its kind before it have: the order matters.
enum class isa {
    scalar,      ///< plain C++: any other processor
    sse2,        ///< x86 without AVX
    avx,         ///< AVX without all of AVX2, FMA and F16C; never chosen at run time
    avx2,        ///< AVX2 with FMA and F16C
    avx512,      ///< AVX-512 F, BW, DQ and VL
    avx512bf16,  ///< the same with BF16
    neon64,      ///< Advanced SIMD of 64-bit Arm
};

/// "avx2" and so on: what the environment variable SMX_ISA takes.
constexpr const char* name_of(isa i) noexcept {
    switch (i) {
        case isa::sse2: return "sse2";
        case isa::avx: return "avx";
        case isa::avx2: return "avx2";
        case isa::avx512: return "avx512";
        case isa::avx512bf16: return "avx512bf16";
        case isa::neon64: return "neon64";
        case isa::scalar: break;
    }
    return "scalar";
}

#if SMX_DISPATCH

// With the CMake target safe_softmax::dispatch. The instruction set is chosen at the first call: the best that the
// processor and the operating system have, or the one that SMX_ISA names in the environment. A name that is unknown, or
// that this processor does not have, gets a message on stderr and the best one instead.

/// Whether this processor can run it, and this program has it.
bool is_available(isa wanted) noexcept;

/// From now on every call, from every thread, takes this one; for tests and measurements. False, and nothing changed, if it
/// is not available.
bool set_active_isa(isa wanted) noexcept;

#endif

inline namespace SMX_ABI {

/// What the next call will run on: chosen at run time with the CMake target safe_softmax::dispatch, otherwise what this
/// file was compiled for.
isa active_isa() noexcept;

}  // namespace SMX_ABI
}  // namespace smx

#include <safe_softmax/detail/dispatch.hpp>
