// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Two packs side by side as one of twice the lanes.
template <class H>
struct doubled {
    using value_type = typename H::value_type;
    static constexpr std::size_t lanes = 2 * H::lanes;
    static constexpr std::size_t registers = 2 * H::registers;
    static constexpr bool fused = H::fused;

    H lo, hi;

    SMX_ALWAYS_INLINE static doubled broadcast(value_type x) noexcept { return {H::broadcast(x), H::broadcast(x)}; }
    template <class S>
    SMX_ALWAYS_INLINE static doubled load(const S* p) noexcept {
        return {H::load(p), H::load(p + H::lanes)};
    }
    template <class S>
    SMX_ALWAYS_INLINE static doubled load_partial(const S* p, std::size_t n) noexcept {
        if constexpr (registers > 2) return load_some(p, n);
        if (n >= H::lanes) return {H::load(p), H::load_partial(p + H::lanes, n - H::lanes)};
        return {H::load_partial(p, n), H::broadcast(0)};
    }
    template <class S>
    SMX_ALWAYS_INLINE static doubled load_before(const S* p, std::size_t e, std::size_t end, doubled other) noexcept {
        return {H::load_before(p, e, end, other.lo), H::load_before(p + H::lanes, e + H::lanes, end, other.hi)};
    }

private:
    /// Of many registers each would have its own code in every kernel.
    template <class S>
    SMX_NOINLINE static doubled load_some(const S* p, std::size_t n) noexcept {
        return load_lanes<doubled>(p, n);
    }
};

/// A pack of Lanes lanes out of native ones.
template <class Native, std::size_t Lanes>
struct widened {
    using type = typename widened<doubled<Native>, Lanes>::type;
};
template <class Native, std::size_t Lanes>
    requires(Native::lanes == Lanes)
struct widened<Native, Lanes> {
    using type = Native;
};

