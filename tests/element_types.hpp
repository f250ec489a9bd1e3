// SPDX-License-Identifier: BSL-1.0
#pragma once

// The four element types, named at run time: tests loop over them instead of being instantiated for them.

#include <bit>
#include <cstddef>
#include <cstdint>

namespace softmax_test {

enum class dtype { f32, f64, f16, bf16 };

inline constexpr dtype all_dtypes[] = {dtype::f32, dtype::f64, dtype::f16, dtype::bf16};

/// A binary format: `digits` significant bits; normal numbers lie in [2^min_exponent, 2^(max_exponent + 1)).
struct binary_format {
    int digits;
    int min_exponent;
    int max_exponent;
};

const char* name_of(dtype type);
std::size_t size_of(dtype type);
binary_format format_of(dtype type);
double largest_finite(dtype type);
double smallest_subnormal(dtype type);

/// Double as soon as either side is double, else float.
constexpr dtype compute_type(dtype in, dtype out) {
    return in == dtype::f64 || out == dtype::f64 ? dtype::f64 : dtype::f32;
}

/// The element as a double: exact.
double load(dtype type, const void* data, std::ptrdiff_t index);

/// Rounded once, to nearest, ties to even.
void store(dtype type, void* data, std::ptrdiff_t index, double value);

/// The value of the element that `value` is stored as.
double rounded_to(dtype type, double value);

/// The element's bits, in the low end.
std::uint64_t load_bits(dtype type, const void* data, std::ptrdiff_t index);

constexpr bool is_nan(double value) { return std::bit_cast<std::uint64_t>(value) << 1 > 0xffe0000000000000u; }
constexpr bool is_positive_zero(double value) { return std::bit_cast<std::uint64_t>(value) == 0; }

}  // namespace softmax_test
