// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/terms.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// exp(y) for y <= 0 and a little above; +0 for -inf. Error 2.1 * 2^-53, for T = float 2^-36: twelve bits more than its elements have.
template <class T, class P>
SMX_ALWAYS_INLINE P exp_of_logarithm(P y) noexcept {
    using constants = exp_constants<double>;
    const P magic = P::broadcast(constants::round + 8 * constants::bias);
    if constexpr (sizeof(T) == 8) {
        const scale_parts<double>& c = no_scaling<double>.direct.c;
        return exp_term<precision::full>(y, magic, P::broadcast(c.head), P::broadcast(c.tail), P::broadcast(c.whole));
    } else {
        const P c = P::broadcast(0x1.71547652b82fep3);  // 8*log2(e)
        const P t = fma(y, c, magic);
        const P r = fma(y, c, sub(magic, t));
        constexpr int degree = 5;  // of 7: what is left out is below 2^-36, and exp(0) = 1
        P p = P::broadcast(constants::full[degree]);
        for (int i = degree; i-- > 0;) p = fma(p, r, P::broadcast(constants::full[i]));
        const P power = exp2_eighths(t);
        return zero_where_less(fma(power, p, power), t, P::broadcast(constants::round + 8));
    }
}

/// The same of one number.
template <class B, class T>
SMX_NOINLINE double exp_of_number(double y) noexcept {
    using P = typename B::f64;
    double lane[P::lanes];
    store(lane, exp_of_logarithm<T>(P::broadcast(y)));
    return lane[0];
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
