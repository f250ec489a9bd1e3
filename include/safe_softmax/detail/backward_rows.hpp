// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/backward_job.hpp>
#include <safe_softmax/detail/exp_double.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/row_dot.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/some_elements.hpp>
#include <safe_softmax/simd/environment.hpp>
#include <safe_softmax/simd/widen.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::job_function;

using backward = backward_of;

/// Calls f(operands, length, scale) for every row: what lies beyond a length or the diagonal has been given its gradient, 0.
template <class F>
SMX_ALWAYS_INLINE void for_each_gradient(const job& j, F f) noexcept {
    for_each_row(j, [&](const operand* op, std::size_t query) SMX_INLINE_LAMBDA {
        const std::size_t kept = kept_of_row(j, op, query);
        if (kept < j.length) put_nothing(op[backward::dx], kept, j.length, false);
        const operand& t = op[backward::temperature];
        if (kept != 0) f(op, kept, t ? fence(j.scale / number_at<double>(t.data, t.type)) : j.scale);
    });
}

/// What element (y, dy) adds to the sum of its row.
template <job_function F, class Part, class P>
SMX_ALWAYS_INLINE void add_to_dot(Part& part, P y, P dy) noexcept {
    if constexpr (F == job_function::softmax_backward) part.add_product(y, zero_where_equal(dy, y, P::broadcast(0)));
    else if constexpr (F == job_function::masked_log_softmax_backward) part.add_number(zero_where_less(dy, y, P::broadcast(lowest<double>)));
    else part.add_number(dy);
}

/// The gradient from y, dy and the sum of the row, which is finite. In double everything is halved until the end, so that no
/// difference overflows.
template <class P, class T, job_function F>
struct gradient_of_row {
    static constexpr bool wide = sizeof(T) == 8;
    P minus_head, minus_tail, by;

    SMX_ALWAYS_INLINE gradient_of_row(P head, P tail, double scale) noexcept
        : minus_head(mul(head, P::broadcast(wide ? -0.5 : -1))), minus_tail(mul(tail, P::broadcast(wide ? -0.5 : -1))),
          by(P::broadcast(wide ? twice(scale) : scale)) {}

    SMX_ALWAYS_INLINE P operator()(P y, P dy) const noexcept {
        if constexpr (F == job_function::softmax_backward) {
            P d;
            if constexpr (wide) d = add(fma(dy, P::broadcast(0.5), minus_head), minus_tail);
            else d = add(dy, minus_head);
            return zero_where_equal(mul(mul(y, by), d), y, P::broadcast(0));
        } else {
            if constexpr (wide) dy = product(dy, P::broadcast(0.5));
            const P r = mul(fma(exp_of_logarithm<T>(y), minus_head, dy), by);
            if constexpr (F == job_function::masked_log_softmax_backward) return zero_where_less(r, y, P::broadcast(lowest<double>));
            else return r;
        }
    }
};

/// The derivative of cap*tanh(x*scale/cap), over the scale: 1/cosh(x*scale/cap)^2 = 4*e/(1 + e)^2 with e = exp(-2*|x*scale/cap|). `k` is
/// 2*|scale|/cap.
template <class T, class P>
SMX_ALWAYS_INLINE P softcap_slope(P x, P k) noexcept {
    const P zero = P::broadcast(0), minus = sub(zero, maximum(sub(zero, x), x));
    const P e = exp_of_logarithm<T>(product(minus, k)), d = add(P::broadcast(1), e);
    return div(mul(P::broadcast(4), e), product(d, d));
}
SMX_ALWAYS_INLINE double steepness(double scale, double softcap) noexcept { return fence(twice(magnitude_of(scale)) / softcap); }
template <class B, class T>
SMX_NOINLINE double softcap_slope(double x, double scale, double softcap) noexcept {
    using P = typename B::f64;
    double lane[P::lanes];
    store(lane, softcap_slope<T>(P::broadcast(x), P::broadcast(steepness(scale, softcap))));
    return lane[0];
}

