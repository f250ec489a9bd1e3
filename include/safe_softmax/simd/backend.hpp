// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/scalar.hpp>
#include <safe_softmax/simd/xsimd.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

#if defined(SMX_XSIMD_USABLE)
using default_backend = xsimd_backend;
#else
using default_backend = scalar_backend;
#endif

/// The backend's pack of T.
template <class B, class T>
struct pack_of {
    using type = typename B::f32;
};
template <class B>
struct pack_of<B, double> {
    using type = typename B::f64;
};
template <class B, class T>
using pack_t = typename pack_of<B, T>::type;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
