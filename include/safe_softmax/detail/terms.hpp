// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/recipe.hpp>
#include <safe_softmax/detail/log.hpp>
#include <safe_softmax/simd/backend.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// constants_of_row for a pack of rows, all of which have to be plain.

/// whole: direct.c.whole of their scales, which are plain.
template <class P>
SMX_ALWAYS_INLINE bool all_plain(P max, P whole) noexcept {
    using T = typename P::value_type;
    const P zero = P::broadcast(0), one = P::broadcast(1);
    const P reach = mul(maximum(max, sub(zero, max)), whole);
    return count_equal(zero_where_less(one, reach, P::broadcast(exp_constants<T>::subtract_from)), one) == 0;
}
template <class P>
SMX_ALWAYS_INLINE bool all_plain(P max, const scaling<typename P::value_type>& s) noexcept {
    return s.plain && all_plain(max, P::broadcast(s.direct.c.whole));
}
template <class P>
SMX_ALWAYS_INLINE P plain_k_max(P max, P whole) noexcept {
    const P round = P::broadcast(exp_constants<typename P::value_type>::round);
    return sub(fma(max, whole, round), round);
}
template <class P>
SMX_ALWAYS_INLINE P plain_k_max(P max, const scaling<typename P::value_type>& s) noexcept {
    return plain_k_max(max, P::broadcast(s.direct.c.whole));
}
/// whole_octaves (scaling.hpp)
template <class P>
SMX_ALWAYS_INLINE P whole_octaves_of(P k) noexcept {
    using T = typename P::value_type;
    const P round = P::broadcast(exp_constants<T>::round);
    return mul(P::broadcast(8), sub(fma(add(k, P::broadcast(T(3.5))), P::broadcast(T(0.125)), round), round));
}
template <class P>
SMX_ALWAYS_INLINE P plain_magic(P k_max) noexcept {
    using constants = exp_constants<typename P::value_type>;
    return sub(P::broadcast(constants::round + (8 * constants::bias + term_exponent)), k_max);
}

/// Whether the largest logit of a row is among some of its logits. With a NaN among them, either.
template <class P, std::size_t N>
SMX_ALWAYS_INLINE bool has_any(const P (&z)[N], P max) noexcept {
    P most[N / 2];
    SMX_UNROLL for (std::size_t i = 0; i < N / 2; ++i) most[i] = maximum(z[i], z[i + N / 2]);
    SMX_UNROLL for (std::size_t half = N / 4; half != 0; half /= 2) {
        SMX_UNROLL for (std::size_t i = 0; i < half; ++i) most[i] = maximum(most[i], most[i + half]);
    }
    return count_equal(most[0], max) != 0;
}

/// From logits to terms, for one row (the same constants in every lane) or for neighbouring rows (a lane each).
/// General: the row needs its logits shifted or rescaled, see scaling.hpp.
template <class P, bool General>
struct row_terms {
    using T = typename P::value_type;

    P magic, head, tail, whole;
    P first, minus_offset, second, third;

    SMX_ALWAYS_INLINE row_terms(const scaling<T>& s, P magic_of_row, P offset) noexcept : magic(magic_of_row) {
        const scale_parts<T>& c = General ? s.rest.c : s.direct.c;
        head = P::broadcast(c.head);
        tail = P::broadcast(c.tail);
        whole = P::broadcast(c.whole);
        if constexpr (General) {
            first = P::broadcast(s.first);
            second = P::broadcast(s.second);
            third = P::broadcast(s.third);
            minus_offset = sub(P::broadcast(0), offset);
        }
    }

    SMX_ALWAYS_INLINE P logit(P x) const noexcept {
        if constexpr (General) return mul(mul(fma(x, first, minus_offset), second), third);
        else return x;
    }
    template <precision Q>
    SMX_ALWAYS_INLINE P of_logit(P z) const noexcept {
        return exp_term<Q>(z, magic, head, tail, whole);
    }
    /// t[i] = of_logit of load(i); then(i) follows, when t[i] is known.
    template <precision Q, std::size_t N, class Load, class Then>
    SMX_ALWAYS_INLINE void of_each(P (&t)[N], Load load, Then then) const noexcept {
        if constexpr (step_by_step<P>) {
            SMX_UNROLL for (std::size_t i = 0; i < N; ++i) t[i] = in_register(load(i));
            exp_terms<Q>(t, magic, head, tail);
            SMX_UNROLL for (std::size_t i = 0; i < N; ++i) then(i);
        } else {
            SMX_UNROLL for (std::size_t i = 0; i < N; ++i) {
                t[i] = of_logit<Q>(load(i));
                then(i);
            }
        }
    }
    /// t[i] = of_logit of load(i), or +0 where that is the largest logit of the row: `equal` counts these. then(i) follows of_logit.
    template <std::size_t N, class Load, class Then>
    SMX_ALWAYS_INLINE void of_each_below(P (&t)[N], P max, std::size_t& equal, Load load, Then then) const noexcept {
        if constexpr (step_by_step<P> || sizeof(T) == 4) {
            P z[N];
            of_each<precision::full>(t, [&](std::size_t i) SMX_INLINE_LAMBDA { return z[i] = load(i); }, then);
            if (!has_any(z, max)) [[likely]]
                return;
            for (std::size_t i = 0; i < N; ++i) {
                equal += count_equal(z[i], max);
                t[i] = zero_where_equal(t[i], z[i], max);
            }
        } else {  // no registers to keep logits in
            SMX_UNROLL for (std::size_t i = 0; i < N; ++i) {
                const P z = load(i);
                equal += count_equal(z, max);
                t[i] = of_logit<precision::full>(z);
                then(i);
                t[i] = zero_where_equal(t[i], z, max);
            }
        }
    }
    template <precision Q>
    SMX_ALWAYS_INLINE P operator()(P x) const noexcept {
        return of_logit<Q>(logit(x));
    }
    SMX_ALWAYS_INLINE P logit_of_max(P max) const noexcept {
        if constexpr (General) return mul(mul(add(max, minus_offset), second), third);
        else return max;
    }
};

