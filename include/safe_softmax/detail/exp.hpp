// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// exp of a whole row, up to a factor common to the row.
//
// With C = 8*log2(e)*scale, k = rint(x*C) and r = x*C - k in [-1/2, 1/2],
//
//     exp(x*scale) = 2^(k/8) * 2^(r/8)
//
// and neither k nor r has seen the maximum of the row: no digit is lost to a subtraction. The common factor
// 2^(-k_max/8) is taken out of the integer k, exactly, by the constant that rounds (`magic`). The scale sits in C alone.
//
// Terms are normalised so that the largest is 2^(60 + 7/8 +- 1/16). Leading to 2^60, terms down to 2^-186 of the
// largest stay normal numbers, so nothing depends on flush-to-zero. Leading to 2^(7/8) and not to 1, sums that one term
// dominates round by 0.55 instead of 1 times 2^-24. In long rows of softmax the largest is from 2^60 on (by_octaves in recipe.hpp).
//
// Error of a term against the common factor. Float: at most 1.80 * 2^-24 (1.798 at x = -0x1.9fe2aap+1), without fma
// 2.11 * 2^-24 (2.109 at x = -0x1.0153eep+7); measured at scale 1 on every float from -129 to -2^-32 and every 1009th above
// (tests/exhaustive_test.cpp, which also has softmax of {x, 0}: at most 2.363 ulp, of {x, -250}: 2.431). With other scales
// the parts add up to 2.4 * 2^-24: polynomial 0.32, table at most 0.92, last fma 1, reduction 0.1. With 16-bit results
// 3.7e-6; double 2.1 * 2^-53, both added up. Coefficients: coefficients.sollya.

/// What the result is rounded to decides the polynomial: `full` for T itself, `half` for 16-bit results.
enum class precision { full, half };

template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
    static constexpr float round = 0x1.8p23f;     // adding it rounds to an integer, which its low bits then show
    static constexpr float subtract_from = 2954;  // |x*C| from which the maximum is subtracted first: 256 * 8*log2(e)
    static constexpr int bias = 127;
    static constexpr float full[] = {-0x1.3bd6cp-26f, 0x1.62e43p-4f, 0x1.ec0f96p-9f, 0x1.c6b67p-14f};
    static constexpr float half[] = {0x1.d8f994p-24f, 0x1.62f982p-4f, 0x1.ebed1cp-9f};
};
template <>
struct exp_constants<double> {
    static constexpr double round = 0x1.8p52;
    static constexpr double subtract_from = 23637;  // 2048 * 8*log2(e)
    static constexpr int bias = 1023;
    static constexpr double full[] = {-0x1.63e01fee3eb6p-59, 0x1.62e42fefa39efp-4,  0x1.ebfbdff82c855p-9,
                                      0x1.c6b08d704b27dp-14, 0x1.3b2ab6edc6d62p-19, 0x1.5d87fe3d16fbbp-25,
                                      0x1.430e9e7e205fcp-31, 0x1.ffdec565b12acp-38};
};

/// The largest term of a row is 2^(term_exponent/8 +- 1/16), or up to 7/8 of an octave less.
inline constexpr int term_exponent = 8 * 60 + 7;

/// x*C in two parts: how far the logits reach in eighths of an octave.
template <class T>
struct scale_parts {
    T head, tail;  // head + tail = 8*log2(e)*scale; without fma, head has half the digits
    T whole;       // head + tail rounded
};

/// The coefficients of p(r) = 2^(r/8) - 1.
template <precision Q, class T>
SMX_ALWAYS_INLINE constexpr const auto& exp_coefficients() noexcept {
    if constexpr (Q == precision::half) return exp_constants<T>::half;
    else return exp_constants<T>::full;
}

/// r[i] = p(r[i]) by Horner's rule, a step for all of them after the other; p by its coefficients.
template <class P, class T, std::size_t Count, std::size_t N>
SMX_ALWAYS_INLINE void evaluate_each(const T (&c)[Count], P (&r)[N]) noexcept {
    P p[N];
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) p[i] = P::broadcast(c[Count - 1]);
    SMX_UNROLL for (std::size_t k = 2; k <= Count; ++k) {
        SMX_UNROLL for (std::size_t i = 0; i < N; ++i) p[i] = fma(p[i], r[i], P::broadcast(c[Count - k]));
    }
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) r[i] = p[i];
}

