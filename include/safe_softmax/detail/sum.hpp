// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/work.hpp>
#include <safe_softmax/simd/pack.hpp>
#include <safe_softmax/simd/transpose.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// The order of every sum, the same on every machine and in every kernel:
//
// - terms come in packs (element i of the row is lane i mod 16 of pack i/16; for double, 8), packs in groups of four,
//   and the group's sum is (a0 + a1) + (a2 + a3), lane by lane, in the compute type; what is missing at the end is +0;
// - float: the group's sum goes to two double accumulators, one of the even and one of the odd lanes;
//   double: it is added to one accumulator, the error of that addition (two-sum) to another;
// - at the end even + odd, then halving: lane l and l+4, l+2, l+1;
// - a row of more than 65536 elements is cut into segments (work.hpp), each added up like a row; then one segment's sum after
//   the other, and what those additions round away (two-sum; for double, with the errors that the segments kept), apart.
//
// Two roundings in float remain between a term and a double. Error of the sum: float 2 * 2^-24 at worst (1.1 * 2^-24 when one
// term dominates, but in long rows of softmax, see exp.hpp), independent of the length; double 2 * 2^-53.

inline constexpr std::size_t packs_per_group = 4;

/// The sum of a group of which the first N packs are there.
template <class P, std::size_t N>
SMX_ALWAYS_INLINE P sum_of_group(const P (&a)[N]) noexcept {
    static_assert(N >= 1 && N <= packs_per_group);
    if constexpr (N == 1) return a[0];
    else if constexpr (N == 2) return add(a[0], a[1]);
    else if constexpr (N == 3) return add(add(a[0], a[1]), a[2]);
    else return add(add(a[0], a[1]), add(a[2], a[3]));
}

/// A sum that is not rounded yet: head + tail.
struct sum_parts {
    double head, tail;
    SMX_ALWAYS_INLINE double result() const noexcept { return add(head, tail); }
};

/// What the segments so far add up to, and the next one.
SMX_ALWAYS_INLINE sum_parts with_segment(sum_parts sum, sum_parts segment) noexcept {
    double lost;
    const double head = two_sum(sum.head, segment.head, lost);
    return {head, add(sum.tail, add(segment.tail, lost))};
}

/// Adds up the terms of one row, or of one segment of it.
template <class B, class T>
class row_sum;

template <class B>
class row_sum<B, float> {
public:
    row_sum() = default;
    /// Of one group.
    SMX_ALWAYS_INLINE explicit row_sum(typename B::f32 s) noexcept : even_(even_as_double(s)), odd_(odd_as_double(s)) {}
    SMX_ALWAYS_INLINE void add_group(typename B::f32 s) noexcept {
        even_ = add(even_, even_as_double(s));
        odd_ = add(odd_, odd_as_double(s));
    }
    SMX_ALWAYS_INLINE double result() const noexcept { return result_of(of_lanes()); }
    SMX_ALWAYS_INLINE sum_parts parts() const noexcept { return {result(), 0}; }
    /// What is left to be added up at the end; of eight rows at once: to[i] = the result() of row i.
    using lanes_sum = typename B::f64;
    SMX_ALWAYS_INLINE lanes_sum of_lanes() const noexcept { return add(even_, odd_); }
    static SMX_ALWAYS_INLINE double result_of(lanes_sum sum) noexcept { return reduce_add(sum) * 0x1p896; }
    static SMX_ALWAYS_INLINE void results(double* to, const lanes_sum (&sum)[8]) noexcept {
        using D = typename B::f64;
        reduce_add_each(to, sum);
        SMX_UNROLL for (std::size_t i = 0; i < 8; i += D::lanes)
            store(to + i, mul(D::load(to + i), D::broadcast(0x1p896)));
    }

private:
    typename B::f64 even_ = B::f64::broadcast(0), odd_ = B::f64::broadcast(0);
};

