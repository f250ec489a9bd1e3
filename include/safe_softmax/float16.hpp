// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// IEEE 754 binary16, to store.

#include <safe_softmax/config.hpp>
#include <safe_softmax/detail/bits.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace smx {
namespace vocabulary {

/// The float nearest to x if it is exact, else the neighbour whose last bit is 1 ("round to odd"): rounding that to
/// a narrower format gives the same as rounding x once.
SMX_INLINE_VOCABULARY constexpr float round_to_odd(double x) noexcept {
    if (vocabulary::bit_cast<std::uint64_t>(x) << 1 > 0xffe0000000000000u) {  // NaN: sign and upper payload bits
        const std::uint64_t bits = vocabulary::bit_cast<std::uint64_t>(x);
        return vocabulary::bit_cast<float>(static_cast<std::uint32_t>(bits >> 32 & 0x80000000u) | 0x7fc00000u |
                                           static_cast<std::uint32_t>(bits >> 29 & 0x007fffffu));
    }
    const float nearest = static_cast<float>(x);
    const double back = static_cast<double>(nearest);
    std::uint32_t bits = vocabulary::bit_cast<std::uint32_t>(nearest);
    if (back == x || (bits & 1u) != 0) return nearest;
    const bool away = (back < 0 ? -back : back) > (x < 0 ? -x : x);  // |nearest| is above |x|
    bits = away ? bits - 1u : bits + 1u;
    return vocabulary::bit_cast<float>(bits);
}

}  // namespace vocabulary

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits; a storage type without arithmetic.
///
/// Largest finite value 65504, smallest normal 2^-14, smallest subnormal 2^-24. From float (and any other arithmetic
/// type): rounded once, to nearest, ties to even; from 65520 on to infinity. To float: exact. NaN stays NaN, quiet, with
/// the upper bits of its payload.
class float16 {
public:
    /// With any bits, unless it is float16{}, which is 0.
    float16() = default;

    /// The nearest one, ties to even.
    template <class A>
        requires std::is_arithmetic_v<A>
    SMX_INLINE_VOCABULARY explicit constexpr float16(A value) noexcept {
        if constexpr (std::is_same_v<A, float>) {
            bits_ = round(value);
        } else {
            bits_ = round(vocabulary::round_to_odd(static_cast<double>(value)));
        }
    }

    /// Exact.
    SMX_INLINE_VOCABULARY explicit constexpr operator float() const noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(bits_ & 0x8000u) << 16;
        const std::uint32_t exponent = bits_ >> 10 & 0x1fu;
        const std::uint32_t fraction = bits_ & 0x3ffu;
        if (exponent == 0x1f) {
            const std::uint32_t quiet = fraction != 0 ? 0x00400000u : 0u;
            return vocabulary::bit_cast<float>(sign | 0x7f800000u | quiet | fraction << 13);
        }
        if (exponent != 0) return vocabulary::bit_cast<float>(sign | (exponent + 112u) << 23 | fraction << 13);
        if (fraction == 0) return vocabulary::bit_cast<float>(sign);
        const std::uint32_t shift = static_cast<std::uint32_t>(vocabulary::countl_zero(fraction)) - 21u;  // 1 to 10
        return vocabulary::bit_cast<float>(sign | (113u - shift) << 23 | (fraction << shift & 0x3ffu) << 13);
    }

    /// Exact.
    SMX_INLINE_VOCABULARY explicit constexpr operator double() const noexcept {
        return static_cast<double>(static_cast<float>(*this));
    }

    /// The one that has these bits.
    SMX_INLINE_VOCABULARY static constexpr float16 from_bits(std::uint16_t bits) noexcept {
        float16 result{};
        result.bits_ = bits;
        return result;
    }

    /// As they are stored.
    SMX_INLINE_VOCABULARY constexpr std::uint16_t bits() const noexcept { return bits_; }

private:
    SMX_INLINE_VOCABULARY static constexpr std::uint16_t round(float value) noexcept {
        const std::uint32_t bits = vocabulary::bit_cast<std::uint32_t>(value);
        const std::uint32_t sign = bits >> 16 & 0x8000u;
        const std::uint32_t magnitude = bits & 0x7fffffffu;
        std::uint32_t result = 0;
        if (magnitude > 0x7f800000u) {
            result = 0x7e00u | (magnitude >> 13 & 0x3ffu);
        } else if (magnitude >= 0x477ff000u) {  // 65520 and above
            result = 0x7c00u;
        } else if (magnitude >= 0x38800000u) {  // normal: 2^-14 and above
            const std::uint32_t rebiased = magnitude - 0x38000000u;
            result = (rebiased + 0xfffu + (rebiased >> 13 & 1u)) >> 13;
        } else if (magnitude > 0x33000000u) {  // above 2^-25: a multiple of 2^-24
            const std::uint32_t significand = (magnitude & 0x007fffffu) | 0x00800000u;
            const std::uint32_t shift = 126u - (magnitude >> 23);
            const std::uint32_t quotient = significand >> shift;
            const std::uint32_t remainder = significand & ((1u << shift) - 1u);
            const std::uint32_t half = 1u << (shift - 1u);
            result = quotient + (remainder > half || (remainder == half && (quotient & 1u) != 0) ? 1u : 0u);
        }
        return static_cast<std::uint16_t>(sign | result);
    }

    std::uint16_t bits_;
};

static_assert(sizeof(float16) == 2 && std::is_trivially_copyable_v<float16>);

}  // namespace smx

template <>
class std::numeric_limits<smx::float16> {
public:
    static constexpr bool is_specialized = true;
    static constexpr bool is_signed = true, is_integer = false, is_exact = false, is_bounded = true, is_iec559 = true;
    static constexpr bool has_infinity = true, has_quiet_NaN = true, has_signaling_NaN = true;
    static constexpr int radix = 2, digits = 11, digits10 = 3, max_digits10 = 5;
    static constexpr int min_exponent = -13, min_exponent10 = -4, max_exponent = 16, max_exponent10 = 4;
    static constexpr smx::float16(min)() noexcept { return smx::float16::from_bits(0x0400); }
    static constexpr smx::float16(max)() noexcept { return smx::float16::from_bits(0x7bff); }
    static constexpr smx::float16 lowest() noexcept { return smx::float16::from_bits(0xfbff); }
    static constexpr smx::float16 epsilon() noexcept { return smx::float16::from_bits(0x1400); }
    static constexpr smx::float16 denorm_min() noexcept { return smx::float16::from_bits(0x0001); }
    static constexpr smx::float16 infinity() noexcept { return smx::float16::from_bits(0x7c00); }
    static constexpr smx::float16 quiet_NaN() noexcept { return smx::float16::from_bits(0x7e00); }
    static constexpr smx::float16 signaling_NaN() noexcept { return smx::float16::from_bits(0x7d00); }
    static constexpr smx::float16 round_error() noexcept { return smx::float16::from_bits(0x3800); }  // 1/2
    static constexpr bool is_modulo = false, traps = false, tinyness_before = false;
    static constexpr std::float_round_style round_style = std::round_to_nearest;
};
