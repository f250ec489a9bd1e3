// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/recipe.hpp>
#include <safe_softmax/detail/log.hpp>

#include <limits>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Rows whose maximum is not finite. Everything is asked of the bits: -ffinite-math-only may not change the answers.

template <class T>
inline constexpr typename float_bits<T>::type infinity_bits =
    vocabulary::bit_cast<typename float_bits<T>::type>((std::numeric_limits<T>::max)()) + 1;

/// Opaque where -ffinite-math-only knows neither infinity nor NaN: clang takes a sum with a constant that it sees to be one of them
/// for a sum that is never needed.
template <class T>
SMX_ALWAYS_INLINE T from_bits(typename float_bits<T>::type bits) noexcept {
#if SMX_FINITE_MATH
    return vocabulary::bit_cast<T>(held(bits));
#else
    return vocabulary::bit_cast<T>(bits);
#endif
}
template <class T>
SMX_ALWAYS_INLINE T plus_infinity() noexcept {
    return from_bits<T>(infinity_bits<T>);
}
template <class T>
SMX_ALWAYS_INLINE T minus_infinity() noexcept {
    using bits = typename float_bits<T>::type;
    return from_bits<T>(infinity_bits<T> | bits(1) << (8 * sizeof(T) - 1));
}
template <class T>
SMX_ALWAYS_INLINE T quiet_nan() noexcept {
    return from_bits<T>(infinity_bits<T> | infinity_bits<T> >> 1);
}
template <class T>
SMX_ALWAYS_INLINE typename float_bits<T>::type magnitude_bits(T x) noexcept {
    return vocabulary::bit_cast<typename float_bits<T>::type>(unassumed(x)) << 1 >> 1;
}
template <class T>
SMX_ALWAYS_INLINE bool is_finite(T x) noexcept {
    return magnitude_bits(x) < infinity_bits<T>;
}
template <class T>
SMX_ALWAYS_INLINE bool is_nan(T x) noexcept {
    return magnitude_bits(x) > infinity_bits<T>;
}
template <class T>
SMX_ALWAYS_INLINE bool is_negative(T x) noexcept {
    return vocabulary::bit_cast<typename float_bits<T>::type>(unassumed(x)) >> (8 * sizeof(T) - 1) != 0;
}
template <class T>
SMX_ALWAYS_INLINE bool is_minus_infinity(T x) noexcept {
    return !is_finite(x) && !is_nan(x) && is_negative(x);
}

/// What the output is written as: the bits of the storage type, so that no conversion meets a NaN or an infinity.
template <class S>
SMX_ALWAYS_INLINE void store_nan(S* p) noexcept {
    static constexpr S nan = std::numeric_limits<S>::quiet_NaN();
    std::memcpy(p, &nan, sizeof(S));
}
template <class S>
SMX_ALWAYS_INLINE void store_infinity(S* p, bool negative) noexcept {
    if constexpr (sizeof(S) == 2) {
        const std::uint16_t bits =
            static_cast<std::uint16_t>((std::is_same_v<S, float16> ? 0x7c00u : 0x7f80u) | (negative ? 0x8000u : 0u));
        std::memcpy(static_cast<void*>(p), &bits, sizeof bits);
    } else {
        using bits_type = typename float_bits<S>::type;
        const bits_type bits = infinity_bits<S> | (negative ? bits_type(1) << (8 * sizeof(S) - 1) : 0);
        std::memcpy(p, &bits, sizeof(S));
    }
}

/// A double to any storage type, rounded once, subnormals kept.
template <class S>
SMX_ALWAYS_INLINE void store_exact(S* p, double value) noexcept {
    const S element = static_cast<S>(value);
    std::memcpy(p, &element, sizeof(S));
}

/// A row without a finite maximum: how many +inf (after scaling), and whether there is a NaN.
struct special_row {
    bool nan = false;
    std::size_t infinities = 0;
};
template <class T, class Row>
SMX_NOINLINE special_row inspect(const Row& in, std::size_t n, bool negative_scale) noexcept {
    special_row found;
    for (std::size_t i = 0; i < n; ++i) {
        const T x = load_element<T>(in.at(i));
        if (is_nan(x)) found.nan = true;
        else if (!is_finite(x) && is_negative(x) == negative_scale) ++found.infinities;
    }
    return found;
}

/// What each of n logits of +inf gets: 1/n, or -log n.
template <bool Log>
SMX_ALWAYS_INLINE double share_of_infinity(std::size_t n) noexcept {
    if (n == 0) return 0;
    if (!Log) return fence(1 / static_cast<double>(n));
    return n == 1 ? 0 : -log_1_plus<double>(static_cast<double>(n - 1));  // +0, not -0
}

template <class Row>
SMX_NOINLINE void fill_nan(const Row& out, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) store_nan(out.at(i));
}

/// safe_softmax (Log: log_softmax) of n elements of a row whose maximum is NaN or infinite.
template <class T, bool Log, class In, class Out>
SMX_NOINLINE void write_special_row(const special_row& row, const In& in, const Out& out, std::size_t n,
                                    const recipe<T>& r) noexcept {
    if (row.nan || r.special == special_values::ieee) return fill_nan(out, n);
    const double share = share_of_infinity<Log>(row.infinities);
    for (std::size_t i = 0; i < n; ++i) {
        const T x = load_element<T>(in.at(i));
        const bool top = row.infinities != 0 && !is_finite(x) && is_negative(x) == r.scale.negative;
        if (top) store_element(out.at(i), share);
        else if (Log) store_infinity(out.at(i), true);
        else store_element(out.at(i), 0.0);
    }
}

/// logsumexp of a row whose maximum is NaN or infinite.
template <class Out>
SMX_NOINLINE void write_special_total(const special_row& row, Out* out, special_values special) noexcept {
    if (row.nan || special == special_values::ieee) store_nan(out);
    else store_infinity(out, row.infinities == 0);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
