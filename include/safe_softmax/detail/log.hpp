// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/scaling.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

inline constexpr double log_2_head = 0x1.62e42feep-1, log_2_tail = 0x1.a39ef35793c76p-33;
/// Of log_1_plus, highest power first.
template <class T>
inline constexpr double log_coefficients[] = {0x1.2b5f5b2f7190cp-3, 0x1.39fdcbbcee0e7p-3, 0x1.7462b925f9f72p-3,
                                              0x1.c71c62d649d8dp-3, 0x1.2492492dfb9b8p-2, 0x1.99999999952b9p-2,
                                              0x1.5555555555558p-1};
template <>
inline constexpr double log_coefficients<float>[] = {0x1.dddae4bba1bc5p-3, 0x1.245c01dbf9fe7p-2, 0x1.9999ec10019e4p-2,
                                                     0x1.5555554b8ed6fp-1};

/// 1 + x = 2^k * (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); `sum` is what 1 + x rounds to, if k is not 0.
struct octaves {
    double f, k, sum;
    /// 1 + x - sum
    SMX_ALWAYS_INLINE double lost(double x) const noexcept {
        if (sum == 0) return 0;
        return x < 1 ? fence(x - fence(sum - 1.0)) : fence(1.0 - fence(sum - x));
    }
};
SMX_ALWAYS_INLINE octaves octaves_of_1_plus(double x) noexcept {
    if (!(x >= 0x1.a827999fcef32p-2)) return {x, 0, 0};  // sqrt(2) - 1
    const double sum = fence(1.0 + x);
    const std::uint64_t bits = vocabulary::bit_cast<std::uint64_t>(sum) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    return {fence(vocabulary::bit_cast<double>((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1.0),
            static_cast<double>(static_cast<int>(bits >> 52) - 1023), sum};
}

/// log(2^k * (1 + f)) + lost.
template <class T>
SMX_ALWAYS_INLINE double log_of_octaves(const octaves& parts, double lost) noexcept {
    const double f = parts.f, k = parts.k;
    const double s = fence(f / fence(2.0 + f));
    const double z = fence(s * s);
    constexpr const auto& c = log_coefficients<T>;
    double p = c[0];
    for (std::size_t i = 1; i < sizeof(c) / sizeof(c[0]); ++i) p = fma(p, z, c[i]);
    const double tail = fma(s, fma(p, z, rounded(fence(0.5 * f) * f)), fma(k, log_2_tail, lost));
    return fma(k, log_2_head, fence(f - fma(0.5 * f, f, -tail)));
}

/// log(1 + x) for finite x >= 0, the same bits wherever fma is. As good as T needs: for double at most 0.9 ulp off, for
/// float 2.5e-11 of the result.
///
/// 1 + x = 2^k * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f/(2 + f), log(1 + f) = 2 atanh(s) as a polynomial in s^2
/// (coefficients: coefficients.sollya), rearranged so that f itself is added last. For double, what 1 + x rounds
/// away comes back to first order.
template <class T>
SMX_ALWAYS_INLINE double log_1_plus(double x) noexcept {
    constexpr bool narrow = sizeof(T) == 4;
    const octaves parts = octaves_of_1_plus(x);
    double lost = 0;
    if constexpr (!narrow) {
        if (parts.sum != 0) lost = fence(parts.lost(x) / parts.sum);
    }
    return log_of_octaves<T>(parts, lost);
}
/// log(1 + x + more), `more` being what x, a sum, was rounded by.
template <class T>
SMX_ALWAYS_INLINE double log_1_plus(double x, double more) noexcept {
    if constexpr (sizeof(T) == 4) return log_1_plus<T>(x);
    const octaves parts = octaves_of_1_plus(x);
    if (parts.sum == 0) return log_of_octaves<T>(parts, fence(more / fence(1.0 + x)));
    return log_of_octaves<T>(parts, fence(fence(parts.lost(x) + more) / parts.sum));
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
