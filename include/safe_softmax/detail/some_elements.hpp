// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Elements of S, those beyond n of them +0; n may be known when this is compiled.
template <class P, class S, class N>
SMX_ALWAYS_INLINE P load_some(const S* p, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) return P::load_partial(p, n);
    else return P::load(p);
}
template <class S, class P, class N>
SMX_ALWAYS_INLINE void store_some(S* p, P a, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) store_partial(p, a, n);
    else store(p, a);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
