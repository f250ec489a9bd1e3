// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/exact_packs.hpp>
#include <safe_softmax/detail/terms.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// exact_term of the largest logits z of plain rows; c, c_rest: what their factors have.
template <class T, class D>
SMX_ALWAYS_INLINE D exact_max_terms(D z, D k, D c, [[maybe_unused]] D c_rest) noexcept {
    const D power = D::broadcast(exact_power);
    D p;
    if constexpr (sizeof(T) == 4) {
        const D zero = D::broadcast(0), r = fma(zero, c, fma(z, c, sub(zero, k)));
        p = D::broadcast(exact_coefficients[0]);
        SMX_UNROLL for (std::size_t i = 1; i < 5; ++i) p = fma(p, r, D::broadcast(exact_coefficients[i]));
    } else {
        D tail;
        const D head = two_product_by_halves(z, c, tail);
        const D r = add(sub(head, k), add(tail, product(z, c_rest)));
        p = D::broadcast(exp_constants<double>::full[7]);
        SMX_UNROLL for (std::size_t i = 1; i <= 7; ++i) p = fma(p, r, D::broadcast(exp_constants<double>::full[7 - i]));
    }
    return fma(power, p, power);
}

/// log_sum_exp_of for plain rows, a pack of double at a time, with the same bits: step by step what exact_max_term (terms.hpp)
/// and log_1_plus (log.hpp) do. Rows is a multiple of the lanes.
template <class B, class T, std::size_t Rows>
SMX_NOINLINE void log_sums_of_rows(const double* rest, const double* ties, const T* max, const T* k_max,
                                   const scaling<T>& s, double* log_sum) noexcept {
    using D = typename B::f64;
    constexpr bool narrow = sizeof(T) == 4;
    const D zero = D::broadcast(0), one = D::broadcast(1);
    const D whole = D::broadcast(s.direct.c_whole), whole_rest = D::broadcast(s.direct.c_rest);
    double x[Rows], k[Rows], lost[Rows], sum[Rows];
    for (std::size_t j = 0; j < Rows; j += D::lanes) {
        const D largest = exact_max_terms<T>(D::load(max + j), D::load(k_max + j), whole, whole_rest);
        store(x + j, add(sub(D::load(ties + j), one), div(D::load(rest + j), largest)));
    }
    for (std::size_t j = 0; j < Rows; ++j) {
        const octaves parts = octaves_of_1_plus(x[j]);
        if constexpr (!narrow) {
            lost[j] = parts.lost(x[j]);
            sum[j] = parts.sum != 0 ? parts.sum : 1;
        }
        x[j] = parts.f;
        k[j] = parts.k;
    }
    for (std::size_t j = 0; j < Rows; j += D::lanes) {
        const D f = D::load(x + j), n = D::load(k + j), half = mul(D::broadcast(0.5), f);
        const D q = div(f, add(D::broadcast(2), f));
        const D z = mul(q, q);
        constexpr const auto& c = log_coefficients<T>;
        D p = D::broadcast(c[0]);
        SMX_UNROLL for (std::size_t i = 1; i < sizeof(c) / sizeof(c[0]); ++i) p = fma(p, z, D::broadcast(c[i]));
        D low = zero;
        if constexpr (!narrow) low = div(D::load(lost + j), D::load(sum + j));
        const D tail = fma(q, fma(p, z, product(half, f)), fma(n, D::broadcast(log_2_tail), low));
        store(log_sum + j, fma(n, D::broadcast(log_2_head), sub(f, fma(half, f, sub(zero, tail)))));
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
