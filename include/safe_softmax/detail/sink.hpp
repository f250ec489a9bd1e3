// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/terms.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A row's extra logit, which takes part in the denominator only.
struct sink_of_row {
    double_double
        above_max;  ///< the sink less the row's maximum; head is not finite where the sink is not, or out of range
    double term;    ///< exp(that) in units of the row's terms, if that is finite
};

/// exp(x) for x <= 0, subnormal numbers included.
SMX_ALWAYS_INLINE double exp_of_small(const double_double& x) noexcept {
    if (x.head >= least_exponent) return exp_of(x);
    constexpr double_double above{0x1.62e42fefa39efp+5, 0x1.abc9e3b39803fp-50};  // 64*ln 2
    return x.head < -750 ? 0 : rounded(exp_of(add(x, above)) * 0x1p-64);
}

/// log(sum of exp(z - max), that of the sink included) from the sum `rest` of all terms but the largest ones. Those are `top` each, and there are
/// other_ties + 1.
template <class T>
SMX_ALWAYS_INLINE double log_of_sum_with_sink(double rest, double other_ties, double top, bool has_sink,
                                              const sink_of_row& sink) noexcept {
    const double below = fence(other_ties + fence(rest / top));
    if (!has_sink) return log_1_plus<T>(below);
    const double_double& d = sink.above_max;
    if (d.head <= 0) {
        const double_double sum = normalised(below, exp_of_small(d));
        return log_1_plus<T>(sum.head, sum.tail);
    }
    const double back = d.head > 700 ? 0 : exp_of(negated(d));
    return fence(d.head + log_1_plus<T>(rounded(back * fence(1 + below))));
}

/// False: z, the sink, adds nothing: it is -inf, or as far below. `top` is the row's maximum, or a logit near it, and top_term its term. Where the
/// sink is above it, the row's terms are made smaller: magic goes down, k_max up.
template <class T>
SMX_NOINLINE bool place_sink(double z, double_double top, double top_term, row_constants<T>& row,
                             sink_of_row& sink) noexcept {
    sink.above_max = {z, 0};
    if (is_nan(z)) return true;
    if (!is_finite(z)) return !is_negative(z);
    double_double d = add({z, 0}, negated(top));
    if (!is_finite(d.head)) {  // further apart than numbers of double are: as from infinity
        const bool below = z < top.head;
        sink.above_max = {below ? minus_infinity<double>() : plus_infinity<double>(), 0};
        return !below;
    }
    sink.above_max = d;
    if (!(d.head < 1e4)) d = {1e4, 0};
    if (d.head < -700) d = {-700, 0};
    // Terms lead to 2^61 at the sink if that is the largest: octaves, so that nothing is rounded.
    constexpr double ln2_head = 0x1.62e42fefa39efp-1, ln2_tail = 0x1.abc9e3b39803fp-56;
    double octaves = 0;
    if (d.head > 0) {
        octaves = fence(fma(d.head, 0x1.71547652b82fep0, 0x1.8p52) - 0x1.8p52);
        constexpr double most = sizeof(T) == 4 ? 300 : 2200;  // everything else is gone long before
        if (octaves > most) {
            octaves = most;
            d = mul(double_double{ln2_head, ln2_tail}, most);
        }
        row.k_max = fence(row.k_max + static_cast<T>(8 * octaves));
        row.magic = fence(row.magic - static_cast<T>(8 * octaves));
        d = add(d, negated(mul(double_double{ln2_head, ln2_tail}, octaves)));
    }
    sink.term = rounded(top_term * exp_of(d));
    return true;
}

/// The same for rows whose logits are elements times a scale.
template <class T>
SMX_ALWAYS_INLINE bool take_sink(double sink_logit, row_constants<T>& row, const scaling<T>& s,
                                 sink_of_row& sink) noexcept {
    double z = static_cast<double>(row.max);  // float would overflow
    if (row.general) z = rounded(rounded(z * static_cast<double>(s.second)) * static_cast<double>(s.third));
    const split_double product = two_product(z, row.general ? s.rest.value : s.direct.value);
    const double_double top =
        is_finite(product.head) ? normalised(product.head, product.tail) : double_double{product.head, 0};
    return place_sink(sink_logit, top, exact_max_term(row, s), row, sink);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
