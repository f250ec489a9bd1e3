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
    using batch = xsimd::batch<T>;
    using type = typename batch::register_type;
    using number = batch;
    using doubles = xsimd_registers<double>;
    static constexpr std::size_t lanes = batch::size, registers = 1;

    SMX_ALWAYS_INLINE static type broadcast(T x) noexcept {
        if constexpr (computed_by_compiler<xsimd_registers>) return vector_access<xsimd_registers>::broadcast(x);
        else return batch(x);
    }
    SMX_ALWAYS_INLINE static type load(const T* p) noexcept {
        if constexpr (computed_by_compiler<xsimd_registers>) return vector_access<xsimd_registers>::load(p);
        else return batch::load_unaligned(p);
    }
    SMX_ALWAYS_INLINE static void store(T* p, type a) noexcept {
        if constexpr (computed_by_compiler<xsimd_registers>) vector_access<xsimd_registers>::store(p, a);
        else batch(a).store_unaligned(p);
    }
};

using xsimd_backend = register_backend<xsimd_registers>;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
#endif
