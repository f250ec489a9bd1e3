// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/even_rows.hpp>
#include <safe_softmax/detail/joined_blocks.hpp>
#include <safe_softmax/detail/one_sweep.hpp>
#include <safe_softmax/detail/results_past_cache.hpp>
#include <safe_softmax/detail/row_pipeline.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/short_rows.hpp>
#include <safe_softmax/detail/turned_rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A function of the rows of some work with backend B. The path depends on the function, steps, strides, length, number of rows, scale and
/// registers, and every path gives the same bits; the first that suits is taken:
///
///     few          neighbours in memory, half a pack of rows or fewer, in several blocks: 16
///                  small blocks at a time turned over into columns, others side
///                  by side in a pack                         turned_rows.hpp, joined_blocks.hpp
///     columns      neighbours in memory, a quarter of a pack or more: a lane for
///                  each row                                                       columns.hpp
///     even rows    contiguous, of one type, eight and more, from 16 elements (softmax in
///                  double: 12, log_softmax in float: 25) to eight packs (log_softmax:
///                  four), plain and without a NaN: the pipeline's loop for so many packs  even_rows.hpp
///     turned       contiguous, up to 32 elements (softmax in double: 24), many of
///                  them: turned over into columns                                 turned_rows.hpp
///     short rows   contiguous, one or two packs of at most two registers (a row that
///                  is alone: up to four), a plain scale: they stay in registers   short_rows.hpp
///     one sweep    contiguous, softmax to the type of the arithmetic, not in place, a
///                  pack of one register, 4096 elements and more (one row: 8192,
///                  double: 2048); and what goes past the cache: maximum and sum in
///                  one sweep, but for rows that this does not suit                one_sweep.hpp
///     pipeline     contiguous, several rows: the terms of one, the maximum of
///                  another and the results of a third in one loop                row_pipeline.hpp
///     past cache   contiguous, 16 MiB of results and more, arithmetic in float:
///                  they are written past the caches                               results_past_cache.hpp
///     rows         contiguous ones pass by pass, stepped ones by way of a copy    rows.hpp, passes.hpp
///     special      rows with a NaN or without a finite maximum                    special.hpp
///
/// Rare pairs of types (work.hpp) have rows and special. Threads that share a row run segments.hpp.
template <class B, class In, class Out>
class kernels {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    using kernel = row_kernel<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    /// Where a pack is more than two registers, code is long and few paths are faster: different types go row by row, as rare pairs do.
    static constexpr bool has_every_path =
        vocabulary::every_path<In, Out> && (P::registers <= 2 || std::is_same_v<In, Out>);
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    template <function F, known_rows K>
    static SMX_ALWAYS_INLINE void run(const work& w) noexcept {
        const default_environment environment;
        if constexpr (has_every_path && longest_short_row<P> != 0) {
            // Before anything that takes registers and stack: a row that is short and alone takes less time than what the others need.
            if (w.length <= longest_lone_short_row<P> && w.length >= 2 && w.rows.extent == 1 && w.outer_count == 0 &&
                w.in_step == 1 && (w.out_step == 1 || F == function::logsumexp) && w.scale == 1.0) {
                const recipe<T> r{no_scaling<T>, w.special};
                bool done[1];
                short_rows_from<F>(w, r, 0, 1, done);
                if (!done[0]) contiguous_row<F>(static_cast<const In*>(w.in), static_cast<Out*>(w.out), w.length, r);
                return;
            }
        }
        run_under_default<F, K>(w);
    }

