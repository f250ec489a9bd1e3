// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the programs of golden bits share: logits that every machine makes alike, the hash, the environments of a call.

#include <safe_softmax/safe_softmax.hpp>

#include <cfenv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <span>
#include <type_traits>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace golden {

/// Whole numbers only, so that every machine makes the same logits.
class generator {
public:
    explicit generator(std::uint64_t seed) : state_(seed) {}
    std::uint64_t bits() {  // SplitMix64 (Steele, Lea, Flood 2014)
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
    /// In [-1, 1), a multiple of 2^-29.
    double uniform() {
        return static_cast<double>(static_cast<std::int64_t>(bits() >> 34) - (std::int64_t(1) << 29)) * 0x1p-29;
    }
    /// Nearly normal: exact, a multiple of 2^-29.
    double bell() { return uniform() + uniform() + uniform() + uniform(); }

private:
    std::uint64_t state_;
};

inline constexpr int families = 12;

inline double logit(int family, generator& random, std::size_t i) {
    switch (family) {
        case 0: return random.bell();
        case 1: return 8 * random.bell();
        case 2: return 80 * random.uniform();
        case 3: return 1000 + random.bell();
        case 4: return -30000 + 4 * random.bell();
        case 5: return static_cast<double>(random.bits() % 4) * 1.5;
        case 6: return static_cast<double>(i) * 0.25;
        case 8: return 0x1p100 * random.uniform();  // infinite in float16
        case 9: return random.bits() % 8 == 0 ? -0x1p1000 : random.bell();
        case 10: return random.bits() % 64 == 0 ? 0x1p1000 : random.bell();
        default: return random.bits() % 4 != 0 ? -0x1p1000 : i % 7 == 3 ? 600 : -600;
    }
}

template <class T>
T from_bits(std::uint64_t bits) {
    T result;
    if constexpr (sizeof(T) == 8) std::memcpy(&result, &bits, 8);
    else if constexpr (sizeof(T) == 4) {
        const auto b = static_cast<std::uint32_t>(bits);
        std::memcpy(&result, &b, 4);
    } else {
        const auto b = static_cast<std::uint16_t>(bits);
        std::memcpy(static_cast<void*>(&result), &b, 2);
    }
    return result;
}

template <class T>
constexpr std::uint64_t infinity_of = std::is_same_v<T, float>          ? 0x7f800000u
                                      : std::is_same_v<T, double>       ? 0x7ff0000000000000u
                                      : std::is_same_v<T, smx::float16> ? 0x7c00u
                                                                        : 0x7f80u;

/// A logit as an element. Infinities and subnormal numbers by their bits: some builds know no infinity, and some
/// processors are told to have no subnormals.
template <class T>
T element(int family, generator& random, std::size_t i) {
    constexpr std::uint64_t sign = std::uint64_t(1) << (8 * sizeof(T) - 1);
    constexpr std::uint64_t infinity = infinity_of<T>;
    constexpr std::uint64_t fraction = (infinity & ~(infinity << 1)) - 1;  // below the lowest bit of the exponent
    if (family == 7) return from_bits<T>(random.bits() & (sign | fraction));
    const double x = logit(family, random, i);
    const double limit = std::is_same_v<T, smx::float16> ? 65504 : 0x1p900;
    if (x > limit) return from_bits<T>(infinity);
    if (x < -limit) return from_bits<T>(sign | infinity);
    return T(x);
}

template <class T>
std::uint64_t bits_of(const T& x) {
    if constexpr (sizeof(T) == 8) {
        std::uint64_t b;
        std::memcpy(&b, &x, 8);
        return b;
    } else if constexpr (sizeof(T) == 4) {
        std::uint32_t b;
        std::memcpy(&b, &x, 4);
        return b;
    } else {
        std::uint16_t b;
        std::memcpy(&b, &x, 2);
        return b;
    }
}

/// By its bits: some builds know no NaN.
template <class T>
bool is_nan(const T& x) {
    return (bits_of(x) & ((std::uint64_t(1) << (8 * sizeof(T) - 1)) - 1)) > infinity_of<T>;
}

class hash {  // FNV-1a, byte by byte from the low end
public:
    void add(std::uint64_t bits, std::size_t bytes) {
        for (std::size_t i = 0; i < bytes; ++i) value_ = (value_ ^ (bits >> 8 * i & 0xff)) * 0x100000001b3u;
    }
    std::uint64_t value() const { return value_; }

private:
    std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// How the processor was told to compute when the library is called; it makes no difference to the results.
struct environment {
    const char* name;
    int rounding;
    bool flushes;  // subnormal numbers to zero; x86 only
};
inline constexpr environment environments[] = {
    {"rounding to nearest", FE_TONEAREST, false},
#if defined(FE_UPWARD) && defined(FE_DOWNWARD) && defined(FE_TOWARDZERO)
    {"rounding up", FE_UPWARD, false},
    {"rounding down", FE_DOWNWARD, false},
    {"rounding to zero", FE_TOWARDZERO, false},
#endif
#if defined(__SSE__)
    {"flushing subnormal numbers to zero", FE_TONEAREST, true},
#endif
};
inline environment active = environments[0];

class in_environment {
public:
    explicit in_environment(const environment& e) {
        std::fesetround(e.rounding);
#if defined(__SSE__)
        before_ = _mm_getcsr();
        _mm_setcsr(e.flushes ? before_ | 0x8040 : before_ & ~0x8040u);
#endif
    }
    ~in_environment() {
#if defined(__SSE__)
        _mm_setcsr(before_);
#endif
        std::fesetround(FE_TONEAREST);
    }
    in_environment(const in_environment&) = delete;
    in_environment& operator=(const in_environment&) = delete;

private:
    unsigned before_ = 0;
};

/// Whether the kernels of an instruction set have fma.
inline bool is_fused(smx::isa level) { return level != smx::isa::sse2 && (level != smx::isa::scalar || SMX_FUSED); }

/// Calls check(name, whether there is fma) on every instruction set that this program has, or on the chosen one if the second argument is
/// --chosen; true if all of them are.
template <class Check>
bool on_every_instruction_set(int argc, char** argv, Check check) {
    const smx::isa chosen = smx::active_isa();
#if SMX_DISPATCH
    const bool chosen_alone = argc > 2 && std::strcmp(argv[2], "--chosen") == 0;
    bool good = true;
    for (const smx::isa level :
         {smx::isa::scalar, smx::isa::sse2, smx::isa::avx2, smx::isa::avx512, smx::isa::avx512bf16, smx::isa::neon64}) {
        if (chosen_alone ? level != chosen : !smx::set_active_isa(level)) continue;
        good &= check(smx::name_of(level), is_fused(level));
    }
    return good;
#else
    (void)argc, (void)argv;
    return check(smx::name_of(chosen), SMX_FUSED != 0);
#endif
}

}  // namespace golden
