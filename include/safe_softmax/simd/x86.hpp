// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

// What register_pack.hpp asks for on x86: the operations of pack.hpp by the same names. What is missing here for some instruction
// set is done one lane after the other.

#if SMX_REGISTERS && (defined(__SSE2__) || defined(_M_X64))
// Only what the compiler may use: the whole takes a second to read.
#if defined(__AVX__) || !defined(__GNUC__)
#include <immintrin.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#elif defined(__SSSE3__)
#include <tmmintrin.h>
#else
#include <emmintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12 takes its own _mm512_undefined_ps() for a mistake
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {
namespace native {

alignas(64) inline constexpr std::uint32_t exp2_table_f32[16] = {
    exp2_table<float>::bits[0], exp2_table<float>::bits[1], exp2_table<float>::bits[2], exp2_table<float>::bits[3],
    exp2_table<float>::bits[4], exp2_table<float>::bits[5], exp2_table<float>::bits[6], exp2_table<float>::bits[7],
    exp2_table<float>::bits[0], exp2_table<float>::bits[1], exp2_table<float>::bits[2], exp2_table<float>::bits[3],
    exp2_table<float>::bits[4], exp2_table<float>::bits[5], exp2_table<float>::bits[6], exp2_table<float>::bits[7]};

// ---- 128 bits -------------------------------------------------------------------------------------------------------

SMX_ALWAYS_INLINE __m128 maximum(__m128 a, __m128 b) noexcept { return _mm_max_ps(b, a); }
SMX_ALWAYS_INLINE __m128d maximum(__m128d a, __m128d b) noexcept { return _mm_max_pd(b, a); }
// t < limit as a register of ones and zeros. Clang's own intrinsics become comparisons that -ffinite-math-only lets it
// turn round, and a NaN would be less.
#if defined(__clang__) && SMX_FINITE_MATH
#pragma float_control(precise, on, push)
template <class V>
SMX_ALWAYS_INLINE V less(V t, V limit) noexcept {
    return reinterpret_cast<V>(unassumed(t) < limit);
}
#pragma float_control(pop)
#else
SMX_ALWAYS_INLINE __m128 less(__m128 t, __m128 limit) noexcept { return _mm_cmplt_ps(t, limit); }
SMX_ALWAYS_INLINE __m128d less(__m128d t, __m128d limit) noexcept { return _mm_cmplt_pd(t, limit); }
#if defined(__AVX2__)
SMX_ALWAYS_INLINE __m256 less(__m256 t, __m256 limit) noexcept { return _mm256_cmp_ps(t, limit, _CMP_LT_OQ); }
SMX_ALWAYS_INLINE __m256d less(__m256d t, __m256d limit) noexcept { return _mm256_cmp_pd(t, limit, _CMP_LT_OQ); }
#endif
#endif
SMX_ALWAYS_INLINE __m128 zero_where_less(__m128 a, __m128 t, __m128 limit) noexcept {
    return _mm_andnot_ps(less(t, limit), a);
}
SMX_ALWAYS_INLINE __m128d zero_where_less(__m128d a, __m128d t, __m128d limit) noexcept {
    return _mm_andnot_pd(less(t, limit), a);
}
SMX_ALWAYS_INLINE __m128 zero_where_equal(__m128 a, __m128 x, __m128 y) noexcept {
    return _mm_andnot_ps(_mm_cmpeq_ps(x, y), a);
}
SMX_ALWAYS_INLINE __m128d zero_where_equal(__m128d a, __m128d x, __m128d y) noexcept {
    return _mm_andnot_pd(_mm_cmpeq_pd(x, y), a);
}
/// Four (two) bytes as integers of 32 (64) bits.
SMX_ALWAYS_INLINE __m128i widened_bytes(const std::uint8_t* m, __m128) noexcept {
    std::int32_t four;
    std::memcpy(&four, m, sizeof four);
    const __m128i zero = _mm_setzero_si128();
    return _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
}
SMX_ALWAYS_INLINE __m128 where_nonzero(const std::uint8_t* m, __m128 a, __m128 b) noexcept {
    const __m128 zero = _mm_castsi128_ps(_mm_cmpeq_epi32(widened_bytes(m, a), _mm_setzero_si128()));
    return _mm_or_ps(_mm_andnot_ps(zero, a), _mm_and_ps(zero, b));
}
SMX_ALWAYS_INLINE __m128d where_nonzero(const std::uint8_t* m, __m128d a, __m128d b) noexcept {
    const __m128i four = _mm_set_epi32(m[1], m[1], m[0], m[0]);
    const __m128d zero = _mm_castsi128_pd(_mm_cmpeq_epi32(four, _mm_setzero_si128()));
    return _mm_or_pd(_mm_andnot_pd(zero, a), _mm_and_pd(zero, b));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m128 x, __m128 y) noexcept {
    return static_cast<std::size_t>(vocabulary::popcount(static_cast<unsigned>(_mm_movemask_ps(_mm_cmpeq_ps(x, y)))));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m128d x, __m128d y) noexcept {
    return static_cast<std::size_t>(vocabulary::popcount(static_cast<unsigned>(_mm_movemask_pd(_mm_cmpeq_pd(x, y)))));
}
SMX_ALWAYS_INLINE __m128 truncate_half(__m128 a) noexcept {
    return _mm_and_ps(a, _mm_castsi128_ps(_mm_set1_epi32(~0xfff)));
}
SMX_ALWAYS_INLINE __m128d truncate_half(__m128d a) noexcept {
    return _mm_and_pd(a, _mm_castsi128_pd(_mm_set1_epi64x(~0x7ffffffLL)));
}
SMX_ALWAYS_INLINE __m128 exp2_eighths(__m128 t) noexcept {
    const __m128i n = _mm_castps_si128(t);
    alignas(16) std::uint32_t index[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(index), _mm_and_si128(n, _mm_set1_epi32(7)));
    const __m128i entry =
        _mm_setr_epi32(static_cast<int>(exp2_table_f32[index[0]]), static_cast<int>(exp2_table_f32[index[1]]),
                       static_cast<int>(exp2_table_f32[index[2]]), static_cast<int>(exp2_table_f32[index[3]]));
    return _mm_castsi128_ps(_mm_add_epi32(entry, _mm_slli_epi32(n, exp2_table<float>::shift)));
}
SMX_ALWAYS_INLINE __m128d exp2_eighths(__m128d t) noexcept {
    const __m128i n = _mm_castpd_si128(t);
    const int j0 = _mm_cvtsi128_si32(n) & 7;
    const int j1 = _mm_cvtsi128_si32(_mm_unpackhi_epi64(n, n)) & 7;
    const __m128i entry = _mm_set_epi64x(static_cast<long long>(exp2_table<double>::bits[j1]),
                                         static_cast<long long>(exp2_table<double>::bits[j0]));
    return _mm_castsi128_pd(_mm_add_epi64(entry, _mm_slli_epi64(n, exp2_table<double>::shift)));
}
SMX_ALWAYS_INLINE __m128 blend_first(__m128 a, __m128 b, std::size_t n) noexcept {
    const __m128i keep = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(n)), _mm_setr_epi32(0, 1, 2, 3));
    return _mm_or_ps(_mm_and_ps(_mm_castsi128_ps(keep), a), _mm_andnot_ps(_mm_castsi128_ps(keep), b));
}
SMX_ALWAYS_INLINE __m128d blend_first(__m128d a, __m128d b, std::size_t n) noexcept {
    const __m128i keep = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(n)), _mm_setr_epi32(0, 0, 1, 1));
    return _mm_or_pd(_mm_and_pd(_mm_castsi128_pd(keep), a), _mm_andnot_pd(_mm_castsi128_pd(keep), b));
}
SMX_ALWAYS_INLINE __m128d even_as_double(__m128 a) noexcept {
    const __m128i magnitude = _mm_set1_epi64x(0x0fffffffe0000000);
    return _mm_castsi128_pd(_mm_and_si128(_mm_slli_epi64(_mm_castps_si128(a), 29), magnitude));
}
SMX_ALWAYS_INLINE __m128d odd_as_double(__m128 a) noexcept {
    const __m128i magnitude = _mm_set1_epi64x(0x0fffffffe0000000);
    return _mm_castsi128_pd(_mm_and_si128(_mm_srli_epi64(_mm_castps_si128(a), 3), magnitude));
}
SMX_ALWAYS_INLINE float reduce_max(__m128 a) noexcept {
    a = maximum(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(maximum(a, _mm_shuffle_ps(a, a, 1)));
}
SMX_ALWAYS_INLINE double reduce_max(__m128d a) noexcept { return _mm_cvtsd_f64(maximum(a, _mm_unpackhi_pd(a, a))); }
SMX_ALWAYS_INLINE double reduce_add(__m128d a) noexcept {
    return fence(_mm_cvtsd_f64(a) + _mm_cvtsd_f64(_mm_unpackhi_pd(a, a)));
}
SMX_ALWAYS_INLINE double reduce_add(__m128d a, __m128d e, double& error) noexcept {
    double lost;
    const double sum = two_sum(_mm_cvtsd_f64(a), _mm_cvtsd_f64(_mm_unpackhi_pd(a, a)), lost);
    error = detail::add(reduce_add(e), lost);
    return sum;
}
SMX_ALWAYS_INLINE __m128 load_as(tag<float, 4>, const bfloat16* p) noexcept {
    const __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), bits));
}
SMX_ALWAYS_INLINE __m128d load_as(tag<double, 2>, const float* p) noexcept {
    return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
SMX_ALWAYS_INLINE void store_as(tag<double, 2>, float* p, __m128d a) noexcept {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(_mm_cvtpd_ps(a)));
}
#if defined(__FMA__)
SMX_ALWAYS_INLINE __m128 fma(__m128 a, __m128 b, __m128 c) noexcept { return _mm_fmadd_ps(a, b, c); }
SMX_ALWAYS_INLINE __m128d fma(__m128d a, __m128d b, __m128d c) noexcept { return _mm_fmadd_pd(a, b, c); }
#endif

