// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// The upper half of a float, to store.

#include <safe_softmax/config.hpp>
#include <safe_softmax/float16.hpp>
#include <safe_softmax/detail/bits.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace smx {

/// bfloat16, the upper half of a float: 1 sign, 8 exponent, 7 fraction bits; a storage type without arithmetic.
///
/// Same range as float, 8 significant bits. From float (and any other arithmetic type): rounded once, to nearest, ties
/// to even, subnormals included. To float: exact. NaN stays NaN, quiet, with the upper bits of its payload.
class bfloat16 {
public:
    /// With any bits, unless it is bfloat16{}, which is 0.
    bfloat16() = default;

    /// The nearest one, ties to even.
    template <class A>
        requires std::is_arithmetic_v<A>
    SMX_INLINE_VOCABULARY explicit constexpr bfloat16(A value) noexcept {
        if constexpr (std::is_same_v<A, float>) {
            bits_ = round(value);
        } else {
            bits_ = round(vocabulary::round_to_odd(static_cast<double>(value)));
        }
    }

    /// Exact.
    SMX_INLINE_VOCABULARY explicit constexpr operator float() const noexcept {
        const std::uint32_t quiet = (bits_ & 0x7fffu) > 0x7f80u ? 0x00400000u : 0u;
        return vocabulary::bit_cast<float>(static_cast<std::uint32_t>(bits_) << 16 | quiet);
    }

    /// Exact.
    SMX_INLINE_VOCABULARY explicit constexpr operator double() const noexcept {
        return static_cast<double>(static_cast<float>(*this));
    }

    /// The one that has these bits.
    SMX_INLINE_VOCABULARY static constexpr bfloat16 from_bits(std::uint16_t bits) noexcept {
        bfloat16 result{};
        result.bits_ = bits;
        return result;
    }

    /// As they are stored.
    SMX_INLINE_VOCABULARY constexpr std::uint16_t bits() const noexcept { return bits_; }

private:
    SMX_INLINE_VOCABULARY static constexpr std::uint16_t round(float value) noexcept {
        const std::uint32_t bits = vocabulary::bit_cast<std::uint32_t>(value);
        if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x0040u);
        return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }

    std::uint16_t bits_;
};

static_assert(sizeof(bfloat16) == 2 && std::is_trivially_copyable_v<bfloat16>);

}  // namespace smx

template <>
class std::numeric_limits<smx::bfloat16> {
public:
    static constexpr bool is_specialized = true;
    static constexpr bool is_signed = true, is_integer = false, is_exact = false, is_bounded = true, is_iec559 = false;
    static constexpr bool has_infinity = true, has_quiet_NaN = true, has_signaling_NaN = true;
    static constexpr int radix = 2, digits = 8, digits10 = 2, max_digits10 = 4;
    static constexpr int min_exponent = -125, min_exponent10 = -37, max_exponent = 128, max_exponent10 = 38;
    static constexpr smx::bfloat16(min)() noexcept { return smx::bfloat16::from_bits(0x0080); }
    static constexpr smx::bfloat16(max)() noexcept { return smx::bfloat16::from_bits(0x7f7f); }
    static constexpr smx::bfloat16 lowest() noexcept { return smx::bfloat16::from_bits(0xff7f); }
    static constexpr smx::bfloat16 epsilon() noexcept { return smx::bfloat16::from_bits(0x3c00); }
    static constexpr smx::bfloat16 denorm_min() noexcept { return smx::bfloat16::from_bits(0x0001); }
    static constexpr smx::bfloat16 infinity() noexcept { return smx::bfloat16::from_bits(0x7f80); }
    static constexpr smx::bfloat16 quiet_NaN() noexcept { return smx::bfloat16::from_bits(0x7fc0); }
    static constexpr smx::bfloat16 signaling_NaN() noexcept { return smx::bfloat16::from_bits(0x7fa0); }
    static constexpr smx::bfloat16 round_error() noexcept { return smx::bfloat16::from_bits(0x3f00); }  // 1/2
    static constexpr bool is_modulo = false, traps = false, tinyness_before = false;
    static constexpr std::float_round_style round_style = std::round_to_nearest;
};
