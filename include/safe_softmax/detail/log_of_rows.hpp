// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/terms.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// log_sum_exp_of for the plain rows of a tile in float, a pack of double at a time, with the same bits: step by step what
/// exact_max_term (terms.hpp) and log_1_plus (log.hpp) do. Rows is a multiple of the lanes.
template <class B, std::size_t Rows>
SMX_NOINLINE void log_sums_of_rows(const double* rest, const double* ties, const float* max, const float* k_max, const scaling<float>& s,
                                   double* log_sum) noexcept {
    using D = typename B::f64;
    const D zero = D::broadcast(0), one = D::broadcast(1), c = D::broadcast(s.direct.c_whole);
    const D power = D::broadcast(exact_power);
    double x[Rows], k[Rows];
    for (std::size_t j = 0; j < Rows; j += D::lanes) {
        const D r = fma(zero, c, fma(D::load(max + j), c, sub(zero, D::load(k_max + j))));
        D p = D::broadcast(exact_coefficients[0]);
        for (std::size_t i = 1; i < 5; ++i) p = fma(p, r, D::broadcast(exact_coefficients[i]));
        const D largest = fma(power, p, power);
        store(x + j, add(sub(D::load(ties + j), one), div(D::load(rest + j), largest)));
    }
    for (std::size_t j = 0; j < Rows; ++j) {
        const octaves parts = octaves_of_1_plus(x[j]);
        x[j] = parts.f;
        k[j] = parts.k;
    }
    for (std::size_t j = 0; j < Rows; j += D::lanes) {
        const D f = D::load(x + j), n = D::load(k + j), half = mul(D::broadcast(0.5), f);
        const D q = div(f, add(D::broadcast(2), f));
        const D z = mul(q, q);
        D p = D::broadcast(log_coefficients[0]);
        for (std::size_t i = 1; i < 4; ++i) p = fma(p, z, D::broadcast(log_coefficients[i]));
        const D tail = fma(q, fma(p, z, product(half, f)), fma(n, D::broadcast(log_2_tail), zero));
        store(log_sum + j, fma(n, D::broadcast(log_2_head), sub(f, fma(half, f, sub(zero, tail)))));
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
