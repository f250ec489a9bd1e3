// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/register_pack.hpp>

// The only file that includes xsimd. Versions 8.1 to 14 differ in names, NaN rules and in what fma means, so only what
// all of them agree on is taken from there: registers, unaligned loads and stores, broadcast, +, -, *, /. And where the compiler itself
// computes with registers, only which ones there are, by a header that takes a fourth of the time of xsimd.hpp.
#if SMX_XSIMD
#if SMX_VECTOR_TYPES && (defined(__SSE2__) || (defined(__aarch64__) && !defined(__ARM_FEATURE_SVE))) && \
    __has_include(<xsimd/config/xsimd_arch.hpp>)
#define SMX_XSIMD_TYPES_ALONE 1
// What xsimd_arch.hpp takes for granted, in some versions.
#include <cstddef>
#include <xsimd/config/xsimd_config.hpp>
#if __has_include(<xsimd/config/xsimd_inline.hpp>)
#include <xsimd/config/xsimd_inline.hpp>
#endif
#include <xsimd/config/xsimd_arch.hpp>
#else
#define SMX_XSIMD_TYPES_ALONE 0
#include <xsimd/xsimd.hpp>
#endif
#endif

#if SMX_XSIMD && !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#define SMX_XSIMD_USABLE 1

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Registers of the instruction set that the compiler targets.
template <class T>
struct xsimd_registers {
    using value_type = T;
    using doubles = xsimd_registers<double>;
    static constexpr std::size_t registers = 1;
#if SMX_XSIMD_TYPES_ALONE
    using type = typename xsimd::types::simd_register<T, xsimd::default_arch>::register_type;
    static constexpr std::size_t lanes = sizeof(type) / sizeof(T);

    SMX_ALWAYS_INLINE static type broadcast(T x) noexcept { return vector_access<xsimd_registers>::broadcast(x); }
    SMX_ALWAYS_INLINE static type load(const T* p) noexcept { return vector_access<xsimd_registers>::load(p); }
    SMX_ALWAYS_INLINE static void store(T* p, type a) noexcept { vector_access<xsimd_registers>::store(p, a); }
#else
    using batch = xsimd::batch<T>;
    using type = typename batch::register_type;
    using number = batch;
    static constexpr std::size_t lanes = batch::size;

    SMX_ALWAYS_INLINE static type broadcast(T x) noexcept { return batch(x); }
    SMX_ALWAYS_INLINE static type load(const T* p) noexcept { return batch::load_unaligned(p); }
    SMX_ALWAYS_INLINE static void store(T* p, type a) noexcept { batch(a).store_unaligned(p); }
#endif
};

using xsimd_backend = register_backend<xsimd_registers>;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
#endif