template <class B>
class row_sum<B, double> {
public:
    row_sum() = default;
    /// Of one group.
    SMX_ALWAYS_INLINE explicit row_sum(typename B::f64 s) noexcept : sum_(s) {}
    SMX_ALWAYS_INLINE void add_group(typename B::f64 s) noexcept {
        typename B::f64 error;
        sum_ = two_sum(sum_, s, error);
        error_ = add(error_, error);
    }
    SMX_ALWAYS_INLINE double result() const noexcept { return parts().result(); }
    SMX_ALWAYS_INLINE sum_parts parts() const noexcept {
        sum_parts r;
        r.head = reduce_add(sum_, error_, r.tail);
        return r;
    }
    struct lanes_sum {
        typename B::f64 sum, error;
    };
    SMX_ALWAYS_INLINE lanes_sum of_lanes() const noexcept { return {sum_, error_}; }
    static SMX_ALWAYS_INLINE double result_of(const lanes_sum& lanes) noexcept {
        row_sum row;
        row.sum_ = lanes.sum;
        row.error_ = lanes.error;
        return row.result();
    }
    static SMX_ALWAYS_INLINE void results(double* to, const lanes_sum (&sum)[8]) noexcept {
        using D = typename B::f64;
        static_assert(D::lanes == 8);
        alignas(64) double by_row[2][64], by_lane[2][64];  // of the sums, and of their errors
        for (std::size_t i = 0; i < 8; ++i) {
            store(by_row[0] + 8 * i, sum[i].sum);
            store(by_row[1] + 8 * i, sum[i].error);
        }
        for (std::size_t part = 0; part < 2; ++part) transpose(by_row[part], 8, by_lane[part], 8, 8, 8);
        D s[8], e[8];
        SMX_UNROLL for (std::size_t l = 0; l < 8; ++l) s[l] = D::load(by_lane[0] + 8 * l),
                                                       e[l] = D::load(by_lane[1] + 8 * l);
        fold_by_halves(s, e);
        store(to, add(s[0], e[0]));
    }

private:
    typename B::f64 sum_ = B::f64::broadcast(0), error_ = B::f64::broadcast(0);
};

/// The sum of a row of `length` terms; add_terms(sum, first, count) adds those of a segment to its sum. LastFirst: that is called
/// for the last segment first.
template <class B, class T, bool LastFirst = false, class F>
SMX_ALWAYS_INLINE double sum_of_row(std::size_t length, F add_terms) noexcept {
    if (length <= vocabulary::segment_step) {  // by the loop below it would take 3 ns longer
        row_sum<B, T> sum;
        add_terms(sum, 0, length);
        return sum.result();
    }
    const std::size_t segment = vocabulary::segment_length(length);
    const std::size_t segments = vocabulary::segment_count(length);
    sum_parts of_segment[vocabulary::most_segments];
    for (std::size_t k = 0; k < segments; ++k) {
        const std::size_t now = LastFirst ? segments - 1 - k : k, begin = now * segment;
        row_sum<B, T> sum;
        add_terms(sum, begin, length - begin < segment ? length - begin : segment);
        of_segment[now] = sum.parts();
    }
    sum_parts total{0, 0};
    for (std::size_t k = 0; k < segments; ++k) total = with_segment(total, of_segment[k]);
    return total.result();
}

/// What terms are multiplied by to become probabilities.
template <class T>
SMX_ALWAYS_INLINE T share_of(double sum) noexcept {
    return static_cast<T>(fence(1.0 / sum));
}

/// A sum of terms is below 2^60.94 times the length (2^84.94 until the row's largest logit is known, see one_sweep.hpp); it
/// is 2^126 or more, or NaN, exactly if a NaN was among them.
SMX_ALWAYS_INLINE bool sum_is_nan(double sum) noexcept {
    return (vocabulary::bit_cast<std::uint64_t>(sum) & 0x7fffffffffffffffu) >=
           vocabulary::bit_cast<std::uint64_t>(0x1p126);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
