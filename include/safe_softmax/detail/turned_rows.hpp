// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>
#include <safe_softmax/detail/work.hpp>
#include <safe_softmax/simd/transpose.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows up to this length are turned over, if there are enough of them and even_rows.hpp does not take them; T is the
/// arithmetic's type. (In double, softmax of 25 to 32 elements would take 1.1 to 1.4 times as long as in the pipeline.)
template <function F, class T>
inline constexpr std::size_t longest_turned_row = F == function::log_softmax || sizeof(T) == 4 ? 32 : 24;
/// Where rows are few neighbours in memory, the same for blocks of them up to this many elements, all rows together.
inline constexpr std::size_t longest_turned_block = 512;

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
    static SMX_NOINLINE bool run(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch,
                                 std::size_t length, std::size_t neighbours, const recipe<T>& r) noexcept {
        constexpr auto blocks = static_cast<std::ptrdiff_t>(count);
        const std::size_t block = length * neighbours;
        const auto elements = static_cast<std::ptrdiff_t>(block);
        const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(neighbours) * blocks;
        alignas(64) T columns[count * Longest];
        alignas(64) T strip[std::is_same_v<In, T> && std::is_same_v<Out, T>
                                ? 1
                                : count * longest_strip];  // of elements of other types

        if constexpr (std::is_same_v<In, T>) {
            transpose(in, in_pitch, columns, blocks, blocks, elements);
        } else {
            for_strips(block, [&](std::size_t e, std::size_t n) SMX_INLINE_LAMBDA {
                const auto pitch = static_cast<std::ptrdiff_t>(n);
                if (n == block && in_pitch == elements) copy(in, strip, count * n);
                else
                    for (std::ptrdiff_t i = 0; i < blocks; ++i) copy(in + i * in_pitch + e, strip + i * pitch, n);
                transpose(strip, pitch, columns + e * count, blocks, blocks, pitch);
            });
        }
        for (std::size_t i = 0; i < neighbours; ++i) {
            T* const first = columns + i * count;
            column_tile<B, T, T, T, K, Q> tile({first, step, length, count, r.scale}, first, step);
            if (!tile.template run<F>()) return false;
        }
        if constexpr (std::is_same_v<Out, T>) {
            transpose(columns, blocks, out, out_pitch, elements, blocks);
        } else {
            for_strips(block, [&](std::size_t e, std::size_t n) SMX_INLINE_LAMBDA {
                const auto pitch = static_cast<std::ptrdiff_t>(n);
                transpose(columns + e * count, blocks, strip, pitch, pitch, blocks);
                if (n == block && out_pitch == elements) copy(strip, out, count * n);
                else
                    for (std::ptrdiff_t i = 0; i < blocks; ++i) copy(strip + i * pitch, out + i * out_pitch + e, n);
            });
        }
        return true;
    }

private:
    static constexpr std::size_t lanes = P::lanes;

    static constexpr std::size_t longest_strip = 2 * lanes;

    /// f(first element, number of elements) for strips of a block; where the last one would be shorter, it begins earlier.
    template <class G>
    static SMX_ALWAYS_INLINE void for_strips(std::size_t block, G f) noexcept {
        if (block <= longest_strip) return f(0, block);
        for (std::size_t e = 0; e + longest_strip <= block; e += longest_strip) f(e, longest_strip);
        if (block % longest_strip != 0) f(block - longest_strip, longest_strip);
    }
    template <class From, class To>
    static SMX_ALWAYS_INLINE void copy(const From* from, To* to, std::size_t n) noexcept {
        if (n < lanes) return store_partial(to, P::load_partial(from, n), n);
        for (std::size_t i = 0; i + lanes <= n; i += lanes) store(to + i, P::load(from + i));
        if (n % lanes != 0) store(to + n - lanes, P::load(from + n - lanes));
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
