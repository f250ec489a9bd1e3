// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/sum.hpp>
#include <safe_softmax/detail/terms.hpp>
#include <safe_softmax/simd/prefetch.hpp>
#include <safe_softmax/simd/running_max.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// The passes over a row, each over contiguous elements. A row may be passed over in pieces, as long as every piece but
// the last is a multiple of `piece_elements` long: what a pass finds out is carried from piece to piece. None is inlined,
// so that rows of all kinds share one copy.

/// Length of a piece, and of most buffers on the stack: 16 KiB, which the first cache has room for.
template <class T>
inline constexpr std::size_t piece_elements = 16384 / sizeof(T);
/// So many pieces of terms wait for their sum in a buffer where results are of another type: 64 KiB, in the second cache.
inline constexpr std::size_t waiting_pieces = 4;

template <class B, class T>
struct passes {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    /// Bytes of a result, as far as it matters here.
    template <precision Q>
    static constexpr std::size_t result_bytes = Q == precision::half ? 2 : sizeof(T);

    /// So many packs of terms together, a whole number of groups, are done sooner than a group at a time in pieces of `long_piece` elements or
    /// more: in 0.93 to 0.98 of the time. (What it takes on the stack costs shorter ones 5 ns, and row_pipeline has no registers for it.)
    static constexpr std::size_t many_together =
                                     step_by_step<P> && sizeof(T) == 4 ? 2 * packs_per_group : packs_per_group,
                                 long_piece = 2048;

    /// The largest x*first (with first = 1 in plain scaling); with a NaN in the piece, any of them or NaN: the sum will tell. n >= 1.
    template <class S>
    static SMX_NOINLINE T largest(const S* in, std::size_t n, const scaling<T>& s) noexcept {
        if (n < lanes) {
            const P first = P::broadcast(s.plain ? T(1) : s.first);
            const P filler = P::broadcast(load_element<T>(in));
            return reduce_max(mul(blend_first(P::load_partial(in, n), filler, n), first));
        }
        return reduce_max(largest_of_lanes(in, n, s));
    }

    /// The same, a lane for those that are a multiple of `lanes` apart. n >= lanes.
    template <class S>
    static SMX_NOINLINE P largest_pack(const S* in, std::size_t n, const scaling<T>& s) noexcept {
        return largest_of_lanes(in, n, s);
    }

