// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/past_cache.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Rows, contiguous in memory, from so many elements on have 16 MiB of results, which few caches hold: they are computed from the elements
/// once more, rather than from terms that were written and have to be read again, and written past the caches. With arithmetic in
/// double (T), that takes as long.
template <class T, class Out>
inline constexpr std::size_t least_past_cache =
    sizeof(T) == 4 ? (std::size_t(16) << 20) / sizeof(Out) : static_cast<std::size_t>(-1);

/// Whether a row is one of them. Results that lie between those of an array (element.hpp allows any address) fill no cache lines.
template <class T, class Out>
SMX_ALWAYS_INLINE bool goes_past_cache(const Out* out, std::size_t length) noexcept {
    return length >= least_past_cache<T, Out> && reinterpret_cast<std::uintptr_t>(out) % sizeof(Out) == 0;
}

/// The results of the elements [begin, begin + count) of such a row, a piece at a time; f(i, to, n) writes those of n elements from i on to
/// `to`.
template <std::size_t Piece, class In, class Out, class F>
SMX_ALWAYS_INLINE void write_past_cache(const In* in, Out* out, std::size_t begin, std::size_t count, F f) noexcept {
    constexpr std::size_t line = cache_line / sizeof(Out);
    /// So far ahead is asked for: a piece at a time is read too unevenly for the processor to do it by itself.
    constexpr std::ptrdiff_t fetched_ahead = 4096;
    alignas(cache_line) Out results[Piece];
    const std::size_t end = begin + count;
    const std::size_t before_line = reinterpret_cast<std::uintptr_t>(out + begin) % cache_line / sizeof(Out);
    std::size_t i = begin;
    if (before_line != 0) {
        const std::size_t n = count < line - before_line ? count : line - before_line;
        f(i, out + i, n);
        i += n;
    }
    for (; i + Piece <= end; i += Piece) {
        prefetch<Piece * sizeof(In)>(far_from(in + i, fetched_ahead));
        f(i, static_cast<Out*>(results), Piece);
        copy_past_cache(out + i, results, Piece / line);
    }
    order_past_cache();
    if (i < end) f(i, out + i, end - i);
}

// Pieces: of 128 elements, softmax takes 0.92 of the time with 256; log_softmax, whose pieces are done sooner, takes 1.08.

/// softmax: terms times `share`. Where stores do not wait (prefetch.hpp) they are sooner done in the usual way: float takes 0.85 of the time,
/// 16-bit types 0.78 (Zen 5, 16777216 elements). log_softmax takes as long either way.
template <class B, class T, precision Q, class In, class Out>
SMX_NOINLINE void write_shares_past_cache(const In* in, Out* out, std::size_t begin, std::size_t count, T share,
                                          const row_constants<T>& row, const scaling<T>& s) noexcept {
    using pass = passes<B, T>;
    if (!stores_wait())
        return row_kernel<B, T>::template write_shares<Q>(pieces_in_place<const In>{in}, pieces_in_place<Out>{out},
                                                          begin, count, {}, share, row, s);
    write_past_cache<128>(in, out, begin, count, [&](std::size_t i, Out* to, std::size_t n) SMX_INLINE_LAMBDA {
        if (row.general) pass::template write_shares<Q, true>(in + i, to, n, share, row, s);
        else pass::template write_shares<Q, false>(in + i, to, n, share, row, s);
    });
}
/// log_softmax.
template <class B, class T, class In, class Out>
SMX_NOINLINE void subtract_past_cache(const In* in, Out* out, std::size_t begin, std::size_t count, double log_sum,
                                      const row_constants<T>& row, const scaling<T>& s) noexcept {
    using pass = passes<B, T>;
    const T log = static_cast<T>(log_sum);
    write_past_cache<256>(in, out, begin, count, [&](std::size_t i, Out* to, std::size_t n) SMX_INLINE_LAMBDA {
        if (row.general) pass::template subtract<true>(in + i, to, n, row, log, s);
        else pass::template subtract<false>(in + i, to, n, row, log, s);
    });
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
