// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/backward_job.hpp>
#include <safe_softmax/detail/exp_double.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/row_dot.hpp>

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
        if (kept != 0) f(op, kept, scale_at(j, op[backward::temperature]));
    });
}

/// What element (y, dy) adds to the sum of its row.
template <job_function F, class Part, class P>
SMX_ALWAYS_INLINE void add_to_dot(Part& part, P y, P dy) noexcept {
    if constexpr (F == job_function::softmax_backward) part.add_product(y, zero_where_equal(dy, y, P::broadcast(0)));
    else if constexpr (F == job_function::masked_log_softmax_backward)
        part.add_number(zero_where_less(dy, y, P::broadcast(lowest<double>)));
    else part.add_number(dy);
}

/// Whether a row whose sum is finite can have a NaN in its gradient: from y, which log_softmax does not look at for the sum, and from the
/// slope of a softcap.
template <job_function F, bool Capped>
inline constexpr bool may_give_nan = Capped || F != job_function::softmax_backward;

/// What a row is written as, added up: finite only if there is no NaN in it. (If it overflows, make_nans_alike finds nothing.)
template <class P>
SMX_ALWAYS_INLINE bool shows_no_nan(P written) noexcept {
    return is_finite(reduce_add(written));
}

/// Writes every NaN of a row once more: what it was made from decided on its sign and its payload, and so did the way it was stored.
SMX_NOINLINE inline void make_nans_alike(const operand& dx, std::size_t length) noexcept {
    for (std::size_t i = 0; i < length; ++i)
        if (is_nan(number_at<double>(moved(dx.data, static_cast<std::ptrdiff_t>(i) * dx.step), dx.type)))
            put_nan(dx, i);
}

/// The gradient from y, dy and the sum of the row, which is finite. In double everything is halved until the end, so that no
/// difference overflows. Scaled: the scale may be another one than 1, which makes no difference to the bits.
template <class P, class T, job_function F, bool Scaled = true>
struct gradient_of_row {
    static constexpr bool wide = sizeof(T) == 8, of_softmax = F == job_function::softmax_backward;
    P minus_head, minus_tail, by;

    SMX_ALWAYS_INLINE gradient_of_row(P head, P tail, double scale) noexcept
        : minus_head(mul(head, P::broadcast(wide ? -0.5 : -1))), minus_tail(mul(tail, P::broadcast(wide ? -0.5 : -1))),
          by(P::broadcast(wide ? twice(scale) : scale)) {}

    SMX_ALWAYS_INLINE P operator()(P y, P dy) const noexcept { return where_something<double>(y, everywhere(y, dy)); }

    /// The same, but where y is nothing: where it is 0, or for masked_log_softmax -inf.
    SMX_ALWAYS_INLINE P everywhere(P y, P dy) const noexcept {
        if constexpr (of_softmax) {
            P d;
            if constexpr (wide) d = add(fma(dy, P::broadcast(0.5), minus_head), minus_tail);
            else d = add(dy, minus_head);
            return mul(scaled(y), d);
        } else {
            if constexpr (wide) dy = product(dy, P::broadcast(0.5));
            return scaled(fma(exp_of_logarithm<T>(y), minus_head, dy));
        }
    }
    /// g, but +0 where y is nothing. N: the type of their elements.
    template <class N, class G>
    static SMX_ALWAYS_INLINE G where_something(G y, G g) noexcept {
        if constexpr (of_softmax) return zero_where_equal(g, y, G::broadcast(0));
        else if constexpr (F == job_function::masked_log_softmax_backward)
            return zero_where_less(g, y, G::broadcast(lowest<N>));
        else return g;
    }

private:
    SMX_ALWAYS_INLINE P scaled(P a) const noexcept {
        if constexpr (Scaled || wide) return mul(a, by);
        else return a;
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
