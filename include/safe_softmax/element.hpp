// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Which types elements have, and how others are added.

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <type_traits>
#if defined(__has_include)
#if __has_include(<stdfloat>)
#include <stdfloat>
#endif
#endif

namespace smx {

/// What the bits of an element mean.
enum class element_format { none, binary16, bfloat16, binary32, binary64 };

/// The customisation point for foreign element types: specialise it, and views of that type work everywhere.
///
/// ```cpp
/// template <> inline constexpr smx::element_format smx::format_of<my::half> = smx::element_format::binary16;
/// ```
///
/// The type must be trivially copyable and of the format's size. Elements are read and written as bytes.
template <class T>
inline constexpr element_format format_of = element_format::none;

template <>
inline constexpr element_format format_of<float> = element_format::binary32;
template <>
inline constexpr element_format format_of<double> = element_format::binary64;
template <>
inline constexpr element_format format_of<float16> = element_format::binary16;
template <>
inline constexpr element_format format_of<bfloat16> = element_format::bfloat16;

#if defined(__STDCPP_FLOAT16_T__)
template <>
inline constexpr element_format format_of<std::float16_t> = element_format::binary16;
#elif defined(__FLT16_MAX__) && (defined(__clang__) || __GNUC__ >= 13 || defined(__SSE2__))  // g++ 12: x86 only
template <>
inline constexpr element_format format_of<_Float16> = element_format::binary16;
#endif
#if defined(__STDCPP_BFLOAT16_T__)
template <>
inline constexpr element_format format_of<std::bfloat16_t> = element_format::bfloat16;
#elif defined(__BFLT16_MAX__) || defined(__ARM_FEATURE_BF16) || \
    (defined(__clang__) && __clang_major__ >= 17 && defined(__SSE2__))
template <>
inline constexpr element_format format_of<__bf16> = element_format::bfloat16;
#endif

namespace vocabulary {

constexpr std::size_t size_of_format(element_format format) {
    return format == element_format::none       ? 0
           : format == element_format::binary64 ? 8
           : format == element_format::binary32 ? 4
                                                : 2;
}

template <element_format F>
struct storage_of_format;
template <>
struct storage_of_format<element_format::binary16> {
    using type = float16;
};
template <>
struct storage_of_format<element_format::bfloat16> {
    using type = bfloat16;
};
template <>
struct storage_of_format<element_format::binary32> {
    using type = float;
};
template <>
struct storage_of_format<element_format::binary64> {
    using type = double;
};

/// The library's own type with the format of T: all that a kernel ever sees.
template <class T>
using storage_t = typename storage_of_format<format_of<std::remove_cv_t<T>>>::type;

}  // namespace vocabulary

/// A type whose values can be logits or probabilities: float, double, float16, bfloat16 and every registered type.
template <class T>
concept element = format_of<std::remove_cv_t<T>> != element_format::none && std::is_trivially_copyable_v<T> &&
                  sizeof(T) == vocabulary::size_of_format(format_of<std::remove_cv_t<T>>);

}  // namespace smx
