// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/gradients.hpp>
#include <safe_softmax/detail/some_elements.hpp>
#include <safe_softmax/simd/widen.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

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
            if (j.op[o].type != vocabulary::scalar_type_of<S>() ||
                j.op[o].step != static_cast<std::ptrdiff_t>(sizeof(S)))
                return false;
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
            if (!write(y, dy, dx, length, sum, scale)) make_nans_alike(op[backward::dx], length);
        });
    }

private:
    using wide = double_halves<B>;

    /// The sum in the order of row_dot.hpp: products of float16 are exact in float, those of bfloat16 where they are large enough. False: it is
    /// not finite, or a y is NaN or no logarithm of a probability.
    static SMX_NOINLINE bool add_up(const S* y, const S* dy, const S* dx, std::size_t n, double& result) noexcept {
        constexpr bool reads_y = F != job_function::log_softmax_backward || std::is_same_v<S, bfloat16>;
        const H zero = H::broadcast(0), one = H::broadcast(1);
        H bad = zero;
        P a = P::broadcast(0), b = a, c = a, d = a;
        const auto take = [&](std::size_t i, auto left, P& low, P& high) SMX_INLINE_LAMBDA {
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
            if constexpr (F == job_function::masked_log_softmax_backward)
                p = zero_where_less(p, py, H::broadcast(lowest<float>));
            if constexpr (F != job_function::softmax_backward && std::is_same_v<S, bfloat16>)
                bad = maximum(bad, zero_where_less(one, py, one));
            const wide w(p);
            low = add(low, w.lower);
            high = add(high, w.upper);
        };
        constexpr std::integral_constant<std::size_t, lanes> whole;
        std::size_t i = 0;
        for (; i + 2 * lanes <= n; i += 2 * lanes) {
            prefetch<2 * lanes * sizeof(S), true>(dx + i);
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

    /// False: a NaN may have been written. For bfloat16 none is.
    static SMX_ALWAYS_INLINE bool write(const S* y, const S* dy, S* dx, std::size_t n, double sum,
                                        double scale) noexcept {
        if (scale == 1.0) return write_by<false>(y, dy, dx, n, sum, scale);
        return write_by<true>(y, dy, dx, n, sum, scale);
    }
    template <bool Scaled>
    static SMX_NOINLINE bool write_by(const S* y, const S* dy, S* dx, std::size_t n, double sum,
                                      double scale) noexcept {
        using of_row = gradient_of_row<P, float, F, Scaled>;
        const of_row gradient(P::broadcast(sum), P::broadcast(0), scale);
        constexpr bool checks = may_give_nan<F, false> && std::is_same_v<S, float16>;
        H written = H::broadcast(0);
        const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            const H py = load_some<H>(y + i, left);
            const wide wy(py), wdy(load_some<H>(dy + i, left));
            const wide g(gradient.everywhere(wy.lower, wdy.lower), gradient.everywhere(wy.upper, wdy.upper));
            const H result = of_row::template where_something<float>(py, g.narrow());
            if constexpr (checks) written = add(written, result);
            store_some(dx + i, result, left);
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) step(i, n - i);
        const wide all(written);
        return !checks || shows_no_nan(add(all.lower, all.upper));
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