    template <class S>
    static SMX_ALWAYS_INLINE P largest_of_lanes(const S* in, std::size_t n, const scaling<T>& s) noexcept {
        if constexpr (sizeof(S) == 2) {
            if (s.plain) return largest_unscaled(in, n);
        }
        return largest_scaled(in, n, P::broadcast(s.plain ? T(1) : s.first));
    }
    /// Of 16-bit elements, which are not converted one by one.
    template <class S>
    static SMX_ALWAYS_INLINE P largest_unscaled(const S* in, std::size_t n) noexcept {
        running_max<P, S> most(in);
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) most.add_group(in + i);
        for (; i + lanes <= n; i += lanes) most.add_pack(in + i);
        if (i < n) most.add_pack(in + n - lanes);
        return most.lanes();
    }
    template <class S>
    static SMX_ALWAYS_INLINE P largest_scaled(const S* in, std::size_t n, P first) noexcept {
        P m0 = mul(P::load(in), first);
        P m1 = m0, m2 = m0, m3 = m0;
        std::size_t i = lanes;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            m0 = maximum(m0, mul(P::load(in + i), first));
            m1 = maximum(m1, mul(P::load(in + i + lanes), first));
            m2 = maximum(m2, mul(P::load(in + i + 2 * lanes), first));
            m3 = maximum(m3, mul(P::load(in + i + 3 * lanes), first));
        }
        for (; i + lanes <= n; i += lanes) m0 = maximum(m0, mul(P::load(in + i), first));
        if (i < n) m1 = maximum(m1, mul(P::load(in + n - lanes), first));  // some a second time: no harm to a maximum
        return maximum(maximum(m0, m1), maximum(m2, m3));
    }

    /// The largest element of a piece, and the least one with its sign turned (in 16 bits, 0 if no element is negative). With a NaN in the piece,
    /// as `largest`. `lanes` elements before in + n belong to the row.
    struct range {
        T most, least_turned;
    };
    template <class S>
    static SMX_NOINLINE range range_of(const S* in, std::size_t n) noexcept {
        running_range<P, S> found(in + n - lanes);
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) found.add_group(in + i);
        for (; i + lanes <= n; i += lanes) found.add_pack(in + i);
        return {reduce_max(found.most()), reduce_max(found.least_turned())};
    }

    /// The least element whose term does not vanish, with its sign turned, at least -row.max; of a plain row. `lanes` elements before in + n
    /// belong to it.
    template <class S>
    static SMX_NOINLINE T least_term_turned(const S* in, std::size_t n, const row_constants<T>& row,
                                            const scaling<T>& s) noexcept {
        const P magic = P::broadcast(row.magic), whole = P::broadcast(P::fused ? s.direct.c.head : s.direct.c.whole);
        const P top = P::broadcast(row.max);
        P below = P::broadcast(0);
        const auto add_pack = [&](const S* p) SMX_INLINE_LAMBDA {
            const P x = P::load(p);
            below = maximum(below, zero_where_vanishing(sub(top, x), fma(x, whole, magic)));
        };
        for (std::size_t i = 0; i + lanes <= n; i += lanes) add_pack(in + i);
        if (n % lanes != 0) add_pack(in + n - lanes);
        return fence(reduce_max(below) - row.max);
    }

    /// Adds the terms of a piece to the sum of its row and writes them to `terms`. On the way asks the cache for as many elements
    /// that are read soon, from `in_soon` on, and results that are written soon, from `out_soon` on.
    template <precision Q, bool General, std::size_t Together = packs_per_group, class S>
    static SMX_NOINLINE void add_terms(row_sum<B, T>& total, const S* in, T* terms, std::size_t n,
                                       const row_constants<T>& row, const scaling<T>& s, const S* in_soon,
                                       char* out_soon) noexcept {
        const row_terms<P, General> term(s, P::broadcast(row.magic), P::broadcast(row.offset));
        const auto whole = [&]<std::size_t N>(std::size_t i, P(&t)[N]) SMX_INLINE_LAMBDA {
            prefetch<N * lanes * sizeof(S)>(in_soon + i);
            prefetch<N * lanes * result_bytes<Q>, true>(out_soon + i * result_bytes<Q>);
            term.template of_each<Q>(
                t, [&](std::size_t k) SMX_INLINE_LAMBDA { return term.logit(P::load(in + i + k * lanes)); },
                [&](std::size_t k) SMX_INLINE_LAMBDA { store(terms + i + k * lanes, t[k]); });
        };
        total = in_groups<Together>(total, n, whole, [&](std::size_t i, std::size_t left) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(S)>(in_soon + i);
            prefetch<lanes * result_bytes<Q>, true>(out_soon + i * result_bytes<Q>);
            const P t = blend_first(term.template operator()<Q>(P::load_partial(in + i, left)), P::broadcast(0), left);
            store_partial(terms + i, t, left);
            return t;
        });
    }

    template <precision Q, bool General, class S>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const S* in, T* terms, std::size_t n,
                                            const row_constants<T>& row, const scaling<T>& s) noexcept {
        add_terms<Q, General>(total, in, terms, n, row, s, in, reinterpret_cast<char*>(terms));
    }

    /// Adds the terms below the row's largest to the sum of the row, and counts the largest ones. Keep: writes all terms to `terms`.
    /// On the way asks the cache for as many elements from `in_soon` on, and as many bytes of results from `out_soon` on.
    template <bool General, bool Keep = false, std::size_t Together = packs_per_group, class S>
    static SMX_NOINLINE void add_terms_below_max(row_sum<B, T>& total, std::size_t& ties, const S* in, std::size_t n,
                                                 const row_constants<T>& row, const scaling<T>& s, T* terms,
                                                 const S* in_soon, const char* out_soon) noexcept {
        const row_terms<P, General> term(s, P::broadcast(row.magic), P::broadcast(row.offset));
        const P max = term.logit_of_max(P::broadcast(row.max));
        std::size_t equal = 0;
        total = in_groups<Together>(
            total, n,
            [&]<std::size_t N>(std::size_t i, P(&t)[N]) SMX_INLINE_LAMBDA {
                prefetch<N * lanes * sizeof(S)>(in_soon + i);
                prefetch<N * lanes * sizeof(S), true>(out_soon + i * sizeof(S));
                term.of_each_below(
                    t, max, equal,
                    [&](std::size_t k) SMX_INLINE_LAMBDA { return term.logit(P::load(in + i + k * lanes)); },
                    [&](std::size_t k) SMX_INLINE_LAMBDA {
                        if constexpr (Keep) store(terms + i + k * lanes, t[k]);
                    });
            },
            [&](std::size_t i, std::size_t left) SMX_INLINE_LAMBDA {
                prefetch<lanes * sizeof(S)>(in_soon + i);
                prefetch<lanes * sizeof(S), true>(out_soon + i * sizeof(S));
                // Lanes past the end are not counted.
                const P zero = P::broadcast(0), one = P::broadcast(1);
                const P z = term.logit(P::load_partial(in + i, left));
                equal += count_equal(blend_first(zero_where_equal(one, z, max), one, left), zero);
                const P t = term.template of_logit<precision::full>(z);
                if constexpr (Keep) store_partial(terms + i, t, left);
                return blend_first(zero_where_equal(t, z, max), zero, left);
            });
        ties += equal;
    }

    template <bool General, bool Keep = false, class S>
    static SMX_ALWAYS_INLINE void add_terms_below_max(row_sum<B, T>& total, std::size_t& ties, const S* in,
                                                      std::size_t n, const row_constants<T>& row, const scaling<T>& s,
                                                      T* terms = nullptr) noexcept {
        add_terms_below_max<General, Keep>(total, ties, in, n, row, s, terms, in, reinterpret_cast<const char*>(in));
    }

    /// Terms times the reciprocal of their sum.
    template <class O>
    static SMX_NOINLINE void scale(const T* terms, O* out, std::size_t n, T by) noexcept {
        const P share = P::broadcast(by);
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            P t[4];
            SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) t[k] = mul(P::load(terms + i + k * lanes), share);
            SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) store(out + i + k * lanes, t[k]);
        }
        for (; i + lanes <= n; i += lanes) store(out + i, mul(P::load(terms + i), share));
        if (i < n) store_partial(out + i, mul(P::load_partial(terms + i, n - i), share), n - i);
    }

    /// The same; what it returns is the least of the terms, with its sign turned. n >= lanes.
    static SMX_NOINLINE T scale_and_find_least(const T* terms, T* out, std::size_t n, T by) noexcept {
        const P share = P::broadcast(by), zero = P::broadcast(0);
        P turned[4];
        SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) turned[k] = sub(zero, P::load(terms));
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            P t[4];
            SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) t[k] = P::load(terms + i + k * lanes);
            SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) turned[k] = maximum(turned[k], sub(zero, t[k]));
            SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) store(out + i + k * lanes, mul(t[k], share));
        }
        for (; i < n; i += lanes) {
            const std::size_t left = n - i < lanes ? n - i : lanes;
            const P t = P::load_partial(terms + i, left);
            turned[0] = maximum(turned[0], blend_first(sub(zero, t), turned[0], left));
            store_partial(out + i, mul(t, share), left);
        }
        return reduce_max(maximum(maximum(turned[0], turned[1]), maximum(turned[2], turned[3])));
    }

    /// As `scale`, with the terms computed a second time.
    template <precision Q, bool General, class S, class O>
    static SMX_NOINLINE void write_shares(const S* in, O* out, std::size_t n, T by, const row_constants<T>& row,
                                          const scaling<T>& s) noexcept {
        const row_terms<P, General> term(s, P::broadcast(row.magic), P::broadcast(row.offset));
        const P share = P::broadcast(by);
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            P t[4];
            term.template of_each<Q>(
                t, [&](std::size_t k) SMX_INLINE_LAMBDA { return term.logit(P::load(in + i + k * lanes)); },
                [&](std::size_t k) SMX_INLINE_LAMBDA { store(out + i + k * lanes, mul(t[k], share)); });
        }
        for (; i < n; i += lanes) {
            const std::size_t left = n - i < lanes ? n - i : lanes;
            store_partial(out + i, mul(term.template operator()<Q>(P::load_partial(in + i, left)), share), left);
        }
    }

    /// z - max z - log_sum.
    template <bool General, class S, class O>
    static SMX_NOINLINE void subtract(const S* in, O* out, std::size_t n, const row_constants<T>& row, T log_sum,
                                      const scaling<T>& s) noexcept {
        const log_of_terms<P, General> result(s, P::broadcast(row.max), P::broadcast(log_sum));
        const auto map = [&](auto f) SMX_INLINE_LAMBDA {
            constexpr auto ahead = static_cast<std::ptrdiff_t>(2048 / sizeof(O));
            std::size_t i = 0;
            if (n == piece_elements<T>) {  // a long row
                for (; i < piece_elements<T>; i += lanes) {
                    prefetch<lanes * sizeof(O), true>(far_from(out + i, ahead));
                    store(out + i, f(P::load(in + i)));
                }
            }
            for (; i + lanes <= n; i += lanes) store(out + i, f(P::load(in + i)));
            if (i < n) store_partial(out + i, f(P::load_partial(in + i, n - i)), n - i);
        };
        if (!General && s.direct.value == 1) map([&](P x) SMX_INLINE_LAMBDA { return result.unscaled(x); });
        else map(result);
    }

