// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>
#include <safe_softmax/detail/work.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Rows that are few neighbours in memory are joined up to this length.
inline constexpr std::size_t longest_joined_row = 1024;

/// softmax or log_softmax (F) of rows that are too few neighbours to fill the lanes of a pack: several blocks of them side by side are
/// copied into columns (see columns.hpp), and the results back.
template <class B, class In, class Out>
class joined_blocks {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    static constexpr std::size_t lanes = P::lanes;

public:
    /// How many blocks there is room for.
    static SMX_ALWAYS_INLINE std::size_t blocks_in_pack(std::size_t neighbours) noexcept { return lanes / neighbours; }

    /// `blocks` of them (at most blocks_in_pack), each of `length` times `neighbours` contiguous elements, `in_pitch` and
    /// `out_pitch` elements apart. False, with nothing written, if a row needs the special path.
    template <function F>
    static SMX_NOINLINE bool run(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch,
                                 std::size_t blocks, std::size_t length, std::size_t neighbours,
                                 const recipe<T>& r) noexcept {
        alignas(64)
            T columns[(longest_joined_row + 1) * lanes];  // a pack more: the last store reaches beyond the last row
        // Whole packs are stored, from left to right. What load_partial puts behind the elements of a block is overwritten by the next one,
        // or stays: +0 in lanes without a row, which are computed like the others, so that they must not be special.
        for (std::size_t i = 0; i < length; ++i)
            for (std::size_t b = 0; b < blocks; ++b)
                store(columns + i * lanes + b * neighbours,
                      P::load_partial(in + static_cast<std::ptrdiff_t>(b) * in_pitch + i * neighbours, neighbours));
        constexpr auto step = static_cast<std::ptrdiff_t>(lanes);
        column_tile<B, T, T, T, 1, Q> tile({columns, step, length, lanes, r.scale}, columns, step);
        if (!tile.template run<F>()) return false;
        for (std::size_t i = 0; i < length; ++i)
            for (std::size_t b = 0; b < blocks; ++b)
                store_partial(out + static_cast<std::ptrdiff_t>(b) * out_pitch + i * neighbours,
                              P::load(columns + i * lanes + b * neighbours), neighbours);
        return true;
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
