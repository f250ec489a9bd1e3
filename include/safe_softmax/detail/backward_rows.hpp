// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/half_gradients.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/special_gradient.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

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

    /// y: not looked at for log_softmax. On the way asks the cache for what is read soon, and for the elements from `dx` on, which
    /// are written after that.
    template <job_function F>
    static SMX_NOINLINE void add_piece(row_dot<B, T>& dot, const T* y, const T* dy, const T* dx,
                                       std::size_t n) noexcept {
        row_dot<B, T> sum = dot;
        sum.for_packs(
            n,
            [&](part& p, std::size_t i, std::size_t left) SMX_INLINE_LAMBDA {
                add_to_dot<F>(p, F == job_function::log_softmax_backward ? P::broadcast(0) : load_up_to<P>(y + i, left),
                              load_up_to<P>(dy + i, left));
            },
            [&](std::size_t i) SMX_INLINE_LAMBDA {
                if constexpr (F != job_function::log_softmax_backward)
                    prefetch<cache_line>(far_from(y + i, fetched_ahead));
                prefetch<cache_line>(far_from(dy + i, fetched_ahead));
                prefetch<cache_line, true>(dx + i);
            });
        dot = sum;
    }

    /// x: logits, if they went through a softcap; `k` as in softcap_slope. False: a NaN may have been written.
    template <job_function F, bool Capped>
    static SMX_ALWAYS_INLINE bool write_piece(const T* y, const T* dy, const T* x, T* dx, std::size_t n,
                                              const double_double& sum, double scale, double k) noexcept {
        if constexpr (sizeof(T) == 4 && !Capped) {
            if (scale == 1.0) return write_piece_by<F, Capped, false>(y, dy, x, dx, n, sum, scale, k);
        }
        return write_piece_by<F, Capped, true>(y, dy, x, dx, n, sum, scale, k);
    }
    template <job_function F, bool Capped, bool Scaled>
    static SMX_NOINLINE bool write_piece_by(const T* y, const T* dy, const T* x, T* dx, std::size_t n,
                                            const double_double& sum, double scale, double k) noexcept {
        const gradient_of_row<P, T, F, Scaled> gradient(P::broadcast(sum.head), P::broadcast(sum.tail), scale);
        P written = P::broadcast(0);
        const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            const P py = load_some<P>(y + i, left);
            P g = gradient(py, load_some<P>(dy + i, left));
            if constexpr (Capped) {
                g = mul(g, softcap_slope<T>(load_some<P>(x + i, left), P::broadcast(k)));
                if constexpr (F == job_function::softmax_backward) g = zero_where_equal(g, py, P::broadcast(0));
                else g = zero_where_less(g, py, P::broadcast(lowest<double>));
            }
            if constexpr (may_give_nan<F, Capped>) written = add(written, g);
            store_some(dx + i, g, left);
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) step(i, n - i);
        return !may_give_nan<F, Capped> || shows_no_nan(written);
    }

    template <job_function F, bool Capped>
    static SMX_NOINLINE void row(const job& j, const operand* op, std::size_t length, double scale) noexcept {
        alignas(64) T y_buffer[piece_elements<T>];
        alignas(64) T dy_buffer[piece_elements<T>];
        alignas(64) T dx_buffer[piece_elements<T>];
        alignas(64) T x_buffer[Capped ? piece_elements<T> : 1];
        const operand_reader<B, T> y{op[backward::y], y_buffer}, dy{op[backward::dy], dy_buffer},
            x{op[backward::logits], x_buffer};
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
        bool numbers = true;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (!one_piece || !needs_y) y_piece = y.read(i, n);
            if (!one_piece) dy_piece = dy.read(i, n);
            const T* x_piece = nullptr;
            if constexpr (Capped) x_piece = x.read(i, n);
            if (!write_piece<F, Capped>(y_piece, dy_piece, x_piece, dx.piece(i), n, sum, scale, k)) numbers = false;
            dx.written(i, n);
        });
        if (!numbers) make_nans_alike(op[backward::dx], length);
    }

    // ---- neighbouring rows: a lane for each ---------------------------------------------------------------------------

    static constexpr std::size_t tile_rows = 64, tile_packs = tile_rows / lanes;

    /// The loop whose rows lie next to each other in memory, where the elements of a row do not; j.loops if there is none.
    static SMX_ALWAYS_INLINE std::size_t loop_of_neighbours(const job& j) noexcept {
        const auto adjacent = [&](std::size_t o, std::ptrdiff_t bytes) SMX_INLINE_LAMBDA {
            return bytes == static_cast<std::ptrdiff_t>(size_of(j.op[o].type));
        };
        if (adjacent(backward::y, j.op[backward::y].step) && adjacent(backward::dx, j.op[backward::dx].step))
            return j.loops;
        for (std::size_t l = 0; l < j.loops; ++l) {
            const std::ptrdiff_t* s = j.loop[l].stride;
            if (j.loop[l].extent >= lanes / 2 && adjacent(backward::y, s[backward::y]) &&
                adjacent(backward::dy, s[backward::dy]) && adjacent(backward::dx, s[backward::dx]))
                return l;
        }
        return j.loops;
    }

    /// Element i of `count` neighbouring rows from row c on.
    struct line {
        operand from;
        std::size_t count;
        T* buffer;  // of tile_rows elements, those past count 0
        SMX_ALWAYS_INLINE line(const operand& o, std::size_t c, std::size_t n, T* b) noexcept
            : from(o), count(n), buffer(b) {
            from.step = static_cast<std::ptrdiff_t>(size_of(o.type));
            from.data = moved(o.data, static_cast<std::ptrdiff_t>(c) * from.step);
            for (std::size_t l = n; l < tile_rows; ++l) b[l] = 0;
        }
        SMX_ALWAYS_INLINE bool direct() const noexcept {
            return operand_pieces<B, T>::direct(from) && count % lanes == 0;
        }
        SMX_ALWAYS_INLINE const T* read() const noexcept {
            if (direct()) return static_cast<const T*>(from.data);
            operand_pieces<B, T>::copy_in(from, 0, count, buffer);
            return buffer;
        }
        SMX_ALWAYS_INLINE T* piece() const noexcept {
            return direct() ? static_cast<T*>(const_cast<void*>(from.data)) : buffer;
        }
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
                operand single[vocabulary::max_operands] = {};
                for (std::size_t o = 0; o <= backward::dx; ++o) single[o] = neighbour(op[o], c + l);
                row<F, false>(j, single, j.length, j.scale);
            }
            return;
        }
        line y = y_lines, dy = dy_lines, dx(op[backward::dx], c, count, dx_buffer);
        P written = P::broadcast(0);
        for (std::size_t i = 0; i < j.length; ++i) {
            const T* from_y = y.read();
            const T* from_dy = dy.read();
            T* to = dx.piece();
            for (std::size_t k = 0; k < packs; ++k) {
                const gradient_of_row<P, T, F> gradient(head[k], tail[k], j.scale);
                const P g = gradient(P::load(from_y + k * lanes), P::load(from_dy + k * lanes));
                if constexpr (may_give_nan<F, false>) written = add(written, g);
                store(to + k * lanes, g);
            }
            dx.written();
            y.from.data = moved(y.from.data, op[backward::y].step);
            dy.from.data = moved(dy.from.data, op[backward::dy].step);
            dx.from.data = moved(dx.from.data, op[backward::dx].step);
        }
        if (may_give_nan<F, false> && !shows_no_nan(written))
            for (std::size_t l = 0; l < count; ++l) make_nans_alike(neighbour(op[backward::dx], c + l), j.length);
    }

    /// The row l elements further on.
    static SMX_ALWAYS_INLINE operand neighbour(operand o, std::size_t l) noexcept {
        o.data = moved(o.data, static_cast<std::ptrdiff_t>(l * size_of(o.type)));
        return o;
    }

    /// The sums of the rows of a tile, in the order that each has on its own. False: one of them is not finite.
    template <job_function F>
    static SMX_NOINLINE bool sums(const job& j, const operand* op, line y, line dy, std::size_t packs,
                                  P (&head)[tile_packs], P (&tail)[tile_packs]) noexcept {
        part dot[tile_packs][part::lanes];
        for (std::size_t i = 0, lane = 0; i < j.length; ++i, lane = lane + 1 == part::lanes ? 0 : lane + 1) {
            const T* from_y = F == job_function::log_softmax_backward ? nullptr : y.read();
            const T* from_dy = dy.read();
            for (std::size_t k = 0; k < packs; ++k)
                add_to_dot<F>(dot[k][lane],
                              F == job_function::log_softmax_backward ? P::broadcast(0) : P::load(from_y + k * lanes),
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
