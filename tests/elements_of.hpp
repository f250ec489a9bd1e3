// SPDX-License-Identifier: BSL-1.0
#pragma once

// Rows of elements whose type is known when the test is compiled.

#include "element_types.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace softmax_test {

template <class T>
inline constexpr dtype type_of = std::is_same_v<T, float>          ? dtype::f32
                                 : std::is_same_v<T, double>       ? dtype::f64
                                 : std::is_same_v<T, smx::float16> ? dtype::f16
                                                                   : dtype::bf16;

template <class T>
double number(T x) {
    if constexpr (std::is_floating_point_v<T>) return static_cast<double>(x);
    else return static_cast<double>(static_cast<float>(x));
}

template <class T>
std::vector<T> elements_of(std::span<const double> values) {
    std::vector<T> result;
    for (const double v : values) result.push_back(T(v));
    return result;
}
template <class T>
std::vector<double> numbers_of(const std::vector<T>& elements) {
    std::vector<double> result;
    for (const T x : elements) result.push_back(number(x));
    return result;
}

template <class T>
bool same_bits(const T& a, const T& b) {
    static_assert(std::is_trivially_copyable_v<T>);
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace softmax_test