    /// One row, under the default environment. The next one is so many elements away, or 0. Room: for all terms, or for several pieces
    /// of them, from a caller that has it.
    template <function F>
    static SMX_NOINLINE void contiguous_row(const In* in, Out* out, std::size_t length, const recipe<T>& r,
                                            std::ptrdiff_t next_in = 0, std::ptrdiff_t next_out = 0,
                                            [[maybe_unused]] const waiting_terms<T>& room = {}) noexcept {
        const pieces_in_place<const In> from{in};
        const pieces_in_place<Out> to{out};
        if constexpr (F == function::softmax && has_every_path) {
            if (takes_one_sweep<F>(in, out, length, next_in == 0) && softmax_in_one_sweep(in, out, length, r.scale))
                return;
        }
        row_constants<T> row;
        if (!kernel::find_constants(from, length, r.scale, row, by_octaves<F>(length)))
            return special<F>({in, 1}, {out, 1}, length, r);
        if constexpr (F != function::logsumexp && has_every_path && sizeof(T) == 4) {
            if (goes_past_cache<T>(out, length)) return row_past_cache<F>(in, out, length, row, r);
        }
        const bool distant = length > fetched_ahead;
        const In* const in_soon = far_from(in, distant ? fetched_ahead : next_in);
        char* const results = length <= longest_awaited ? reinterpret_cast<char*>(out) : nullptr;
        if constexpr (F == function::softmax) {
            bool done;
            if constexpr (std::is_same_v<Out, T>) {
                done = kernel::template softmax_through_output<Q>(in, out, length, row, r.scale, in_soon,
                                                                  far_from(out, distant ? fetched_ahead : next_out));
            } else {
                const wanted_soon<pieces_in_place<const In>> wanted{in_soon, results};
                if (room.is_there())
                    done = kernel::template softmax_through_buffer<Q>(from, to, length, room, row, r.scale, wanted);
                else if (length <= piece_elements<T>) done = softmax_with_room<1>(from, to, length, row, r, wanted);
                else done = softmax_with_room<waiting_pieces>(from, to, length, row, r, wanted);
            }
            if (!done) fill_nan(stepped<Out>{out, 1}, length);
        } else {
            with_logarithm<F>(from, to, {out, 1}, length, row, r,
                              {in_soon, F == function::log_softmax ? results : nullptr});
        }
    }

    /// Rows that row_pipeline is for: there have to be registers for what it does at a time.
    static constexpr bool has_pipeline = has_every_path && P::registers <= 2;
    /// Pairs of different types go by the pipeline: code that few ask for.
    template <function F>
    static constexpr bool has_even_rows = has_pipeline && F != function::logsumexp && std::is_same_v<In, Out>;
    template <function F>
    static SMX_ALWAYS_INLINE bool takes_pipeline(std::size_t length) noexcept {
        return has_pipeline && length >= lanes && (F == function::logsumexp || length < least_past_cache<T, Out>) &&
               (F != function::softmax || std::is_same_v<Out, T> || length <= waiting_pieces * piece_elements<T>);
    }

    /// alone: there is no next row, or it is the same one. Of rows whose terms wait in the output the elements may be asked for a second
    /// time, so they have to be somewhere else. Of rows of float shorter ones take longer than by the pipeline, or, alone, than pass by
    /// pass; so do all where a pack is two registers.
    template <function F>
    static SMX_ALWAYS_INLINE bool takes_one_sweep(const void* in, const void* out, std::size_t length,
                                                  bool alone) noexcept {
        constexpr bool through_output = std::is_same_v<Out, T> && P::registers == 1;
        const std::size_t least = sizeof(T) == 8 ? 2048 : alone ? 8192 : 4096;
        static_assert(least_by_octaves <= 2048);
        if constexpr (F != function::softmax || !has_every_path) return false;
        return length >= least_past_cache<T, Out> || (through_output && length >= least && in != out);
    }

private:
    template <known_rows K>
    static constexpr bool is_batch = K == known_rows::batch;

    /// Not inlined: the stack is taken where it is needed.
    template <std::size_t Pieces>
    static SMX_NOINLINE bool softmax_with_room(const pieces_in_place<const In>& in, const pieces_in_place<Out>& out,
                                               std::size_t length, const row_constants<T>& row, const recipe<T>& r,
                                               const wanted_soon<pieces_in_place<const In>>& wanted) noexcept {
        alignas(64) T buffer[Pieces * piece_elements<T>];
        return kernel::template softmax_through_buffer<Q>(in, out, length, {buffer, Pieces}, row, r.scale, wanted);
    }

