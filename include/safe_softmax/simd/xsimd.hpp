// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/register_pack.hpp>

// The only file that includes xsimd. Versions 8.1 to 14 differ in names, NaN rules and in what fma means, so only what
// all of them agree on is taken from there: registers, unaligned loads and stores, broadcast, +, -, *, /.
#if SMX_XSIMD
#include <xsimd/xsimd.hpp>
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
    using number = xsimd::batch<T>;
    using type = typename number::register_type;
    using doubles = xsimd_registers<double>;
    static constexpr std::size_t lanes = number::size;

    SMX_ALWAYS_INLINE static type broadcast(T x) noexcept { return number(x); }
    SMX_ALWAYS_INLINE static type load(const T* p) noexcept { return number::load_unaligned(p); }
    SMX_ALWAYS_INLINE static void store(T* p, type a) noexcept { number(a).store_unaligned(p); }
};

using xsimd_backend = register_backend<xsimd_registers>;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
#endif
