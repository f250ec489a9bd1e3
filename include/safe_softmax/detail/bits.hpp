// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <cstdint>
#if defined(_MSC_VER) && !defined(__clang__)
#include <bit>
#endif

namespace smx {
namespace vocabulary {

// What <bit> has, always inlined. Unoptimised, the standard library's own are functions that objects compiled for different
// processors share: the linker keeps one of them, perhaps the one with AVX-512 in it.

template <class To, class From>
SMX_INLINE_VOCABULARY constexpr To bit_cast(const From& from) noexcept {
    return __builtin_bit_cast(To, from);
}

/// x is not 0.
SMX_INLINE_VOCABULARY constexpr int countl_zero(std::uint32_t x) noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return std::countl_zero(x);
#else
    return __builtin_clz(x);
#endif
}
SMX_INLINE_VOCABULARY constexpr int countl_zero(std::uint64_t x) noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return std::countl_zero(x);
#else
    return __builtin_clzll(x);
#endif
}

SMX_INLINE_VOCABULARY constexpr int popcount(std::uint32_t x) noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return std::popcount(x);
#else
    return __builtin_popcount(x);
#endif
}

}  // namespace vocabulary
}  // namespace smx
