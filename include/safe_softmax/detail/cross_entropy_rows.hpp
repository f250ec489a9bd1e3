// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/exp_double.hpp>
#include <safe_softmax/detail/loss_weights.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/row_dot.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// cross_entropy and its gradient with backend B and arithmetic in T: log-sum-exp as log_softmax has it, the terms of the
/// losses and of the target in double. A class index without label smoothing takes the passes of a softmax, in the gradient's
/// memory where that is possible; everything else one more pass for the loss, and for the gradient a second exp.
template <class B, class T>
class cross_entropy_rows {
    using P = pack_t<B, T>;
    using D = typename B::f64;
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    using names = cross_entropy_of;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr std::size_t piece = piece_elements<T>;

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        run_under_default(j);
    }

private:
    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        scaling<T> made;
        const scaling<T>* s = &no_scaling<T>;
        if (j.scale != 1.0) {
            made = make_scaling<T>(j.scale);
            s = &made;
        }
        const double sum_of_weights = j.label_smoothing == 0 ? 0 : total_weight(j);
        for_each_row(j, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA {
            const operand& target = op[names::targets];
            if (j.length == 0 || (!is_floating(target.type) &&
                                  is_ignored(j, target.type, number_at<std::int64_t>(target.data, target.type))))
                return ignored(j, op);
            if constexpr (sizeof(T) == 4) {
                if (is_contiguous<float16>(j)) return contiguous_row<float16>(j, op, *s, sum_of_weights);
                if (is_contiguous<bfloat16>(j)) return contiguous_row<bfloat16>(j, op, *s, sum_of_weights);
            }
            row(j, op, *s, sum_of_weights);
        });
        if (j.total == nullptr) return;
        double loss = is_finite(j.total->head) ? fence(j.total->head + j.total->tail) : j.total->head;
        if (j.divisor != 1) loss = j.divisor == 0 ? 0 : fence(loss / j.divisor);
        put(j.op[names::losses], 0, loss);
    }

    /// Class indices without label smoothing, and logits of S and a gradient of the same type, or none, as the passes take them.
    template <class S>
    static SMX_ALWAYS_INLINE bool is_contiguous(const job& j) noexcept {
        const auto suits = [](const operand& o) SMX_INLINE_LAMBDA {
            return o.type == vocabulary::scalar_type_of<S>() && o.step == static_cast<std::ptrdiff_t>(sizeof(S));
        };
        return !is_floating(j.op[names::targets].type) && j.label_smoothing == 0 && suits(j.op[names::logits]) &&
               (!j.op[names::dlogits] || suits(j.op[names::dlogits]));
    }
    template <class S>
    static SMX_NOINLINE void contiguous_row(const job& j, const operand* op, const scaling<T>& s,
                                            double sum_of_weights) noexcept {
        alignas(64) T buffer[piece];
        const pieces_in_place<const S> from{static_cast<const S*>(op[names::logits].data)};
        const pieces_in_place<S> to{static_cast<S*>(const_cast<void*>(op[names::dlogits].data))};
        row_from(j, op, s, sum_of_weights, from, to, buffer);
    }

    static SMX_NOINLINE double total_weight(const job& j) noexcept {
        if (!j.op[names::weights]) return static_cast<double>(j.length);
        alignas(64) T buffer[piece];
        const operand_reader<B, T> w{j.op[names::weights], buffer};
        row_dot<B, T> sum;
        for_pieces<T>(0, j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* from = w.read(i, n);
            sum.for_packs(n, [&](auto& part, std::size_t l, std::size_t left)
                                 SMX_INLINE_LAMBDA { part.add_number(load_up_to<D>(from + l, left)); });
        });
        return sum.result().head;
    }

    static SMX_NOINLINE void ignored(const job& j, const operand* op) noexcept {
        put_loss(j, op, 0);
        if (op[names::dlogits]) put_nothing(op[names::dlogits], 0, j.length, false);
    }

    static SMX_ALWAYS_INLINE double element(const operand& o, std::size_t i) noexcept {
        return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
    }
    static SMX_ALWAYS_INLINE bool is_masked_out(const job& j, double x) noexcept {
        return !is_finite(x) && !is_nan(x) && is_negative(x) != (j.scale < 0);
    }
    /// a*b, where an a of 0 makes 0 of everything.
    static SMX_ALWAYS_INLINE double times(double a, double b) noexcept {
        return magnitude_bits(a) == 0 ? 0 : rounded(a * b);
    }
    /// x, or the number of magnitude `most` that is nearest to it.
    static SMX_ALWAYS_INLINE double within(double x, double most) noexcept {
        if (!is_finite(x) || magnitude_of(x) > most) return is_negative(x) ? -most : most;
        return x;
    }
    static SMX_NOINLINE void put(const operand& o, std::size_t i, double x) noexcept {
        if (is_nan(x)) put_nan(o, i);
        else if (!is_finite(x)) put_infinity(o, i, is_negative(x));
        else put_number(o, i, x);
    }
    static SMX_ALWAYS_INLINE void put_loss(const job& j, const operand* op, double loss) noexcept {
        if (j.total != nullptr) add_to(*j.total, loss);
        else if (op[names::losses]) put(op[names::losses], 0, loss);
    }
    /// The gradient that arrives at the loss of a row. A mean over nothing passes none on.
    static SMX_ALWAYS_INLINE double arriving(const job& j, const operand* op) noexcept {
        const double given =
            op[names::dlosses] ? number_at<double>(op[names::dlosses].data, op[names::dlosses].type) : 1;
        if (j.divisor == 1) return given;
        return j.divisor == 0 ? 0 : fence(given / j.divisor);
    }

    // ---- a row with a finite maximum --------------------------------------------------------------------------------

    /// What is known of a row after the pass over its terms.
    struct row_state {
        row_constants<T> row;
        double max;               // as an element
        double rest, ties, top;   // sum of the terms below the largest, how many are as large, the largest
        double sum;               // of all terms
        double log_sum;           // log(sum of exp(z - max z))
        double total;             // W, the sum of a_j
        double total_but_target;  // W - a_t, for a class index
        double slope;             // 2 * z_loss * logsumexp
    };

    static SMX_NOINLINE void row(const job& j, const operand* op, const scaling<T>& s, double sum_of_weights) noexcept {
        alignas(64) T x_buffer[piece];
        alignas(64) T buffer[piece];
        const operand_reader<B, T> from{op[names::logits], x_buffer};
        const operand_writer<B, T> to{op[names::dlogits], buffer};
        row_from(j, op, s, sum_of_weights, from, to, buffer);
    }

    /// From, To: pieces of the logits, and of the gradient if there is to be one. Terms come to the gradient's own memory where that has the
    /// arithmetic's type, else to the buffer, of a piece.
    template <class From, class To>
    static SMX_ALWAYS_INLINE void row_from(const job& j, const operand* op, const scaling<T>& s, double sum_of_weights,
                                           const From& from, const To& to, T* buffer) noexcept {
        constexpr bool in_place = !std::is_same_v<typename To::element, T>;  // pieces of 16-bit elements
        row_state state;
        if (!kernel::find_constants(from, j.length, s, state.row)) return special(j, op);

        const loss_weights a(j, op);
        const bool simple = !a.soft && j.label_smoothing == 0;
        const bool gradient = static_cast<bool>(op[names::dlogits]);
        const bool in_output = gradient && simple && operand_pieces<B, T>::direct(op[names::dlogits]);
        const bool keep = in_output || (gradient && j.length <= piece);
        // Before anything is written over it.
        const double x_target = a.soft ? 0 : element(op[names::logits], a.target);

        std::size_t ties = 0;
        state.rest = sum_of_row<B, T>(
            j.length, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
                for_pieces<T>(first, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                    T* terms = keep ? buffer : nullptr;
                    if constexpr (!in_place) {
                        if (in_output) terms = to.piece(i);
                    }
                    add_terms(total, ties, from.read(i, n), n, state.row, s, terms);
                });
            });
        if (sum_is_nan(state.rest)) return write_nan(j, op);
        complete(state, static_cast<double>(ties), s);

        const double loss = loss_of(j, op, a, state, x_target, sum_of_weights, s);
        put_loss(j, op, loss);
        if (!gradient) return;

        if (!is_finite(state.total)) return write_nan(op[names::dlogits], j.length);

        double c = arriving(j, op);
        c = j.scale == 0 ? 0 : is_finite(c) ? rounded(c * j.scale) : j.scale < 0 ? -c : c;
        // A factor beyond the range of T is left for the end, so that it meets no probability of 0.
        constexpr double most = static_cast<double>((std::numeric_limits<T>::max)());
        const double whole = within(fence(state.total + state.slope), most);
        const bool later = !is_finite(c) || magnitude_of(c) > most / 4 || magnitude_of(rounded(c * whole)) > most / 4;
        const double unit = later ? 1 : c, factor = rounded(unit * whole);

        for_pieces<T>(0, j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            T* terms = buffer;
            if constexpr (!in_place) {
                if (in_output) terms = to.piece(i);
            }
            const typename From::element* x = nullptr;
            if (!keep || !simple) x = from.read(i, n);
            if (!keep) {
                row_sum<B, T> again;
                std::size_t unused = 0;
                add_terms(again, unused, x, n, state.row, s, buffer);
            }
            if (in_place || simple) scale_terms(terms, to.piece(i), n, share_of<T>(state.sum), static_cast<T>(factor));
            else if constexpr (!in_place)
                write_gradient(op, a, x, terms, to.piece(i), i, n, fence(1.0 / state.sum), factor, unit, j.scale < 0);
            to.written(i, n);
        });
        if (!a.soft && !is_masked_out(j, x_target))
            put(op[names::dlogits], a.target, rounded(unit * at_target(a, state, x_target, j.scale)));
        if (later) multiply(j, op[names::dlogits], c);
    }

    template <class S>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, std::size_t& ties, const S* x, std::size_t n,
                                            const row_constants<T>& row, const scaling<T>& s, T* terms) noexcept {
        if (terms != nullptr) {
            if (row.general) pass::template add_terms_below_max<true, true>(total, ties, x, n, row, s, terms);
            else pass::template add_terms_below_max<false, true>(total, ties, x, n, row, s, terms);
        } else {
            if (row.general) pass::template add_terms_below_max<true>(total, ties, x, n, row, s);
            else pass::template add_terms_below_max<false>(total, ties, x, n, row, s);
        }
    }

    static SMX_NOINLINE void complete(row_state& r, double ties, const scaling<T>& s) noexcept {
        r.max = static_cast<double>(r.row.max);
        if (r.row.general) r.max = fence(r.max / static_cast<double>(s.first));
        r.ties = ties;
        r.top = exact_max_term(r.row, s);
        r.sum = fma(ties, r.top, r.rest);
        r.log_sum = log_sum_exp_of(r.rest, ties, r.row, s);
        r.total = r.total_but_target = r.slope = 0;
    }

    /// The loss; state.total and state.slope are filled in.
    static SMX_NOINLINE double loss_of(const job& j, const operand* op, const loss_weights& a, row_state& r,
                                       double x_target, double sum_of_weights, const scaling<T>& s) noexcept {
        const double by = twice(j.scale);
        const auto of_class = [&](double x) SMX_INLINE_LAMBDA {  // -log p; no part of it is negative
            return is_masked_out(j, x) ? plus_infinity<double>()
                                       : fma(fence(rounded(r.max * 0.5) - rounded(x * 0.5)), by, r.log_sum);
        };
        double loss = 0;
        if (!a.soft) {
            const double w = rounded(a.kept * a.class_weight(a.target));
            loss = times(w, of_class(x_target));
            r.total = w;
        }
        if (a.soft || j.label_smoothing != 0) {
            double_double distance{0, 0}, weight{0, 0};
            weighted(op, a, j.length, r.max, distance, weight);
            const double of_weights = a.soft ? weight.head : sum_of_weights;
            double part;
            if (is_finite(distance.head) && is_finite(distance.tail))
                part = fma(distance.head, by, rounded(of_weights * r.log_sum));
            else part = unreachable(j, op, a);
            if (!a.soft) part = times(a.spread, part);
            loss = fence(loss + part);
            r.total = fma(a.soft ? 1 : a.spread, of_weights, r.total);
            if (!a.soft) r.total_but_target = rounded(a.spread * fence(of_weights - a.class_weight(a.target)));
        }
        if (j.z_loss != 0) {
            const double total = log_total(r.log_sum, r.row, s);
            const double part = rounded(rounded(j.z_loss * total) * total);
            if (is_finite(loss)) loss = fence(loss + part);
            r.slope = within(rounded(2 * rounded(j.z_loss * total)), -lowest<double>);
        }
        return loss;
    }

    /// Half of the sum of a_j*(max - x_j), and the sum of a_j; of w_j instead of a_j for class indices.
    static SMX_NOINLINE void weighted(const operand* op, const loss_weights& a, std::size_t length, double max,
                                      double_double& distance, double_double& weight) noexcept {
        alignas(64) T x_buffer[piece];
        alignas(64) T q_buffer[piece];
        alignas(64) T w_buffer[piece];
        const operand_reader<B, T> x{op[names::logits], x_buffer}, q{op[names::targets], q_buffer},
            w{op[names::weights], w_buffer};
        const bool has_weights = static_cast<bool>(op[names::weights]);
        const D half_max = D::broadcast(max * 0.5), minus_half = D::broadcast(-0.5), zero = D::broadcast(0),
                one = D::broadcast(1);
        const D kept = D::broadcast(a.kept), spread = D::broadcast(a.spread);
        row_dot<B, T> distances, weights;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* px = x.read(i, n);
            const T* pq = a.soft ? q.read(i, n) : nullptr;
            const T* pw = has_weights ? w.read(i, n) : nullptr;
            const auto coefficient = [&](std::size_t l, std::size_t left) SMX_INLINE_LAMBDA {
                D c = has_weights ? load_up_to<D>(pw + l, left) : one;
                if (a.soft) c = product(fma(load_up_to<D>(pq + l, left), kept, spread), c);
                return left < D::lanes ? blend_first(c, zero, left) : c;
            };
            distances.for_packs(n, [&](auto& part, std::size_t l, std::size_t left) SMX_INLINE_LAMBDA {
                const D c = coefficient(l, left);
                part.add_product(c, zero_where_equal(fma(load_up_to<D>(px + l, left), minus_half, half_max), c, zero));
            });
            if (a.soft)
                weights.for_packs(n, [&](auto& part, std::size_t l, std::size_t left)
                                         SMX_INLINE_LAMBDA { part.add_number(coefficient(l, left)); });
        });
        distance = distances.result();
        weight = weights.result();
    }

    /// The loss where a class with a logit of -inf has a share in it, or the sum is beyond the range of double.
    static SMX_NOINLINE double unreachable(const job& j, const operand* op, const loss_weights& a) noexcept {
        bool plus = false, minus = false, nan = false;
        for (std::size_t i = 0; i < j.length; ++i) {
            const double c = a.soft ? a.of(i) : a.class_weight(i);
            if (is_nan(c)) nan = true;
            if (!is_finite(c) || is_masked_out(j, element(op[names::logits], i))) {
                plus = plus || c > 0;
                minus = minus || c < 0;
            }
        }
        if (nan) return quiet_nan<double>();
        return minus && !plus ? minus_infinity<double>() : plus_infinity<double>();
    }

    /// The gradient at a class index t, over scale*dloss: (total + slope)*p - a_t, with total - a_t and 1 - p in place of the
    /// differences, since a confident row has p = 1 to the last digit.
    static SMX_NOINLINE double at_target(const loss_weights& a, const row_state& r, double x, double scale) noexcept {
        double lost;
        const double difference = two_sum(rounded(x * 0.5), rounded(r.max * -0.5), lost), by = twice(scale);
        const split_double below = two_product(difference, by);
        const double distance = below.head < 0 ? below.head : 0;
        double term = rounded(r.top * exp_of_number<B, T>(distance));
        if (distance > -700) term = fma(term, fma(lost, by, below.tail), term);
        const double others = x == r.max ? fma(r.ties - 1, r.top, r.rest) : fence(r.sum - term);
        return fma(fence(r.total_but_target + r.slope), fence(term / r.sum),
                   rounded(-a.of(a.target) * fence(others / r.sum)));
    }

    /// Terms times their share times a factor.
    template <class O>
    static SMX_NOINLINE void scale_terms(const T* terms, O* out, std::size_t n, T share, T factor) noexcept {
        const P p = P::broadcast(share), f = P::broadcast(factor);
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) store(out + i, mul(mul(P::load(terms + i), p), f));
        if (i < n) store_partial(out + i, mul(mul(P::load_partial(terms + i, n - i), p), f), n - i);
    }

    /// factor*p_j - unit*a_j, and +0 where the logit is -inf. At a class index a_j lacks what belongs to the target alone.
    static SMX_NOINLINE void write_gradient(const operand* op, const loss_weights& a, const T* x, const T* terms,
                                            T* out, std::size_t i, std::size_t n, double share, double factor,
                                            double unit, bool negative) noexcept {
        alignas(64) T q_buffer[piece];
        alignas(64) T w_buffer[piece];
        const bool has_weights = static_cast<bool>(op[names::weights]);
        const T* q = a.soft ? operand_reader<B, T>{op[names::targets], q_buffer}.read(i, n) : nullptr;
        const T* w = has_weights ? operand_reader<B, T>{op[names::weights], w_buffer}.read(i, n) : nullptr;
        const D by_share = D::broadcast(share), by_factor = D::broadcast(factor), minus_unit = D::broadcast(-unit);
        const D kept = D::broadcast(a.kept), spread = D::broadcast(a.spread), least = D::broadcast(lowest<double>);
        const D sign = D::broadcast(negative ? -1 : 1);
        for (std::size_t l = 0; l < n; l += D::lanes) {
            const std::size_t left = n - l;
            D c = a.soft ? fma(load_up_to<D>(q + l, left), kept, spread) : spread;
            if (has_weights) c = mul(c, load_up_to<D>(w + l, left));
            const D p = mul(load_up_to<D>(terms + l, left), by_share);
            const D g = fma(p, by_factor, product(c, minus_unit));
            store_up_to(out + l, zero_where_less(g, mul(load_up_to<D>(x + l, left), sign), least), left);
        }
    }

    static SMX_NOINLINE void multiply(const job& j, const operand& out, double c) noexcept {
        for (std::size_t i = 0; i < j.length; ++i) put(out, i, times(element(out, i), c));
    }

    // ---- other rows ---------------------------------------------------------------------------------------------------

    static SMX_NOINLINE void write_nan(const operand& out, std::size_t length) noexcept {
        for (std::size_t i = 0; i < length; ++i) put_nan(out, i);
    }
    static SMX_NOINLINE void write_nan(const job& j, const operand* op) noexcept {
        put_loss(j, op, quiet_nan<double>());
        if (op[names::dlogits]) write_nan(op[names::dlogits], j.length);
    }

    /// A row with a NaN, or all -inf, or with +inf k times: probabilities are 1/k there, and 0 elsewhere.
    static SMX_NOINLINE void special(const job& j, const operand* op) noexcept {
        const operand& logits = op[names::logits];
        std::size_t k = 0;
        bool nan = j.special == special_values::ieee;
        const auto is_top = [&](double x) SMX_INLINE_LAMBDA { return !is_finite(x) && !is_masked_out(j, x); };
        for (std::size_t i = 0; i < j.length; ++i) {
            const double x = element(logits, i);
            nan = nan || is_nan(x);
            if (is_top(x)) ++k;
        }
        if (nan) return write_nan(j, op);
        const loss_weights a(j, op);
        const double of_top = k == 0 ? 0 : log_1_plus<double>(static_cast<double>(k) - 1);
        double loss = 0, total = 0;
        bool plus = false, minus = false;
        for (std::size_t i = 0; i < j.length; ++i) {
            const double c = a.of(i);
            total = fence(total + c);
            if (is_top(element(logits, i))) {
                loss = fence(loss + times(c, of_top));
            } else {
                plus = plus || c > 0;
                minus = minus || c < 0;
                nan = nan || is_nan(c);
            }
        }
        if (plus || j.z_loss > 0) loss = plus_infinity<double>();
        else if (minus || j.z_loss < 0) loss = minus_infinity<double>();
        if (nan) loss = quiet_nan<double>();
        put_loss(j, op, loss);
        if (!op[names::dlogits]) return;
        const double dloss = arriving(j, op);
        const double share = k == 0 ? 0 : fence(1.0 / static_cast<double>(k));
        for (std::size_t i = 0; i < j.length; ++i) {
            const double x = element(logits, i);
            double g = 0;
            if (is_top(x))
                g = j.z_loss != 0 ? (j.z_loss < 0 ? minus_infinity<double>() : plus_infinity<double>())
                                  : fma(total, share, -a.of(i));
            else if (k != 0 && !is_masked_out(j, x)) g = -a.of(i);
            put(op[names::dlogits], i, magnitude_bits(g) == 0 ? 0 : times(j.scale, times(dloss, g)));
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