/// A row in which an infinity or a NaN takes part, or whose sum overflows: element by element.
template <class B, job_function F>
class special_gradient {
    static constexpr bool softmax = F == job_function::softmax_backward;
    static constexpr bool masked = F == job_function::masked_log_softmax_backward;

public:
    static SMX_NOINLINE void run(const job& j, const operand* op, std::size_t length, double scale) noexcept {
        bool nan = false;
        std::size_t counted = 0, infinities[2] = {0, 0};
        double weight[2] = {0, 0};  // of +inf, of -inf
        double_double scaled_down{0, 0};  // the sum, of dy * 2^-64
        for (std::size_t i = 0; i < length; ++i) {
            const double y = at(op[backward::y], i), dy = at(op[backward::dy], i);
            if (!takes_part(y)) continue;
            ++counted;
            if (is_nan(dy) || (softmax && is_nan(y))) {
                nan = true;
            } else if (!is_finite(dy)) {
                ++infinities[is_negative(dy)];
                weight[is_negative(dy)] = fence(weight[is_negative(dy)] + y);
            } else if (softmax) {
                const split_double p = two_product(y, rounded(dy * 0x1p-64));
                scaled_down = add(scaled_down, normalised(p.head, p.tail));
            } else {
                scaled_down = add(scaled_down, {rounded(dy * 0x1p-64), 0});
            }
        }
        for (std::size_t i = 0; i < length; ++i) {
            const double y = at(op[backward::y], i), dy = at(op[backward::dy], i);
            const operand& dx = op[backward::dx];
            const double slope = j.softcap == 0 ? 1 : softcap_slope<B, double>(at(op[backward::logits], i), scale, j.softcap);
            if (!takes_part(y) || (slope == 0 && !nan)) {
                put_nothing(dx, i, i + 1, false);
            } else if (is_nan(y) || is_nan(dy) || is_nan(slope) || (nan && (softmax || masked || !is_minus_infinity(y)))) {
                put_nan(dx, i);
            } else if (!nan && infinities[0] + infinities[1] != 0) {
                put_limit(rounded(slope * scale), dx, i, y, dy, counted, infinities, weight);
            } else if (softmax) {
                const double d = fence(fence(rounded(dy * 0x1p-64) - scaled_down.head) - scaled_down.tail);
                put_number(dx, i, rounded(rounded(rounded(y * rounded(slope * scale)) * d) * 0x1p64));
            } else {
                const double d = fma(-exp_of_number<B, double>(y), nan ? 0 : scaled_down.head, rounded(dy * 0x1p-64));
                put_number(dx, i, rounded(rounded(d * rounded(slope * scale)) * 0x1p64));
            }
        }
    }

private:
    static SMX_ALWAYS_INLINE double at(const operand& o, std::size_t i) noexcept {
        return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
    }
    static SMX_ALWAYS_INLINE bool is_minus_infinity(double y) noexcept { return !is_finite(y) && !is_nan(y) && is_negative(y); }
    static SMX_ALWAYS_INLINE bool takes_part(double y) noexcept {
        if constexpr (softmax) return magnitude_bits(y) != 0;
        else return !(masked && is_minus_infinity(y));
    }
    /// The sign of the gradient's limit when the infinite dy are one number that grows: what it is multiplied by.
    static SMX_ALWAYS_INLINE void put_limit(double scale, const operand& dx, std::size_t i, double y, double dy, std::size_t counted,
                                            const std::size_t (&infinities)[2], const double (&weight)[2]) noexcept {
        const double sign = is_finite(dy) ? 0 : is_negative(dy) ? -1 : 1;
        double rate;
        if constexpr (softmax) {  // y_i * sum_j y_j*(sign_i - sign_j)
            if (sign == 0) rate = fence(weight[1] - weight[0]);
            else rate = counted == infinities[sign < 0] ? 0 : sign;
        } else {
            const double net = fence(static_cast<double>(infinities[0]) - static_cast<double>(infinities[1]));
            rate = fma(-exp_of_number<B, double>(y), net, sign);
        }
        if (scale == 0 || (rate == 0 && sign != 0) || (rate == 0 && softmax)) put_nothing(dx, i, i + 1, false);
        else if (rate == 0) put_number(dx, i, rounded(dy * scale));
        else put_infinity(dx, i, (rate < 0) != (scale < 0));
    }
};