// ---- 256 bits -------------------------------------------------------------------------------------------------------

#if defined(__AVX2__)
#if defined(__FMA__)
SMX_ALWAYS_INLINE __m256 fma(__m256 a, __m256 b, __m256 c) noexcept { return _mm256_fmadd_ps(a, b, c); }
SMX_ALWAYS_INLINE __m256d fma(__m256d a, __m256d b, __m256d c) noexcept { return _mm256_fmadd_pd(a, b, c); }
#endif
SMX_ALWAYS_INLINE __m256 maximum(__m256 a, __m256 b) noexcept { return _mm256_max_ps(b, a); }
SMX_ALWAYS_INLINE __m256d maximum(__m256d a, __m256d b) noexcept { return _mm256_max_pd(b, a); }
SMX_ALWAYS_INLINE __m256 zero_where_less(__m256 a, __m256 t, __m256 limit) noexcept {
    return _mm256_andnot_ps(less(t, limit), a);
}
SMX_ALWAYS_INLINE __m256d zero_where_less(__m256d a, __m256d t, __m256d limit) noexcept {
    return _mm256_andnot_pd(less(t, limit), a);
}
SMX_ALWAYS_INLINE __m256 zero_where_equal(__m256 a, __m256 x, __m256 y) noexcept {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, y, _CMP_EQ_OQ), a);
}
SMX_ALWAYS_INLINE __m256d zero_where_equal(__m256d a, __m256d x, __m256d y) noexcept {
    return _mm256_andnot_pd(_mm256_cmp_pd(x, y, _CMP_EQ_OQ), a);
}
SMX_ALWAYS_INLINE __m256 where_nonzero(const std::uint8_t* m, __m256 a, __m256 b) noexcept {
    std::int64_t eight;
    std::memcpy(&eight, m, sizeof eight);
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_set_epi64x(0, eight));
    return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(_mm256_cmpeq_epi32(wide, _mm256_setzero_si256())));
}
SMX_ALWAYS_INLINE __m256d where_nonzero(const std::uint8_t* m, __m256d a, __m256d b) noexcept {
    std::int32_t four;
    std::memcpy(&four, m, sizeof four);
    const __m256i wide = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
    return _mm256_blendv_pd(a, b, _mm256_castsi256_pd(_mm256_cmpeq_epi64(wide, _mm256_setzero_si256())));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m256 x, __m256 y) noexcept {
    return static_cast<std::size_t>(
        vocabulary::popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_EQ_OQ)))));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m256d x, __m256d y) noexcept {
    return static_cast<std::size_t>(
        vocabulary::popcount(static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(x, y, _CMP_EQ_OQ)))));
}
SMX_ALWAYS_INLINE __m256 truncate_half(__m256 a) noexcept {
    return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(~0xfff)));
}
SMX_ALWAYS_INLINE __m256d truncate_half(__m256d a) noexcept {
    return _mm256_and_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(~0x7ffffffLL)));
}
SMX_ALWAYS_INLINE __m256 exp2_eighths(__m256 t) noexcept {
    const __m256i n = _mm256_castps_si256(t);
    const __m256i table = _mm256_load_si256(reinterpret_cast<const __m256i*>(exp2_table_f32));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_permutevar8x32_epi32(table, n), _mm256_slli_epi32(n, 20)));
}
/// Eight 64-bit entries in two registers, upper and lower halves apart: permutes of 64-bit lanes take no variable index.
SMX_ALWAYS_INLINE __m256d exp2_eighths(__m256d t) noexcept {
    constexpr auto part = [](int j, int half) {
        return static_cast<int>(exp2_table<double>::bits[j] >> (32 * half) & 0xffffffffu);
    };
    const __m256i lower = _mm256_setr_epi32(part(0, 0), part(1, 0), part(2, 0), part(3, 0), part(4, 0), part(5, 0),
                                            part(6, 0), part(7, 0));
    const __m256i upper = _mm256_setr_epi32(part(0, 1), part(1, 1), part(2, 1), part(3, 1), part(4, 1), part(5, 1),
                                            part(6, 1), part(7, 1));
    const __m256i n = _mm256_castpd_si256(t);
    const __m256i index = _mm256_shuffle_epi32(n, 0xa0);
    const __m256i entry =
        _mm256_blend_epi32(_mm256_permutevar8x32_epi32(lower, index), _mm256_permutevar8x32_epi32(upper, index), 0xaa);
    return _mm256_castsi256_pd(_mm256_add_epi64(entry, _mm256_slli_epi64(n, 49)));
}
SMX_ALWAYS_INLINE __m256i first_lanes(tag<float, 8>, std::size_t n) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SMX_ALWAYS_INLINE __m256i first_lanes(tag<double, 4>, std::size_t n) noexcept {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_setr_epi64x(0, 1, 2, 3));
}
SMX_ALWAYS_INLINE __m256 blend_first(__m256 a, __m256 b, std::size_t n) noexcept {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(first_lanes(tag<float, 8>{}, n)));
}
SMX_ALWAYS_INLINE __m256d blend_first(__m256d a, __m256d b, std::size_t n) noexcept {
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(first_lanes(tag<double, 4>{}, n)));
}
SMX_ALWAYS_INLINE __m256 load_partial_as(tag<float, 8> t, const float* p, std::size_t n) noexcept {
    return _mm256_maskload_ps(p, first_lanes(t, n));
}
SMX_ALWAYS_INLINE __m256d load_partial_as(tag<double, 4> t, const double* p, std::size_t n) noexcept {
    return _mm256_maskload_pd(p, first_lanes(t, n));
}
/// Lanes l with e + l < end.
SMX_ALWAYS_INLINE __m256i lanes_before(tag<float, 8>, std::size_t e, std::size_t end) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(end)),
                              _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(e))));
}
SMX_ALWAYS_INLINE __m256i lanes_before(tag<double, 4>, std::size_t e, std::size_t end) noexcept {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(end)),
                              _mm256_add_epi64(lane, _mm256_set1_epi64x(static_cast<long long>(e))));
}
SMX_ALWAYS_INLINE __m256 load_before_as(tag<float, 8> t, const float* p, std::size_t e, std::size_t end,
                                        __m256 other) noexcept {
    const __m256i there = lanes_before(t, e, end);
    return _mm256_blendv_ps(other, _mm256_maskload_ps(p, there), _mm256_castsi256_ps(there));
}
SMX_ALWAYS_INLINE __m256d load_before_as(tag<double, 4> t, const double* p, std::size_t e, std::size_t end,
                                         __m256d other) noexcept {
    const __m256i there = lanes_before(t, e, end);
    return _mm256_blendv_pd(other, _mm256_maskload_pd(p, there), _mm256_castsi256_pd(there));
}
SMX_ALWAYS_INLINE void store_partial_as(tag<float, 8>, float* p, __m256 a, std::size_t n) noexcept {
    _mm256_maskstore_ps(p, first_lanes(tag<float, 8>{}, n), a);
}
SMX_ALWAYS_INLINE void store_partial_as(tag<double, 4>, double* p, __m256d a, std::size_t n) noexcept {
    _mm256_maskstore_pd(p, first_lanes(tag<double, 4>{}, n), a);
}
SMX_ALWAYS_INLINE __m256d even_as_double(__m256 a) noexcept {
    const __m256i magnitude = _mm256_set1_epi64x(0x0fffffffe0000000);
    return _mm256_castsi256_pd(_mm256_and_si256(_mm256_slli_epi64(_mm256_castps_si256(a), 29), magnitude));
}
SMX_ALWAYS_INLINE __m256d odd_as_double(__m256 a) noexcept {
    const __m256i magnitude = _mm256_set1_epi64x(0x0fffffffe0000000);
    return _mm256_castsi256_pd(_mm256_and_si256(_mm256_srli_epi64(_mm256_castps_si256(a), 3), magnitude));
}
SMX_ALWAYS_INLINE float reduce_max(__m256 a) noexcept {
    return reduce_max(maximum(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
SMX_ALWAYS_INLINE double reduce_max(__m256d a) noexcept {
    return reduce_max(maximum(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1)));
}
SMX_ALWAYS_INLINE double reduce_add(__m256d a) noexcept {
    return reduce_add(fence(_mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1))));
}
SMX_ALWAYS_INLINE __m128d plus(__m128d a, __m128d b) noexcept { return fence(_mm_add_pd(a, b)); }
SMX_ALWAYS_INLINE __m128d minus(__m128d a, __m128d b) noexcept { return fence(_mm_sub_pd(a, b)); }
SMX_ALWAYS_INLINE __m256d plus(__m256d a, __m256d b) noexcept { return fence(_mm256_add_pd(a, b)); }
SMX_ALWAYS_INLINE __m256d minus(__m256d a, __m256d b) noexcept { return fence(_mm256_sub_pd(a, b)); }
SMX_ALWAYS_INLINE double reduce_add(__m256d a, __m256d e, double& error) noexcept;
/// The rest of a sum of lanes and of its errors, from the halves of both: a step of fold_by_halves.
template <class V>
SMX_ALWAYS_INLINE double reduce_halves(V a, V b, V a_error, V b_error, double& error) noexcept {
    const V sum = plus(a, b), b_seen = minus(sum, a);  // two_sum, whose names do not reach these types
    const V lost = plus(minus(a, minus(sum, b_seen)), minus(b, b_seen));
    return reduce_add(sum, plus(plus(a_error, b_error), lost), error);
}
SMX_ALWAYS_INLINE double reduce_add(__m256d a, __m256d e, double& error) noexcept {
    return reduce_halves(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1), _mm256_castpd256_pd128(e),
                         _mm256_extractf128_pd(e, 1), error);
}
// Of eight registers at once: see those of 512 bits.
SMX_ALWAYS_INLINE void reduce_max_each(float* to, const __m256 (&a)[8]) noexcept {
    const auto halves = [](__m256 x, __m256 y) SMX_INLINE_LAMBDA {
        return maximum(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
    };
    const auto quarters = [](__m256 x, __m256 y)
                              SMX_INLINE_LAMBDA { return maximum(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y)); };
    const __m256 b = quarters(halves(a[0], a[1]), halves(a[2], a[3])),
                 c = quarters(halves(a[4], a[5]), halves(a[6], a[7]));  // rows 0, 2, 0, 2, 1, 3, 1, 3
    const __m256 d = maximum(_mm256_shuffle_ps(b, c, 0x44), _mm256_shuffle_ps(b, c, 0xee));
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(d, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
SMX_ALWAYS_INLINE void reduce_max_each(double* to, const __m256d (&a)[8]) noexcept {
    const auto halves = [](__m256d x, __m256d y) SMX_INLINE_LAMBDA {
        return maximum(_mm256_permute2f128_pd(x, y, 0x20), _mm256_permute2f128_pd(x, y, 0x31));
    };
    for (std::size_t i = 0; i < 8; i += 4) {
        const __m256d b = halves(a[i], a[i + 1]), c = halves(a[i + 2], a[i + 3]);
        const __m256d d = maximum(_mm256_unpacklo_pd(b, c), _mm256_unpackhi_pd(b, c));  // rows 0, 2, 1, 3
        _mm256_storeu_pd(to + i, _mm256_permute4x64_pd(d, 0xd8));
    }
}
SMX_ALWAYS_INLINE void reduce_add_each(double* to, const __m256d (&a)[8]) noexcept {
    const auto halves = [](__m256d x, __m256d y) SMX_INLINE_LAMBDA {
        return plus(_mm256_permute2f128_pd(x, y, 0x20), _mm256_permute2f128_pd(x, y, 0x31));
    };
    for (std::size_t i = 0; i < 8; i += 4) {
        const __m256d b = halves(a[i], a[i + 1]), c = halves(a[i + 2], a[i + 3]);
        const __m256d d = plus(_mm256_unpacklo_pd(b, c), _mm256_unpackhi_pd(b, c));  // rows 0, 2, 1, 3
        _mm256_storeu_pd(to + i, _mm256_permute4x64_pd(d, 0xd8));
    }
}
/// The first n of eight 16-bit elements, the others 0.
SMX_ALWAYS_INLINE __m128i load_partial_bits(const void* elements, std::size_t n) noexcept {
    const char* const p = static_cast<const char*>(elements);
    std::uint64_t low = 0, high = 0;
    if (n >= 4) {
        std::memcpy(&low, p, 8);
        if (n > 4) {
            std::memcpy(&high, p + 2 * n - 8, 8);  // some a second time
            high >>= 16 * (8 - n);
        }
    } else {
        if ((n & 2) != 0) std::memcpy(&low, p, 4);
        if ((n & 1) != 0) {
            std::uint16_t last;
            std::memcpy(&last, p + 2 * n - 2, 2);
            low |= static_cast<std::uint64_t>(last) << (16 * (n - 1));
        }
    }
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}
SMX_ALWAYS_INLINE __m256 from_bfloat16(__m128i bits) noexcept {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
SMX_ALWAYS_INLINE __m256 load_as(tag<float, 8>, const bfloat16* p) noexcept {
    return from_bfloat16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
SMX_ALWAYS_INLINE __m256 load_partial_as(tag<float, 8>, const bfloat16* p, std::size_t n) noexcept {
    return from_bfloat16(load_partial_bits(p, n));
}
SMX_ALWAYS_INLINE __m256d load_as(tag<double, 4>, const float* p) noexcept { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
SMX_ALWAYS_INLINE __m256d load_as(tag<double, 4>, const bfloat16* p) noexcept {
    return _mm256_cvtps_pd(load_as(tag<float, 4>{}, p));
}
SMX_ALWAYS_INLINE void store_as(tag<double, 4>, float* p, __m256d a) noexcept { _mm_storeu_ps(p, _mm256_cvtpd_ps(a)); }
SMX_ALWAYS_INLINE void store_as(tag<float, 8>, bfloat16* p, __m256 a) noexcept {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i upper = _mm256_srli_epi32(rounded, 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(upper, upper), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
#endif
#if defined(__F16C__) && defined(__AVX2__)
SMX_ALWAYS_INLINE __m256 load_as(tag<float, 8>, const float16* p) noexcept {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
SMX_ALWAYS_INLINE __m256 load_partial_as(tag<float, 8>, const float16* p, std::size_t n) noexcept {
    return _mm256_cvtph_ps(load_partial_bits(p, n));
}
SMX_ALWAYS_INLINE void store_as(tag<float, 8>, float16* p, __m256 a) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
SMX_ALWAYS_INLINE __m256d load_as(tag<double, 4>, const float16* p) noexcept {
    return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
#endif

// ---- 512 bits -------------------------------------------------------------------------------------------------------

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
SMX_ALWAYS_INLINE __m512 fma(__m512 a, __m512 b, __m512 c) noexcept { return _mm512_fmadd_ps(a, b, c); }
SMX_ALWAYS_INLINE __m512d fma(__m512d a, __m512d b, __m512d c) noexcept { return _mm512_fmadd_pd(a, b, c); }
SMX_ALWAYS_INLINE __m512 maximum(__m512 a, __m512 b) noexcept { return _mm512_max_ps(b, a); }
SMX_ALWAYS_INLINE __m512d maximum(__m512d a, __m512d b) noexcept { return _mm512_max_pd(b, a); }
SMX_ALWAYS_INLINE __m512 zero_where_less(__m512 a, __m512 t, __m512 limit) noexcept {
#if defined(__clang__) && SMX_FINITE_MATH
    return _mm512_andnot_ps(less(t, limit), a);
#else
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t, limit, _CMP_NLT_UQ), a);
#endif
}
SMX_ALWAYS_INLINE __m512d zero_where_less(__m512d a, __m512d t, __m512d limit) noexcept {
#if defined(__clang__) && SMX_FINITE_MATH
    return _mm512_andnot_pd(less(t, limit), a);
#else
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(t, limit, _CMP_NLT_UQ), a);
#endif
}
SMX_ALWAYS_INLINE __m512 zero_where_equal(__m512 a, __m512 x, __m512 y) noexcept {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_NEQ_UQ), a);
}
SMX_ALWAYS_INLINE __m512d zero_where_equal(__m512d a, __m512d x, __m512d y) noexcept {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, y, _CMP_NEQ_UQ), a);
}
SMX_ALWAYS_INLINE __m512 where_nonzero(const std::uint8_t* m, __m512 a, __m512 b) noexcept {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(m));
    return _mm512_mask_blend_ps(_mm_test_epi8_mask(bytes, bytes), b, a);
}
SMX_ALWAYS_INLINE __m512d where_nonzero(const std::uint8_t* m, __m512d a, __m512d b) noexcept {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(m));
    return _mm512_mask_blend_pd(static_cast<__mmask8>(_mm_test_epi8_mask(bytes, bytes)), b, a);
}
/// How many bits are set. The detour by way of a register: for 32-bit x86 g++ 12 stores 16 bits and counts 32 of them.
SMX_ALWAYS_INLINE std::size_t count_of(__mmask16 mask) noexcept {
    unsigned short bits = mask;
#if defined(__GNUC__) && !defined(__x86_64__)
    __asm__("" : "+r"(bits));
#endif
    return static_cast<std::size_t>(vocabulary::popcount(bits));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m512 x, __m512 y) noexcept {
    return count_of(_mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ));
}
SMX_ALWAYS_INLINE std::size_t count_equal(__m512d x, __m512d y) noexcept {
    return count_of(_mm512_cmp_pd_mask(x, y, _CMP_EQ_OQ));
}
SMX_ALWAYS_INLINE __m512 exp2_eighths(__m512 t) noexcept {
    const __m512i n = _mm512_castps_si512(t);
    const __m512i table = _mm512_load_si512(exp2_table_f32);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_permutexvar_epi32(n, table), _mm512_slli_epi32(n, 20)));
}
SMX_ALWAYS_INLINE __m512d exp2_eighths(__m512d t) noexcept {
    const __m512i n = _mm512_castpd_si512(t);
    const __m512i table = _mm512_loadu_si512(exp2_table<double>::bits);
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_permutexvar_epi64(n, table), _mm512_slli_epi64(n, 49)));
}
SMX_ALWAYS_INLINE __mmask16 first_lanes(std::size_t n) noexcept { return static_cast<__mmask16>((1u << n) - 1u); }
SMX_ALWAYS_INLINE __m512 blend_first(__m512 a, __m512 b, std::size_t n) noexcept {
    return _mm512_mask_mov_ps(b, first_lanes(n), a);
}
SMX_ALWAYS_INLINE __m512d blend_first(__m512d a, __m512d b, std::size_t n) noexcept {
    return _mm512_mask_mov_pd(b, static_cast<__mmask8>(first_lanes(n)), a);
}
SMX_ALWAYS_INLINE __m512d even_as_double(__m512 a) noexcept {
    const __m512i magnitude = _mm512_set1_epi64(0x0fffffffe0000000);
    return _mm512_castsi512_pd(_mm512_and_si512(_mm512_slli_epi64(_mm512_castps_si512(a), 29), magnitude));
}
SMX_ALWAYS_INLINE __m512d odd_as_double(__m512 a) noexcept {
    const __m512i magnitude = _mm512_set1_epi64(0x0fffffffe0000000);
    return _mm512_castsi512_pd(_mm512_and_si512(_mm512_srli_epi64(_mm512_castps_si512(a), 3), magnitude));
}
SMX_ALWAYS_INLINE float reduce_max(__m512 a) noexcept {
    return reduce_max(maximum(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}
SMX_ALWAYS_INLINE double reduce_max(__m512d a) noexcept {
    return reduce_max(maximum(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1)));
}
SMX_ALWAYS_INLINE double reduce_add(__m512d a) noexcept {
    return reduce_add(fence(_mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1))));
}
SMX_ALWAYS_INLINE double reduce_add(__m512d a, __m512d e, double& error) noexcept {
    return reduce_halves(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1), _mm512_castpd512_pd256(e),
                         _mm512_extractf64x4_pd(e, 1), error);
}
// Of eight registers at once, by halves: each step makes one register out of two, so that the lanes of several rows share it.
SMX_ALWAYS_INLINE void reduce_max_each(float* to, const __m512 (&a)[8]) noexcept {
    const auto halves = [](__m512 x, __m512 y) SMX_INLINE_LAMBDA {
        return maximum(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
    };
    const auto quarters = [](__m512 x, __m512 y) SMX_INLINE_LAMBDA {
        return maximum(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
    };
    const __m512 b = quarters(halves(a[0], a[1]), halves(a[2], a[3])),
                 c = quarters(halves(a[4], a[5]), halves(a[6], a[7]));
    const __m512 d = maximum(_mm512_unpacklo_ps(b, c), _mm512_unpackhi_ps(b, c));
    const __m512 e = maximum(d, _mm512_permute_ps(d, 0x4e));  // rows 0, 4, -, -, 1, 5, -, -, ...
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm512_storeu_ps(to, _mm512_permutexvar_ps(order, e));
}
SMX_ALWAYS_INLINE void reduce_max_each(double* to, const __m512d (&a)[8]) noexcept {
    const auto halves = [](__m512d x, __m512d y) SMX_INLINE_LAMBDA {
        return maximum(_mm512_shuffle_f64x2(x, y, 0x44), _mm512_shuffle_f64x2(x, y, 0xee));
    };
    const auto quarters = [](__m512d x, __m512d y) SMX_INLINE_LAMBDA {
        return maximum(_mm512_shuffle_f64x2(x, y, 0x88), _mm512_shuffle_f64x2(x, y, 0xdd));
    };
    const __m512d b = quarters(halves(a[0], a[1]), halves(a[2], a[3])),
                  c = quarters(halves(a[4], a[5]), halves(a[6], a[7]));
    const __m512d d = maximum(_mm512_unpacklo_pd(b, c), _mm512_unpackhi_pd(b, c));  // rows 0, 4, 1, 5, ...
    _mm512_storeu_pd(to, _mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), d));
}
SMX_ALWAYS_INLINE void reduce_add_each(double* to, const __m512d (&a)[8]) noexcept {
    const auto halves = [](__m512d x, __m512d y) SMX_INLINE_LAMBDA {
        return fence(_mm512_add_pd(_mm512_shuffle_f64x2(x, y, 0x44), _mm512_shuffle_f64x2(x, y, 0xee)));
    };
    const auto quarters = [](__m512d x, __m512d y) SMX_INLINE_LAMBDA {
        return fence(_mm512_add_pd(_mm512_shuffle_f64x2(x, y, 0x88), _mm512_shuffle_f64x2(x, y, 0xdd)));
    };
    const __m512d b = quarters(halves(a[0], a[1]), halves(a[2], a[3])),
                  c = quarters(halves(a[4], a[5]), halves(a[6], a[7]));
    const __m512d d = fence(_mm512_add_pd(_mm512_unpacklo_pd(b, c), _mm512_unpackhi_pd(b, c)));  // rows 0, 4, 1, 5, ...
    _mm512_storeu_pd(to, _mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), d));
}
SMX_ALWAYS_INLINE __m512 load_as(tag<float, 16>, const float16* p) noexcept {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
SMX_ALWAYS_INLINE __m512 load_as(tag<float, 16>, const bfloat16* p) noexcept {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
SMX_ALWAYS_INLINE __m512d load_as(tag<double, 8>, const float* p) noexcept {
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}
SMX_ALWAYS_INLINE void store_as(tag<double, 8>, float* p, __m512d a) noexcept {
    _mm256_storeu_ps(p, _mm512_cvtpd_ps(a));
}
/// 16 bits by way of float, which has eight lanes in half of the register.
template <class S>
    requires(sizeof(S) == 2)
SMX_ALWAYS_INLINE __m512d load_as(tag<double, 8>, const S* p) noexcept {
    return _mm512_cvtps_pd(load_as(tag<float, 8>{}, p));
}
template <class S>
    requires(sizeof(S) == 2)
SMX_ALWAYS_INLINE __m512d load_partial_as(tag<double, 8>, const S* p, std::size_t n) noexcept {
    return _mm512_cvtps_pd(load_partial_as(tag<float, 8>{}, p, n));
}
template <class S>
    requires(sizeof(S) == 2)
SMX_ALWAYS_INLINE void store_as(tag<double, 8>, S* p, __m512d a) noexcept {
    store_as(tag<float, 8>{}, p, _mm512_cvtpd_ps(a));
}
SMX_ALWAYS_INLINE __m256i float16_bits(__m512 a) noexcept { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); }
SMX_ALWAYS_INLINE __m256i bfloat16_bits(__m512 a) noexcept {
    const __m512i bits = _mm512_castps_si512(a);
#if defined(__AVX512BF16__)
    // The instruction takes subnormals as zero: only where there are none.
    if (_mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000)) == 0) {
        const __m256bh rounded = _mm512_cvtneps_pbh(a);
        __m256i result;
        std::memcpy(&result, &rounded, sizeof result);
        return result;
    }
