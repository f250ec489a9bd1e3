// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/prefetch.hpp>

#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Copies `lines` whole cache lines, both ends aligned to them. On x86 they go past the caches: they are not read before, and not
/// kept after. For other threads nothing orders them but order_past_cache().
SMX_ALWAYS_INLINE void copy_past_cache(void* to, const void* from, std::size_t lines) noexcept {
#if defined(__SSE__) || defined(_M_X64)
    static_assert(cache_line == 16 * sizeof(float));
    float* t = static_cast<float*>(to);
    const float* f = static_cast<const float*>(from);
    for (std::size_t i = 0; i < lines; ++i, t += 16, f += 16) {
#if defined(__AVX512F__)
        _mm512_stream_ps(t, _mm512_load_ps(f));
#elif defined(__AVX__)
        _mm256_stream_ps(t, _mm256_load_ps(f));
        _mm256_stream_ps(t + 8, _mm256_load_ps(f + 8));
#else
        for (std::size_t j = 0; j < 16; j += 4) _mm_stream_ps(t + j, _mm_load_ps(f + j));
#endif
    }
#else
    std::memcpy(to, from, lines * cache_line);
#endif
}
SMX_ALWAYS_INLINE void order_past_cache() noexcept {
#if defined(__SSE__) || defined(_M_X64)
    _mm_sfence();
#endif
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
