// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>
#include <safe_softmax/detail/work.hpp>
#include <safe_softmax/simd/transpose.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows up to this length are turned over, if there are enough of them.
template <function F>
inline constexpr std::size_t longest_turned_row = F == function::log_softmax ? 32 : 24;
/// Where rows are few neighbours in memory, the same for blocks of them up to this many elements.
template <class In, class Out>
inline constexpr std::size_t longest_turned_block = std::is_same_v<In, Out> && sizeof(In) >= 4 ? 512 : 256;

/// softmax or log_softmax (F) of rows that are too short, or too few neighbours, to fill the lanes of registers: K packs of
/// blocks of memory, of a row each or of a few neighbouring ones, are turned over into columns (see columns.hpp), and the results
/// back. Longest: elements of a block at most.
template <class B, class In, class Out, std::size_t K, std::size_t Longest>
class turned_rows {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    static constexpr std::size_t count = K * P::lanes;

    /// `count` blocks, each of `length` times `neighbours` contiguous elements, `in_pitch` and `out_pitch` elements apart. False,
    /// with nothing written, if a row needs the special path.
    template <function F>
    static SMX_NOINLINE bool run(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch, std::size_t length,
                                 std::size_t neighbours, const recipe<T>& r) noexcept {
        constexpr auto blocks = static_cast<std::ptrdiff_t>(count);
        const std::size_t block = length * neighbours;
        const auto elements = static_cast<std::ptrdiff_t>(block);
        const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(neighbours) * blocks;
        alignas(64) T columns[count * Longest];
        alignas(64) T copies[std::is_same_v<In, T> && std::is_same_v<Out, T> ? 1 : count * Longest];  // of elements of other types

        if constexpr (std::is_same_v<In, T>) {
            transpose(in, in_pitch, columns, blocks, blocks, elements);
        } else {
            for_runs(in_pitch, block, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                copy(in + static_cast<std::ptrdiff_t>(i) * in_pitch, copies + i * block, n);
            });
            transpose(copies, elements, columns, blocks, blocks, elements);
        }
        for (std::size_t i = 0; i < neighbours; ++i) {
            T* const first = columns + i * count;
            column_tile<B, T, T, T, K, Q> tile({first, step, length, count, r.scale}, first, step);
            if (!tile.template run<F>()) return false;
        }
        if constexpr (std::is_same_v<Out, T>) {
            transpose(columns, blocks, out, out_pitch, elements, blocks);
        } else {
            transpose(columns, blocks, copies, elements, elements, blocks);
            for_runs(out_pitch, block, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                copy(copies + i * block, out + static_cast<std::ptrdiff_t>(i) * out_pitch, n);
            });
        }
        return true;
    }

private:
    /// f(first block, number of elements) for every stretch of memory without gaps.
    template <class G>
    static SMX_ALWAYS_INLINE void for_runs(std::ptrdiff_t pitch, std::size_t block, G f) noexcept {
        if (pitch == static_cast<std::ptrdiff_t>(block)) return f(0, count * block);
        for (std::size_t i = 0; i < count; ++i) f(i, block);
    }
    template <class From, class To>
    static SMX_ALWAYS_INLINE void copy(const From* from, To* to, std::size_t n) noexcept {
        std::size_t i = 0;
        for (; i + P::lanes <= n; i += P::lanes) store(to + i, P::load(from + i));
        if (i < n) store_partial(to + i, P::load_partial(from + i, n - i), n - i);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
