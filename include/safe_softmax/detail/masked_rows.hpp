// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/logit_pairs.hpp>
#include <safe_softmax/detail/prefix_rows.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A row's extra logit, which takes part in the denominator only.
struct sink_of_row {
    double_double above_max;  ///< the sink less the row's maximum; head is not finite where the sink is not
    double term;              ///< exp(that) in units of the row's terms
};

/// masked_softmax and masked_log_softmax with backend B and arithmetic in T. Three ways to a row:
///
///     prefix   contiguous elements times a scale, some at its end left out: as without a mask, see kernels.hpp
///     plain    elements times a scale, some replaced by -inf: the passes of rows.hpp
///     pairs    softcap, bias, slope or an additive mask: logit_pairs.hpp
///
/// Rows with a NaN or without a finite maximum are written by write_special.
template <class B, class T>
class masked_rows {
    using P = pack_t<B, T>;
    using kernel = row_kernel<B, T>;
    using pairs = logit_pairs<B, T>;
    using pass = passes<B, T>;
    static constexpr std::size_t lanes = P::lanes;

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        run_under_default(j);
    }

    /// False, with nothing written: in float its logits are too large for pairs.
    static SMX_NOINLINE bool row_by_pairs(const job& j, const operand* op, std::size_t query, std::size_t kept) noexcept {
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
                if (i != 0 && m < top) continue;
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
            while (count_equal(P::load(head + at), P::broadcast(top)) == 0) at += lanes;
            while (head[at] != top || tail[at] != top_tail) ++at;
        }

        row_constants<T> row = constants_of_row(top, no_scaling<T>);
        const row_constants<T> of_max = row;
        sink_of_row sink;
        const bool has_sink = take_sink(op, top, top_tail, logits.shift(), row, sink);
        if (has_sink && !is_finite(sink.above_max.head)) return write_by_sink(j, op, kept, sink), true;

        const operand_writer<B, T, true> to{out, buffer};
        const bool in_output = !log && operand_pieces<B, T>::direct(out);
        double sum = sum_of_row<B, T>(kept, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
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
            const double log_sum = log_of(sum, 0.0, exact_top(of_max, top, top_tail), has_sink, sink);
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

    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        const bool by_pairs = j.softcap != 0 || j.op[masked::bias] || j.op[masked::slope] ||
                              (j.op[masked::mask] && is_floating(j.op[masked::mask].type));
        const bool log = j.function == vocabulary::job_function::masked_log_softmax;
        const bool in_double = sizeof(T) == 8 || j.softcap != 0 || (j.op[masked::slope] && !has_small_distances(j));
        // Where every row has the same scale, it is made once.
        scaling<T> made;
        const scaling<T>* s = &no_scaling<T>;
        if (j.scale != 1.0) {
            made = make_scaling<T>(j.scale);
            s = &made;
        }
        if (has_prefix_rows(j)) {
            switch (j.op[masked::in].type) {
                case scalar_type::float16: return log ? run_prefix_rows<float16, function::log_softmax>(j, *s) : run_prefix_rows<float16, function::softmax>(j, *s);
                case scalar_type::bfloat16: return log ? run_prefix_rows<bfloat16, function::log_softmax>(j, *s) : run_prefix_rows<bfloat16, function::softmax>(j, *s);
                default: return log ? run_prefix_rows<T, function::log_softmax>(j, *s) : run_prefix_rows<T, function::softmax>(j, *s);
            }
        }
        for_each_row(j, [&](const operand* op, std::size_t query) SMX_INLINE_LAMBDA {
            const std::size_t kept = kept_of_row(j, op, query);
            if (kept < j.length) put_nothing(op[masked::out], kept, j.length, log);
            if (kept == 0) return all_masked(j, op);
            if (by_pairs) {
                if (in_double || !row_by_pairs(j, op, query, kept)) masked_rows<B, double>::row_by_pairs(j, op, query, kept);
            } else if (op[masked::temperature]) {
                row_with_temperature(j, op, kept);
            } else {
                plain_row(j, op, kept, *s);
            }
        });
    }

    /// Whether key - query is an integer that float has.
    static SMX_ALWAYS_INLINE bool has_small_distances(const job& j) noexcept {
        constexpr std::size_t limit = std::size_t(1) << 22;
        const std::size_t queries = j.query_loop == j.loops ? 1 : j.loop[j.query_loop].extent;
        return j.length < limit && queries < limit && j.causal_offset < std::ptrdiff_t(limit) && j.causal_offset > -std::ptrdiff_t(limit);
    }

    // ---- prefix -----------------------------------------------------------------------------------------------------

    static SMX_ALWAYS_INLINE bool has_prefix_rows(const job& j) noexcept {
        const operand &in = j.op[masked::in], &out = j.op[masked::out];
        for (const std::size_t o : {masked::mask, masked::bias, masked::slope, masked::sink, masked::temperature})
            if (j.op[o]) return false;
        const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(in.type));
        return j.softcap == 0 && j.special != special_values::ieee && in.type == out.type && in.step == size && out.step == size &&
               (sizeof(T) == 4 || in.type == scalar_type::float64);
    }

    template <class S, function F>
    static SMX_NOINLINE void run_prefix_rows(const job& j, const scaling<T>& s) noexcept {
        if constexpr (sizeof(S) == 2 && sizeof(T) == 8) return;  // 16 bits take float
        else {
            const recipe<T> r{s, j.special};
            prefix_rows<B, T, S, F> rows(r);
            for_each_row(j, [&](const operand* op, std::size_t query) SMX_INLINE_LAMBDA {
                const std::size_t kept = kept_of_row(j, op, query);
                if (kept < j.length) put_nothing(op[masked::out], kept, j.length, F == function::log_softmax);
                if (kept > 1) rows.add(static_cast<const S*>(op[masked::in].data), static_cast<S*>(const_cast<void*>(op[masked::out].data)), kept);
                else if (kept == 1) plain_row(j, op, kept, s);
            });
            rows.flush();
        }
    }

    /// No element is looked at.
    static SMX_ALWAYS_INLINE void all_masked(const job& j, const operand* op) noexcept {
        if (j.special == special_values::ieee && j.length != 0) write_special(j, op, 0);
    }

    static SMX_NOINLINE void row_with_temperature(const job& j, const operand* op, std::size_t kept) noexcept {
        const operand& t = op[masked::temperature];
        plain_row(j, op, kept, make_scaling<T>(fence(j.scale / number_at<double>(t.data, t.type))));
    }

    // ---- plain ------------------------------------------------------------------------------------------------------

    /// Elements, those that are masked out as scaled logits of -inf.
    struct reader {
        using element = T;
        operand_reader<B, T> in;
        const operand& mask;
        T none;
        T* buffer;
        SMX_ALWAYS_INLINE const T* read(std::size_t i, std::size_t n) const noexcept {
            const T* x = in.read(i, n);
            if (!mask) return x;
            replace(x, i, n);
            return buffer;
        }
        SMX_NOINLINE void replace(const T* x, std::size_t i, std::size_t n) const noexcept {
            std::uint8_t copy[piece_elements<T>];
            const std::uint8_t* kept = operand_pieces<B, T>::bytes(mask, i, n, copy);
            const P other = P::broadcast(none);
            std::size_t l = 0;
            for (; l + lanes <= n; l += lanes) store(buffer + l, where_nonzero(kept + l, P::load(x + l), other));
            for (; l < n; ++l) buffer[l] = selected(kept[l] != 0, x[l], none);
        }
    };

    static SMX_NOINLINE void plain_row(const job& j, const operand* op, std::size_t kept, const scaling<T>& s) noexcept {
        const bool log = j.function == vocabulary::job_function::masked_log_softmax;
        const operand& out = op[masked::out];
        alignas(64) T copy[piece_elements<T>];
        alignas(64) T buffer[piece_elements<T>];
        const reader from{{op[masked::in], copy}, op[masked::mask], s.negative ? -minus_infinity<T>() : minus_infinity<T>(), copy};
        const operand_writer<B, T, true> to{out, buffer};

        row_constants<T> row;
        if (!kernel::find_constants(from, kept, s, row)) return write_special(j, op, kept);
        const row_constants<T> of_max = row;
        sink_of_row sink;
        const bool has_sink = take_sink(op, row, s, sink);
        if (has_sink && !is_finite(sink.above_max.head)) return write_by_sink(j, op, kept, sink);

        if (log) {
            std::size_t ties = 0;
            const double rest = sum_of_row<B, T>(kept, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
                kernel::add_terms_below_max(total, ties, from, first, length, of_max, s);
            });
            if (sum_is_nan(rest)) return write_nan(j, op, kept);
            kernel::subtract(from, to, 0, kept, of_max, log_of(rest, static_cast<double>(ties) - 1, exact_max_term(of_max, s), has_sink, sink), s);
            return;
        }
        const bool half = sizeof(T) == 4 && size_of(out.type) == 2;
        const bool direct = operand_pieces<B, T>::direct(out);
        double sum = sum_of_row<B, T>(kept, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
            for_pieces<T>(first, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                add_terms(half, total, from.read(i, n), direct ? to.piece(i) : buffer, n, row, s);
            });
        });
        if (sum_is_nan(sum)) return write_nan(j, op, kept);
        if (has_sink) sum = fence(sum + sink.term);
        if (kept == 1 && !has_sink) return put_number(out, 0, 1.0);
        const T share = share_of<T>(sum);
        for_pieces<T>(0, kept, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (!direct && kept > piece_elements<T>) {
                row_sum<B, T> again;
                add_terms(half, again, from.read(i, n), buffer, n, row, s);
            }
            pass::scale(direct ? to.piece(i) : buffer, to.piece(i), n, share);
            to.written(i, n);
        });
    }

    static SMX_ALWAYS_INLINE void add_terms(bool half, row_sum<B, T>& total, const T* in, T* to, std::size_t n, const row_constants<T>& row,
                                            const scaling<T>& s) noexcept {
        if (sizeof(T) == 4 && half) {
            if (row.general) pass::template add_terms<half_of, true>(total, in, to, n, row, s);
            else pass::template add_terms<half_of, false>(total, in, to, n, row, s);
        } else {
            if (row.general) pass::template add_terms<precision::full, true>(total, in, to, n, row, s);
            else pass::template add_terms<precision::full, false>(total, in, to, n, row, s);
        }
    }
    static constexpr precision half_of = sizeof(T) == 4 ? precision::half : precision::full;

    // ---- pairs ------------------------------------------------------------------------------------------------------

    static SMX_ALWAYS_INLINE double exact_top(const row_constants<T>& row, T top, T top_tail) noexcept {
        return row.general ? exact_term<T>(0.0, 0.0, static_cast<double>(row.k_max), no_scaling<T>.rest)
                           : exact_term<T>(static_cast<double>(top), static_cast<double>(top_tail), static_cast<double>(row.k_max), no_scaling<T>.direct);
    }

    static SMX_ALWAYS_INLINE void terms(const operand& out, row_sum<B, T>& total, const T* head, const T* tail, T* to, std::size_t n,
                                        const row_constants<T>& row, T top_tail) noexcept {
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
        for (std::size_t l = 0; l < n; l += lanes) most = maximum(most, sub(P::load(tail + l), zero_where_equal(huge, P::load(head + l), all)));
        return reduce_max(most);
    }

    /// head and tail are padded to whole packs; the buffer has room for them.
    template <precision Q, bool General>
    static SMX_NOINLINE void add_pairs(row_sum<B, T>& total, const T* head, const T* tail, T* to, std::size_t n, const row_constants<T>& row,
                                       T top_tail) noexcept {
        const auto& c = no_scaling<T>.direct.c;
        const P magic = P::broadcast(row.magic), c_head = P::broadcast(c.head), c_tail = P::broadcast(c.tail), whole = P::broadcast(c.whole);
        const P minus_top = P::broadcast(-row.max), minus_tail = P::broadcast(-top_tail), least = P::broadcast(lowest<T>);
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
            total.add_group(add(add(a[0], a[1]), add(a[2], a[3])));
        }
    }

    static SMX_NOINLINE void subtract(const T* head, const T* tail, std::size_t n, T top, T top_tail, T log_sum, T* to) noexcept {
        const P minus_top = P::broadcast(-top), minus_tail = P::broadcast(-top_tail), minus_log = P::broadcast(-log_sum);
        for (std::size_t l = 0; l < n; l += lanes) {
            const P d = add(P::load(head + l), minus_top), e = add(P::load(tail + l), minus_tail);
            store(to + l, add(d, add(e, minus_log)));
        }
    }

    // ---- the sink -----------------------------------------------------------------------------------------------------

    /// log(sum of exp(z - max)) from the sum of all terms but the counted ones, of which there are ties + 1.
    static SMX_ALWAYS_INLINE double log_of(double rest, double ties, double top, bool has_sink, const sink_of_row& sink) noexcept {
        const double below = fence(ties + fence(rest / top));
        if (!has_sink) return log_1_plus<T>(below);
        const double_double& d = sink.above_max;
        if (d.head <= 0) return log_1_plus<T>(fence(below + (d.head < -700 ? 0 : exp_of(d))));
        const double back = d.head > 700 ? 0 : exp_of(negated(d));
        return fence(d.head + log_1_plus<T>(rounded(back * fence(1 + below))));
    }

    /// False: no sink, or one of -inf. The row's constants are moved down where the sink is above its maximum.
    static SMX_ALWAYS_INLINE bool take_sink(const operand* op, row_constants<T>& row, const scaling<T>& s, sink_of_row& sink) noexcept {
        if (!op[masked::sink]) return false;
        const T z = row.general ? rounded(rounded(row.max * s.second) * s.third) : row.max;
        const split_double top = two_product(static_cast<double>(z), row.general ? s.rest.value : s.direct.value);
        return place_sink(op, normalised(top.head, top.tail), exact_max_term(row, s), row, sink);
    }
    static SMX_ALWAYS_INLINE bool take_sink(const operand* op, T top, T top_tail, T shift, row_constants<T>& row, sink_of_row& sink) noexcept {
        if (!op[masked::sink]) return false;
        const double_double shifted = normalised(static_cast<double>(top), static_cast<double>(top_tail));
        return place_sink(op, add(shifted, {-static_cast<double>(shift), 0}), exact_top(row, top, top_tail), row, sink);
    }
    static SMX_NOINLINE bool place_sink(const operand* op, double_double top, double top_term, row_constants<T>& row, sink_of_row& sink) noexcept {
        const double z = number_at<double>(op[masked::sink].data, op[masked::sink].type);
        sink.above_max = {z, 0};
        if (is_nan(z)) return true;
        if (!is_finite(z)) return !is_negative(z);
        double_double d = add({z, 0}, negated(top));
        sink.above_max = d;
        if (!(d.head < 1e4)) d = {1e4, 0};
        if (d.head < -700) d = {-700, 0};
        // Terms lead to 2^61 at the sink if that is the largest: octaves, so that nothing is rounded.
        constexpr double ln2_head = 0x1.62e42fefa39efp-1, ln2_tail = 0x1.abc9e3b39803fp-56;
        double octaves = 0;
        if (d.head > 0) {
            octaves = fence(fma(d.head, 0x1.71547652b82fep0, 0x1.8p52) - 0x1.8p52);
            constexpr double most = sizeof(T) == 4 ? 300 : 2200;  // everything else is gone long before
            if (octaves > most) {
                octaves = most;
                d = mul(double_double{ln2_head, ln2_tail}, most);
            }
            row.k_max = fence(row.k_max + static_cast<T>(8 * octaves));
            row.magic = fence(row.magic - static_cast<T>(8 * octaves));
            d = add(d, negated(mul(double_double{ln2_head, ln2_tail}, octaves)));
        }
        sink.term = rounded(top_term * exp_of(d));
        return true;
    }

    // ---- special ------------------------------------------------------------------------------------------------------

    enum class logit_class { finite, plus, minus, masked_out, nan };

    static SMX_ALWAYS_INLINE double element(const operand& o, std::size_t i) noexcept {
        return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
    }
    static SMX_ALWAYS_INLINE bool is_masked_out(const operand* op, std::size_t i) noexcept {
        const auto shut = [](double x) SMX_INLINE_LAMBDA { return !is_finite(x) && !is_nan(x) && is_negative(x); };
        const operand& m = op[masked::mask];
        if (m && (is_floating(m.type) ? shut(element(m, i)) : element(m, i) == 0)) return true;
        return op[masked::bias] && shut(element(op[masked::bias], i));
    }

    /// A row with a NaN, whose input may have been written over: what was masked out stays that.
    static SMX_NOINLINE void write_nan(const job& j, const operand* op, std::size_t kept) noexcept {
        const bool log = j.function == vocabulary::job_function::masked_log_softmax;
        for (std::size_t i = 0; i < kept; ++i) {
            if (is_masked_out(op, i)) put_nothing(op[masked::out], i, i + 1, log);
            else put_nan(op[masked::out], i);
        }
    }

    /// What the logit of element i is, where the row has no finite maximum.
    static SMX_ALWAYS_INLINE logit_class class_of(const job& j, const operand* op, std::size_t i) noexcept {
        int sign = 0;
        bool nan = false;
        const auto take = [&](double x, bool turned) SMX_INLINE_LAMBDA {
            if (is_nan(x)) nan = true;
            else if (!is_finite(x)) sign = is_negative(x) != turned ? -1 : sign == 0 ? 1 : sign;
        };
        if (is_masked_out(op, i)) return logit_class::masked_out;
        const operand& m = op[masked::mask];
        const double x = element(op[masked::in], i);
        if (j.softcap == 0 || is_nan(x)) take(x, j.scale < 0);
        double z = is_finite(x) ? x * j.scale : 0;
        take(z, false);
        if (m && is_floating(m.type)) take(element(m, i), false), z += element(m, i);
        if (op[masked::bias]) take(element(op[masked::bias], i), false), z += element(op[masked::bias], i);
        if (sign == 0 && !nan) take(z, false);  // a sum beyond the range of double
        return nan ? logit_class::nan : sign > 0 ? logit_class::plus : sign < 0 ? logit_class::minus : logit_class::finite;
    }

    /// A finite row with a sink of NaN or +inf.
    static SMX_NOINLINE void write_by_sink(const job& j, const operand* op, std::size_t kept, const sink_of_row& sink) noexcept {
        if (is_nan(sink.above_max.head)) write_nan(j, op, kept);
        else put_nothing(op[masked::out], 0, kept, j.function == vocabulary::job_function::masked_log_softmax);
    }

    /// A row with a NaN, or all -inf, or with a +inf; elements from `kept` on have been written.
    static SMX_NOINLINE void write_special(const job& j, const operand* op, std::size_t kept) noexcept {
        const bool log = j.function == vocabulary::job_function::masked_log_softmax;
        const operand& out = op[masked::out];
        std::size_t infinities = 0;
        bool nan = false;
        if (op[masked::sink] && kept != 0) {
            const double z = number_at<double>(op[masked::sink].data, op[masked::sink].type);
            if (is_nan(z)) nan = true;
            else if (!is_finite(z) && !is_negative(z)) ++infinities;
        }
        const std::size_t from_sink = infinities;
        for (std::size_t i = 0; i < kept; ++i) {
            const logit_class c = class_of(j, op, i);
            if (c == logit_class::nan) nan = true;
            if (c == logit_class::plus) ++infinities;
        }
        const bool finite_sink = op[masked::sink] && infinities == 0 && !nan &&
                                 is_finite(number_at<double>(op[masked::sink].data, op[masked::sink].type));
        if (j.special == special_values::ieee && !finite_sink && (nan || infinities != from_sink || infinities == 0)) {
            for (std::size_t i = 0; i < j.length; ++i) put_nan(out, i);
            return;
        }
        const double share = log ? share_of_infinity<true>(infinities) : share_of_infinity<false>(infinities);
        for (std::size_t i = 0; i < kept; ++i) {
            const logit_class c = class_of(j, op, i);  // before the output is written: it may be the input
            if (nan && c != logit_class::masked_out) put_nan(out, i);
            else if (c == logit_class::plus && !nan) put_number(out, i, share);
            else put_nothing(out, i, i + 1, log);
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
