// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/passes.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// One row after the other. A row lies in memory contiguously or stepped; either way the passes see contiguous pieces: of
// the row itself, or of a copy in the arithmetic's type. Of a row of several segments the last one is added up first, unless
// its terms wait in a buffer: the cache still has it from the search for the largest logit, and has the first ones afterwards, with
// which the results begin.

/// Pieces of a contiguous row, where they are.
template <class S>
struct pieces_in_place {
    using element = std::remove_const_t<S>;
    S* data;
    SMX_ALWAYS_INLINE S* piece(std::size_t i) const noexcept { return data + i; }
    SMX_ALWAYS_INLINE const element* read(std::size_t i, std::size_t) const noexcept { return data + i; }
    SMX_ALWAYS_INLINE void written(std::size_t, std::size_t) const noexcept {}
};

/// Pieces of a stepped row, copied to and from a buffer.
template <class T, class S>
struct pieces_copied {
    using element = T;
    S* data;
    std::ptrdiff_t step;
    T* buffer;
    SMX_ALWAYS_INLINE T* piece(std::size_t) const noexcept { return buffer; }
    SMX_NOINLINE const T* read(std::size_t i, std::size_t n) const noexcept {
        for (std::size_t j = 0; j < n; ++j)
            buffer[j] = load_element<T>(data + static_cast<std::ptrdiff_t>(i + j) * step);
        return buffer;
    }
    SMX_NOINLINE void written(std::size_t i, std::size_t n) const noexcept {
        for (std::size_t j = 0; j < n; ++j) store_element(data + static_cast<std::ptrdiff_t>(i + j) * step, buffer[j]);
    }
};

/// f(first element, number of elements) for every piece of the elements [begin, begin + count).
template <class T, class F>
SMX_ALWAYS_INLINE void for_pieces(std::size_t begin, std::size_t count, F f) noexcept {
    for (std::size_t i = 0; i < count; i += piece_elements<T>)
        f(begin + i, count - i < piece_elements<T> ? count - i : piece_elements<T>);
}

/// What the pass over a row should ask the cache for, see passes.hpp; null: nothing else than what it needs itself.
template <class Pieces>
struct wanted_soon {
    const typename Pieces::element* in = nullptr;
    char* out = nullptr;
};

/// Where terms of a row wait for its sum: room for some pieces. The row's first ones, all but one of them, have theirs to themselves; later ones
/// share the last, where that of the row's end is what stays. Room for a single piece may be what results pass through, too: it keeps
/// rows of one piece only.
template <class T>
struct waiting_terms {
    T* data = nullptr;
    std::size_t pieces = 1;

    SMX_ALWAYS_INLINE bool is_there() const noexcept { return data != nullptr; }
    /// For the piece that begins with element i, a multiple of piece_elements.
    SMX_ALWAYS_INLINE T* piece(std::size_t i) const noexcept {
        const std::size_t k = i / piece_elements<T>;
        return data + (k < pieces ? k : pieces - 1) * piece_elements<T>;
    }
    /// Null where others have come since. last: of the row.
    SMX_ALWAYS_INLINE const T* kept(std::size_t i, bool last) const noexcept {
        const std::size_t k = i / piece_elements<T>;
        const bool of_one_piece = k == 0 && last;
        return is_there() && (k + 1 < pieces || of_one_piece || (pieces > 1 && last)) ? piece(i) : nullptr;
    }
};

/// What is done with a row, or with a segment of one: `count` elements from `begin` on.
template <class B, class T>
class row_kernel {
    using pass = passes<B, T>;

public:
    /// The largest logit of two parts of a row, from the largest of each. A NaN stays.
    static SMX_ALWAYS_INLINE T larger(T a, T b) noexcept { return is_nan(b) || a < b ? b : a; }

