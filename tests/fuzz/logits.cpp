// SPDX-License-Identifier: BSL-1.0
#include "bytes.hpp"

#include <cmath>
#include <limits>
#include <random>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void write_logits(const view& in, byte_source& bytes) {
    static const double notable[] = {
        0,       -0.0,     1,       -1,      inf,      -inf,     nan_value, -inf,   0.5,   -2,     20,
        -20,     88,       -100,    709,     -1000,    65504,    -65504,    1e30,   -1e30, 3.4e38, -3.4e38,
        1.7e308, -1.7e308, 0x1p-24, 0x1p-14, 0x1p-126, 0x1p-149, 0x1p-1022, 5e-324, 256,   -255.5, 2048};
    static const double bases[] = {0,   1,   -1,    0.693, -0.693, 16,    88.7, -87.3, 177.4, 255.9,
                                   256, 512, 709.7, 2047,  2048.5, 65000, 1e6,  -1e6,  1e30,  1e300};
    const std::uint8_t style = bytes.byte();
    const auto exponent = static_cast<std::int8_t>(bytes.byte());
    const double base = one_of(bases, bytes.byte());
    std::minstd_rand random(bytes.take<std::uint32_t>());
    const auto uniform = [&] { return std::generate_canonical<double, 53>(random); };
    std::span<const std::uint8_t> given = bytes.rest();
    static constexpr std::uint8_t zero[1] = {};
    if (given.empty()) given = zero;
    const std::size_t size = size_of(in.type);
    std::size_t i = 0;
    for_each_offset(in, [&](std::ptrdiff_t offset) {
        const std::uint8_t octet = given[i % given.size()];
        const auto centred = static_cast<double>(static_cast<std::int8_t>(octet));
        const auto put = [&](double x) { store(in.type, in.data, offset, x); };
        switch (style % 8) {
            case 1: put(one_of(notable, octet)); break;
            case 2: put(centred / 8); break;
            case 3: put(base + (uniform() - 0.5) * std::ldexp(1.0, exponent % 16)); break;
            case 4: put(octet >= 200 ? one_of(notable, octet) : centred * uniform()); break;
            case 5: put(base + centred * std::ldexp(1.0, exponent)); break;
            case 6: put(std::ldexp(centred + uniform(), exponent * 8 + octet % 4)); break;
            case 7: put(octet % 16 == 0 ? base : octet >= 128 ? -inf : base - uniform() * octet); break;
            default: {
                std::byte* const element =
                    static_cast<std::byte*>(in.data) + offset * static_cast<std::ptrdiff_t>(size);
                for (std::size_t b = 0; b < size; ++b) element[b] = std::byte{given[(i * size + b) % given.size()]};
            }
        }
        ++i;
    });
}

}  // namespace softmax_test
