// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <cstddef>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

#if SMX_VECTOR_TYPES && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SMX_HAS_SHUFFLES 1
#endif
#endif

/// Rows and columns of a small block that is turned over in registers of 16 bytes, which every SIMD processor has.
template <class T>
inline constexpr std::ptrdiff_t turned_at_once = 16 / static_cast<std::ptrdiff_t>(sizeof(T));

/// to[c][r] = from[r][c] for a block of turned_at_once<T> rows and columns.
template <class T>
SMX_ALWAYS_INLINE void transpose_block(const T* from, std::ptrdiff_t from_pitch, T* to,
                                       std::ptrdiff_t to_pitch) noexcept {
#if defined(SMX_HAS_SHUFFLES)
    typedef T pack __attribute__((vector_size(16)));
    typedef T unaligned __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
    const auto row = [&](std::ptrdiff_t r) SMX_INLINE_LAMBDA -> pack {
        return *reinterpret_cast<const unaligned*>(from + r * from_pitch);
    };
    const auto put = [&](std::ptrdiff_t c, pack column)
                         SMX_INLINE_LAMBDA { *reinterpret_cast<unaligned*>(to + c * to_pitch) = column; };
    if constexpr (sizeof(T) == 4) {
        const pack r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
        const pack a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
        const pack c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
        put(0, __builtin_shufflevector(a, b, 0, 1, 4, 5));
        put(1, __builtin_shufflevector(a, b, 2, 3, 6, 7));
        put(2, __builtin_shufflevector(c, d, 0, 1, 4, 5));
        put(3, __builtin_shufflevector(c, d, 2, 3, 6, 7));
    } else {
        const pack r0 = row(0), r1 = row(1);
        put(0, __builtin_shufflevector(r0, r1, 0, 2));
        put(1, __builtin_shufflevector(r0, r1, 1, 3));
    }
#else
    for (std::ptrdiff_t r = 0; r < turned_at_once<T>; ++r)
        for (std::ptrdiff_t c = 0; c < turned_at_once<T>; ++c) to[c * to_pitch + r] = from[r * from_pitch + c];
#endif
}

/// to[c][r] = from[r][c]. The two do not overlap.
template <class T>
SMX_ALWAYS_INLINE void transpose(const T* from, std::ptrdiff_t from_pitch, T* to, std::ptrdiff_t to_pitch,
                                 std::ptrdiff_t rows, std::ptrdiff_t columns) noexcept {
    constexpr std::ptrdiff_t block = turned_at_once<T>;
    if (rows < block || columns < block) {
        for (std::ptrdiff_t r = 0; r < rows; ++r)
            for (std::ptrdiff_t c = 0; c < columns; ++c) to[c * to_pitch + r] = from[r * from_pitch + c];
        return;
    }
    // The last block of a row of blocks begins earlier where it would go past the end: some elements are written twice.
    for (std::ptrdiff_t r = 0;; r = r + 2 * block <= rows ? r + block : rows - block) {
        for (std::ptrdiff_t c = 0;; c = c + 2 * block <= columns ? c + block : columns - block) {
            transpose_block(from + r * from_pitch + c, from_pitch, to + c * to_pitch + r, to_pitch);
            if (c + block == columns) break;
        }
        if (r + block == rows) break;
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
