// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class T>
inline constexpr T lowest = -(std::numeric_limits<T>::max)();

/// a*b = the result + error, exactly.
template <class P>
SMX_ALWAYS_INLINE P two_product(P a, P b, P& error) noexcept {
    const P p = product(a, b);
    if constexpr (P::fused) {
        error = fma(a, b, sub(P::broadcast(0), p));
    } else {
        const P x = truncate_half(a), y = truncate_half(b);
        const P u = sub(a, x), v = sub(b, y);
        error = add(add(add(sub(mul(x, y), p), mul(x, v)), mul(u, y)), mul(u, v));  // all products are exact
    }
    return p;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
