// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/special.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// exp and log of one double, for functions that need them element by element: the same bits wherever fma is.

/// exp(x) for x <= 0, at most 1.2 ulp off; +0 where that is no normal number. The sum of 2^(j/8) and its product with exp(r) - 1,
/// |r| <= ln(2)/16, by Taylor's series.
SMX_ALWAYS_INLINE double exp_of_negative(double x) noexcept {
    constexpr double ln2_head = 0x1.62e42feep-4, ln2_tail = 0x1.a39ef35793c76p-36;  // of ln(2)/8; head has 32 bits
    constexpr double c[] = {0x1.5555555555555p-3,  0x1.5555555555555p-5,  0x1.1111111111111p-7,
                            0x1.6c16c16c16c17p-10, 0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-16};
    constexpr double to_integer = 0x1.8p52;
    if (!(x >= least_exponent)) return 0;
    const double t = fma(x, 0x1.71547652b82fep3, to_integer);
    const double k = fence(t - to_integer);
    const double r = fma(-k, ln2_tail, fma(-k, ln2_head, x));
    double p = c[5];
    for (int i = 5; i-- > 0;) p = fma(p, r, c[i]);
    p = fma(fma(p, r, 0.5), rounded(r * r), r);
    const double power = power_of_eighths(fence(t + 8.0 * 1023));
    return fma(power, p, power);
}

/// log(x) for finite x > 0, at most 2 ulp off.
SMX_ALWAYS_INLINE double log_of_positive(double x) noexcept {
    if (x >= 1) return log_1_plus<double>(fence(x - 1));
    if (x < 0x1p-900) {  // 1/x could be infinite
        const double y = x * 0x1p900;
        return fence(-0x1.37ea8e219ecebp+9 - log_1_plus<double>(fence(fence(1 - y) / y)));
    }
    return -log_1_plus<double>(fence(fence(1 - x) / x));
}

/// SplitMix64: the i-th of the numbers that follow a seed. G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom
/// number generators", OOPSLA 2014.
SMX_ALWAYS_INLINE std::uint64_t random_bits(std::uint64_t seed, std::uint64_t i) noexcept {
    std::uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/// A multiple of 2^-53 in [0, 1).
SMX_ALWAYS_INLINE double unit_of_bits(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1p-53; }

/// -log(-log(u)) with u = (n + 1/2)*2^-52, n the upper 52 bits.
SMX_ALWAYS_INLINE double gumbel_of_bits(std::uint64_t bits) noexcept {
    const double u = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
    return -log_of_positive(-log_of_positive(u));
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
