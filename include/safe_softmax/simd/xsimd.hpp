// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/doubled.hpp>

// The only file that includes xsimd. Versions 8.1 to 14 differ in names, NaN rules and in what fma means, so only what
// all of them agree on is taken from there: registers, unaligned loads and stores, broadcast, +, -, *.
#if SMX_XSIMD
#include <xsimd/xsimd.hpp>
#endif

#if SMX_XSIMD && !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#define SMX_XSIMD_USABLE 1
#include <safe_softmax/simd/arm.hpp>
#include <safe_softmax/simd/x86.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {
namespace native {
// The names exist on every machine, so that asking for an overload is well-formed where there is none.
struct nothing {};
void fma(nothing);
void maximum(nothing);
void zero_where_less(nothing);
void zero_where_equal(nothing);
void where_nonzero(nothing);
void count_equal(nothing);
void truncate_half(nothing);
void exp2_eighths(nothing);
void blend_first(nothing);
void even_as_double(nothing);
void odd_as_double(nothing);
void reduce_max(nothing);
void reduce_add(nothing);
void reduce_max_each(nothing);
void reduce_add_each(nothing);
void load_as(nothing);
void store_as(nothing);
void load_partial_as(nothing);
void store_partial_as(nothing);
}  // namespace native

// Loads and stores are asked for with a tag: clang converts registers of one size into each other, so that a register
// alone does not select an overload.

/// One xsimd batch of the instruction set that the compiler targets.
template <class T>
struct xsimd_pack {
    using value_type = T;
    using batch = xsimd::batch<T>;
    using register_type = typename batch::register_type;
    static constexpr std::size_t lanes = batch::size;
    static constexpr std::size_t registers = 1;
    static constexpr bool fused = SMX_FUSED != 0;

    register_type v;

    SMX_ALWAYS_INLINE static xsimd_pack broadcast(T x) noexcept { return {batch(x)}; }

    template <class S>
    SMX_ALWAYS_INLINE static xsimd_pack load(const S* p) noexcept {
        using to = native::tag<T, lanes>;
        if constexpr (std::is_same_v<S, T>) {
            return {batch::load_unaligned(p)};
        } else if constexpr (requires { native::load_as(to{}, p); }) {
            return {native::load_as(to{}, p)};
        } else {
            return load_lanes<xsimd_pack>(p, lanes);
        }
    }
    template <class S>
    SMX_ALWAYS_INLINE static xsimd_pack load_partial(const S* p, std::size_t n) noexcept {
        using to = native::tag<T, lanes>;
        if constexpr (requires { native::load_partial_as(to{}, p, n); }) {
            return {native::load_partial_as(to{}, p, n)};
        } else {
            return load_lanes<xsimd_pack>(p, n);
        }
    }
};

template <class T, class S>
SMX_ALWAYS_INLINE void store(S* p, xsimd_pack<T> a) noexcept {
    if constexpr (std::is_same_v<S, T>) {
        xsimd::batch<T>(a.v).store_unaligned(p);
    } else if constexpr (requires { native::store_as(native::tag<T, xsimd_pack<T>::lanes>{}, p, a.v); }) {
        native::store_as(native::tag<T, xsimd_pack<T>::lanes>{}, p, a.v);
    } else {
        store_lanes(p, a, a.lanes);
    }
}
template <class T, class S>
SMX_ALWAYS_INLINE void store_partial(S* p, xsimd_pack<T> a, std::size_t n) noexcept {
    if constexpr (requires { native::store_partial_as(native::tag<T, xsimd_pack<T>::lanes>{}, p, a.v, n); }) {
        native::store_partial_as(native::tag<T, xsimd_pack<T>::lanes>{}, p, a.v, n);
    } else {
        store_lanes(p, a, n);
    }
}