    static SMX_ALWAYS_INLINE bool softmax_in_one_sweep(const In* in, Out* out, std::size_t length,
                                                       const scaling<T>& s) noexcept {
        using sweep = one_sweep<B, T>;
        if constexpr (sizeof(T) == 4) {
            if (goes_past_cache<T>(out, length)) return sweep::template softmax_past_cache<Q>(in, out, length, s);
        }
        if constexpr (std::is_same_v<Out, T> && P::registers == 1) {
            if (static_cast<const void*>(in) != out)
                return sweep::template softmax_through_output<Q>(in, out, length, s, stores_wait() ? fetched_ahead : 0);
        }
        return false;
    }

    /// A row that few caches hold, with a finite maximum: read for its sum, and again for its results. Terms are not kept.
    template <function F>
    static SMX_NOINLINE void row_past_cache(const In* in, Out* out, std::size_t length, const row_constants<T>& row,
                                            const recipe<T>& r) noexcept {
        const pieces_in_place<const In> from{in};
        const wanted_soon<pieces_in_place<const In>> wanted{far_from(in, fetched_ahead)};
        if constexpr (F == function::softmax) {
            alignas(64) T unused[piece_elements<T>];
            const double sum = kernel::template sum_of_terms<Q>(from, length, {unused}, row, r.scale, wanted);
            if (sum_is_nan(sum)) return fill_nan(stepped<Out>{out, 1}, length);
            write_shares_past_cache<B, T, Q>(in, out, 0, length, share_of<T>(sum), row, r.scale);
        } else {
            double log_sum;
            if (!kernel::log_of_sum(from, length, row, r.scale, log_sum, wanted))
                return fill_nan(stepped<Out>{out, 1}, length);
            subtract_past_cache<B, T>(in, out, 0, length, log_sum, row, r.scale);
        }
    }

    /// Rows of up to this many elements ask the cache for the next row, longer ones for what is so far ahead in them.
    static constexpr std::ptrdiff_t fetched_ahead = 1024;
    /// While the terms of up to so many elements are added up, the cache is asked for where their results go. (Of more, it would have
    /// lost the first ones before they are written.)
    static constexpr std::size_t longest_awaited = (std::size_t(256) << 10) / sizeof(Out);

    template <function F, known_rows K>
    static SMX_NOINLINE void run_under_default(const work& w) noexcept {
        if (w.scale == 1.0) return run_with<F, K>(w, no_scaling<T>);
        run_with<F, K>(w, make_scaling<T>(w.scale));
    }

    template <function F, known_rows K>
    static SMX_ALWAYS_INLINE void run_with(const work& w, const scaling<T>& s) noexcept {
        const recipe<T> r{s, w.special};
        if constexpr (is_batch<K> && has_every_path && F != function::logsumexp) {
            if (w.outer_count != 0 && has_few_neighbours(w)) {
                const vocabulary::row_loop& blocks = w.outer[w.outer_count - 1];
                work around_blocks = w;
                --around_blocks.outer_count;
                return for_each_outer<In, Out>(around_blocks,
                                               [&](const work& inner) { few_neighbours<F>(inner, blocks, r); });
            }
        }
        if constexpr (is_batch<K>) {
            if (w.outer_count != 0)
                return for_each_outer<In, Out>(w, [&](const work& inner) { run_rows<F, K>(inner, r); });
        }
        run_rows<F, K>(w, r);
    }

    template <function F, known_rows K>
    static SMX_ALWAYS_INLINE void run_rows(const work& w, const recipe<T>& r) noexcept {
        if constexpr (F == function::logsumexp) {
            if (w.length == 0) return empty_rows(w);
        }
        if constexpr (F == function::softmax) {
            if (w.length == 1) return single_elements(w, r);
        }
        if constexpr (is_batch<K> && has_every_path) {
            // Next to each other, and enough of them to fill a quarter of a pack.
            if (w.rows.in == 1 && w.rows.out == 1 && w.in_step != 1 && w.rows.extent >= lanes / 4)
                return columns<F>(w, r);
        }
        const bool contiguous =
            K == known_rows::range || (w.in_step == 1 && (w.out_step == 1 || F == function::logsumexp));
        if (contiguous) return contiguous_rows<F, K>(w, r);
        if constexpr (K != known_rows::range) {
            for (std::size_t j = 0; j < w.rows.extent; ++j)
                stepped_row<F>({in_row<In>(w, j), w.in_step}, {out_row<Out>(w, j), w.out_step}, w.length, r);
        }
    }

