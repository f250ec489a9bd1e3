// SPDX-License-Identifier: BSL-1.0
#pragma once

// Conversion to 16 bits by the definition of rounding to nearest: a search among all values, no bit tricks.

#include "element_types.hpp"

#include <cstdint>
#include <vector>

namespace softmax_test {

class conversion_oracle {
public:
    /// f16 or bf16.
    explicit conversion_oracle(dtype type);

    /// What the bits mean, from sign, exponent and fraction; NaN for a NaN.
    double value_of(std::uint16_t bits) const;

    /// The bits nearest to `value`, ties to even; `value` is no NaN.
    std::uint16_t nearest(double value) const;

    /// The same for ascending magnitudes, without a search.
    std::uint16_t nearest_ascending(double magnitude, std::size_t& position) const;

    /// All magnitudes, ascending, from 0 to what the next number after the largest finite would be: bits are the index.
    const std::vector<double>& magnitudes() const { return magnitudes_; }

private:
    std::uint16_t round(double magnitude, std::size_t below) const;

    int fraction_bits_;
    int exponent_bits_;
    std::vector<double> magnitudes_;
};

}  // namespace softmax_test
