// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/register_pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Bytes of the widest register that the compiler may use and that native:: has operations for; of arrays, whole packs, so that
/// lanes stay loops.
#if !SMX_VECTOR_TYPES || \
    (defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__))
inline constexpr std::size_t register_bytes = 64;
#elif defined(__AVX2__)
inline constexpr std::size_t register_bytes = 32;
#else
inline constexpr std::size_t register_bytes = 16;
#endif

#if SMX_VECTOR_TYPES
/// The compiler's own vector type: on the processors that native:: is for, one of their registers.
template <class T>
struct vector_of {
    typedef T type __attribute__((vector_size(register_bytes)));
};
#else
/// An array that computes like a register.
template <class T>
struct vector_of {
    using type = lane_array<T, register_bytes / sizeof(T)>;
};

template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> operator+(lane_array<T, Lanes> a, const lane_array<T, Lanes>& b) noexcept {
    for (std::size_t l = 0; l < Lanes; ++l) a.lane[l] = fence(a.lane[l] + b.lane[l]);
    return a;
}
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> operator-(lane_array<T, Lanes> a, const lane_array<T, Lanes>& b) noexcept {
    for (std::size_t l = 0; l < Lanes; ++l) a.lane[l] = fence(a.lane[l] - b.lane[l]);
    return a;
}
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> operator*(lane_array<T, Lanes> a, const lane_array<T, Lanes>& b) noexcept {
    for (std::size_t l = 0; l < Lanes; ++l) a.lane[l] = times(a.lane[l], b.lane[l]);
    return a;
}
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> operator/(lane_array<T, Lanes> a, const lane_array<T, Lanes>& b) noexcept {
    for (std::size_t l = 0; l < Lanes; ++l) a.lane[l] = over(a.lane[l], b.lane[l]);
    return a;
}
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> fence(const lane_array<T, Lanes>& a) noexcept {
    return a;
}  // each lane has its own
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> held(const lane_array<T, Lanes>& a) noexcept {
    return a;
}
template <class T, std::size_t Lanes>
SMX_ALWAYS_INLINE lane_array<T, Lanes> rounded(lane_array<T, Lanes> a) noexcept {
    for (T& x : a.lane) x = rounded(x);
    return a;
}
#endif

/// Registers without a library.
template <class T>
struct scalar_registers {
    using value_type = T;
    using type = typename vector_of<T>::type;
    using number = type;
    using doubles = scalar_registers<double>;
    static constexpr std::size_t lanes = register_bytes / sizeof(T), registers = SMX_VECTOR_TYPES ? 1 : 4;

    SMX_ALWAYS_INLINE static type broadcast(T x) noexcept {
        if constexpr (computed_by_compiler<scalar_registers>) {
            return vector_access<scalar_registers>::broadcast(x);
        } else {
            type a;
            for (T& l : a.lane) l = x;
            return a;
        }
    }
    SMX_ALWAYS_INLINE static type load(const T* p) noexcept { return vector_access<scalar_registers>::load(p); }
    SMX_ALWAYS_INLINE static void store(T* p, const type& a) noexcept { vector_access<scalar_registers>::store(p, a); }
};

using scalar_backend = register_backend<scalar_registers>;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
