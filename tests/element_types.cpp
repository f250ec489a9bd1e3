// SPDX-License-Identifier: BSL-1.0
#include "element_types.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <cmath>
#include <cstring>
#include <stdexcept>

namespace softmax_test {
namespace {

template <class T>
T read(const void* data, std::ptrdiff_t index) {
    T value;
    std::memcpy(&value, static_cast<const T*>(data) + index, sizeof value);
    return value;
}

template <class T>
void write(void* data, std::ptrdiff_t index, T value) {
    std::memcpy(static_cast<T*>(data) + index, &value, sizeof value);
}

[[noreturn]] void unknown() { throw std::logic_error("softmax_test: unknown element type"); }

}  // namespace

const char* name_of(dtype type) {
    switch (type) {
        case dtype::f32: return "float";
        case dtype::f64: return "double";
        case dtype::f16: return "float16";
        case dtype::bf16: return "bfloat16";
    }
    unknown();
}

std::size_t size_of(dtype type) {
    switch (type) {
        case dtype::f32: return 4;
        case dtype::f64: return 8;
        case dtype::f16:
        case dtype::bf16: return 2;
    }
    unknown();
}

binary_format format_of(dtype type) {
    switch (type) {
        case dtype::f32: return {24, -126, 127};
        case dtype::f64: return {53, -1022, 1023};
        case dtype::f16: return {11, -14, 15};
        case dtype::bf16: return {8, -126, 127};
    }
    unknown();
}

double largest_finite(dtype type) {
    const binary_format format = format_of(type);
    return std::ldexp(2.0 - std::ldexp(1.0, 1 - format.digits), format.max_exponent);
}

double smallest_subnormal(dtype type) {
    const binary_format format = format_of(type);
    return std::ldexp(1.0, format.min_exponent - format.digits + 1);
}

double load(dtype type, const void* data, std::ptrdiff_t index) {
    switch (type) {
        case dtype::f32: return static_cast<double>(read<float>(data, index));
        case dtype::f64: return read<double>(data, index);
        case dtype::f16: return static_cast<double>(read<smx::float16>(data, index));
        case dtype::bf16: return static_cast<double>(read<smx::bfloat16>(data, index));
    }
    unknown();
}

void store(dtype type, void* data, std::ptrdiff_t index, double value) {
    switch (type) {
        case dtype::f32: return write(data, index, static_cast<float>(value));
        case dtype::f64: return write(data, index, value);
        case dtype::f16: return write(data, index, smx::float16(value));
        case dtype::bf16: return write(data, index, smx::bfloat16(value));
    }
    unknown();
}

double rounded_to(dtype type, double value) {
    double element = 0;
    store(type, &element, 0, value);
    return load(type, &element, 0);
}

std::uint64_t load_bits(dtype type, const void* data, std::ptrdiff_t index) {
    switch (size_of(type)) {
        case 2: return read<std::uint16_t>(data, index);
        case 4: return read<std::uint32_t>(data, index);
        default: return read<std::uint64_t>(data, index);
    }
}

}  // namespace softmax_test
