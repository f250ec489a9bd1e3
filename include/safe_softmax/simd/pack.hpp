// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>
#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>
#include <safe_softmax/detail/bits.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#if SMX_FUSED && !defined(__GNUC__)
#include <cmath>
#endif

// The pack: what a kernel computes with. A backend is a type that names two of them,
//
//     struct some_backend { using f32 = (a pack of 16 float); using f64 = (a pack of 8 double); };
//
// and each is either native (one register) or `doubled`, two packs side by side. Kernels see 16 and 8 lanes whatever
// the machine, so the order of every sum is the same everywhere. A pack P of T has
//
//   P::lanes, P::value_type          number of lanes and T
//   P::registers                     number of native packs it is made of
//   P::fused                         fma rounds once
//   P::broadcast(x)                  x in every lane
//   P::load(p)                       P::lanes elements of any storage type from p, unaligned, converted exactly;
//                                    double to float is not offered
//   P::load_partial(p, n)            the first n lanes from p, the others +0; reads n elements only
//   P::load_before(p, e, end, other) as load, lanes l with e + l < end; the others are those of `other`, and not read;
//                                    e and end below 2^31
//   store(p, a)                      to any storage type, rounded once to nearest even; double to 16 bits rounds to
//                                    float first. To bfloat16 a is not NaN
//   store_partial(p, a, n)           the first n lanes; writes n elements only
//   add, sub, mul                    IEEE; never reassociated
//   fma(a, b, c)                     a*b+c; rounded once if P::fused, else after each step
//   maximum(a, b)                    the larger; a NaN in b gives a or NaN; the zero of max(-0, +0) is either
//   blend_first(a, b, n)             the first n lanes of a, the others of b
//   zero_where_less(a, t, limit)     +0 where t < limit, else a; NaN in t keeps a, under -ffinite-math-only too
//   zero_where_equal(a, x, y)        +0 where x == y, else a
//   where_nonzero(m, a, b)           a where the byte m[lane] is not 0, else b; reads P::lanes bytes
//   where_nonzero_before(m, e, end, a, b)
//                                    the same in lanes l with e + l < end, of which alone bytes are read; else b
//   in_register(a)                   a, kept by the compiler in registers, not loaded again from where it came from
//   div(a, b)                        IEEE; f64 only: -ffast-math has another idea of it for float
//   product(a, b)                    mul whose result no compiler takes for a part of an fma
//   count_equal(x, y)                number of lanes where x == y
//   truncate_half(a)                 a with the lower half of its significand (12 or 27 bits) cleared
//   exp2_eighths(t)                  t = 1.5*2^(p-1) + n, p the precision of T: 2^(n/8 - bias) with bias 127 or 1023,
//                                    correctly rounded, for n in [8, 16*bias)
//   reduce_max(a)                    the largest lane; NaN as in maximum
//   reduce_add(a)                    f64 only: the sum of the lanes by halving: lane l and l+4, then l+2, then l+1
//   reduce_add(a, e, error)          f64 only: the same of a and, in error, that of e and of what the additions of a's
//                                    lanes round away (two-sum)
//   reduce_max_each(to, a), reduce_add_each(to, a)
//                                    of eight packs: to[i] = reduce_max(a[i]) or reduce_add(a[i]), the same bits;
//                                    packs of more lanes: the maximum of the first one for the others
//   even_as_double(a), odd_as_double(a)
//                                    f32 only, a >= +0: lanes 0, 2, 4, … (1, 3, 5, …) times 2^-896 as f64, exactly;
//                                    NaN and +inf become at least 2^-768 (a shift of the bits, not a conversion)