/// x*scale less the scaled maximum less log_sum, for log_softmax.
template <class P, bool General>
struct log_of_terms {
    using T = typename P::value_type;

    P first, second, third, minus_max, minus_log_sum, scale_head, scale_tail;

    SMX_ALWAYS_INLINE log_of_terms(const scaling<T>& s, P max, P log_sum) noexcept {
        minus_max = sub(P::broadcast(0), max);
        minus_log_sum = sub(P::broadcast(fence(T(0))),
                            log_sum);  // never -0: where signs of zero do not matter to them, compilers would negate
        const auto& factor = General ? s.rest : s.direct;
        scale_head = P::broadcast(factor.head);
        scale_tail = P::broadcast(factor.tail);
        if constexpr (General) {
            first = P::broadcast(s.first);
            second = P::broadcast(s.second);
            third = P::broadcast(s.third);
        }
    }
    SMX_ALWAYS_INLINE P unscaled(P x) const noexcept { return add(add(x, minus_max), minus_log_sum); }
    SMX_ALWAYS_INLINE P operator()(P x) const noexcept {
        P d;
        if constexpr (General) d = mul(mul(fma(x, first, minus_max), second), third);
        else d = add(x, minus_max);
        // -inf must not meet a scale_tail of 0 or of the other sign.
        constexpr T too_far = sizeof(T) == 4 ? T(-0x1p80) : T(-0x1p120);
        return fma(d, scale_head, fma(maximum(P::broadcast(too_far), d), scale_tail, minus_log_sum));
    }
};

inline constexpr double exact_power = 0x1.d5818dcfba487p60;  // 2^(60 + 7/8)
/// Of 2^(r/8) - 1 for float, highest power first.
inline constexpr double exact_coefficients[] = {0x1.3b24673148e8ap-19, 0x1.c6be35c3d1916p-14, 0x1.ebfbe0a8f601ap-9,
                                                0x1.62e42fb900e4p-4, -0x1.942cp-39};

/// The term of logit z + low (in the units of f, less the row's offset) without the errors of exp_term: to 2^-53 for double,
/// 1e-10 for float. k is where the row's k_max puts it: |z*C - k| is at most about one half.
template <class T>
SMX_ALWAYS_INLINE double exact_term(double z, double low, double k, const typename scaling<T>::factor& f) noexcept {
    double p;
    if constexpr (sizeof(T) == 4) {
        const double r = fma(low, f.c_whole, fma(z, f.c_whole, -k));
        constexpr const auto& c = exact_coefficients;
        p = fma(fma(fma(fma(c[0], r, c[1]), r, c[2]), r, c[3]), r, c[4]);
    } else {
        const split_double product = two_product(z, f.c_whole);
        const double r =
            fma(low, f.c_whole, fence(fence(product.head - k) + fence(product.tail + rounded(z * f.c_rest))));
        constexpr const auto& c = exp_constants<double>::full;
        p = c[7];
        for (int i = 7; i-- > 0;) p = fma(p, r, c[i]);
    }
    return fma(exact_power, p, exact_power);
}

/// The largest term of a row.
template <class T>
SMX_ALWAYS_INLINE double exact_max_term(const row_constants<T>& row, const scaling<T>& s) noexcept {
    const double z =
        static_cast<double>(row.general ? fence(fence(fence(row.max - row.offset) * s.second) * s.third) : row.max);
    return exact_term<T>(z, 0.0, static_cast<double>(row.k_max), row.general ? s.rest : s.direct);
}

/// log(sum of exp(z - max z)) from the sum of all terms but the `ties` largest ones.
template <class T>
SMX_ALWAYS_INLINE double log_sum_exp_of(double rest, double ties, const row_constants<T>& row,
                                        const scaling<T>& s) noexcept {
    return log_1_plus<T>(fence((ties - 1) + fence(rest / exact_max_term(row, s))));
}

/// The scaled maximum plus log_sum.
template <class T>
SMX_ALWAYS_INLINE double log_total(double log_sum, const row_constants<T>& row, const scaling<T>& s) noexcept {
    const T z = row.general ? fence(fence(row.max * s.second) * s.third) : row.max;
    return fma(static_cast<double>(z), row.general ? s.rest.value : s.direct.value, log_sum);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
