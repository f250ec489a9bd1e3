// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/results_past_cache.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// A long row would be read twice for its sum: for the largest logit, and for the terms. Here both are found in one sweep. A piece is looked
// through when the cache has just got it, and its terms are computed as if the largest logit of the first piece were that of the row. In
// whole octaves (by_octaves in recipe.hpp) terms, groups and sums are then what they should be but for a power of two, which
// comes off at the end, exactly; as long as
//
// - the row is plain, by the first piece's largest logit and by its own;
// - its own is at most 24 octaves (16 with a scale of 1) above that of the first piece: terms stay below 2^85, sums of 2^40 of them are
//   numbers (sum_is_nan), and so is what they are multiplied by to become probabilities;
// - the same terms vanish: none that does not here would by the row's own largest logit. Elements that are masked by -inf or large negative
//   numbers vanish either way.
//
// Other rows take the way of rows.hpp, and have the same bits.

template <class B, class T>
class one_sweep {
    using pass = passes<B, T>;
    using kernel = row_kernel<B, T>;
    using range = typename pass::range;
    /// 4 KiB: a small part of the first cache. With 16 KiB, rows of 4096 floats take 1.26 of the time, and ones of 32000 1.04.
    static constexpr std::size_t piece = 4096 / sizeof(T);
    static_assert(piece_elements<T> % piece == 0 && vocabulary::segment_step % piece == 0);
    /// In eighths of an octave. Logits that are less than most_below under the largest have terms that do not vanish.
    static constexpr T most_above = 8 * 24, most_below = sizeof(T) == 4 ? 8 * 184 : 8 * 900;

public:
    /// softmax of a contiguous row, terms in the output, which is somewhere else than the row. False: it takes another way; what has been
    /// written is to be written over.
    template <precision Q, class S>
    static SMX_NOINLINE bool softmax_through_output(const S* in, T* out, std::size_t length, const scaling<T>& s,
                                                    std::ptrdiff_t ahead) noexcept {
        row_constants<T> first, row;
        double sum;
        T top = pass::largest(in, length < piece ? length : piece, s);
        const auto is_within = [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            top = kernel::larger(top, pass::largest(in + i, n, s));
            return is_near(first, top, s);
        };
        const auto to = [&](std::size_t i) SMX_INLINE_LAMBDA { return out + i; };
        if (!sum_terms<Q>(in, length, s, top, is_within, to, ahead, first, row, sum)) return false;
        if (sum_is_nan(sum)) return fill_nan(stepped<T>{out, 1}, length), true;
        const T share = share_of<T>(sum);
        if (first.k_max == row.k_max) return pass::scale(out, out, length, share), true;
        const T by = static_cast<T>(power_of(first, row));
        const T least = -pass::scale_and_find_least(out, out, length, rounded(share * by));
        constexpr T smallest = sizeof(T) == 4 ? T(0x1p-125) : T(0x1p-1021);
        if (fence(least * by) >= smallest) [[likely]]
            return true;
        const T least_turned = pass::least_term_turned(in, length, first, s);
        return is_less(logits_apart(top, least_turned, s), most_below);
    }

    /// The same of a row that few caches hold (results_past_cache.hpp); terms are not kept.
    template <precision Q, class S, class O>
    static SMX_NOINLINE bool softmax_past_cache(const S* in, O* out, std::size_t length, const scaling<T>& s) noexcept {
        row_constants<T> first, row;
        double sum;
        range all = pass::range_of(in, piece);
        all.least_turned = -all.most;
        const auto is_within = [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const range here = pass::range_of(in + i, n);
            all.most = kernel::larger(all.most, here.most);
            T least_turned = kernel::larger(all.least_turned, here.least_turned);
            if (!is_less(logits_apart(all.most, least_turned, s), most_below)) [[unlikely]]
                least_turned = kernel::larger(all.least_turned, pass::least_term_turned(in + i, n, first, s));
            all.least_turned = least_turned;
            return is_near(first, all.most, s) && is_less(logits_apart(all.most, least_turned, s), most_below);
        };
        alignas(64) T unused[piece];
        const auto to = [&](std::size_t) SMX_INLINE_LAMBDA { return static_cast<T*>(unused); };
        if (!sum_terms<Q>(in, length, s, all.most, is_within, to, 0, first, row, sum)) return false;
        if (sum_is_nan(sum)) fill_nan(stepped<O>{out, 1}, length);
        else write_shares_past_cache<B, T, Q>(in, out, 0, length, share_of<T>(sum), row, s);
        return true;
    }

private:
    static SMX_ALWAYS_INLINE bool is_plain(T most, const scaling<T>& s) noexcept {
        return s.plain && is_finite(most) && !constants_of_row(most, s).general;
    }
    static SMX_ALWAYS_INLINE bool is_near(const row_constants<T>& first, T most, const scaling<T>& s) noexcept {
        return is_less(fence(fence(most * s.direct.c.whole) - first.k_max), most_above);
    }
    static SMX_ALWAYS_INLINE T logits_apart(T most, T least_turned, const scaling<T>& s) noexcept {
        return fence(fence(most * s.direct.c.whole) + fence(least_turned * s.direct.c.whole));
    }
    /// What makes terms by `first` ones by `row`.
    static SMX_ALWAYS_INLINE double power_of(const row_constants<T>& first, const row_constants<T>& row) noexcept {
        return power_of_two(static_cast<int>(first.k_max - row.k_max) / 8);
    }

    /// top: the largest logit of the first piece, then that of the row. is_within(i, n): looks through n elements from i on; false where the row
    /// takes another way, as does what this returns. to(i): where the terms of a piece from i on go. ahead: see passes.hpp.
    template <precision Q, class S, class Look, class To>
    static SMX_ALWAYS_INLINE bool sum_terms(const S* in, std::size_t length, const scaling<T>& s, const T& top,
                                            Look is_within, To to, std::ptrdiff_t ahead, row_constants<T>& first,
                                            row_constants<T>& row, double& sum) noexcept {
        if (!is_plain(top, s)) return false;
        first = constants_of_row(top, s, true);
        bool within = true;
        sum =
            sum_of_row<B, T>(length, [&](row_sum<B, T>& total, std::size_t begin, std::size_t count) SMX_INLINE_LAMBDA {
                for (std::size_t i = begin; within && i < begin + count; i += piece) {
                    const std::size_t left = begin + count - i, n = left < piece ? left : piece;
                    within = is_within(i, n);
                    T* const terms = to(i);
                    if (within)
                        pass::template add_terms<Q, false, pass::many_together>(
                            total, in + i, terms, n, first, s, far_from(in + i, piece),
                            reinterpret_cast<char*>(far_from(terms, ahead)));
                }
            });
        if (!within || !is_plain(top, s)) return false;
        row = constants_of_row(top, s, true);
        if (!sum_is_nan(sum)) sum = rounded(sum * power_of(first, row));  // else it has to remain as large as it is
        return true;
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
