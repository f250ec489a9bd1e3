// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/backend.hpp>

// A pack of 16 float as two packs of 8 double, exactly, and back, rounded to nearest even. In registers where there are
// instructions for it, else by way of memory.

#if SMX_REGISTERS && defined(__AVX2__)
#define SMX_WIDENS_AVX2 1
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // as in x86.hpp
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class B>
struct double_halves {
    using H = typename B::f32;
    using P = typename B::f64;
    P lower, upper;

    SMX_ALWAYS_INLINE double_halves(P l, P u) noexcept : lower(l), upper(u) {}
    SMX_ALWAYS_INLINE explicit double_halves(H a) noexcept {
#if defined(SMX_WIDENS_AVX2)
        if constexpr (H::registers == 1) {
#if defined(__AVX512DQ__)
            lower = P{_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))};
            upper = P{_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
            return;
#endif
        } else if constexpr (H::registers == 2) {
            const auto widen = [](__m256 v) SMX_INLINE_LAMBDA {
                return P{{_mm256_cvtps_pd(_mm256_castps256_ps128(v))}, {_mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))}};
            };
            lower = widen(a.lo.v);
            upper = widen(a.hi.v);
            return;
        }
#endif
        alignas(64) float lane[H::lanes];
        store(lane, a);
        lower = P::load(lane);
        upper = P::load(lane + P::lanes);
    }

    SMX_ALWAYS_INLINE H narrow() const noexcept {
#if defined(SMX_WIDENS_AVX2)
        if constexpr (H::registers == 1) {
#if defined(__AVX512DQ__)
            return H{_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lower.v)), _mm512_cvtpd_ps(upper.v), 1)};
#endif
        } else if constexpr (H::registers == 2) {
            const auto round = [](const P& p) SMX_INLINE_LAMBDA {
                return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(p.lo.v)), _mm256_cvtpd_ps(p.hi.v),
                                            1);
            };
            return H{{round(lower)}, {round(upper)}};
        }
#endif
        alignas(64) float lane[H::lanes];
        store(lane, lower);
        store(lane + P::lanes, upper);
        return H::load(lane);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx

#if defined(SMX_WIDENS_AVX2)
#undef SMX_WIDENS_AVX2
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
