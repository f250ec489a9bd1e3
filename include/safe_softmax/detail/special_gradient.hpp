// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/gradients.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The derivative of cap*tanh(x*scale/cap), over the scale: 1/cosh(x*scale/cap)^2 = 4*e/(1 + e)^2 with e = exp(-2*|x*scale/cap|). `k` is
/// 2*|scale|/cap.
template <class T, class P>
SMX_ALWAYS_INLINE P softcap_slope(P x, P k) noexcept {
    const P zero = P::broadcast(0), minus = sub(zero, maximum(sub(zero, x), x));
    const P e = exp_of_logarithm<T>(product(minus, k)), d = add(P::broadcast(1), e);
    return div(mul(P::broadcast(4), e), product(d, d));
}
/// Neither 0 nor infinite, which times an infinite logit, or one of 0, would be NaN.
SMX_ALWAYS_INLINE double steepness(double scale, double softcap) noexcept {
    constexpr double least = (std::numeric_limits<double>::min)(), most = (std::numeric_limits<double>::max)();
    const double k = fence(twice(magnitude_of(scale)) / softcap);
    if (!is_finite(k)) return most;
    return k < least ? least : k;
}
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
        double weight[2] = {0, 0};        // of +inf, of -inf
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
            const double slope =
                j.softcap == 0 ? 1 : softcap_slope<B, double>(at(op[backward::logits], i), scale, j.softcap);
            if (!takes_part(y) || (magnitude_bits(slope) == 0 && !nan)) {
                put_nothing(dx, i, i + 1, false);
            } else if (is_nan(y) || is_nan(dy) || is_nan(slope) ||
                       (nan && (softmax || masked || !is_minus_infinity(y)))) {
                put_nan(dx, i);
            } else if (!nan && infinities[0] + infinities[1] != 0) {
                put_limit(rounded(slope * scale), dx, i, y, dy, counted, infinities, weight);
            } else if (softmax) {
                const double d = fence(fence(rounded(dy * 0x1p-64) - scaled_down.head) - scaled_down.tail);
                put_any(dx, i, rounded(rounded(rounded(y * rounded(slope * scale)) * d) * 0x1p64));
            } else {
                const double d = fma(-exp_of_number<B, double>(y), nan ? 0 : scaled_down.head, rounded(dy * 0x1p-64));
                put_any(dx, i, rounded(rounded(d * rounded(slope * scale)) * 0x1p64));
            }
        }
    }

private:
    static SMX_ALWAYS_INLINE double at(const operand& o, std::size_t i) noexcept {
        return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
    }
    static SMX_ALWAYS_INLINE bool is_minus_infinity(double y) noexcept {
        return !is_finite(y) && !is_nan(y) && is_negative(y);
    }
    static SMX_ALWAYS_INLINE bool takes_part(double y) noexcept {
        if constexpr (softmax) return magnitude_bits(y) != 0;
        else return !(masked && is_minus_infinity(y));
    }
    /// The sign of the gradient's limit when the infinite dy are one number that grows: what it is multiplied by.
    static SMX_ALWAYS_INLINE void put_limit(double scale, const operand& dx, std::size_t i, double y, double dy,
                                            std::size_t counted, const std::size_t (&infinities)[2],
                                            const double (&weight)[2]) noexcept {
        const double sign = is_finite(dy) ? 0 : is_negative(dy) ? -1 : 1;
        double rate;
        if constexpr (softmax) {  // y_i * sum_j y_j*(sign_i - sign_j)
            if (sign == 0) rate = fence(weight[1] - weight[0]);
            else rate = counted == infinities[sign < 0] ? 0 : sign;
        } else {
            const double net = fence(static_cast<double>(infinities[0]) - static_cast<double>(infinities[1]));
            rate = fma(-exp_of_number<B, double>(y), net, sign);
        }
        const bool none = magnitude_bits(rate) == 0;  // no NaN, whatever -ffinite-math-only makes of a comparison
        if (magnitude_bits(scale) == 0 || (none && (softmax || sign != 0))) put_nothing(dx, i, i + 1, false);
        else if (none) put_number(dx, i, rounded(dy * scale));
        else put_infinity(dx, i, (rate < 0) != (scale < 0));
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
