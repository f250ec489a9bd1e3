// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/logit_pairs.hpp>
#include <safe_softmax/detail/masked_special.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A masked row by logit_pairs.hpp: what has a softcap, and what is too large for part_logits.hpp.
template <class B, class T>
class masked_pairs {
    using P = pack_t<B, T>;
    using pairs = logit_pairs<B, T>;
    using pass = passes<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr precision half_of = sizeof(T) == 4 ? precision::half : precision::full;

public:
    /// False, with nothing written: in float its logits are too large for pairs.
    static SMX_NOINLINE bool run(const job& j, const operand* op, std::size_t query, std::size_t kept) noexcept {
        const bool log = j.function == vocabulary::job_function::masked_log_softmax;
        const operand& out = op[masked::out];
        pairs logits(j, op, query);
        alignas(64) T head[pairs::piece];
        alignas(64) T tail[pairs::piece];
        alignas(64) T buffer[pairs::piece];
        const bool one_piece = kept <= pairs::piece;

        T reach = 0, top, top_tail;
        std::size_t piece_of_top;
        const auto find_top = [&] {
            top = minus_infinity<T>();
            top_tail = 0;
            piece_of_top = 0;
            for (std::size_t i = 0; i < kept; i += pairs::piece) {
                const T m = logits.prepare(i, count(i, kept), head, tail, reach);
                if (i != 0 && !is_nan(m) && m < top) continue;
                const T t = largest_tail(head, tail, count(i, kept), m);
                if (i == 0 || is_nan(m) || top < m || top_tail < t) {  // a NaN stays
                    top = m;
                    top_tail = t;
                    piece_of_top = i;
                }
            }
        };
        find_top();
        if constexpr (sizeof(T) == 4) {
            // Tails of float hold what the heads lose only while those are of the size of the logits.
            if (!(reach < T(0x1p14)) || !(magnitude_of(top) < T(0x1p14))) return false;
        } else {
            if (!is_finite(top)) return write_special(j, op, kept), true;
            // Where -1e38 and the like are added to every logit, that goes first.
            if (!(magnitude_of(top) < T(0x1p40)) && logits.shift_by(-top)) find_top();
        }

        // For logarithms the largest logit is kept out of the sum.
        T unused = 0;
        std::size_t at = 0;
        if (log) {
            if (!one_piece) logits.prepare(piece_of_top, count(piece_of_top, kept), head, tail, unused);
            const std::size_t n = count(piece_of_top, kept);
            while (at < n && (is_nan(head[at]) || head[at] != top || tail[at] != top_tail)) ++at;
            // With -ffast-math a NaN may have passed for the largest.
            if (at == n) return write_special(j, op, kept), true;
        }

        row_constants<T> row = constants_of_row(top, no_scaling<T>);
        const row_constants<T> of_max = row;
        sink_of_row sink;
        const bool has_sink = take_sink(op, top, top_tail, logits.shift(), row, sink);
        if (has_sink && !is_finite(sink.above_max.head)) return write_by_sink(j, op, kept, sink), true;

        const operand_writer<B, T, true> to{out, buffer};
        const bool in_output = !log && operand_pieces<B, T>::direct(out);
        double sum =
            sum_of_row<B, T>(kept, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
                for (std::size_t i = first; i < first + length; i += pairs::piece) {
                    const std::size_t n = count(i, kept);
                    if (!one_piece) logits.prepare(i, n, head, tail, unused);
                    const T top_head = head[at];
                    if (log && i == piece_of_top) head[at] = minus_infinity<T>();
                    terms(out, total, head, tail, buffer, n, log ? of_max : row, top_tail);
                    head[at] = top_head;
                    if (in_output) std::memcpy(to.piece(i), buffer, n * sizeof(T));
                }
            });
        if (sum_is_nan(sum)) return write_nan(j, op, kept), true;

        if (log) {
            const double log_sum = log_of_sum_with_sink<T>(sum, 0.0, exact_top(of_max, top, top_tail), has_sink, sink);
            for (std::size_t i = 0; i < kept; i += pairs::piece) {
                const std::size_t n = count(i, kept);
                if (!one_piece) logits.prepare(i, n, head, tail, unused);
                subtract(head, tail, n, top, top_tail, static_cast<T>(log_sum), buffer);
                std::memcpy(to.piece(i), buffer, n * sizeof(T));
                to.written(i, n);
            }
            return true;
        }
        if (has_sink) sum = fence(sum + sink.term);
        if (kept == 1 && !has_sink) return put_number(out, 0, 1.0), true;
        const T share = share_of<T>(sum);
        for (std::size_t i = 0; i < kept; i += pairs::piece) {
            const std::size_t n = count(i, kept);
            if (!one_piece && !in_output) {
                logits.prepare(i, n, head, tail, unused);
                row_sum<B, T> again;
                terms(out, again, head, tail, buffer, n, row, top_tail);
            }
            pass::scale(in_output ? to.piece(i) : buffer, to.piece(i), n, share);
            to.written(i, n);
        }
        return true;
    }