namespace smx {
inline namespace SMX_ABI {
namespace detail {

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2
#define SMX_EXCESS_PRECISION 1  // x87: a scalar is rounded to its type when it goes to memory, and not before
#endif

template <class T>
struct float_bits;
template <>
struct float_bits<float> {
    using type = std::uint32_t;
};
template <>
struct float_bits<double> {
    using type = std::uint64_t;
};

/// Opaque to the optimiser, where it can be. Not __builtin_assoc_barrier: g++ takes vectors apart for it.
template <class V>
SMX_ALWAYS_INLINE V held(V value) noexcept {
#if !defined(__GNUC__)
#elif defined(SMX_EXCESS_PRECISION)
    if constexpr (std::is_arithmetic_v<V>) __asm__("" : "+m"(value));
    else __asm__("" : "+x"(value));
#elif defined(__AVX512F__)
    __asm__("" : "+v"(value));
#elif defined(__x86_64__) || defined(__SSE2__)
    __asm__("" : "+x"(value));
#elif defined(__aarch64__)
    __asm__("" : "+w"(value));
#else
    __asm__("" : "+m"(value));
#endif
    return value;
}

/// A value that may be infinite or NaN, before it is asked whether it is. Under -ffinite-math-only, clang takes the answer from where
/// the value came from (a sum, a call, even the asm of held), and it is never yes; since its version 19 also if the bits are asked.
/// Bits from an asm it knows nothing of.
template <class V>
SMX_ALWAYS_INLINE V unassumed(V value) noexcept {
#if defined(__clang__) && SMX_FINITE_MATH
    if constexpr (std::is_floating_point_v<V>) {
        return vocabulary::bit_cast<V>(held(vocabulary::bit_cast<typename float_bits<V>::type>(value)));
    } else {
        using integers = long long __attribute__((vector_size(sizeof(V))));
        return reinterpret_cast<V>(held(reinterpret_cast<integers>(value)));
    }
#else
    return value;
#endif
}

/// A product that stays rounded: -ffp-contract=fast would take a*b, used in a sum, for a part of an fma. (The builtin: at -O0,
/// std::is_constant_evaluated is a call of a function that all objects of a program share.)
template <class T>
SMX_ALWAYS_INLINE constexpr T rounded(T product) noexcept {
    if (__builtin_is_constant_evaluated()) return product;
#if defined(__GNUC__)
    return held(product);
#else
    if constexpr (std::is_floating_point_v<T>) {
        volatile T memory = product;
        return memory;
    } else {
        return product;  // a register: intrinsics are not contracted
    }
#endif
}

#if defined(__clang__) && (defined(__FAST_MATH__) || defined(__aarch64__))  // it does not tell -fassociative-math
#define SMX_CLANG_REASSOCIATES 1
#endif

/// Keeps -fassociative-math from moving terms across this value, and x87 from carrying digits that its type has not; nothing
/// elsewhere.
template <class V>
SMX_ALWAYS_INLINE constexpr V fence(V value) noexcept {
    if (__builtin_is_constant_evaluated()) return value;
#if defined(__clang__) && (defined(__x86_64__) || (defined(__i386__) && !defined(SMX_EXCESS_PRECISION)))
    return __arithmetic_fence(value);
#elif defined(__ASSOCIATIVE_MATH__) || defined(SMX_EXCESS_PRECISION) || defined(SMX_CLANG_REASSOCIATES)
    return held(value);
#else
    return value;
#endif
}

/// a*b and a/b. In double, x87 would round what is subnormal twice: to 53 digits, and to those that there are when it goes to memory.
/// 2^15360 times as small it is subnormal there, too, and has no more of them from the start.
template <class T>
SMX_ALWAYS_INLINE T times(T a, T b) noexcept {
#if defined(SMX_EXCESS_PRECISION)
    if constexpr (sizeof(T) == 8) {
        const long double product = held(held(static_cast<long double>(a) * 0x1p-15360L) * static_cast<long double>(b));
        return fence(static_cast<T>(product * 0x1p15360L));
    }
#endif
    return fence(a * b);
}
template <class T>
SMX_ALWAYS_INLINE T over(T a, T b) noexcept {
#if defined(SMX_EXCESS_PRECISION)
    if constexpr (sizeof(T) == 8) {
        const long double quotient =
            held(held(static_cast<long double>(a) * 0x1p-15360L) / static_cast<long double>(b));
        return fence(static_cast<T>(quotient * 0x1p15360L));
    }
#endif
    return fence(a / b);
}

/// a*b+c of scalars: rounded once where the machine can, else after each step.
template <class T>
SMX_ALWAYS_INLINE T fma(T a, T b, T c) noexcept {
#if SMX_FUSED
#if defined(__GNUC__)
    if constexpr (sizeof(T) == 4) {
        return fence(__builtin_fmaf(a, b, c));
    } else {
        return fence(__builtin_fma(a, b, c));
    }
#else
    return std::fma(a, b, c);
#endif
#else
    return fence(times(a, b) + c);
#endif
}

/// The bits of 2^(j/8), rounded to T, less what (n << shift) adds for the lower three bits of n: exp2_eighths is one
/// look-up, one shift and one integer addition.
template <class T>
struct exp2_table;
template <>
struct exp2_table<float> {
    static constexpr int shift = 20;
    static constexpr std::uint32_t bits[8] = {
        0x00000000,
        0x000b95c2 - (1u << shift),
        0x001837f0 - (2u << shift),
        0x0025fed7 - (3u << shift),
        0x003504f3 - (4u << shift),
        0x0045672a - (5u << shift),
        0x005744fd - (6u << shift),
        0x006ac0c7 - (7u << shift),
    };
};
template <>
struct exp2_table<double> {
    static constexpr int shift = 49;
    static constexpr std::uint64_t bits[8] = {
        0x0000000000000000,
        0x000172b83c7d517b - (std::uint64_t(1) << shift),
        0x000306fe0a31b715 - (std::uint64_t(2) << shift),
        0x0004bfdad5362a27 - (std::uint64_t(3) << shift),
        0x0006a09e667f3bcd - (std::uint64_t(4) << shift),
        0x0008ace5422aa0db - (std::uint64_t(5) << shift),
        0x000ae89f995ad3ad - (std::uint64_t(6) << shift),
        0x000d5818dcfba487 - (std::uint64_t(7) << shift),
    };
};

/// One element of storage type S at p as a T, and back: the conversions of the packs, one lane at a time.
template <class T, class S>
SMX_ALWAYS_INLINE T load_element(const S* p) noexcept {
    S element;
    std::memcpy(&element, p, sizeof(S));
    return static_cast<T>(element);
}

template <class T, class S>
SMX_ALWAYS_INLINE void store_element(S* p, T value) noexcept {
    S element;
    if constexpr (sizeof(S) == 2) {
        element = S(static_cast<float>(value));
    } else {
        element = static_cast<S>(value);
    }
    std::memcpy(p, &element, sizeof(S));
}

// The operations on one lane: what every backend's own way of doing them must agree with.

/// A NaN that comparisons do not see, since -ffinite-math-only may turn them round. Elsewhere they do, and this is false.
template <class T>
SMX_ALWAYS_INLINE bool is_unseen_nan([[maybe_unused]] T x) noexcept {
#if SMX_FINITE_MATH
    using bits = typename float_bits<T>::type;
    constexpr bits infinity = vocabulary::bit_cast<bits>((std::numeric_limits<T>::max)()) + 1;
    return vocabulary::bit_cast<bits>(unassumed(x)) << 1 > infinity << 1;
#else
    return false;
#endif
}
template <class T>
SMX_ALWAYS_INLINE bool is_less(T t, T limit) noexcept {
    return !is_unseen_nan(t) && t < limit;
}
template <class T>
SMX_ALWAYS_INLINE bool is_equal(T x, T y) noexcept {
    return !is_unseen_nan(x) && !is_unseen_nan(y) && x == y;
}
template <class T>
SMX_ALWAYS_INLINE T truncated_half(T x) noexcept {
    using bits = typename float_bits<T>::type;
    constexpr bits mask = ~((bits(1) << (sizeof(T) == 4 ? 12 : 27)) - 1);
    return vocabulary::bit_cast<T>(vocabulary::bit_cast<bits>(x) & mask);
}
template <class T>
SMX_ALWAYS_INLINE T power_of_eighths(T t) noexcept {
    using bits = typename float_bits<T>::type;
    const bits n = vocabulary::bit_cast<bits>(t);
    return vocabulary::bit_cast<T>(exp2_table<T>::bits[n & 7] + (n << exp2_table<T>::shift));
}
SMX_ALWAYS_INLINE double bits_as_double(float x) noexcept {
    return vocabulary::bit_cast<double>(static_cast<std::uint64_t>(vocabulary::bit_cast<std::uint32_t>(x) & 0x7fffffffu)
                                        << 29);
}
template <class T, std::size_t N>
SMX_ALWAYS_INLINE T largest_of(const T (&lane)[N]) noexcept {
    T r = lane[0];
    for (std::size_t l = 1; l < N; ++l) r = r < lane[l] ? lane[l] : r;
    return r;
}
template <class T, std::size_t N>
SMX_ALWAYS_INLINE T sum_by_halving(T (&lane)[N]) noexcept {
    for (std::size_t half = N / 2; half > 0; half /= 2)
        for (std::size_t l = 0; l < half; ++l) lane[l] = fence(lane[l] + lane[l + half]);
    return lane[0];
}

SMX_ALWAYS_INLINE double add(double a, double b) noexcept { return fence(a + b); }
SMX_ALWAYS_INLINE double sub(double a, double b) noexcept { return fence(a - b); }

/// a + b and, in error, what it rounded away.
template <class V>
SMX_ALWAYS_INLINE V two_sum(V a, V b, V& error) noexcept {
    const V sum = add(a, b);
    const V b_seen = sub(sum, a);
    error = add(sub(a, sub(sum, b_seen)), sub(b, b_seen));
    return sum;
}
/// Into the first of them: sums by halving, and their errors with what that rounds away. V: a row's double, or a pack of them for rows side
/// by side.
template <class V, std::size_t N>
SMX_ALWAYS_INLINE void fold_by_halves(V (&sum)[N], V (&error)[N]) noexcept {
    SMX_UNROLL for (std::size_t half = N / 2; half > 0; half /= 2) {
        SMX_UNROLL for (std::size_t l = 0; l < half; ++l) {
            V lost;
            sum[l] = two_sum(sum[l], sum[l + half], lost);
            error[l] = add(add(error[l], error[l + half]), lost);
        }
    }
}

/// Any pack through memory, for what a backend has no instruction for.
template <class P, class S>
SMX_ALWAYS_INLINE P load_lanes(const S* p, std::size_t n, std::ptrdiff_t stride = 1) noexcept {
    typename P::value_type lane[P::lanes] = {};
    for (std::size_t l = 0; l < n; ++l)
        lane[l] = load_element<typename P::value_type>(p + static_cast<std::ptrdiff_t>(l) * stride);
    return P::load(lane);
}

template <class P, class S>
SMX_ALWAYS_INLINE void store_lanes(S* p, P a, std::size_t n, std::ptrdiff_t stride = 1) noexcept {
    typename P::value_type lane[P::lanes];
    store(lane, a);
    for (std::size_t l = 0; l < n; ++l) store_element(p + static_cast<std::ptrdiff_t>(l) * stride, lane[l]);
}

/// a or b, as bits: -ffinite-math-only may take what a choice of numbers gives for a number.
template <class T>
SMX_ALWAYS_INLINE T selected(bool first, T a, T b) noexcept {
    using bits = typename float_bits<T>::type;
    const bits x = vocabulary::bit_cast<bits>(a), y = vocabulary::bit_cast<bits>(b);
    return vocabulary::bit_cast<T>(first ? x : y);
}

namespace native {
template <class T, std::size_t Lanes>
struct tag {};  // selects an overload by the pack
}  // namespace native

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