/// Contiguous rows of 16-bit elements, without copies of them; the bits are those of backward_rows.
template <class B, job_function F, class S>
class half_rows {
    using P = typename B::f64;
    using H = pack_t<B, float>;
    static constexpr std::size_t lanes = H::lanes;
    static_assert(lanes == 2 * P::lanes);

public:
    static bool suits(const job& j) noexcept {
        if (j.softcap != 0) return false;
        for (std::size_t o = 0; o <= backward::dx; ++o)
            if (j.op[o].type != vocabulary::scalar_type_of<S>() || j.op[o].step != static_cast<std::ptrdiff_t>(sizeof(S))) return false;
        return true;
    }
    /// other(operands, length, scale) does a row with an infinity or a NaN.
    template <class G>
    static SMX_ALWAYS_INLINE void run(const job& j, G other) noexcept {
        for_each_gradient(j, [&](const operand* op, std::size_t length, double scale) SMX_INLINE_LAMBDA {
            const S* const y = static_cast<const S*>(op[backward::y].data);
            const S* const dy = static_cast<const S*>(op[backward::dy].data);
            S* const dx = static_cast<S*>(const_cast<void*>(op[backward::dx].data));
            double sum;
            if (!add_up(y, dy, dx, length, sum)) return other(op, length, scale);
            write(y, dy, dx, length, sum, scale);
        });
    }

private:
    using wide = double_halves<B>;

    /// The sum in the order of row_dot.hpp: products of float16 are exact in float, those of bfloat16 where they are large enough. False: it is
    /// not finite, or a NaN is among y.
    static SMX_NOINLINE bool add_up(const S* y, const S* dy, const S* dx, std::size_t n, double& result) noexcept {
        constexpr bool reads_y = F != job_function::log_softmax_backward || std::is_same_v<S, bfloat16>;
        const H zero = H::broadcast(0), one = H::broadcast(1), limit = H::broadcast(-lowest<float>);
        H bad = zero;
        P a = P::broadcast(0), b = a, c = a, d = a;
        const auto take = [&](std::size_t i, auto left, P& low, P& high) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(S), true>(dx + i);
            const H py = reads_y ? load_some<H>(y + i, left) : zero;
            H p = load_some<H>(dy + i, left);
            if constexpr (F == job_function::softmax_backward) {
                p = zero_where_equal(p, py, zero);
                if constexpr (std::is_same_v<S, bfloat16>) {
                    const wide u(py), v(p);
                    low = fma(u.lower, v.lower, low);
                    high = fma(u.upper, v.upper, high);
                    return;
                }
                p = product(py, p);
            }
            if constexpr (F == job_function::masked_log_softmax_backward) p = zero_where_less(p, py, H::broadcast(lowest<float>));
            if constexpr (reads_y && F != job_function::softmax_backward) bad = maximum(bad, zero_where_less(one, py, limit));
            const wide w(p);
            low = add(low, w.lower);
            high = add(high, w.upper);
        };
        constexpr std::integral_constant<std::size_t, lanes> whole;
        std::size_t i = 0;
        for (; i + 2 * lanes <= n; i += 2 * lanes) {
            take(i, whole, a, b);
            take(i + lanes, whole, c, d);
        }
        if (i + lanes <= n) take(i, whole, a, b), i += lanes;
        if (i < n) {
            if (i % (2 * lanes) == 0) take(i, n - i, a, b);
            else take(i, n - i, c, d);
        }
        result = reduce_add(add(add(a, b), add(c, d)));
        return is_finite(result) && reduce_max(bad) == 0;
    }

    static SMX_NOINLINE void write(const S* y, const S* dy, S* dx, std::size_t n, double sum, double scale) noexcept {
        const gradient_of_row<P, float, F> gradient(P::broadcast(sum), P::broadcast(0), scale);
        const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            const wide wy(load_some<H>(y + i, left)), wdy(load_some<H>(dy + i, left));
            store_some(dx + i, wide(gradient(wy.lower, wdy.lower), gradient(wy.upper, wdy.upper)).narrow(), left);
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) step(i, n - i);
    }
};