private:
    /// In the order of sum.hpp, adds a[] of whole(i, a) for `Together` packs as long as there are so many, then for every whole group, and
    /// part(i, left) for the packs of the last, incomplete one.
    template <std::size_t Together, class F, class G>
    static SMX_ALWAYS_INLINE row_sum<B, T> in_groups(row_sum<B, T> sum, std::size_t n, F whole, G part) noexcept {
        std::size_t i = 0;
        const auto add_groups = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) SMX_INLINE_LAMBDA {
            for (; i + N * lanes <= n; i += N * lanes) {
                P a[N];
                whole(i, a);
                for (std::size_t k = 0; k < N; k += packs_per_group)
                    sum.add_group(add(add(a[k], a[k + 1]), add(a[k + 2], a[k + 3])));
            }
        };
        if constexpr (Together != packs_per_group) add_groups(std::integral_constant<std::size_t, Together>());
        add_groups(std::integral_constant<std::size_t, packs_per_group>());
        if (i < n) {
            P a[packs_per_group] = {P::broadcast(0), P::broadcast(0), P::broadcast(0), P::broadcast(0)};
            for (std::size_t k = 0; i < n; ++k, i += lanes) a[k] = part(i, n - i < lanes ? n - i : lanes);
            sum.add_group(sum_of_group(a));
        }
        return sum;
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
