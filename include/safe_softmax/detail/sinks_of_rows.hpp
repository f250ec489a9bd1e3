// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/sink.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// double_double by lanes.
template <class D>
struct pair_of {
    D head, tail;
};
template <class D>
SMX_ALWAYS_INLINE pair_of<D> normalised_pair(D a, D b) noexcept {
    pair_of<D> r;
    r.head = two_sum(a, b, r.tail);
    return r;
}
template <class D>
SMX_ALWAYS_INLINE pair_of<D> less(pair_of<D> a, pair_of<D> b) noexcept {
    const D zero = D::broadcast(0);
    const pair_of<D> s = normalised_pair(a.head, sub(zero, b.head)), t = normalised_pair(a.tail, sub(zero, b.tail));
    const pair_of<D> u = normalised_pair(s.head, add(s.tail, t.head));
    return normalised_pair(u.head, add(u.tail, t.tail));
}

/// exp_of(x) by lanes.
template <class D>
SMX_ALWAYS_INLINE D exp_of_pair(pair_of<D> x) noexcept {
    using constants = exp_constants<double>;
    const D c = D::broadcast(0x1.71547652b82fep3), c_rest = D::broadcast(0x1.777d0ffda0d24p-53);  // 8*log2(e)
    const D round = D::broadcast(constants::round), bias = D::broadcast(8 * constants::bias);
    const D t = add(fma(x.head, c, round), bias), k = sub(sub(t, bias), round);
    D tail;
    const D head = two_product(x.head, c, tail);
    const D r = fma(x.tail, c, add(sub(head, k), add(tail, product(x.head, c_rest))));
    D p = D::broadcast(constants::full[7]);
    SMX_UNROLL for (std::size_t i = 1; i <= 7; ++i) p = fma(p, r, D::broadcast(constants::full[7 - i]));
    const D power = exp2_eighths(t);
    return fma(power, p, power);
}

/// take_sink for plain rows, a pack of double at a time, with the same bits: `term` and what becomes of `magic`. False, and `magic` is left alone,
/// if one of the sinks is not finite or further than this from its row's maximum. Rows is a multiple of the lanes.
template <class B, class T, std::size_t Rows>
SMX_NOINLINE bool take_sinks_of_rows(const double (&sink)[Rows], const T* max, const T* k_max,
                                     const scaling<T>* const (&s)[Rows], T* magic, double (&term)[Rows]) noexcept {
    using D = typename B::f64;
    constexpr double furthest =
        sizeof(T) == 4 ? 200 : 500;  // 289 and 721 octaves: place_sink does with these nothing special
    double value[Rows], whole[Rows], rest[Rows], octaves[Rows];
    for (std::size_t i = 0; i < Rows; ++i) {
        value[i] = s[i]->direct.value;
        whole[i] = s[i]->direct.c_whole;
        rest[i] = s[i]->direct.c_rest;
    }
    const D zero = D::broadcast(0), one = D::broadcast(1);
    std::size_t near_ones = 0;
    bool moved = false;
    for (std::size_t i = 0; i < Rows; i += D::lanes) {
        const D z = D::load(max + i);
        D top_tail;
        const D top_head = two_product(z, D::load(value + i), top_tail);
        pair_of<D> d = less({D::load(sink + i), zero}, normalised_pair(top_head, top_tail));
        near_ones +=
            count_equal(zero_where_less(one, maximum(d.head, sub(zero, d.head)), D::broadcast(furthest)), zero);
        // A branch: where no sink is above its row, what comes next need not wait for all this.
        if (count_equal(maximum(zero, d.head), zero) != D::lanes) [[unlikely]] {
            const D integer = D::broadcast(0x1.8p52);
            const D n = maximum(zero, sub(fma(d.head, D::broadcast(0x1.71547652b82fep0), integer), integer));
            D low;
            const D high = two_product(D::broadcast(0x1.62e42fefa39efp-1), n, low);  // ln 2, as in place_sink
            d = less(d, normalised_pair(high, fma(D::broadcast(0x1.abc9e3b39803fp-56), n, low)));
            store(octaves + i, n);
            moved = true;
        } else {
            store(octaves + i, zero);
        }
        const D top = exact_max_terms<T>(z, D::load(k_max + i), D::load(whole + i), D::load(rest + i));
        store(term + i, product(top, exp_of_pair(d)));
    }
    if (near_ones != Rows) return false;
    for (std::size_t i = 0; i < Rows && moved; ++i) magic[i] = fence(magic[i] - static_cast<T>(8 * octaves[i]));
    return true;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
