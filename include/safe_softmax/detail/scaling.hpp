// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/bits.hpp>
#include <safe_softmax/detail/exp.hpp>

#include <cstdint>
#include <limits>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// 2^e as a double, for e in [-1022, 1023].
SMX_ALWAYS_INLINE constexpr double power_of_two(int e) noexcept {
    return vocabulary::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
}

/// floor(log2(x)) for finite x > 0.
SMX_ALWAYS_INLINE constexpr int exponent_of(double x) noexcept {
    const std::uint64_t bits = vocabulary::bit_cast<std::uint64_t>(x);
    const int field = static_cast<int>(bits >> 52);
    return field != 0 ? field - 1023 : -1011 - vocabulary::countl_zero(bits);
}

/// x as head + tail, the head with at most 26 significant bits.
struct split_double {
    double head, tail;
};
SMX_ALWAYS_INLINE constexpr split_double split(double x) noexcept {
    const double head =
        vocabulary::bit_cast<double>(vocabulary::bit_cast<std::uint64_t>(x) & ~((std::uint64_t(1) << 27) - 1));
    return {head, fence(x - head)};
}

/// a*b as a sum of two doubles, exactly (barring underflow); without fma, so that every machine has the same bits.
SMX_ALWAYS_INLINE constexpr split_double two_product(double a, double b) noexcept {
    const double p = rounded(a * b);
    const split_double x = split(a), y = split(b);
    // The partial products are exact, so contraction changes nothing.
    const double e = fence(fence(x.head * y.head) - p);
    return {p, fence(fence(fence(e + fence(x.head * y.tail)) + fence(x.tail * y.head)) + fence(x.tail * y.tail))};
}

/// How logits x become scaled logits z = x*scale without overflow, underflow or rounding, for every finite scale.
///
/// A row is `plain` if 2^-16 <= scale <= 2^16 and |max z| is moderate: then x*C is formed directly. Every other row takes
/// x' = ((x*first - offset)*second)*third, all three powers of two (`first` has the sign of the scale), and x'*C with the
/// C of the remaining factor: |x*first| cannot overflow, and neither can the difference when |scale| < 1.
template <class T>
struct scaling {
    struct factor {
        scale_parts<T> c;               // 8*log2(e)*value
        T head, tail;                   // value
        double value, c_whole, c_rest;  // 8*log2(e)*value = c_whole + c_rest
    };
    bool plain;
    bool negative;
    T first, second, third;
    factor direct, rest;
};

/// A scale with which rows may be plain.
SMX_ALWAYS_INLINE constexpr bool is_plain_scale(double scale) noexcept { return scale >= 0x1p-16 && scale <= 0x1p16; }

template <class T>
constexpr void set_factor(typename scaling<T>::factor& f, double value) noexcept {
    constexpr double c_head = 0x1.71547652b82fep3, c_tail = 0x1.777d0ffda0d24p-53;  // 8*log2(e)
    f.value = value;
    split_double product{};
    if (SMX_FUSED && !__builtin_is_constant_evaluated() && is_plain_scale(value)) {  // the same: nothing underflows
        product.head = rounded(value * c_head);
        product.tail = fma(value, c_head, -product.head);
    } else {
        product = two_product(value, c_head);
    }
    f.c_whole = product.head;
    f.c_rest = fence(product.tail + rounded(value * c_tail));
    f.c.whole = fence(static_cast<T>(f.c_whole));
    f.head = fence(static_cast<T>(value));
    f.tail = static_cast<T>(fence(value - static_cast<double>(f.head)));
    if constexpr (SMX_FUSED) {
        f.c.head = f.c.whole;
    } else if constexpr (sizeof(T) == 4) {
        f.c.head = vocabulary::bit_cast<float>(vocabulary::bit_cast<std::uint32_t>(f.c.whole) & ~0xfffu);
    } else {
        f.c.head = split(f.c_whole).head;
    }
    f.c.tail = static_cast<T>(fence(fence(f.c_whole - static_cast<double>(f.c.head)) + f.c_rest));
}

/// A plain scale without `rest`, which rows that are plain have no need of.
template <class T>
constexpr void set_direct(scaling<T>& s, double scale) noexcept {
    s.negative = false;
    s.plain = true;
    s.first = scale < 1 ? T(0.5) : T(1);
    s.second = s.third = 1;
    set_factor<T>(s.direct, scale);
}
template <class T>
constexpr void set_rest_of_plain(scaling<T>& s) noexcept {
    set_factor<T>(s.rest, s.direct.value < 1 ? s.direct.value * 2 : s.direct.value);
}