#endif
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
SMX_ALWAYS_INLINE void store_as(tag<float, 16>, float16* p, __m512 a) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), float16_bits(a));
}
SMX_ALWAYS_INLINE void store_as(tag<float, 16>, bfloat16* p, __m512 a) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bfloat16_bits(a));
}
SMX_ALWAYS_INLINE __m512 load_partial_as(tag<float, 16>, const float* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
SMX_ALWAYS_INLINE __m512 load_partial_as(tag<float, 16>, const float16* p, std::size_t n) noexcept {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
SMX_ALWAYS_INLINE __m512 load_partial_as(tag<float, 16>, const bfloat16* p, std::size_t n) noexcept {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p)), 16));
}
SMX_ALWAYS_INLINE __m512d load_partial_as(tag<double, 8>, const double* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(n)), p);
}
/// Lanes l with e + l < end.
SMX_ALWAYS_INLINE __mmask16 lanes_before(tag<float, 16>, std::size_t e, std::size_t end) noexcept {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_cmplt_epi32_mask(_mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(e))),
                                   _mm512_set1_epi32(static_cast<int>(end)));
}
SMX_ALWAYS_INLINE __m512 load_before_as(tag<float, 16> t, const float* p, std::size_t e, std::size_t end,
                                        __m512 other) noexcept {
    return _mm512_mask_loadu_ps(other, lanes_before(t, e, end), p);
}
SMX_ALWAYS_INLINE __m512 load_before_as(tag<float, 16> t, const float16* p, std::size_t e, std::size_t end,
                                        __m512 other) noexcept {
    const __mmask16 there = lanes_before(t, e, end);
    return _mm512_mask_cvtph_ps(other, there, _mm256_maskz_loadu_epi16(there, p));
}
SMX_ALWAYS_INLINE __m512 load_before_as(tag<float, 16> t, const bfloat16* p, std::size_t e, std::size_t end,
                                        __m512 other) noexcept {
    const __mmask16 there = lanes_before(t, e, end);
    const __m512i bits = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, p));
    return _mm512_castsi512_ps(_mm512_mask_slli_epi32(_mm512_castps_si512(other), there, bits, 16));
}
SMX_ALWAYS_INLINE __mmask8 lanes_before(tag<double, 8>, std::size_t e, std::size_t end) noexcept {
    const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_cmplt_epi64_mask(_mm512_add_epi64(lane, _mm512_set1_epi64(static_cast<long long>(e))),
                                   _mm512_set1_epi64(static_cast<long long>(end)));
}
SMX_ALWAYS_INLINE __m512d load_before_as(tag<double, 8> t, const double* p, std::size_t e, std::size_t end,
                                         __m512d other) noexcept {
    return _mm512_mask_loadu_pd(other, lanes_before(t, e, end), p);
}
SMX_ALWAYS_INLINE __m512 where_nonzero_before(const std::uint8_t* m, std::size_t e, std::size_t end, __m512 a,
                                              __m512 b) noexcept {
    const __m128i bytes = _mm_maskz_loadu_epi8(lanes_before(tag<float, 16>{}, e, end), m);
    return _mm512_mask_blend_ps(_mm_test_epi8_mask(bytes, bytes), b, a);
}
SMX_ALWAYS_INLINE __m512d where_nonzero_before(const std::uint8_t* m, std::size_t e, std::size_t end, __m512d a,
                                               __m512d b) noexcept {
    const __m128i bytes = _mm_maskz_loadu_epi8(lanes_before(tag<double, 8>{}, e, end), m);
    return _mm512_mask_blend_pd(static_cast<__mmask8>(_mm_test_epi8_mask(bytes, bytes)), b, a);
}
SMX_ALWAYS_INLINE void store_partial_as(tag<float, 16>, float* p, __m512 a, std::size_t n) noexcept {
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}
SMX_ALWAYS_INLINE void store_partial_as(tag<float, 16>, float16* p, __m512 a, std::size_t n) noexcept {
    _mm256_mask_storeu_epi16(p, first_lanes(n), float16_bits(a));
}
SMX_ALWAYS_INLINE void store_partial_as(tag<float, 16>, bfloat16* p, __m512 a, std::size_t n) noexcept {
    _mm256_mask_storeu_epi16(p, first_lanes(n), bfloat16_bits(a));
}
SMX_ALWAYS_INLINE void store_partial_as(tag<double, 8>, double* p, __m512d a, std::size_t n) noexcept {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(n)), a);
}
#endif

}  // namespace native
}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
