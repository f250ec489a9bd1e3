// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/element.hpp>
#include <safe_softmax/options.hpp>

#include <cstddef>
#include <type_traits>

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
    std::size_t length;                ///< elements of a row
    std::ptrdiff_t in_step, out_step;  ///< along a row; out_step has no meaning where a row gives one result
    row_loop rows;                     ///< the innermost loop: neighbours in memory if there are any
    const row_loop* outer;             ///< loops around it, outermost first
    std::size_t outer_count;
    double scale;
    special_values special;
};

// A row of more than 65536 elements is added up in segments, at most 64 of them, all of the same length but for the last one, which may be
// shorter. They depend on the length of the row alone: threads that share a row by segments give the bits of one thread.

inline constexpr std::size_t segment_step = 65536, most_segments = 64;

/// Elements of a segment, a multiple of segment_step, in a row of 1 or more.
SMX_INLINE_VOCABULARY constexpr std::size_t segment_length(std::size_t row_length) noexcept {
    return ((row_length - 1) / (segment_step * most_segments) + 1) * segment_step;
}
SMX_INLINE_VOCABULARY constexpr std::size_t segment_count(std::size_t row_length) noexcept {
    return (row_length - 1) / segment_length(row_length) + 1;
}

/// What those who share a row do, segment by segment; a stage begins when all segments are through with the one before.
enum class stage { maximum, sum, result };

/// What a stage finds out about each segment for the next ones.
struct shared_row {
    double top[most_segments];                       ///< the largest logit, as scaling.hpp takes it
    double sum[most_segments], rest[most_segments];  ///< the sum of the terms and what it rounded away
    std::size_t ties[most_segments];                 ///< how often the largest logit of the row is there
};

/// What the types of a call say of its rows: paths that these cannot take are not compiled.
enum class known_rows {
    batch,   ///< there may be many, of any steps; run-time dispatch knows no more
    single,  ///< one row, of any step: views of rank 1
    range    ///< one, its elements next to each other: vectors, arrays, spans
};

/// What is done with the rows.
enum class function { softmax, log_softmax, logsumexp };
inline constexpr std::size_t functions = 3;

/// A storage type as an index; no other type has one.
template <class T>
struct index_of_type;
template <>
struct index_of_type<float> {
    static constexpr std::size_t value = 0;
};
template <>
struct index_of_type<double> {
    static constexpr std::size_t value = 1;
};
template <>
struct index_of_type<float16> {
    static constexpr std::size_t value = 2;
};
template <>
struct index_of_type<bfloat16> {
    static constexpr std::size_t value = 3;
};
template <class T>
inline constexpr std::size_t type_index = index_of_type<T>::value;
inline constexpr std::size_t types = 4;

/// Pairs of types that are worth every path of kernels.hpp: one and the same, or 16 bits and float. The others, double with
/// something else and float16 with bfloat16, give the same bits row by row, and take half as long to compile.
template <class In, class Out>
inline constexpr bool every_path =
    std::is_same_v<In, Out> || (sizeof(In) <= 4 && sizeof(Out) <= 4 && sizeof(In) != sizeof(Out));

}  // namespace vocabulary
}  // namespace smx
