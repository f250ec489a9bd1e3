// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// What is known of a row in parts: plain data to be copied, sent and stored.

#include <safe_softmax/detail/bits.hpp>

#include <cstdint>

namespace smx {

/// What an online_softmax knows of the logits it has seen: 64 bytes of plain data, which may be copied between threads, sent
/// to other machines and stored, as long as doubles and integers there have the same order of bytes. With
/// scale = the scale of the online_softmax,
///
///     sum of exp(scale*x) = count * exp(|scale|*max) + sum over i of rest[i] * 2^(24*(rest_top - i))
///
/// The rest is an integer of five digits to the base 2^24, each with room for 2^40 summands. Its digits lie at places that
/// depend on no maximum, so that adding is exact, and states can be merged in any order with the same bits as the result;
/// what lies below the fifth digit of the largest summand is dropped.
///
/// | seen                | max  | count                                | rest |
/// | ------------------- | ---- | ------------------------------------ | ---- |
/// | a NaN               | NaN  | 0                                    | 0    |
/// | +inf k times, no NaN | +inf | k                                   | 0    |
/// | nothing above -inf  | -inf | 0; special_values::ieee: 1 if any -inf | 0  |
/// | others              | the largest of x, or of -x if the scale is negative; exact; never -0 | how often it was seen | all others |
struct online_state {
    double max = vocabulary::bit_cast<double>(std::uint64_t(0xfff) << 52);  ///< the largest, as the table says
    std::uint64_t count = 0;                                                ///< how often that was seen
    std::int64_t rest_top = 0;                                              ///< the place of rest[0]
    std::uint64_t rest[5] = {};  ///< the digits of the others' sum, the highest first
};

static_assert(sizeof(online_state) == 64);

namespace vocabulary {

/// Nothing above -inf has been seen.
SMX_INLINE_VOCABULARY constexpr bool is_nothing(const online_state& s) noexcept {
    return bit_cast<std::uint64_t>(s.max) == std::uint64_t(0xfff) << 52;
}

}  // namespace vocabulary

}  // namespace smx