private:
    static SMX_ALWAYS_INLINE std::size_t count(std::size_t i, std::size_t kept) noexcept {
        return kept - i < pairs::piece ? kept - i : pairs::piece;
    }

    static SMX_ALWAYS_INLINE double exact_top(const row_constants<T>& row, T top, T top_tail) noexcept {
        return row.general ? exact_term<T>(0.0, 0.0, static_cast<double>(row.k_max), no_scaling<T>.rest)
                           : exact_term<T>(static_cast<double>(top), static_cast<double>(top_tail),
                                           static_cast<double>(row.k_max), no_scaling<T>.direct);
    }

    static SMX_ALWAYS_INLINE void terms(const operand& out, row_sum<B, T>& total, const T* head, const T* tail, T* to,
                                        std::size_t n, const row_constants<T>& row, T top_tail) noexcept {
        if (sizeof(T) == 4 && size_of(out.type) == 2) {
            if (row.general) add_pairs<half_of, true>(total, head, tail, to, n, row, top_tail);
            else add_pairs<half_of, false>(total, head, tail, to, n, row, top_tail);
        } else {
            if (row.general) add_pairs<precision::full, true>(total, head, tail, to, n, row, top_tail);
            else add_pairs<precision::full, false>(total, head, tail, to, n, row, top_tail);
        }
    }

    /// The largest tail next to a head of `top`.
    static SMX_NOINLINE T largest_tail(const T* head, const T* tail, std::size_t n, T top) noexcept {
        const P all = P::broadcast(top), huge = P::broadcast(-lowest<T>);
        P most = P::broadcast(lowest<T>);
        for (std::size_t l = 0; l < n; l += lanes)
            most = maximum(most, sub(P::load(tail + l), zero_where_equal(huge, P::load(head + l), all)));
        return reduce_max(most);
    }

    /// head and tail are padded to whole packs; the buffer has room for them.
    template <precision Q, bool General>
    static SMX_NOINLINE void add_pairs(row_sum<B, T>& total, const T* head, const T* tail, T* to, std::size_t n,
                                       const row_constants<T>& row, T top_tail) noexcept {
        const auto& c = no_scaling<T>.direct.c;
        const P magic = P::broadcast(row.magic), c_head = P::broadcast(c.head), c_tail = P::broadcast(c.tail),
                whole = P::broadcast(c.whole);
        const P minus_top = P::broadcast(-row.max), minus_tail = P::broadcast(-top_tail),
                least = P::broadcast(lowest<T>);
        const auto term = [&](std::size_t l) SMX_INLINE_LAMBDA {
            P h = P::load(head + l), e = P::load(tail + l);
            if constexpr (General) {
                P low, error;
                const P d = add(h, minus_top);  // exact wherever the term is not zero
                const P t = two_sum(e, minus_tail, low);
                h = two_sum(d, t, error);
                e = zero_where_less(add(error, low), h, least);
            }
            const P x = exp_term_of_pair<Q>(h, e, magic, c_head, c_tail, whole);
            store(to + l, x);
            return x;
        };
        const P zero = P::broadcast(0);
        for (std::size_t l = 0; l < n; l += packs_per_group * lanes) {
            P a[packs_per_group] = {zero, zero, zero, zero};
            for (std::size_t k = 0; k < packs_per_group && l + k * lanes < n; ++k) a[k] = term(l + k * lanes);
            total.add_group(sum_of_group(a));
        }
    }

    static SMX_NOINLINE void subtract(const T* head, const T* tail, std::size_t n, T top, T top_tail, T log_sum,
                                      T* to) noexcept {
        const P minus_top = P::broadcast(-top), minus_tail = P::broadcast(-top_tail),
                minus_log = P::broadcast(-log_sum);
        for (std::size_t l = 0; l < n; l += lanes) {
            const P d = add(P::load(head + l), minus_top), e = add(P::load(tail + l), minus_tail);
            store(to + l, add(d, add(e, minus_log)));
        }
    }

    static SMX_ALWAYS_INLINE bool take_sink(const operand* op, T top, T top_tail, T shift, row_constants<T>& row,
                                            sink_of_row& sink) noexcept {
        const double z = sink_at(op[masked::sink]);
        if (is_minus_infinity(z)) return false;
        const double_double shifted = normalised(static_cast<double>(top), static_cast<double>(top_tail));
        return place_sink(z, add(shifted, {-static_cast<double>(shift), 0}), exact_top(row, top, top_tail), row, sink);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