    template <function F, known_rows K>
    static SMX_ALWAYS_INLINE void contiguous_rows(const work& w, const recipe<T>& r) noexcept {
        if constexpr (is_batch<K> && has_even_rows<F>) {
            if (even_rows<B, In, Out, F>::suits(w.rows.extent, w.length, r.scale)) return many_even_rows<F>(w, r);
        }
        uneven_rows<F, K>(w, r);
    }
    template <function F, known_rows K>
    static SMX_ALWAYS_INLINE void uneven_rows(const work& w, const recipe<T>& r) noexcept {
        if constexpr (is_batch<K> && has_every_path && F != function::logsumexp) {
            if (w.length <= longest_turned_row<F, T> && w.rows.extent >= lanes) return many_short_rows<F>(w, r);
        }
        if constexpr (has_every_path && longest_short_row<P> != 0) {
            const std::size_t longest = w.rows.extent == 1 ? longest_lone_short_row<P> : longest_short_row<P>;
            if (r.scale.plain && w.length <= longest) return short_rows<F, is_batch<K>>(w, r);
        }
        if constexpr (is_batch<K> && has_pipeline) {
            if (w.rows.extent > 1 && takes_pipeline<F>(w.length) &&
                !takes_one_sweep<F>(w.in, w.out, w.length, w.rows.in == 0))
                return pipeline<F>(w, r);
        }
        for (std::size_t j = 0; j < w.rows.extent; ++j)
            contiguous_row<F>(in_row<In>(w, j), out_row<Out>(w, j), w.length, r, w.rows.in, w.rows.out);
    }

    template <function F>
    static SMX_NOINLINE void many_even_rows(const work& w, const recipe<T>& r) noexcept {
        even_rows<B, In, Out, F>::run(
            {in_row<In>(w, 0), w.rows.in, out_row<Out>(w, 0), w.rows.out}, w.length, w.rows.extent, r.scale,
            [&](std::size_t first, std::size_t end)
                SMX_INLINE_LAMBDA { uneven_rows<F, known_rows::batch>(rows_of(w, first, end - first), r); });
    }
    static SMX_ALWAYS_INLINE work rows_of(const work& w, std::size_t j, std::size_t count) noexcept {
        work some = w;
        some.in = in_row<In>(w, j);
        some.out = out_row<Out>(w, j);
        some.rows.extent = count;
        return some;
    }

    template <function F>
    static SMX_NOINLINE void pipeline(const work& w, const recipe<T>& r) noexcept {
        row_pipeline<B, In, Out, F> rows(r, &contiguous_row<F>);
        rows.add_rows(in_row<In>(w, 0), w.rows.in, out_row<Out>(w, 0), w.rows.out, w.length, w.rows.extent);
        rows.flush();
    }

    /// logsumexp of nothing.
    static SMX_NOINLINE void empty_rows(const work& w) noexcept {
        for (std::size_t j = 0; j < w.rows.extent; ++j) store_infinity(out_row<Out>(w, j), true);
    }

    /// softmax of rows with one element: 1, not 1 less a rounding.
    static SMX_NOINLINE void single_elements(const work& w, const recipe<T>& r) noexcept {
        for (std::size_t j = 0; j < w.rows.extent; ++j) {
            const In* in = in_row<In>(w, j);
            if (is_finite(load_element<T>(in))) store_element(out_row<Out>(w, j), T(1));
            else special<function::softmax>({in, 1}, {out_row<Out>(w, j), 1}, 1, r);
        }
    }

