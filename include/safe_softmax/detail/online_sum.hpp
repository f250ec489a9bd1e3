// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/online_state.hpp>
#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/special.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::is_nothing;

// The arithmetic of online_state. Every summand is a number of its own, which no other summand has a say in: a power of two
// and a factor, cut into digits to the base 2^24 at places that are the same for all. Whatever the order in which they come
// together, a digit that is kept at the end is the sum of the same integers.

/// a*b exactly, as two_product has it; one instruction more than the product where there is fma.
SMX_ALWAYS_INLINE split_double exact_product(double a, double b) noexcept {
    if constexpr (SMX_FUSED) {
        const double p = rounded(a * b);
        return {p, fma(a, b, -p)};
    } else {
        return two_product(a, b);
    }
}

/// exp(z) = 2^octave * factor, factor in [0.95, 2) and right to 2^-61.
struct power {
    std::int64_t octave;
    double_double factor;
    bool beyond;  ///< |z| >= 2^62, where different logits are at least 512 apart: octave and factor are not given
};

/// exp(max*scale) for finite numbers.
SMX_NOINLINE inline power power_of(double max, double scale) noexcept {
    constexpr double log2_e[] = {0x1.71547652b82fep0, 0x1.777d0ffda0d24p-56, -0x1.60bb8a5442ab9p-110};
    constexpr double_double ln2{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
    constexpr double eighths[8][2] = {{0x1p0, 0},
                                      {0x1.172b83c7d517bp0, -0x1.19041b9d78a76p-55},
                                      {0x1.306fe0a31b715p0, 0x1.6f46ad23182e4p-55},
                                      {0x1.4bfdad5362a27p0, 0x1.d4397afec42e2p-56},
                                      {0x1.6a09e667f3bcdp0, -0x1.bdd3413b26456p-54},
                                      {0x1.8ace5422aa0dbp0, 0x1.6e9f156864b27p-54},
                                      {0x1.ae89f995ad3adp0, 0x1.7a1cd345dcc81p-54},
                                      {0x1.d5818dcfba487p0, 0x1.2ed02d75b3707p-55}};
    constexpr double to_integer = 0x1.8p52;
    const double about = rounded(max * scale);
    if (!(magnitude_of(about) < 0x1p62)) return {0, {1, 0}, true};
    const split_double z = exact_product(max, scale);

    // z*log2(e) = eighth/8 + r
    std::int64_t octave = 0;
    double_double r;
    if (magnitude_of(about) < 0x1p12) {
        const split_double p = exact_product(z.head, log2_e[0]);
        r = normalised(p.head, fence(p.tail + fma(z.head, log2_e[1], rounded(z.tail * log2_e[0]))));
    } else {
        r = {0, 0};
        const double part[] = {z.head, z.tail};
        for (int a = 0; a < 2; ++a) {
            for (int b = 0; b + a < 3; ++b) {
                const split_double p = exact_product(part[a], log2_e[b]);
                const double number[] = {p.head, p.tail};
                for (int i = 0; i < 2; ++i) {
                    const std::int64_t whole = static_cast<std::int64_t>(number[i]);
                    octave += whole;
                    r = add(r, {fence(number[i] - static_cast<double>(whole)), 0});
                }
            }
        }
    }
    const double eighth = fence(fma(8.0, r.head, to_integer) - to_integer);
    r = normalised(fence(r.head - 0.125 * eighth), r.tail);
    const std::int64_t place = static_cast<std::int64_t>(eighth);  // |r.head| < 2^13, so this is far from overflow
    octave += place >> 3;
    const double(&t)[2] = eighths[place & 7];

    // factor = t * exp(u), |u| <= 0.0434: 1 + u as a pair, the rest of Taylor's series in double.
    const split_double product = exact_product(r.head, ln2.head);
    const double_double u = normalised(product.head, fma(r.head, ln2.tail, fma(r.tail, ln2.head, product.tail)));
    const double x = u.head, x2 = rounded(x * x), x4 = rounded(x2 * x2);
    const double low =
        fma(x2, fma(x, 0x1.1111111111111p-7, 0x1.5555555555555p-5), fma(x, 0x1.5555555555555p-3, 0x1p-1));
    const double high = fma(x2, fma(x, 0x1.71de3a556c734p-19, 0x1.a01a01a01a01ap-16),
                            fma(x, 0x1.a01a01a01a01ap-13, 0x1.6c16c16c16c17p-10));
    const double q = fma(x4, fma(x4, 0x1.27e4fb7789f5cp-22, high), low);  // 1/2! + x/3! + … + x^8/10!
    const double_double e = normalised(x, fma(q, x2, fma(x, u.tail, u.tail)));
    const split_double p = exact_product(t[0], e.head);
    const double_double sum = normalised(t[0], p.head);
    return {octave, normalised(sum.head, fence(sum.tail + fence(p.tail + fma(t[0], e.tail, fma(t[1], e.head, t[1]))))),
            false};
}

inline constexpr int digit_bits = 24, digits_kept = 5;

SMX_ALWAYS_INLINE std::int64_t digit_of_exponent(std::int64_t exponent) noexcept {
    return exponent >= 0 ? exponent / digit_bits : -((digit_bits - 1 - exponent) / digit_bits);
}

/// The first digit becomes `top` unless it is higher already.
SMX_ALWAYS_INLINE void raise_rest(online_state& s, std::int64_t top) noexcept {
    if (s.rest[0] != 0 && s.rest_top >= top) return;
    if (s.rest[0] != 0) {
        for (int i = digits_kept; i-- > 0;) {
            const std::int64_t from = i - (top - s.rest_top);
            s.rest[i] = from >= 0 ? s.rest[from] : 0;
        }
    }
    s.rest_top = top;
}

/// rest += times * value * 2^octave; value > 0 and normal.
SMX_NOINLINE inline void add_to_rest(online_state& s, double_double value, std::int64_t octave,
                                     std::uint64_t times) noexcept {
    // 88 bits of the value, as an integer with the last bit at 2^last.
    const int e = exponent_of(value.head);
    const std::uint64_t head =
        (vocabulary::bit_cast<std::uint64_t>(value.head) & 0x000fffffffffffffu) | 0x0010000000000000u;
    std::int64_t tail = 0;
    if (e > -900)
        tail = static_cast<std::int64_t>(fence(rounded(value.tail * power_of_two(87 - e)) + 0x1.8p52) - 0x1.8p52);
    std::uint64_t low = head << 35, high = head >> 29;
    const std::uint64_t sum = low + static_cast<std::uint64_t>(tail);
    if (tail >= 0 ? sum < low : sum > low) high += tail >= 0 ? 1 : ~std::uint64_t(0);
    low = sum;
    const std::int64_t last = octave + e - 87;
    const std::int64_t digit = digit_of_exponent(last);
    const int shift = static_cast<int>(last - digit_bits * digit);
    if (shift != 0) {
        high = high << shift | low >> (64 - shift);
        low <<= shift;
    }
    constexpr std::uint64_t mask = (std::uint64_t(1) << digit_bits) - 1;
    const std::uint64_t digits[5] = {low & mask, low >> 24 & mask, (low >> 48 | high << 16) & mask, high >> 8 & mask,
                                     high >> 32};
    const std::int64_t top = digit + (digits[4] != 0 ? 4 : 3);
    raise_rest(s, top);
    for (int i = 0; i < 5; ++i) {
        const std::int64_t place = s.rest_top - (digit + i);
        if (place >= 0 && place < digits_kept) s.rest[place] += digits[i] * times;
    }
}

/// What was the largest logit no longer is.
SMX_ALWAYS_INLINE void add_old_max(online_state& s, double max, std::uint64_t count, double scale) noexcept {
    const power p = power_of(max, scale);
    if (!p.beyond) add_to_rest(s, p.factor, p.octave, count);
}

/// What has seen a NaN, or +inf so many times.
SMX_ALWAYS_INLINE online_state special_state(bool nan, std::uint64_t infinities) noexcept {
    online_state s;
    s.max = nan ? quiet_nan<double>() : plus_infinity<double>();
    s.count = nan ? 0 : infinities;
    return s;
}

/// s and t together; scale >= 0.
SMX_NOINLINE inline void merge_states(online_state& s, const online_state& t, double scale) noexcept {
    if (is_nan(s.max)) return;
    if (is_nothing(t)) {
        if (is_nothing(s)) s.count |= t.count;
        return;
    }
    if (is_nothing(s) || is_nan(t.max)) {
        s = t;
        return;
    }
    if (!is_finite(s.max) || !is_finite(t.max)) {
        if (is_finite(s.max)) s = t;
        else if (!is_finite(t.max)) s.count += t.count;
        return;
    }
    const online_state other = t;  // it may be s
    if (s.max == other.max) {
        s.count += other.count;
    } else if (s.max < other.max) {
        const double max = s.max;
        const std::uint64_t count = s.count;
        s.max = other.max;
        s.count = other.count;
        add_old_max(s, max, count, scale);
    } else {
        add_old_max(s, other.max, other.count, scale);
    }
    if (other.rest[0] == 0) return;
    raise_rest(s, other.rest_top);
    for (int i = 0; i < digits_kept; ++i) {
        const std::int64_t place = s.rest_top - other.rest_top + i;
        if (place < digits_kept) s.rest[place] += other.rest[i];
    }
}

/// exp(old max - new max), for states of which the second is the first and more: what sums relative to the old one have to
/// be multiplied by.
SMX_NOINLINE inline double rescale_factor(const online_state& before, const online_state& after,
                                          double scale) noexcept {
    if (is_nan(after.max) || is_nan(before.max)) return quiet_nan<double>();
    if (vocabulary::bit_cast<std::uint64_t>(before.max) == vocabulary::bit_cast<std::uint64_t>(after.max)) return 1;
    if (!is_finite(before.max) || !is_finite(after.max)) return 0;
    const power a = power_of(before.max, scale), b = power_of(after.max, scale);
    if (a.beyond || b.beyond) return 0;
    const double octaves = static_cast<double>(a.octave) - static_cast<double>(b.octave);
    if (octaves < -1022) return 0;
    if (octaves > 1) return 1;  // not what came about from `before`
    const double quotient = divide(a.factor, b.factor).head * power_of_two(static_cast<int>(octaves));
    return quotient > 1 ? 1 : quotient;
}

/// rest / exp(max), of a state with a finite maximum.
SMX_NOINLINE inline double_double rest_below_max(const online_state& s, double scale) noexcept {
    if (s.rest[0] == 0) return {0, 0};
    const power p = power_of(s.max, scale);
    if (p.beyond) return {0, 0};
    const std::int64_t exponent = digit_bits * s.rest_top;
    const double octaves = static_cast<double>(exponent) - static_cast<double>(p.octave);
    if (octaves < -1200) return {0, 0};
    double sum = 0, lost = 0;
    for (int i = digits_kept; i-- > 0;) {
        const double by = power_of_two(-digit_bits * i);
        double error;
        sum = two_sum(static_cast<double>(s.rest[i] & 0xffffffffu) * by, sum, error);
        lost = fence(lost + error);
        sum = two_sum(static_cast<double>(s.rest[i] >> 32) * 0x1p32 * by, sum, error);
        lost = fence(lost + error);
    }
    const double_double q = divide(normalised(sum, lost), p.factor);
    const int d = static_cast<int>(exponent - p.octave), half = d / 2;
    const double first = power_of_two(half), second = power_of_two(d - half);
    return {rounded(rounded(q.head * first) * second), rounded(rounded(q.tail * first) * second)};
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
