// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class T>
inline constexpr T lowest = -(std::numeric_limits<T>::max)();

/// -inf where a is -inf, else 0, for a NaN too.
template <class P>
SMX_ALWAYS_INLINE P minus_infinity_of(P a) noexcept {
    using T = typename P::value_type;
    const P finite = zero_where_less(P::broadcast(1), a, P::broadcast(lowest<T>));
    return zero_where_less(P::broadcast(minus_infinity<T>()), P::broadcast(T(0.5)), finite);
}

/// a*b = the result + error, without fma: step by step what two_product of scaling.hpp does, with the same bits.
template <class P>
SMX_ALWAYS_INLINE P two_product_by_halves(P a, P b, P& error) noexcept {
    const P p = product(a, b);
    const P x = truncate_half(a), y = truncate_half(b);
    const P u = sub(a, x), v = sub(b, y);
    error = add(add(add(sub(product(x, y), p), product(x, v)), product(u, y)), product(u, v));
    return p;
}

/// a*b = the result + error, exactly.
template <class P>
SMX_ALWAYS_INLINE P two_product(P a, P b, P& error) noexcept {
    if constexpr (P::fused) {
        const P p = product(a, b);
        error = fma(a, b, sub(P::broadcast(0), p));
        return p;
    } else {
        return two_product_by_halves(a, b, error);
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