/// scale is finite. Zero counts as the smallest positive number: finite logits become 0, infinite ones stay. In place, and factors
/// are not copied: vector loads of what was just stored element by element wait for it, 20 ns in all.
template <class T>
constexpr void set_scaling(scaling<T>& s, double scale) noexcept {
    constexpr bool narrow = sizeof(T) == 4;
    if (is_plain_scale(scale)) {
        set_direct(s, scale);
        return set_rest_of_plain(s);
    }
    s.plain = false;
    s.negative = scale < 0;
    const double magnitude = s.negative ? -scale : scale;
    // Beyond these exponents nothing changes: z is 0 to the last digit, or two different logits are out of reach.
    constexpr int least = narrow ? -330 : -1074, most = narrow ? 250 : 1023;
    const bool moderate = is_plain_scale(magnitude);
    int first = 0, second = 0, third = 0;
    double rest = 1;
    if (magnitude == 0) {
        first = second = third = narrow ? -125 : -1000;
    } else {
        int e = exponent_of(magnitude);
        e = e < least ? least : e > most ? most : e;
        if (moderate) {
            first = e < 0 ? -1 : 0;
        } else {
            first = e < 0 ? e / 3 : 0;
            second = (e - first) / 2;
            third = e - first - second;
        }
        const int down = -(first + second + third);  // in two steps: 2^1074 is not a double
        rest = fence(fence(magnitude * power_of_two(down / 2)) * power_of_two(down - down / 2));
        if (!moderate && rest < 1) rest = 1;
        if (narrow && rest > 0x1p40) rest = 0x1p40;
    }
    s.first = static_cast<T>((s.negative ? -1 : 1) * power_of_two(first));
    s.second = static_cast<T>(power_of_two(second));
    s.third = static_cast<T>(power_of_two(third));
    set_factor<T>(s.rest, rest);
    set_factor<T>(s.direct, rest);
}
template <class T>
constexpr scaling<T> make_scaling(double scale) noexcept {
    scaling<T> s{};
    set_scaling(s, scale);
    return s;
}

/// The scaling of all who do not ask for one.
template <class T>
inline constexpr scaling<T> no_scaling = make_scaling<T>(1.0);

/// What a row's exponentials need to know of the row, from the largest of its logits (times `first` unless plain).
template <class T>
struct row_constants {
    T max;     // the largest logit, or of x*first
    T offset;  // 0, or max
    T magic;
    T k_max;
    bool general;
};

template <class T>
SMX_ALWAYS_INLINE T magnitude_of(T x) noexcept {
    return x < 0 ? -x : x;
}

/// The least whole number of octaves, in eighths of one, that is not less than k, an integer.
template <class T>
SMX_ALWAYS_INLINE T whole_octaves(T k) noexcept {
    constexpr T round = exp_constants<T>::round;
    return fence(T(8) * fence(fma(fence(k + T(3.5)), T(0.125), round) - round));
}

/// row_constants::magic
template <class T>
SMX_ALWAYS_INLINE T magic_of(T k_max) noexcept {
    using constants = exp_constants<T>;
    constexpr T start = constants::round + (8 * constants::bias + term_exponent);
    return fence(start - k_max);
}

/// by_octaves: k_max is a whole number of octaves, and the largest term from 2^60 to 2^(60 + 7/8), times 2^(+-1/16).
template <class T>
SMX_ALWAYS_INLINE row_constants<T> constants_of_row(T max, const scaling<T>& s, bool by_octaves = false) noexcept {
    using constants = exp_constants<T>;
    row_constants<T> row;
    row.max = max;
    row.offset = 0;
    row.general = !s.plain || !(magnitude_of(max) * s.direct.c.whole < constants::subtract_from);
    if (!row.general) {
        row.k_max = fence(fma(max, s.direct.c.whole, constants::round) - constants::round);
    } else {
        if (s.plain) row.max = fence(row.max * s.first);
        T reach = fence(fence(row.max * s.second) * s.third);
        if (!(magnitude_of(reach) * s.rest.c.whole < constants::subtract_from)) {
            row.offset = row.max;
            reach = 0;
        }
        row.k_max = fence(fma(reach, s.rest.c.whole, constants::round) - constants::round);
    }
    if (by_octaves) row.k_max = whole_octaves(row.k_max);
    row.magic = magic_of(row.k_max);
    return row;
}

/// A plain row as a general one: the same terms, to the bit, since `first` and the other factor are powers of two apart.
template <class T>
SMX_ALWAYS_INLINE void make_general(row_constants<T>& row, const scaling<T>& s) noexcept {
    if (row.general) return;
    row.general = true;
    row.max = fence(row.max * s.first);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
