// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/exact_packs.hpp>
#include <safe_softmax/detail/job_rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Sums of products over a row, of any sign, in double. The order is fixed by the length of the row, as in sum.hpp, packs
// having 8 lanes for both types:
//
// - elements of up to 24 bits (T = float): element i is added to accumulator i mod 32 by an fma, which is exact but for the
//   addition; at the end (a0 + a1) + (a2 + a3), lane by lane, then halving. Error: at most (n/32 + 6) * 2^-53 times the
//   sum of magnitudes;
// - double: element i goes to accumulator i mod 8, the errors of products and additions to a second one; at the end halving.
//   Error: about n * 2^-106 times the sum of magnitudes.
//
// What is missing at the end of a row is +0, which changes nothing.

/// Accumulators for one pack, or for as many neighbouring rows as a pack has lanes.
template <class B, class T>
struct dot_part {
    using P = typename B::f64;
    static constexpr std::size_t packs = sizeof(T) == 4 ? 4 : 1;  // in turn
    static constexpr std::size_t lanes = packs * P::lanes;

    P sum = P::broadcast(0), error = P::broadcast(0);

    SMX_ALWAYS_INLINE void add_product(P a, P b) noexcept {
        if constexpr (sizeof(T) == 4) {
            sum = fma(a, b, sum);
        } else {
            P low, lost;
            const P p = two_product(a, b, low);
            sum = two_sum(sum, p, lost);
            error = add(error, add(low, lost));
        }
    }
    SMX_ALWAYS_INLINE void add_number(P a) noexcept {
        if constexpr (sizeof(T) == 4) {
            sum = add(sum, a);
        } else {
            P lost;
            sum = two_sum(sum, a, lost);
            error = add(error, lost);
        }
    }
};

/// Folds the accumulators of all lanes of a row into the first: V is double, or a pack of rows.
template <class T, class V, std::size_t N>
SMX_ALWAYS_INLINE void fold_lanes(V (&sum)[N], V (&error)[N]) noexcept {
    if constexpr (sizeof(T) == 4) {
        for (std::size_t l = 0; l < 8; ++l) sum[l] = add(add(sum[l], sum[8 + l]), add(sum[16 + l], sum[24 + l]));
        for (std::size_t half = 4; half > 0; half /= 2)
            for (std::size_t l = 0; l < half; ++l) sum[l] = add(sum[l], sum[l + half]);
    } else {
        fold_by_halves(sum, error);
    }
}

/// The sum of one row.
template <class B, class T>
class row_dot {
    using part = dot_part<B, T>;
    using P = typename B::f64;

public:
    /// Calls f(accumulators, first element, elements: up to P::lanes) for every pack of a piece, which begins at a multiple of part::lanes;
    /// and ahead(first element) before those of a cache line of T.
    template <class F, class Ahead>
    SMX_ALWAYS_INLINE void for_packs(std::size_t n, F f, Ahead ahead) noexcept {
        std::size_t i = 0;
        if constexpr (part::packs == 4) {
            part a = part_[0], b = part_[1], c = part_[2], d = part_[3];
            for (; i + 4 * P::lanes <= n; i += 4 * P::lanes) {
                ahead(i);
                f(a, i, P::lanes);
                f(b, i + P::lanes, P::lanes);
                ahead(i + 2 * P::lanes);
                f(c, i + 2 * P::lanes, P::lanes);
                f(d, i + 3 * P::lanes, P::lanes);
            }
            const auto last = [&](part& p) SMX_INLINE_LAMBDA {
                if (i < n) {
                    ahead(i);
                    f(p, i, n - i < P::lanes ? n - i : P::lanes);
                }
                i += P::lanes;
            };
            last(a);
            last(b);
            last(c);
            last(d);
            part_[0] = a;
            part_[1] = b;
            part_[2] = c;
            part_[3] = d;
        } else {
            part a = part_[0];
            for (; i + P::lanes <= n; i += P::lanes) {
                ahead(i);
                f(a, i, P::lanes);
            }
            if (i < n) {
                ahead(i);
                f(a, i, n - i);
            }
            part_[0] = a;
        }
    }
    template <class F>
    SMX_ALWAYS_INLINE void for_packs(std::size_t n, F f) noexcept {
        for_packs(n, f, [](std::size_t) SMX_INLINE_LAMBDA {});
    }

    SMX_ALWAYS_INLINE double_double result() const noexcept {
        if constexpr (sizeof(T) == 4) {
            return {reduce_add(add(add(part_[0].sum, part_[1].sum), add(part_[2].sum, part_[3].sum))), 0};
        } else {
            double error;
            const double sum = reduce_add(part_[0].sum, part_[0].error, error);
            return normalised(sum, error);
        }
    }

private:
    part part_[part::packs];
};

/// 2*x for finite x, or the largest number: for what was halved in order not to overflow.
SMX_ALWAYS_INLINE double twice(double x) noexcept {
    constexpr double most = (std::numeric_limits<double>::max)();
    return x > most / 2 ? most : x < -most / 2 ? -most : 2 * x;
}

/// n elements, or a whole pack of them; the others +0.
template <class P, class T>
SMX_ALWAYS_INLINE P load_up_to(const T* p, std::size_t n) noexcept {
    return n >= P::lanes ? P::load(p) : P::load_partial(p, n);
}
template <class P, class T>
SMX_ALWAYS_INLINE void store_up_to(T* p, P a, std::size_t n) noexcept {
    if (n >= P::lanes) store(p, a);
    else store_partial(p, a, n);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