    /// Rows that are up to half a pack of neighbours, without gaps between them, in several blocks.
    static SMX_ALWAYS_INLINE bool has_few_neighbours(const work& w) noexcept {
        const auto neighbours = static_cast<std::ptrdiff_t>(w.rows.extent);
        return w.rows.extent <= lanes / 2 && w.rows.in == 1 && w.rows.out == 1 && w.in_step == neighbours &&
               w.out_step == neighbours && w.length > 1 && w.length <= longest_joined_row &&
               w.outer[w.outer_count - 1].extent > 1;
    }
    template <function F>
    static SMX_NOINLINE void few_neighbours(const work& w, const vocabulary::row_loop& blocks,
                                            const recipe<T>& r) noexcept {
        using turned = turned_rows<B, In, Out, 1, longest_turned_block>;
        using joined = joined_blocks<B, In, Out>;
        const std::size_t neighbours = w.rows.extent;
        // Of small blocks, turning over takes as long as joining or less; but for two that fill a pack.
        const bool may_turn = neighbours < lanes / 2 && w.length <= longest_turned_block / neighbours;
        const In* in = static_cast<const In*>(w.in);
        Out* out = static_cast<Out*>(w.out);
        for (std::size_t left = blocks.extent; left > 0;) {
            const bool turn = may_turn && left >= turned::count;
            const std::size_t together = turn ? turned::count : joined::blocks_in_pack(neighbours);
            const std::size_t some = left < together ? left : together;
            bool done = false;  // a block that is left over goes alone
            if (turn) done = turned::template run<F>(in, blocks.in, out, blocks.out, w.length, neighbours, r);
            else if (some > 1)
                done = joined::template run<F>(in, blocks.in, out, blocks.out, some, w.length, neighbours, r);
            if (!done) {
                work one = w;
                for (std::size_t i = 0; i < some; ++i) {
                    one.in = in + static_cast<std::ptrdiff_t>(i) * blocks.in;
                    one.out = out + static_cast<std::ptrdiff_t>(i) * blocks.out;
                    run_rows<F, known_rows::batch>(one, r);
                }
            }
            left -= some;
            in += static_cast<std::ptrdiff_t>(some) * blocks.in;
            out += static_cast<std::ptrdiff_t>(some) * blocks.out;
        }
    }

    template <function F>
    static SMX_ALWAYS_INLINE void many_short_rows(const work& w, const recipe<T>& r) noexcept {
        std::size_t j = 0;
        const auto turned = [&](auto rows) SMX_INLINE_LAMBDA {
            for (; j + rows.count <= w.rows.extent; j += rows.count)
                if (!rows.template run<F>(in_row<In>(w, j), w.rows.in, out_row<Out>(w, j), w.rows.out, w.length, 1, r))
                    few_short_rows<F>(w, r, j, rows.count);
        };
        turned(turned_rows<B, In, Out, packs_per_tile<P>, longest_turned_row<F, T>>());
        if constexpr (packs_per_tile<P> != 1) turned(turned_rows<B, In, Out, 1, longest_turned_row<F, T>>());
        if (j < w.rows.extent) few_short_rows<F>(w, r, j, w.rows.extent - j);
    }
    /// `count` of the rows, from j on, one by one or a few at a time.
    template <function F>
    static SMX_NOINLINE void few_short_rows(const work& w, const recipe<T>& r, std::size_t j,
                                            std::size_t count) noexcept {
        const work some = rows_of(w, j, count);
        if constexpr (longest_short_row<P> != 0) {
            if (r.scale.plain && w.length <= longest_short_row<P>) return short_rows<F, true>(some, r);
        }
        if constexpr (has_pipeline) {
            if (takes_pipeline<F>(w.length)) return pipeline<F>(some, r);
        }
        for (std::size_t i = 0; i < count; ++i)
            contiguous_row<F>(in_row<In>(some, i), out_row<Out>(some, i), w.length, r);
    }

    template <function F, bool Batch>
    static SMX_ALWAYS_INLINE void short_rows(const work& w, const recipe<T>& r) noexcept {
        if (!Batch || w.rows.extent == 1) return short_rows_by<F, 1>(w, r);
        if constexpr (Batch) short_rows_by<F, short_rows_together>(w, r);
    }
    template <function F, std::size_t N>
    static SMX_ALWAYS_INLINE void short_rows_from(const work& w, const recipe<T>& r, std::size_t j, std::size_t count,
                                                  bool (&done)[N]) noexcept {
        if (w.length <= lanes) short_rows_of<T, In, Out, F, 1, B, N>(w, r, j, count, done);
        else if (N != 1 || w.length <= 2 * lanes) short_rows_of<T, In, Out, F, 2, B, N>(w, r, j, count, done);
        else if (w.length <= 3 * lanes) short_rows_of<T, In, Out, F, N == 1 ? 3 : 2, B, N>(w, r, j, count, done);
        else short_rows_of<T, In, Out, F, N == 1 ? 4 : 2, B, N>(w, r, j, count, done);
    }
    template <function F, std::size_t N>
    static SMX_ALWAYS_INLINE void short_rows_by(const work& w, const recipe<T>& r) noexcept {
        for (std::size_t j = 0; j < w.rows.extent; j += N) {
            const std::size_t count = w.rows.extent - j < N ? w.rows.extent - j : N;
            bool done[N];
            short_rows_from<F>(w, r, j, count, done);
            for (std::size_t i = 0; i < count; ++i)
                if (!done[i]) contiguous_row<F>(in_row<In>(w, j + i), out_row<Out>(w, j + i), w.length, r);
        }
    }

