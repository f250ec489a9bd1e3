// SPDX-License-Identifier: BSL-1.0
#include "conversion_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softmax_test {

conversion_oracle::conversion_oracle(dtype type)
    : fraction_bits_(type == dtype::f16 ? 10 : 7), exponent_bits_(type == dtype::f16 ? 5 : 8) {
    const std::uint16_t infinity = static_cast<std::uint16_t>(((1 << exponent_bits_) - 1) << fraction_bits_);
    for (std::uint16_t bits = 0; bits < infinity; ++bits) magnitudes_.push_back(value_of(bits));
    magnitudes_.push_back(std::ldexp(1.0, 1 << (exponent_bits_ - 1)));
}

double conversion_oracle::value_of(std::uint16_t bits) const {
    const int exponent = bits >> fraction_bits_ & ((1 << exponent_bits_) - 1);
    const int fraction = bits & ((1 << fraction_bits_) - 1);
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    const int bias = (1 << (exponent_bits_ - 1)) - 1;
    if (exponent == (1 << exponent_bits_) - 1) {
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    }
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits_);
    return sign * std::ldexp(fraction + (1 << fraction_bits_), exponent - bias - fraction_bits_);
}

std::uint16_t conversion_oracle::round(double magnitude, std::size_t below) const {
    if (below + 1 >= magnitudes_.size()) return static_cast<std::uint16_t>(magnitudes_.size() - 1);
    const double down = magnitude - magnitudes_[below], up = magnitudes_[below + 1] - magnitude;
    const bool take_upper = up < down || (up == down && below % 2 == 1);
    return static_cast<std::uint16_t>(below + (take_upper ? 1 : 0));
}

std::uint16_t conversion_oracle::nearest(double value) const {
    const double magnitude = std::abs(value);
    const auto above = std::upper_bound(magnitudes_.begin(), magnitudes_.end(), magnitude);
    const std::uint16_t bits = round(magnitude, static_cast<std::size_t>(above - magnitudes_.begin()) - 1);
    return static_cast<std::uint16_t>(bits | (std::signbit(value) ? 0x8000 : 0));
}

std::uint16_t conversion_oracle::nearest_ascending(double magnitude, std::size_t& position) const {
    while (position + 1 < magnitudes_.size() && magnitudes_[position + 1] <= magnitude) ++position;
    return round(magnitude, position);
}

}  // namespace softmax_test