/// r = x*C - k, k given as magic - t. Without fma the products are split so that the large ones are exact.
template <precision Q, class P>
SMX_ALWAYS_INLINE P reduced(P x, P minus_k, P head, P tail) noexcept {
    if constexpr (P::fused) {
        const P r = fma(x, head, minus_k);
        if constexpr (Q == precision::half) return r;  // without the tail C is off by 2^-25: 2.6e-6 in the last term
        else return fma(x, tail, r);
    } else {
        const P upper = truncate_half(x);
        const P r = add(add(mul(upper, head), minus_k), mul(sub(x, upper), head));
        return add(r, mul(x, tail));
    }
}

/// +0 where a term of rounding t is too small to be a normal number.
template <class P>
SMX_ALWAYS_INLINE P zero_where_vanishing(P a, P t) noexcept {
    return zero_where_less(a, t, P::broadcast(exp_constants<typename P::value_type>::round + 8));
}

/// 2^(t/8) * 2^(r/8) for the rounding t and the rest r of a logit; +0 where t is too small.
template <precision Q, class P>
SMX_ALWAYS_INLINE P term_of_reduced(P t, P r) noexcept {
    const P power = exp2_eighths(t);
    P p[1] = {r};
    evaluate_each(exp_coefficients<Q, typename P::value_type>(), p);
    const P term = fma(power, p[0], power);
    return zero_where_vanishing(term, t);
}

template <precision Q, class P>
SMX_ALWAYS_INLINE P exp_term_inline(P x, P magic, P head, P tail, P whole) noexcept {
    const P t = fma(x, P::fused ? head : whole, magic);
    return term_of_reduced<Q>(t, reduced<Q>(x, sub(magic, t), head, tail));
}
template <precision Q, class P>
SMX_NOINLINE P exp_term_shared(const P& x, const P& magic, const P& head, const P& tail, const P& whole) noexcept {
    return exp_term_inline<Q>(x, magic, head, tail, whole);
}

/// The term of logit x + low, low being at most about an ulp of x.
template <precision Q, class P>
SMX_ALWAYS_INLINE P exp_term_of_pair(P x, P low, P magic, P head, P tail, P whole) noexcept {
    const P t = fma(x, P::fused ? head : whole, magic);
    return term_of_reduced<Q>(t, fma(low, whole, reduced<Q>(x, sub(magic, t), head, tail)));
}

/// The term of logit x: exp(x*scale) times the row's common factor; +0 below 2^-126 (2^-1022). x is NaN: NaN. Without fma
/// it is so long that one copy is shared by all kernels.
template <precision Q, class P>
SMX_ALWAYS_INLINE P exp_term(P x, P magic, P head, P tail, P whole) noexcept {
    if constexpr (P::fused) return exp_term_inline<Q>(x, magic, head, tail, whole);
    else return exp_term_shared<Q>(x, magic, head, tail, whole);
}

/// Whether several terms take less time step by step for all of them than one after the other: few operations wait for others then where the
/// processor keeps those that are not ready. A loop of nothing else takes 0.92 of the time (Zen 5, AVX-512). There have to be registers.
template <class P>
inline constexpr bool step_by_step = P::fused && P::registers == 1;

/// z[i] = exp_term of logit z[i], step by step.
template <precision Q, class P, std::size_t N>
SMX_ALWAYS_INLINE void exp_terms(P (&z)[N], P magic, P head, P tail) noexcept {
    using T = typename P::value_type;
    P t[N], r[N];
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) t[i] = fma(z[i], head, magic);
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) r[i] = sub(magic, t[i]);
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) r[i] = fma(z[i], head, r[i]);
    if constexpr (Q == precision::full) {
        SMX_UNROLL for (std::size_t i = 0; i < N; ++i) r[i] = fma(z[i], tail, r[i]);
    }
    evaluate_each(exp_coefficients<Q, T>(), r);
    SMX_UNROLL for (std::size_t i = 0; i < N; ++i) {
        const P power = exp2_eighths(t[i]);
        z[i] = zero_where_vanishing(fma(power, r[i], power), t[i]);
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