    /// As passes::largest. count >= 1.
    template <class In>
    static SMX_ALWAYS_INLINE T largest(const In& in, std::size_t begin, std::size_t count,
                                       const scaling<T>& s) noexcept {
        T top = 0;
        for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T m = pass::largest(in.read(i, n), n, s);
            top = i == begin ? m : larger(top, m);
        });
        return top;
    }

    /// False if the maximum is not finite.
    template <class In>
    static SMX_ALWAYS_INLINE bool find_constants(const In& in, std::size_t length, const scaling<T>& s,
                                                 row_constants<T>& row, bool octaves = false) noexcept {
        const T top = largest(in, 0, length, s);
        if (!is_finite(top)) return false;
        row = constants_of_row(top, s, octaves);
        return true;
    }

    template <precision Q, class S>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const S* in, T* terms, std::size_t n,
                                            const row_constants<T>& row, const scaling<T>& s, const S* in_soon,
                                            char* out_soon) noexcept {
        if (row.general) pass::template add_terms<Q, true>(total, in, terms, n, row, s, in_soon, out_soon);
        else if (n < pass::long_piece)
            pass::template add_terms<Q, false>(total, in, terms, n, row, s, in_soon, out_soon);
        else pass::template add_terms<Q, false, pass::many_together>(total, in, terms, n, row, s, in_soon, out_soon);
    }
    template <precision Q, class S>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const S* in, T* terms, std::size_t n,
                                            const row_constants<T>& row, const scaling<T>& s) noexcept {
        add_terms<Q>(total, in, terms, n, row, s, in, reinterpret_cast<char*>(terms));
    }
    template <precision Q, class In>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const In& in, std::size_t begin, std::size_t count,
                                            const waiting_terms<T>& waiting, const row_constants<T>& row,
                                            const scaling<T>& s, const wanted_soon<In>& wanted = {}) noexcept {
        for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const auto* const from = in.read(i, n);
            T* const terms = waiting.piece(i);
            add_terms<Q>(total, from, terms, n, row, s, wanted.in == nullptr ? from : wanted.in + i,
                         wanted.out == nullptr ? reinterpret_cast<char*>(terms)
                                               : wanted.out + i * pass::template result_bytes<Q>);
        });
    }

    /// Terms times `share`. Those that do not wait are computed a second time.
    template <precision Q, class In, class Out>
    static SMX_ALWAYS_INLINE void write_shares(const In& in, const Out& out, std::size_t begin, std::size_t count,
                                               const waiting_terms<T>& waiting, T share, const row_constants<T>& row,
                                               const scaling<T>& s) noexcept {
        for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (const T* const terms = waiting.kept(i, i + n == begin + count))
                pass::scale(terms, out.piece(i), n, share);
            else if (row.general) pass::template write_shares<Q, true>(in.read(i, n), out.piece(i), n, share, row, s);
            else pass::template write_shares<Q, false>(in.read(i, n), out.piece(i), n, share, row, s);
            out.written(i, n);
        });
    }

    /// Terms in `out` itself: its elements are of the arithmetic's type, one behind the other. in_soon, out_soon: see passes.hpp;
    /// for the whole row. False: a NaN.
    template <precision Q, class S>
    static SMX_ALWAYS_INLINE bool softmax_through_output(const S* in, T* out, std::size_t length,
                                                         const row_constants<T>& row, const scaling<T>& s,
                                                         const S* in_soon, T* out_soon) noexcept {
        const double sum =
            sum_of_row<B, T, true>(length, [&](row_sum<B, T>& total, std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                add_terms<Q>(total, in + i, out + i, n, row, s, in_soon + i, reinterpret_cast<char*>(out_soon + i));
            });
        if (sum_is_nan(sum)) return false;
        pass::scale(out, out, length, share_of<T>(sum));
        return true;
    }

    /// Terms in a buffer. False: a NaN.
    template <precision Q, class In, class Out>
    static SMX_ALWAYS_INLINE bool softmax_through_buffer(const In& in, const Out& out, std::size_t length,
                                                         const waiting_terms<T>& waiting, const row_constants<T>& row,
                                                         const scaling<T>& s,
                                                         const wanted_soon<In>& wanted = {}) noexcept {
        const double sum = sum_of_terms<Q>(in, length, waiting, row, s, wanted);
        if (sum_is_nan(sum)) return false;
        write_shares<Q>(in, out, 0, length, waiting, share_of<T>(sum), row, s);
        return true;
    }
    template <precision Q, class In>
    static SMX_ALWAYS_INLINE double sum_of_terms(const In& in, std::size_t length, const waiting_terms<T>& waiting,
                                                 const row_constants<T>& row, const scaling<T>& s,
                                                 const wanted_soon<In>& wanted = {}) noexcept {
        return sum_of_row<B, T>(length, [&](row_sum<B, T>& total, std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            add_terms<Q>(total, in, i, n, waiting, row, s, wanted);
        });
    }

    /// Adds the terms below the row's largest, and counts the largest ones.
    template <class In>
    static SMX_ALWAYS_INLINE void add_terms_below_max(row_sum<B, T>& total, std::size_t& ties, const In& in,
                                                      std::size_t begin, std::size_t count, const row_constants<T>& row,
                                                      const scaling<T>& s,
                                                      const wanted_soon<In>& wanted = {}) noexcept {
        for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const auto* const from = in.read(i, n);
            const auto* const in_soon = wanted.in == nullptr ? from : wanted.in + i;
            const char* const out_soon =
                wanted.out == nullptr ? reinterpret_cast<const char*>(from) : wanted.out + i * sizeof(*from);
            if (row.general)
                pass::template add_terms_below_max<true>(total, ties, from, n, row, s, nullptr, in_soon, out_soon);
            else if (n < pass::long_piece)
                pass::template add_terms_below_max<false>(total, ties, from, n, row, s, nullptr, in_soon, out_soon);
            else
                pass::template add_terms_below_max<false, false, pass::many_together>(total, ties, from, n, row, s,
                                                                                      nullptr, in_soon, out_soon);
        });
    }

    /// The terms below the largest, summed, and how many are as large; false if there is a NaN.
    template <class In>
    static SMX_ALWAYS_INLINE bool sum_below_max(const In& in, std::size_t length, const row_constants<T>& row,
                                                const scaling<T>& s, std::size_t& ties, double& rest,
                                                const wanted_soon<In>& wanted = {}) noexcept {
        std::size_t equal = 0;
        rest =
            sum_of_row<B, T, true>(length, [&](row_sum<B, T>& total, std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                add_terms_below_max(total, equal, in, i, n, row, s, wanted);
            });
        ties = equal;
        return !sum_is_nan(rest);
    }

    /// log(sum of exp(z - max z)); false if there is a NaN.
    template <class In>
    static SMX_ALWAYS_INLINE bool log_of_sum(const In& in, std::size_t length, const row_constants<T>& row,
                                             const scaling<T>& s, double& log_sum,
                                             const wanted_soon<In>& wanted = {}) noexcept {
        std::size_t ties;
        double rest;
        if (!sum_below_max(in, length, row, s, ties, rest, wanted)) return false;
        log_sum = log_sum_exp_of(rest, static_cast<double>(ties), row, s);
        return true;
    }

    template <class In, class Out>
    static SMX_ALWAYS_INLINE void subtract(const In& in, const Out& out, std::size_t begin, std::size_t count,
                                           const row_constants<T>& row, double log_sum, const scaling<T>& s) noexcept {
        for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T log = static_cast<T>(log_sum);
            if (row.general) pass::template subtract<true>(in.read(i, n), out.piece(i), n, row, log, s);
            else pass::template subtract<false>(in.read(i, n), out.piece(i), n, row, log, s);
            out.written(i, n);
        });
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