template <class H, class S>
SMX_ALWAYS_INLINE void store(S* p, doubled<H> a) noexcept {
    store(p, a.lo);
    store(p + H::lanes, a.hi);
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> add(doubled<H> a, doubled<H> b) noexcept {
    return {add(a.lo, b.lo), add(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> sub(doubled<H> a, doubled<H> b) noexcept {
    return {sub(a.lo, b.lo), sub(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> mul(doubled<H> a, doubled<H> b) noexcept {
    return {mul(a.lo, b.lo), mul(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> fma(doubled<H> a, doubled<H> b, doubled<H> c) noexcept {
    return {fma(a.lo, b.lo, c.lo), fma(a.hi, b.hi, c.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> maximum(doubled<H> a, doubled<H> b) noexcept {
    return {maximum(a.lo, b.lo), maximum(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> zero_where_less(doubled<H> a, doubled<H> t, doubled<H> limit) noexcept {
    return {zero_where_less(a.lo, t.lo, limit.lo), zero_where_less(a.hi, t.hi, limit.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> zero_where_equal(doubled<H> a, doubled<H> x, doubled<H> y) noexcept {
    return {zero_where_equal(a.lo, x.lo, y.lo), zero_where_equal(a.hi, x.hi, y.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> where_nonzero(const std::uint8_t* m, doubled<H> a, doubled<H> b) noexcept {
    return {where_nonzero(m, a.lo, b.lo), where_nonzero(m + H::lanes, a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> where_nonzero_before(const std::uint8_t* m, std::size_t e, std::size_t end, doubled<H> a,
                                                  doubled<H> b) noexcept {
    return {where_nonzero_before(m, e, end, a.lo, b.lo),
            where_nonzero_before(m + H::lanes, e + H::lanes, end, a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> div(doubled<H> a, doubled<H> b) noexcept {
    return {div(a.lo, b.lo), div(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> product(doubled<H> a, doubled<H> b) noexcept {
    return {product(a.lo, b.lo), product(a.hi, b.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> in_register(doubled<H> a) noexcept {
    return {in_register(a.lo), in_register(a.hi)};
}
template <class H>
SMX_ALWAYS_INLINE std::size_t count_equal(doubled<H> x, doubled<H> y) noexcept {
    return count_equal(x.lo, y.lo) + count_equal(x.hi, y.hi);
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> truncate_half(doubled<H> a) noexcept {
    return {truncate_half(a.lo), truncate_half(a.hi)};
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> exp2_eighths(doubled<H> t) noexcept {
    return {exp2_eighths(t.lo), exp2_eighths(t.hi)};
}
template <class H>
SMX_ALWAYS_INLINE auto even_as_double(doubled<H> a) noexcept {
    return doubled<decltype(even_as_double(a.lo))>{even_as_double(a.lo), even_as_double(a.hi)};
}
template <class H>
SMX_ALWAYS_INLINE auto odd_as_double(doubled<H> a) noexcept {
    return doubled<decltype(odd_as_double(a.lo))>{odd_as_double(a.lo), odd_as_double(a.hi)};
}
template <class H>
SMX_ALWAYS_INLINE typename H::value_type reduce_max(doubled<H> a) noexcept {
    return reduce_max(maximum(a.lo, a.hi));
}
template <class H>
SMX_ALWAYS_INLINE typename H::value_type reduce_add(doubled<H> a) noexcept {
    return reduce_add(add(a.lo, a.hi));
}
template <class H>
SMX_ALWAYS_INLINE double reduce_add(doubled<H> a, doubled<H> e, double& error) noexcept {
    H lost;
    const H sum = two_sum(a.lo, a.hi, lost);
    return reduce_add(sum, add(add(e.lo, e.hi), lost), error);
}
template <class H>
SMX_ALWAYS_INLINE void reduce_max_each(typename H::value_type* to, const doubled<H> (&a)[8]) noexcept {
    const H half[8] = {maximum(a[0].lo, a[0].hi), maximum(a[1].lo, a[1].hi), maximum(a[2].lo, a[2].hi),
                       maximum(a[3].lo, a[3].hi), maximum(a[4].lo, a[4].hi), maximum(a[5].lo, a[5].hi),
                       maximum(a[6].lo, a[6].hi), maximum(a[7].lo, a[7].hi)};
    reduce_max_each(to, half);
    for (std::size_t i = H::lanes < 8 ? 8 : H::lanes; i < 2 * H::lanes; i += H::lanes)
        store(to + i, H::broadcast(to[0]));
}
template <class H>
SMX_ALWAYS_INLINE void reduce_add_each(double* to, const doubled<H> (&a)[8]) noexcept {
    const H half[8] = {add(a[0].lo, a[0].hi), add(a[1].lo, a[1].hi), add(a[2].lo, a[2].hi), add(a[3].lo, a[3].hi),
                       add(a[4].lo, a[4].hi), add(a[5].lo, a[5].hi), add(a[6].lo, a[6].hi), add(a[7].lo, a[7].hi)};
    reduce_add_each(to, half);
}

template <class H>
SMX_NOINLINE doubled<H> blend_some(const doubled<H>& a, const doubled<H>& b, std::size_t n) noexcept {
    typename H::value_type lane[doubled<H>::lanes];
    store(lane, b);
    store_lanes(lane, a, n);
    return doubled<H>::load(lane);
}
template <class H>
SMX_ALWAYS_INLINE doubled<H> blend_first(doubled<H> a, doubled<H> b, std::size_t n) noexcept {
    if constexpr (doubled<H>::registers > 2) return blend_some(a, b, n);
    if (n >= H::lanes) return {a.lo, blend_first(a.hi, b.hi, n - H::lanes)};
    return {blend_first(a.lo, b.lo, n), b.hi};
}
template <class H, class S>
SMX_NOINLINE void store_some(S* p, const doubled<H>& a, std::size_t n) noexcept {
    store_lanes(p, a, n);
}
template <class H, class S>
SMX_ALWAYS_INLINE void store_partial(S* p, doubled<H> a, std::size_t n) noexcept {
    if constexpr (doubled<H>::registers > 2) return store_some(p, a, n);
    if (n >= H::lanes) {
        store(p, a.lo);
        store_partial(p + H::lanes, a.hi, n - H::lanes);
    } else {
        store_partial(p, a.lo, n);
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