template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> add(xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
    using batch = xsimd::batch<T>;
    return {fence(static_cast<typename batch::register_type>(batch(a.v) + batch(b.v)))};
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> sub(xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
    using batch = xsimd::batch<T>;
    return {fence(static_cast<typename batch::register_type>(batch(a.v) - batch(b.v)))};
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> mul(xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
    using batch = xsimd::batch<T>;
    return {fence(static_cast<typename batch::register_type>(batch(a.v) * batch(b.v)))};
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> fma(xsimd_pack<T> a, xsimd_pack<T> b, xsimd_pack<T> c) noexcept {
    if constexpr (requires { native::fma(a.v, b.v, c.v); }) {
        return {fence(native::fma(a.v, b.v, c.v))};
    } else if constexpr (!xsimd_pack<T>::fused) {
        return add(mul(a, b), c);
    } else {
        return map_lanes<xsimd_pack<T>>([](T x, T y, T z) SMX_INLINE_LAMBDA { return fma(x, y, z); }, a, b, c);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> maximum(xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
    if constexpr (requires { native::maximum(a.v, b.v); }) {
        return {native::maximum(a.v, b.v)};
    } else {
        return map_lanes<xsimd_pack<T>>([](T x, T y) SMX_INLINE_LAMBDA { return x < y ? y : x; }, a, b);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> blend_first(xsimd_pack<T> a, xsimd_pack<T> b, std::size_t n) noexcept {
    if constexpr (requires { native::blend_first(a.v, b.v, n); }) {
        return {native::blend_first(a.v, b.v, n)};
    } else {
        T lane[xsimd_pack<T>::lanes];
        store(lane, b);
        store_lanes(lane, a, n);
        return xsimd_pack<T>::load(lane);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> zero_where_less(xsimd_pack<T> a, xsimd_pack<T> t, xsimd_pack<T> limit) noexcept {
    if constexpr (requires { native::zero_where_less(a.v, t.v, limit.v); }) {
        return {native::zero_where_less(a.v, t.v, limit.v)};
    } else {
        return map_lanes<xsimd_pack<T>>([](T x, T y, T z) SMX_INLINE_LAMBDA { return is_less(y, z) ? T(0) : x; }, a, t, limit);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> zero_where_equal(xsimd_pack<T> a, xsimd_pack<T> x, xsimd_pack<T> y) noexcept {
    if constexpr (requires { native::zero_where_equal(a.v, x.v, y.v); }) {
        return {native::zero_where_equal(a.v, x.v, y.v)};
    } else {
        return map_lanes<xsimd_pack<T>>([](T p, T q, T r) SMX_INLINE_LAMBDA { return q == r ? T(0) : p; }, a, x, y);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> where_nonzero(const std::uint8_t* m, xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
    if constexpr (requires { native::where_nonzero(m, a.v, b.v); }) {
        return {native::where_nonzero(m, a.v, b.v)};
    } else {
        return where_nonzero_lanes(m, a, b);
    }
}
SMX_ALWAYS_INLINE xsimd_pack<double> div(xsimd_pack<double> a, xsimd_pack<double> b) noexcept {
    using batch = xsimd::batch<double>;
    return {fence(static_cast<typename batch::register_type>(batch(a.v) / batch(b.v)))};
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> product(xsimd_pack<T> a, xsimd_pack<T> b) noexcept {
#if defined(__GNUC__)
    return {held(mul(a, b).v)};
#else
    return mul(a, b);
#endif
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> in_register(xsimd_pack<T> a) noexcept {
#if defined(__GNUC__)
    return {held(a.v)};
#else
    return a;
#endif
}
template <class T>
SMX_ALWAYS_INLINE std::size_t count_equal(xsimd_pack<T> x, xsimd_pack<T> y) noexcept {
    if constexpr (requires { native::count_equal(x.v, y.v); }) {
        return native::count_equal(x.v, y.v);
    } else {
        T one[xsimd_pack<T>::lanes], other[xsimd_pack<T>::lanes];
        store(one, x);
        store(other, y);
        std::size_t count = 0;
        for (std::size_t l = 0; l < xsimd_pack<T>::lanes; ++l) count += one[l] == other[l] ? 1u : 0u;
        return count;
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> truncate_half(xsimd_pack<T> a) noexcept {
    if constexpr (requires { native::truncate_half(a.v); }) {
        return {native::truncate_half(a.v)};
    } else {
        return map_lanes<xsimd_pack<T>>([](T x) SMX_INLINE_LAMBDA { return truncated_half(x); }, a);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<T> exp2_eighths(xsimd_pack<T> t) noexcept {
    if constexpr (requires { native::exp2_eighths(t.v); }) {
        return {native::exp2_eighths(t.v)};
    } else {
        return map_lanes<xsimd_pack<T>>([](T x) SMX_INLINE_LAMBDA { return power_of_eighths(x); }, t);
    }
}
template <class T>
SMX_ALWAYS_INLINE T reduce_max(xsimd_pack<T> a) noexcept {
    if constexpr (requires { native::reduce_max(a.v); }) {
        return native::reduce_max(a.v);
    } else {
        T lane[xsimd_pack<T>::lanes];
        store(lane, a);
        return largest_of(lane);
    }
}
template <class T>
SMX_ALWAYS_INLINE T reduce_add(xsimd_pack<T> a) noexcept {
    if constexpr (requires { native::reduce_add(a.v); }) {
        return native::reduce_add(a.v);
    } else {
        T lane[xsimd_pack<T>::lanes];
        store(lane, a);
        return sum_by_halving(lane);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<double> even_as_double(xsimd_pack<T> a) noexcept {
    if constexpr (requires { native::even_as_double(a.v); }) {
        return {native::even_as_double(a.v)};
    } else {
        T lane[xsimd_pack<T>::lanes];
        store(lane, a);
        double even[xsimd_pack<T>::lanes / 2];
        for (std::size_t l = 0; l < xsimd_pack<T>::lanes / 2; ++l) even[l] = bits_as_double(lane[2 * l]);
        return xsimd_pack<double>::load(even);
    }
}
template <class T>
SMX_ALWAYS_INLINE xsimd_pack<double> odd_as_double(xsimd_pack<T> a) noexcept {
    if constexpr (requires { native::odd_as_double(a.v); }) {
        return {native::odd_as_double(a.v)};
    } else {
        T lane[xsimd_pack<T>::lanes];
        store(lane, a);
        double odd[xsimd_pack<T>::lanes / 2];
        for (std::size_t l = 0; l < xsimd_pack<T>::lanes / 2; ++l) odd[l] = bits_as_double(lane[2 * l + 1]);
        return xsimd_pack<double>::load(odd);
    }
}

template <class T>
    requires requires(T* to, const typename xsimd::batch<T>::register_type (&v)[8]) { native::reduce_max_each(to, v); }
SMX_ALWAYS_INLINE void native_max_each(T* to, const xsimd_pack<T> (&a)[8]) noexcept {
    const typename xsimd::batch<T>::register_type v[8] = {a[0].v, a[1].v, a[2].v, a[3].v, a[4].v, a[5].v, a[6].v, a[7].v};
    native::reduce_max_each(to, v);
}
template <class T>
    requires requires(T* to, const typename xsimd::batch<T>::register_type (&v)[8]) { native::reduce_add_each(to, v); }
SMX_ALWAYS_INLINE void native_add_each(T* to, const xsimd_pack<T> (&a)[8]) noexcept {
    const typename xsimd::batch<T>::register_type v[8] = {a[0].v, a[1].v, a[2].v, a[3].v, a[4].v, a[5].v, a[6].v, a[7].v};
    native::reduce_add_each(to, v);
}

struct xsimd_backend {
    static constexpr const char* name = "xsimd";
    using f32 = typename widened<xsimd_pack<float>, 16>::type;
    using f64 = typename widened<xsimd_pack<double>, 8>::type;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
#endif
