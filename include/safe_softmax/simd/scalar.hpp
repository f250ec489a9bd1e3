// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/doubled.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Bytes of the widest register that the compiler may use: lanes are grouped by it, so that one group is one register.
#if defined(__AVX512F__)
inline constexpr std::size_t scalar_pack_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t scalar_pack_bytes = 32;
#else
inline constexpr std::size_t scalar_pack_bytes = 16;
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 16 takes a register whose lanes are set one by one for unset
#endif

/// A pack without intrinsics: an array of lanes, and for every operation a loop over them that compilers turn into one
/// instruction. Where the compiler has vector types, the array is one, which keeps it in a register.
template <class T>
struct scalar_pack {
    using value_type = T;
    using bits_type = typename float_bits<T>::type;
    static constexpr std::size_t lanes = scalar_pack_bytes / sizeof(T);
    static constexpr std::size_t registers = 1;
    static constexpr bool fused = SMX_FUSED != 0;

#if defined(__GNUC__)
    typedef T array __attribute__((vector_size(scalar_pack_bytes)));
#else
    struct array {
        T lane[lanes];
        T& operator[](std::size_t l) SMX_INLINE_LAMBDA { return lane[l]; }
        const T& operator[](std::size_t l) const { return lane[l]; }
    };
#endif
    array v;

    SMX_ALWAYS_INLINE static scalar_pack broadcast(T x) noexcept {
        scalar_pack r;
        for (std::size_t l = 0; l < lanes; ++l) r.v[l] = x;
        return r;
    }
    template <class S>
    SMX_ALWAYS_INLINE static scalar_pack load(const S* p) noexcept {
        scalar_pack r;
        if constexpr (std::is_same_v<S, T>) {
            std::memcpy(&r.v, p, sizeof(r.v));
        } else {
            for (std::size_t l = 0; l < lanes; ++l) r.v[l] = load_element<T>(p + l);
        }
        return r;
    }
    template <class S>
    SMX_ALWAYS_INLINE static scalar_pack load_partial(const S* p, std::size_t n) noexcept {
        return load_lanes<scalar_pack>(p, n);
    }
    /// f(l) in lane l.
    template <class F>
    SMX_ALWAYS_INLINE static scalar_pack generate(F f) noexcept {
        scalar_pack r;
        for (std::size_t l = 0; l < lanes; ++l) r.v[l] = f(l);
        return r;
    }
};

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

template <class T, class S>
SMX_ALWAYS_INLINE void store(S* p, scalar_pack<T> a) noexcept {
    if constexpr (std::is_same_v<S, T>) {
        std::memcpy(p, &a.v, sizeof(a.v));
    } else {
        for (std::size_t l = 0; l < a.lanes; ++l) store_element<T>(p + l, a.v[l]);
    }
}
template <class T, class S>
SMX_ALWAYS_INLINE void store_partial(S* p, scalar_pack<T> a, std::size_t n) noexcept {
    store_lanes(p, a, n);
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> add(scalar_pack<T> a, scalar_pack<T> b) noexcept {
#if defined(__GNUC__)
    return {fence(a.v + b.v)};
#else
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fence(a.v[l] + b.v[l]); });
#endif
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> sub(scalar_pack<T> a, scalar_pack<T> b) noexcept {
#if defined(__GNUC__)
    return {fence(a.v - b.v)};
#else
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fence(a.v[l] - b.v[l]); });
#endif
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> mul(scalar_pack<T> a, scalar_pack<T> b) noexcept {
#if defined(__GNUC__)
    return {fence(a.v * b.v)};
#else
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fence(a.v[l] * b.v[l]); });
#endif
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> fma(scalar_pack<T> a, scalar_pack<T> b, scalar_pack<T> c) noexcept {
    if constexpr (!scalar_pack<T>::fused) {
        return add(mul(a, b), c);
    } else {
#if defined(__has_builtin) && defined(__clang__)
#if __has_builtin(__builtin_elementwise_fma)
        return {fence(__builtin_elementwise_fma(a.v, b.v, c.v))};
#else
        return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fma(a.v[l], b.v[l], c.v[l]); });
#endif
#else
        return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fma(a.v[l], b.v[l], c.v[l]); });
#endif
    }
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> maximum(scalar_pack<T> a, scalar_pack<T> b) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return a.v[l] < b.v[l] ? T(b.v[l]) : T(a.v[l]); });
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> blend_first(scalar_pack<T> a, scalar_pack<T> b, std::size_t n) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return l < n ? T(a.v[l]) : T(b.v[l]); });
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> zero_where_less(scalar_pack<T> a, scalar_pack<T> t, scalar_pack<T> limit) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return is_less(T(t.v[l]), T(limit.v[l])) ? T(0) : T(a.v[l]); });
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> zero_where_equal(scalar_pack<T> a, scalar_pack<T> x, scalar_pack<T> y) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return x.v[l] == y.v[l] ? T(0) : T(a.v[l]); });
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> where_nonzero(const std::uint8_t* m, scalar_pack<T> a, scalar_pack<T> b) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return selected(m[l] != 0, T(a.v[l]), T(b.v[l])); });
}
SMX_ALWAYS_INLINE scalar_pack<double> div(scalar_pack<double> a, scalar_pack<double> b) noexcept {
#if defined(__GNUC__)
    return {fence(a.v / b.v)};
#else
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return fence(a.v[l] / b.v[l]); });
#endif
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> product(scalar_pack<T> a, scalar_pack<T> b) noexcept {
#if defined(__GNUC__)
    return {held(a.v * b.v)};
#else
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return rounded(a.v[l] * b.v[l]); });
#endif
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> in_register(scalar_pack<T> a) noexcept { return a; }
template <class T>
SMX_ALWAYS_INLINE std::size_t count_equal(scalar_pack<T> x, scalar_pack<T> y) noexcept {
    std::size_t count = 0;
    for (std::size_t l = 0; l < x.lanes; ++l) count += x.v[l] == y.v[l] ? 1u : 0u;
    return count;
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> truncate_half(scalar_pack<T> a) noexcept {
    return a.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return truncated_half(T(a.v[l])); });
}
template <class T>
SMX_ALWAYS_INLINE scalar_pack<T> exp2_eighths(scalar_pack<T> t) noexcept {
    return t.generate([=](std::size_t l) SMX_INLINE_LAMBDA { return power_of_eighths(T(t.v[l])); });
}
template <class T>
SMX_ALWAYS_INLINE T reduce_max(scalar_pack<T> a) noexcept {
    T lane[scalar_pack<T>::lanes];
    store(lane, a);
    return largest_of(lane);
}
SMX_ALWAYS_INLINE double reduce_add(scalar_pack<double> a) noexcept {
    double lane[scalar_pack<double>::lanes];
    store(lane, a);
    return sum_by_halving(lane);
}
SMX_ALWAYS_INLINE scalar_pack<double> even_as_double(scalar_pack<float> a) noexcept {
    return scalar_pack<double>::generate([=](std::size_t l) SMX_INLINE_LAMBDA { return bits_as_double(a.v[2 * l]); });
}
SMX_ALWAYS_INLINE scalar_pack<double> odd_as_double(scalar_pack<float> a) noexcept {
    return scalar_pack<double>::generate([=](std::size_t l) SMX_INLINE_LAMBDA { return bits_as_double(a.v[2 * l + 1]); });
}

struct scalar_backend {
    static constexpr const char* name = "scalar";
    using f32 = typename widened<scalar_pack<float>, 16>::type;
    using f64 = typename widened<scalar_pack<double>, 8>::type;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
