// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Rows too long for a cache would be read twice for their sum: for the largest logit, and for the terms. Here both are found in one sweep.
// A piece is looked through when the cache has just got it, and its terms are added up as if the largest logit of the first piece were that
// of the row. In whole octaves (scaling.hpp), terms, groups and sums are then what they should be but for a power of two, which
// comes off at the end, exactly; as long as
//
// - the row is plain, with the first piece's largest logit and with its own;
// - its own is at most 56 octaves (39 with a scale of 1) above that of the first piece: terms stay below 2^118;
// - no term vanishes: the least logit is at most 150 octaves (104) below the largest one, for double 900 (624).
//
// Other rows take two passes, and have the same bits.

template <class B, class T>
class one_sweep {
    using pass = passes<B, T>;
    using kernel = row_kernel<B, T>;
    static constexpr T most_above = 8 * 56, most_below = sizeof(T) == 4 ? 8 * 150 : 8 * 900;

public:
    /// The constants of a contiguous row of softmax and the sum of its terms; false where it takes two passes.
    template <precision Q, class S>
    static SMX_NOINLINE bool sum_terms(const S* in, std::size_t length, const scaling<T>& s, row_constants<T>& row,
                                       double& sum) noexcept {
        constexpr std::size_t piece = piece_elements<T>;
        typename pass::range all = pass::range_of(in, piece);
        if (!is_plain(all.most, s)) return false;
        const row_constants<T> first = constants_of_row(all.most, s, true);
        bool within = true;
        alignas(64) T unused[piece];
        const double total =
            sum_of_row<B, T>(length, [&](row_sum<B, T>& to, std::size_t begin, std::size_t count) SMX_INLINE_LAMBDA {
                for_pieces<T>(begin, count, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                    if (!within) return;
                    const typename pass::range here = pass::range_of(in + i, n);
                    all.most = kernel::larger(all.most, here.most);
                    all.least_turned = kernel::larger(all.least_turned, here.least_turned);
                    within = is_within(first, all, s);
                    if (!within) return;
                    kernel::template add_terms<Q>(to, in + i, unused, n, first, s, far_from(in + i, piece),
                                                  reinterpret_cast<char*>(unused));
                });
            });
        if (!within) return false;
        row = constants_of_row(all.most, s, true);
        sum = rounded(total * power_of_two(static_cast<int>(first.k_max - row.k_max) / 8));
        return true;
    }

private:
    static SMX_ALWAYS_INLINE bool is_plain(T most, const scaling<T>& s) noexcept {
        return s.plain && is_finite(most) && !constants_of_row(most, s).general;
    }
    /// Not with a NaN.
    static SMX_ALWAYS_INLINE bool is_within(const row_constants<T>& first, const typename pass::range& all,
                                            const scaling<T>& s) noexcept {
        const T most = fence(all.most * s.direct.c.whole), below = fence(all.least_turned * s.direct.c.whole);
        return is_less(fence(most - first.k_max), most_above) && is_less(fence(most + below), most_below) &&
               is_plain(all.most, s);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