    template <function F>
    static SMX_NOINLINE void stepped_row(stepped<const In> in, stepped<Out> out, std::size_t length,
                                         const recipe<T>& r) noexcept {
        alignas(64) T copy[piece_elements<T>];
        alignas(64) T buffer[piece_elements<T>];
        const pieces_copied<T, const In> from{in.data, in.step, copy};
        const pieces_copied<T, Out> to{out.data, out.step, buffer};
        row_constants<T> row;
        if (!kernel::find_constants(from, length, r.scale, row, by_octaves<F>(length)))
            return special<F>(in, out, length, r);
        if constexpr (F == function::softmax) {
            if (!kernel::template softmax_through_buffer<Q>(from, to, length, {buffer}, row, r.scale))
                fill_nan(out, length);
        } else {
            with_logarithm<F>(from, to, out, length, row, r);
        }
    }

    template <function F, class From, class To>
    static SMX_ALWAYS_INLINE void with_logarithm(const From& from, const To& to, stepped<Out> out, std::size_t length,
                                                 const row_constants<T>& row, const recipe<T>& r,
                                                 const wanted_soon<From>& wanted = {}) noexcept {
        double log_sum;
        const bool number = kernel::log_of_sum(from, length, row, r.scale, log_sum, wanted);
        if constexpr (F == function::logsumexp) {
            if (number) store_exact(out.data, log_total(log_sum, row, r.scale));
            else store_nan(out.data);
        } else {
            if (number) kernel::subtract(from, to, 0, length, row, log_sum, r.scale);
            else fill_nan(out, length);
        }
    }

    template <function F>
    static SMX_ALWAYS_INLINE void special(stepped<const In> in, stepped<Out> out, std::size_t length,
                                          const recipe<T>& r) noexcept {
        const special_row row = inspect<T>(in, length, r.scale.negative);
        if constexpr (F == function::logsumexp) write_special_total(row, out.data, r.special);
        else write_special_row<T, F == function::log_softmax>(row, in, out, length, r);
    }

    template <function F>
    static SMX_ALWAYS_INLINE void columns(const work& w, const recipe<T>& r) noexcept {
        constexpr std::size_t wide = packs_per_tile<P>;
        std::size_t j = 0;
        for (; j + wide * lanes <= w.rows.extent; j += wide * lanes) tile<F, wide>(w, r, j, wide * lanes);
        if constexpr (wide > 2) {  // 32 neighbours by halves would take 1.6 times as long
            for (; j + 2 * lanes <= w.rows.extent; j += 2 * lanes) tile<F, 2>(w, r, j, 2 * lanes);
        }
        for (; j < w.rows.extent; j += lanes)
            tile<F, 1>(w, r, j, w.rows.extent - j < lanes ? w.rows.extent - j : lanes);
    }

    template <function F, std::size_t K>
    static SMX_ALWAYS_INLINE void tile(const work& w, const recipe<T>& r, std::size_t j, std::size_t count) noexcept {
        const In* in = static_cast<const In*>(w.in) + j;
        Out* out = static_cast<Out*>(w.out) + j;
        column_tile<B, T, In, Out, K> t({in, w.in_step, w.length, count, r.scale}, out, w.out_step);
        const bool done = t.template run<F>();
        for (std::size_t l = 0; l < count && !done; ++l)
            stepped_row<F>({in + l, w.in_step}, {out + l, w.out_step}, w.length, r);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
