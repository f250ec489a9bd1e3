// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>
#include <safe_softmax/detail/work.hpp>
#include <safe_softmax/simd/transpose.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows up to this length, many of them, are turned over: their elements then fill the lanes of registers.
inline constexpr std::size_t longest_turned_row = 24;

/// softmax or log_softmax (F) of many contiguous rows that are too short to fill a register or two: turned over into neighbouring
/// columns, see columns.hpp, and the results back.
template <class B, class In, class Out, std::size_t K>
class turned_rows {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    static constexpr std::size_t count = K * lanes;

    /// The rows j to j + count - 1 of w. False, with nothing written, if one of them needs the special path.
    template <function F>
    static SMX_NOINLINE bool run(const work& w, const recipe<T>& r, std::size_t j) noexcept {
        const std::size_t n = w.length;
        constexpr auto pitch = static_cast<std::ptrdiff_t>(count);
        const auto length = static_cast<std::ptrdiff_t>(n);
        const In* in = in_row<In>(w, j);
        Out* out = out_row<Out>(w, j);
        alignas(64) T columns[count * longest_turned_row];
        alignas(64) T rows[count * longest_turned_row];  // for elements of other types

        if constexpr (std::is_same_v<In, T>) {
            transpose(in, w.rows.in, columns, pitch, pitch, length);
        } else {
            if (w.rows.in == length) load(in, rows, n * count);
            else
                for (std::size_t i = 0; i < count; ++i) load(in_row<In>(w, j + i), rows + i * n, n);
            transpose(rows, length, columns, pitch, pitch, length);
        }

        column_tile<B, T, T, T, K, Q> tile({columns, pitch, n, count, r.scale}, columns, pitch);
        if (!tile.template run<F>()) return false;

        if constexpr (std::is_same_v<Out, T>) {
            transpose(columns, pitch, out, w.rows.out, length, pitch);
        } else {
            transpose(columns, pitch, rows, length, length, pitch);
            if (w.rows.out == length) put(rows, out, n * count);
            else
                for (std::size_t i = 0; i < count; ++i) put(rows + i * n, out_row<Out>(w, j + i), n);
        }
        return true;
    }

private:
    static SMX_ALWAYS_INLINE void load(const In* in, T* to, std::size_t n) noexcept {
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) store(to + i, P::load(in + i));
        if (i < n) store_partial(to + i, P::load_partial(in + i, n - i), n - i);
    }
    static SMX_ALWAYS_INLINE void put(const T* from, Out* out, std::size_t n) noexcept {
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) store(out + i, P::load(from + i));
        if (i < n) store_partial(out + i, P::load_partial(from + i, n - i), n - i);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
