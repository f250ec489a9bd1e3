// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

// What register_pack.hpp asks for on 64-bit Arm: the operations of pack.hpp by the same names.

#if SMX_REGISTERS && defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)
#include <arm_neon.h>

namespace smx {
inline namespace SMX_ABI {
namespace detail {
namespace native {

SMX_ALWAYS_INLINE float32x4_t fma(float32x4_t a, float32x4_t b, float32x4_t c) noexcept { return vfmaq_f32(c, a, b); }
SMX_ALWAYS_INLINE float64x2_t fma(float64x2_t a, float64x2_t b, float64x2_t c) noexcept { return vfmaq_f64(c, a, b); }
SMX_ALWAYS_INLINE float32x4_t maximum(float32x4_t a, float32x4_t b) noexcept { return vmaxq_f32(a, b); }
SMX_ALWAYS_INLINE float64x2_t maximum(float64x2_t a, float64x2_t b) noexcept { return vmaxq_f64(a, b); }
SMX_ALWAYS_INLINE float32x4_t exp2_eighths(float32x4_t t) noexcept {
    const uint32x4_t n = vreinterpretq_u32_f32(t);
    const uint8x16x2_t table = {{vld1q_u8(reinterpret_cast<const unsigned char*>(exp2_table<float>::bits)),
                                 vld1q_u8(reinterpret_cast<const unsigned char*>(exp2_table<float>::bits + 4))}};
    const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100u), vandq_u32(n, vdupq_n_u32(7)), 0x04040404u);
    const uint32x4_t entry = vreinterpretq_u32_u8(vqtbl2q_u8(table, vreinterpretq_u8_u32(bytes)));
    return vreinterpretq_f32_u32(vaddq_u32(entry, vshlq_n_u32(n, 20)));
}
SMX_ALWAYS_INLINE float64x2_t exp2_eighths(float64x2_t t) noexcept {
    const uint64x2_t n = vreinterpretq_u64_f64(t);
    const uint64x2_t entry = {exp2_table<double>::bits[vgetq_lane_u64(n, 0) & 7],
                              exp2_table<double>::bits[vgetq_lane_u64(n, 1) & 7]};
    return vreinterpretq_f64_u64(vaddq_u64(entry, vshlq_n_u64(n, 49)));
}
// All bits where x > y, or x == y. In assembly under -ffinite-math-only: clang takes the intrinsics for its own comparisons, which need
// not be false for a NaN, nor right about infinities.
#if SMX_FINITE_MATH
SMX_ALWAYS_INLINE uint32x4_t greater(float32x4_t x, float32x4_t y) noexcept {
    uint32x4_t r;
    __asm__("fcmgt %0.4s, %1.4s, %2.4s" : "=w"(r) : "w"(x), "w"(y));
    return r;
}
SMX_ALWAYS_INLINE uint64x2_t greater(float64x2_t x, float64x2_t y) noexcept {
    uint64x2_t r;
    __asm__("fcmgt %0.2d, %1.2d, %2.2d" : "=w"(r) : "w"(x), "w"(y));
    return r;
}
SMX_ALWAYS_INLINE uint32x4_t equal(float32x4_t x, float32x4_t y) noexcept {
    uint32x4_t r;
    __asm__("fcmeq %0.4s, %1.4s, %2.4s" : "=w"(r) : "w"(x), "w"(y));
    return r;
}
SMX_ALWAYS_INLINE uint64x2_t equal(float64x2_t x, float64x2_t y) noexcept {
    uint64x2_t r;
    __asm__("fcmeq %0.2d, %1.2d, %2.2d" : "=w"(r) : "w"(x), "w"(y));
    return r;
}
#else
SMX_ALWAYS_INLINE uint32x4_t greater(float32x4_t x, float32x4_t y) noexcept { return vcgtq_f32(x, y); }
SMX_ALWAYS_INLINE uint64x2_t greater(float64x2_t x, float64x2_t y) noexcept { return vcgtq_f64(x, y); }
SMX_ALWAYS_INLINE uint32x4_t equal(float32x4_t x, float32x4_t y) noexcept { return vceqq_f32(x, y); }
SMX_ALWAYS_INLINE uint64x2_t equal(float64x2_t x, float64x2_t y) noexcept { return vceqq_f64(x, y); }
#endif
SMX_ALWAYS_INLINE float32x4_t zero_where_less(float32x4_t a, float32x4_t t, float32x4_t limit) noexcept {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), greater(limit, t)));
}
SMX_ALWAYS_INLINE float64x2_t zero_where_less(float64x2_t a, float64x2_t t, float64x2_t limit) noexcept {
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(a), greater(limit, t)));
}
SMX_ALWAYS_INLINE float32x4_t zero_where_equal(float32x4_t a, float32x4_t x, float32x4_t y) noexcept {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), equal(x, y)));
}
SMX_ALWAYS_INLINE float64x2_t zero_where_equal(float64x2_t a, float64x2_t x, float64x2_t y) noexcept {
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(a), equal(x, y)));
}
SMX_ALWAYS_INLINE std::size_t count_equal(float32x4_t x, float32x4_t y) noexcept {
    return vaddvq_u32(vshrq_n_u32(equal(x, y), 31));
}
SMX_ALWAYS_INLINE std::size_t count_equal(float64x2_t x, float64x2_t y) noexcept {
    return static_cast<std::size_t>(vaddvq_u64(vshrq_n_u64(equal(x, y), 63)));
}
SMX_ALWAYS_INLINE float64x2_t even_as_double(float32x4_t a) noexcept {
    const uint64x2_t bits = vreinterpretq_u64_f32(a);
    return vreinterpretq_f64_u64(vandq_u64(vshlq_n_u64(bits, 29), vdupq_n_u64(0x0fffffffe0000000u)));
}
SMX_ALWAYS_INLINE float64x2_t odd_as_double(float32x4_t a) noexcept {
    const uint64x2_t bits = vreinterpretq_u64_f32(a);
    return vreinterpretq_f64_u64(vandq_u64(vshrq_n_u64(bits, 3), vdupq_n_u64(0x0fffffffe0000000u)));
}
SMX_ALWAYS_INLINE float reduce_max(float32x4_t a) noexcept { return vmaxvq_f32(a); }
SMX_ALWAYS_INLINE double reduce_max(float64x2_t a) noexcept { return vmaxvq_f64(a); }
SMX_ALWAYS_INLINE double reduce_add(float64x2_t a) noexcept {
    return fence(vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1));
}
SMX_ALWAYS_INLINE float32x4_t load_as(tag<float, 4>, const bfloat16* p) noexcept {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)), 16));
}
SMX_ALWAYS_INLINE float32x4_t load_as(tag<float, 4>, const float16* p) noexcept {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(p))));
}
SMX_ALWAYS_INLINE float64x2_t load_as(tag<double, 2>, const float* p) noexcept { return vcvt_f64_f32(vld1_f32(p)); }
SMX_ALWAYS_INLINE void store_as(tag<double, 2>, float* p, float64x2_t a) noexcept { vst1_f32(p, vcvt_f32_f64(a)); }
SMX_ALWAYS_INLINE void store_as(tag<float, 4>, float16* p, float32x4_t a) noexcept {
    vst1_u16(reinterpret_cast<std::uint16_t*>(p), vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
SMX_ALWAYS_INLINE void store_as(tag<float, 4>, bfloat16* p, float32x4_t a) noexcept {
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    vst1_u16(reinterpret_cast<std::uint16_t*>(p), vshrn_n_u32(rounded, 16));
}

}  // namespace native
}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
#endif
