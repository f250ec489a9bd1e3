// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/element.hpp>
#include <safe_softmax/options.hpp>

#include <cstddef>

namespace smx {
namespace vocabulary {

/// A loop over rows; strides in elements from one iteration to the next.
struct row_loop {
    std::size_t extent;
    std::ptrdiff_t in, out;
};

/// What one call of a public function comes to once everything has been checked: plain data that means the same in every
/// object of a program, whatever it was compiled for. It is what crosses from the public functions to the kernels, and what
/// run-time dispatch hands to the instruction set it chose.
struct work {
    const void* in;  ///< the first element of the first row
    void* out;
    std::size_t length;               ///< elements of a row
    std::ptrdiff_t in_step, out_step; ///< along a row; out_step has no meaning where a row gives one result
    row_loop rows;                    ///< the innermost loop: neighbours in memory if there are any
    const row_loop* outer;            ///< loops around it, outermost first
    std::size_t outer_count;
    double scale;
    special_values special;
};

/// What is done with the rows.
enum class function { softmax, log_softmax, logsumexp };
inline constexpr std::size_t functions = 3;

/// A storage type as an index; no other type has one.
template <class T>
struct index_of_type;
template <>
struct index_of_type<float> { static constexpr std::size_t value = 0; };
template <>
struct index_of_type<double> { static constexpr std::size_t value = 1; };
template <>
struct index_of_type<float16> { static constexpr std::size_t value = 2; };
template <>
struct index_of_type<bfloat16> { static constexpr std::size_t value = 3; };
template <class T>
inline constexpr std::size_t type_index = index_of_type<T>::value;
inline constexpr std::size_t types = 4;

}  // namespace vocabulary
}  // namespace smx