/// softmax_backward, log_softmax_backward and masked_log_softmax_backward with backend B, for elements of type T and
/// smaller; the arithmetic is in double. One pass over a row for its sum, one for its gradient.
template <class B, class T>
class backward_rows {
    using P = typename B::f64;
    using part = dot_part<B, T>;
    static constexpr std::size_t lanes = P::lanes;

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        run_under_default(j);
    }

private:
    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        switch (j.function) {
            case job_function::softmax_backward: return run_as<job_function::softmax_backward>(j);
            case job_function::log_softmax_backward: return run_as<job_function::log_softmax_backward>(j);
            default: return run_as<job_function::masked_log_softmax_backward>(j);
        }
    }

    template <job_function F>
    static SMX_ALWAYS_INLINE void run_as(const job& j) noexcept {
        if (j.length == 0) return;
        const bool alike = !j.causal && !j.op[backward::lengths] && !j.op[backward::temperature] && j.softcap == 0;
        const std::size_t neighbours = alike ? loop_of_neighbours(j) : j.loops;
        if (neighbours == j.loops) {
            const auto any_row = [&](const operand* op, std::size_t length, double scale) SMX_INLINE_LAMBDA {
                if constexpr (F != job_function::log_softmax_backward) {
                    if (j.softcap != 0) return row<F, true>(j, op, length, scale);
                }
                row<F, false>(j, op, length, scale);
            };
            if constexpr (sizeof(T) == 4) {
                if (half_rows<B, F, float16>::suits(j)) return half_rows<B, F, float16>::run(j, any_row);
                if (half_rows<B, F, bfloat16>::suits(j)) return half_rows<B, F, bfloat16>::run(j, any_row);
            }
            return for_each_gradient(j, any_row);
        }
        job outer = j;
        const vocabulary::job_loop inner = j.loop[neighbours];
        for (std::size_t l = neighbours; l + 1 < j.loops; ++l) outer.loop[l] = j.loop[l + 1];
        --outer.loops;
        outer.query_loop = 0;
        for_each_row(outer, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA {
            for (std::size_t c = 0; c < inner.extent; c += tile_rows)
                tile<F>(j, op, c, inner.extent - c < tile_rows ? inner.extent - c : tile_rows);
        });
    }

    /// Elements that the cache is asked for in advance.
    static constexpr std::ptrdiff_t fetched_ahead = 512;

    // ---- a row --------------------------------------------------------------------------------------------------------

    /// On the way asks the cache for what is read soon, and for the elements from `dx` on, which are written after that.
    template <job_function F>
    static SMX_NOINLINE void add_piece(row_dot<B, T>& dot, const T* y, const T* dy, const T* dx, std::size_t n) noexcept {
        row_dot<B, T> sum = dot;
        sum.for_packs(n, [&](part& p, std::size_t i, std::size_t left) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(T)>(far_from(y + i, fetched_ahead));
            prefetch<lanes * sizeof(T)>(far_from(dy + i, fetched_ahead));
            prefetch<lanes * sizeof(T), true>(dx + i);
            add_to_dot<F>(p, F == job_function::log_softmax_backward ? P::broadcast(0) : load_up_to<P>(y + i, left), load_up_to<P>(dy + i, left));
        });
        dot = sum;
    }

    /// x: logits, if they went through a softcap; `k` as in softcap_slope.
    template <job_function F, bool Capped>
    static SMX_NOINLINE void write_piece(const T* y, const T* dy, const T* x, T* dx, std::size_t n, const double_double& sum, double scale,
                                         double k) noexcept {
        const gradient_of_row<P, T, F> gradient(P::broadcast(sum.head), P::broadcast(sum.tail), scale);
        const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            const P py = load_some<P>(y + i, left);
            P g = gradient(py, load_some<P>(dy + i, left));
            if constexpr (Capped) {
                g = mul(g, softcap_slope<T>(load_some<P>(x + i, left), P::broadcast(k)));
                if constexpr (F == job_function::softmax_backward) g = zero_where_equal(g, py, P::broadcast(0));
                else g = zero_where_less(g, py, P::broadcast(lowest<double>));
            }
            store_some(dx + i, g, left);
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) step(i, n - i);
    }

    template <job_function F, bool Capped>
    static SMX_NOINLINE void row(const job& j, const operand* op, std::size_t length, double scale) noexcept {
        alignas(64) T y_buffer[piece_elements<T>];
        alignas(64) T dy_buffer[piece_elements<T>];
        alignas(64) T dx_buffer[piece_elements<T>];
        alignas(64) T x_buffer[Capped ? piece_elements<T> : 1];
        const operand_reader<B, T> y{op[backward::y], y_buffer}, dy{op[backward::dy], dy_buffer}, x{op[backward::logits], x_buffer};
        const operand_writer<B, T> dx{op[backward::dx], dx_buffer};
        constexpr bool needs_y = F != job_function::log_softmax_backward;
        const T* y_piece = nullptr;
        const T* dy_piece = nullptr;
        const bool one_piece = length <= piece_elements<T>;

        row_dot<B, T> dot;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (needs_y) y_piece = y.read(i, n);
            dy_piece = dy.read(i, n);
            add_piece<F>(dot, y_piece, dy_piece, dx.piece(i), n);
        });
        const double_double sum = dot.result();
        if (!is_finite(sum.head) || !is_finite(sum.tail)) return special_gradient<B, F>::run(j, op, length, scale);
        const double k = Capped ? steepness(scale, j.softcap) : 0;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (!one_piece || !needs_y) y_piece = y.read(i, n);
            if (!one_piece) dy_piece = dy.read(i, n);
            const T* x_piece = nullptr;
            if constexpr (Capped) x_piece = x.read(i, n);
            write_piece<F, Capped>(y_piece, dy_piece, x_piece, dx.piece(i), n, sum, scale, k);
            dx.written(i, n);
        });
    }

    // ---- neighbouring rows: a lane for each ---------------------------------------------------------------------------

    static constexpr std::size_t tile_rows = 64, tile_packs = tile_rows / lanes;

    /// The loop whose rows lie next to each other in memory, where the elements of a row do not; j.loops if there is none.
    static SMX_ALWAYS_INLINE std::size_t loop_of_neighbours(const job& j) noexcept {
        const auto adjacent = [&](std::size_t o, std::ptrdiff_t bytes) SMX_INLINE_LAMBDA {
            return bytes == static_cast<std::ptrdiff_t>(size_of(j.op[o].type));
        };
        if (adjacent(backward::y, j.op[backward::y].step) && adjacent(backward::dx, j.op[backward::dx].step)) return j.loops;
        for (std::size_t l = 0; l < j.loops; ++l) {
            const std::ptrdiff_t* s = j.loop[l].stride;
            if (j.loop[l].extent >= lanes / 2 && adjacent(backward::y, s[backward::y]) && adjacent(backward::dy, s[backward::dy]) &&
                adjacent(backward::dx, s[backward::dx]))
                return l;
        }
        return j.loops;
    }

    /// Element i of `count` neighbouring rows from row c on.
    struct line {
        operand from;
        std::size_t count;
        T* buffer;  // of tile_rows elements, those past count 0
        SMX_ALWAYS_INLINE line(const operand& o, std::size_t c, std::size_t n, T* b) noexcept : from(o), count(n), buffer(b) {
            from.step = static_cast<std::ptrdiff_t>(size_of(o.type));
            from.data = moved(o.data, static_cast<std::ptrdiff_t>(c) * from.step);
            for (std::size_t l = n; l < tile_rows; ++l) b[l] = 0;
        }
        SMX_ALWAYS_INLINE bool direct() const noexcept { return operand_pieces<B, T>::direct(from) && count % lanes == 0; }
        SMX_ALWAYS_INLINE const T* read() const noexcept {
            if (direct()) return static_cast<const T*>(from.data);
            operand_pieces<B, T>::copy_in(from, 0, count, buffer);
            return buffer;
        }
        SMX_ALWAYS_INLINE T* piece() const noexcept { return direct() ? static_cast<T*>(const_cast<void*>(from.data)) : buffer; }
        SMX_ALWAYS_INLINE void written() const noexcept {
            if (!direct()) operand_pieces<B, T>::template copy_out<false>(from, 0, count, buffer);
        }
    };

    template <job_function F>
    static SMX_NOINLINE void tile(const job& j, const operand* op, std::size_t c, std::size_t count) noexcept {
        alignas(64) T y_buffer[tile_rows];
        alignas(64) T dy_buffer[tile_rows];
        alignas(64) T dx_buffer[tile_rows];
        const line y_lines(op[backward::y], c, count, y_buffer), dy_lines(op[backward::dy], c, count, dy_buffer);
        const std::size_t packs = (count + lanes - 1) / lanes;

        P head[tile_packs], tail[tile_packs];
        if (!sums<F>(j, op, y_lines, dy_lines, packs, head, tail)) {
            for (std::size_t l = 0; l < count; ++l) {
                operand single[vocabulary::max_operands];
                for (std::size_t o = 0; o <= backward::dx; ++o) {
                    single[o] = op[o];
                    single[o].data = moved(op[o].data, static_cast<std::ptrdiff_t>((c + l) * size_of(op[o].type)));
                }
                row<F, false>(j, single, j.length, j.scale);
            }
            return;
        }
        line y = y_lines, dy = dy_lines, dx(op[backward::dx], c, count, dx_buffer);
        for (std::size_t i = 0; i < j.length; ++i) {
            const T* from_y = y.read();
            const T* from_dy = dy.read();
            T* to = dx.piece();
            for (std::size_t k = 0; k < packs; ++k) {
                const gradient_of_row<P, T, F> gradient(head[k], tail[k], j.scale);
                store(to + k * lanes, gradient(P::load(from_y + k * lanes), P::load(from_dy + k * lanes)));
            }
            dx.written();
            y.from.data = moved(y.from.data, op[backward::y].step);
            dy.from.data = moved(dy.from.data, op[backward::dy].step);
            dx.from.data = moved(dx.from.data, op[backward::dx].step);
        }
    }

    /// The sums of the rows of a tile, in the order that each has on its own. False: one of them is not finite.
    template <job_function F>
    static SMX_NOINLINE bool sums(const job& j, const operand* op, line y, line dy, std::size_t packs, P (&head)[tile_packs],
                                  P (&tail)[tile_packs]) noexcept {
        part dot[tile_packs][part::lanes];
        for (std::size_t i = 0, lane = 0; i < j.length; ++i, lane = lane + 1 == part::lanes ? 0 : lane + 1) {
            const T* from_y = F == job_function::log_softmax_backward ? nullptr : y.read();
            const T* from_dy = dy.read();
            for (std::size_t k = 0; k < packs; ++k)
                add_to_dot<F>(dot[k][lane], F == job_function::log_softmax_backward ? P::broadcast(0) : P::load(from_y + k * lanes),
                              P::load(from_dy + k * lanes));
            y.from.data = moved(y.from.data, op[backward::y].step);
            dy.from.data = moved(dy.from.data, op[backward::dy].step);
        }
        for (std::size_t k = 0; k < packs; ++k) {
            P sum[part::lanes], error[part::lanes];
            for (std::size_t l = 0; l < part::lanes; ++l) {
                sum[l] = dot[k][l].sum;
                error[l] = dot[k][l].error;
            }
            fold_lanes<T>(sum, error);
            tail[k] = P::broadcast(0);
            head[k] = sizeof(T) == 8 ? two_sum(sum[0], error[0], tail[k]) : sum[0];
            double both[2][lanes];
            store(both[0], head[k]);
            store(both[1], tail[k]);
            for (std::size_t l = 0; l < lanes; ++l)
                if (!is_finite(both[0][l]) || !is_finite(both[1][l])) return false;
        }
        return true;
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
