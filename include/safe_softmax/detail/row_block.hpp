// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/sinks_of_rows.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/sum.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// What is a row's own where rows are not alike.
template <class T>
struct row_numbers {
    double scale;         ///< where rows have their own; it is plain
    double sink;          ///< -inf: none
    const void* from[2];  ///< what the caller needs to know of a row that comes back to it
};
/// The same of the rows of a block; on the stack for those callers only that have such rows.
template <class T>
struct block_numbers {
    static constexpr std::size_t most_rows = 8;
    bool scales, sinks;           ///< rows have them
    scaling<T> scale[most_rows];  ///< without `rest` (set_direct) until a row needs it
    row_numbers<T> row[most_rows];
    double sink_term[most_rows] = {};  ///< what sinks add to sums of terms
};

/// What row_pipeline keeps of a few rows from one stage to the next, and what follows from their maxima and sums, worked out
/// for all of them together. Arrays are filled up to whole packs where packs are made of them.
template <class B, class In, class Out>
struct row_block {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    static constexpr std::size_t most_rows = block_numbers<T>::most_rows,  // 8
        arrays = P::lanes < most_rows ? most_rows : P::lanes;

    std::size_t count = 0;
    const In* in[most_rows] = {};
    Out* out[most_rows] = {};
    std::size_t length[most_rows] = {};
    block_numbers<T>* own = nullptr;  ///< null: rows are alike
    bool general = false;             ///< a row of it is: then all are taken for such
    unsigned special = 0;             ///< a bit for each row that no loop takes: without a finite maximum, say
    bool has_nan = false;             ///< a sum is not a number
    alignas(64) T max[arrays];        ///< and so on: row_constants
    alignas(64) T magic[arrays];
    alignas(64) T k_max[arrays];
    alignas(64) T offset[arrays];
    alignas(64) double sum[most_rows] = {1, 1, 1, 1, 1, 1, 1, 1};
    alignas(64) double ties[most_rows] = {1, 1, 1, 1, 1, 1, 1, 1};
    alignas(64) T result[arrays];  ///< softmax: what the terms are multiplied by; else the logarithm of the sum

    SMX_ALWAYS_INLINE bool is_special(std::size_t i) const noexcept { return (special >> i & 1) != 0; }
    /// Results of row i are to be written.
    SMX_ALWAYS_INLINE bool has_results(std::size_t i) const noexcept { return i < count && !is_special(i); }
    SMX_ALWAYS_INLINE row_constants<T> constants(std::size_t i) const noexcept {
        return {max[i], offset[i], magic[i], k_max[i], general};
    }

    SMX_ALWAYS_INLINE bool own_scales() const noexcept { return own != nullptr && own->scales; }
    SMX_ALWAYS_INLINE bool has_sinks() const noexcept { return own != nullptr && own->sinks; }
    SMX_ALWAYS_INLINE const scaling<T>& scale_of(std::size_t i, const scaling<T>& of_all) const noexcept {
        return own_scales() ? own->scale[i] : of_all;
    }

    /// Every row of it, with the same bits. of_all, here and below: the scale of rows that have none of their own.
    SMX_ALWAYS_INLINE void make_general(const scaling<T>& of_all) noexcept {
        if (!general) complete_scales();
        for (std::size_t i = 0; i < count && !general; ++i) {
            row_constants<T> row = constants(i);
            detail::make_general(row, scale_of(i, of_all));
            max[i] = row.max;
        }
        general = true;
    }

    /// From the largest logit of each row (times `first` unless plain), by lanes.
    /// long_rows: some may be such as by_octaves in recipe.hpp says.
    template <function F>
    SMX_ALWAYS_INLINE void find_constants(const P (&top)[most_rows], const scaling<T>& of_all,
                                          bool long_rows) noexcept {
        // Whole packs are stored and loaded again. What was stored in parts would not be there for a load before all that is on its way to
        // the cache is.
        P tops;
        if (count > 2) {
            const auto of = [&](std::size_t i) SMX_INLINE_LAMBDA { return top[i < count ? i : 0]; };
            const P each[most_rows] = {top[0], top[1], top[2], of(3), of(4), of(5), of(6), of(7)};
            reduce_max_each(max, each);
            tops = P::load(max);
        } else {
            max[0] = reduce_max(top[0]);
            tops = P::broadcast(max[0]);
            if (count == 2) {
                max[1] = reduce_max(top[1]);
                tops = blend_first(tops, P::broadcast(max[1]), 1);
            }
        }
        special = 0;
        general = false;
        const P whole = own_scales() ? own_factors() : P::broadcast(of_all.direct.c.whole);
        if (!(own_scales() || of_all.plain) || !all_plain(tops, whole)) {
            find_each(of_all);
        } else {
            const P k = plain_k_max(tops, whole);
            store(k_max, k);
            store(magic, plain_magic(k));
            store(offset, P::broadcast(0));
        }
        if constexpr (F == function::softmax) {
            if (has_sinks()) place_sinks(of_all);
            else if (long_rows) round_to_octaves();
        }
    }

    template <function F>
    SMX_ALWAYS_INLINE void find_results(const scaling<T>& of_all) noexcept {
        has_nan = count > 2 ? take_sinks_together<F>() : take_sinks_each<F>();
        if constexpr (F == function::softmax) {
            if (count <= 2)
                for (std::size_t i = 0; i < count; ++i) result[i] = share_of<T>(sum[i]);
            else
                SMX_UNROLL for (std::size_t i = 0; i < most_rows; i += D::lanes)
                    store(result + i, div(D::broadcast(1), D::load(sum + i)));  // as share_of
        } else {
            double log_sum[most_rows];
            find_log_sums(log_sum, of_all);
            for (std::size_t i = 0; i < count; ++i) {
                result[i] = static_cast<T>(log_sum[i]);
                if (F == function::log_softmax || is_special(i)) continue;
                if (sum_is_nan(sum[i])) store_nan(out[i]);
                else store_exact(out[i], log_total(log_sum[i], constants(i), scale_of(i, of_all)));
            }
        }
    }

private:
    using D = typename B::f64;

    /// Here sinks join the sums. True: one of these is not a number. Behind the rows that there are, sums are those of earlier ones.
    template <function F>
    SMX_ALWAYS_INLINE bool take_sinks_together() noexcept {
        const D one = D::broadcast(1), limit = D::broadcast(0x1p126);
        std::size_t nans = 0;  // see sum_is_nan
        SMX_UNROLL for (std::size_t i = 0; i < most_rows; i += D::lanes) {
            D s = D::load(sum + i);
            if (F == function::softmax && has_sinks()) store(sum + i, s = add(s, D::load(own->sink_term + i)));
            nans += count_equal(zero_where_less(one, s, limit), one);
        }
        return nans != 0;
    }
    template <function F>
    SMX_ALWAYS_INLINE bool take_sinks_each() noexcept {
        bool nan = false;
        for (std::size_t i = 0; i < count; ++i) {
            if (F == function::softmax && has_sinks()) sum[i] = fence(sum[i] + own->sink_term[i]);
            nan = nan || sum_is_nan(sum[i]);
        }
        return nan;
    }

    SMX_NOINLINE P own_factors() const noexcept {
        alignas(64) T whole[arrays];
        for (std::size_t i = 0; i < arrays; ++i) whole[i] = own->scale[i < count ? i : 0].direct.c.whole;
        return P::load(whole);
    }
    SMX_ALWAYS_INLINE void complete_scales() noexcept {
        for (std::size_t i = 0; i < count && own_scales(); ++i) set_rest_of_plain(own->scale[i]);
    }
    SMX_NOINLINE void find_each(const scaling<T>& of_all) noexcept {
        complete_scales();
        for (std::size_t i = 0; i < count; ++i) {
            const scaling<T>& s = scale_of(i, of_all);
            if (!is_finite(max[i])) special |= 1u << i;
            general = general || !s.plain || (!is_special(i) && constants_of_row(max[i], s).general);
        }
        for (std::size_t i = 0; i < count; ++i) {
            const scaling<T>& s = scale_of(i, of_all);
            row_constants<T> row = constants_of_row(is_special(i) ? T(0) : max[i], s);
            if (general) detail::make_general(row, s);
            max[i] = row.max;
            offset[i] = row.offset;
            magic[i] = row.magic;
            k_max[i] = row.k_max;
        }
        for (std::size_t i = count; i < arrays; ++i)
            max[i] = max[0], k_max[i] = k_max[0], magic[i] = magic[0];  // for those that take packs of rows
    }

    SMX_NOINLINE void round_to_octaves() noexcept {
        for (std::size_t i = 0; i < count; ++i)
            if (by_octaves<function::softmax>(length[i])) magic[i] = magic_of(k_max[i] = whole_octaves(k_max[i]));
    }

    /// What sinks add, and where terms have to be smaller for them: k_max stays, which only logarithms ask for. One without a sink among them: row
    /// by row.
    SMX_NOINLINE void place_sinks(const scaling<T>& of_all) noexcept {
        if (count > 2 && !general && special == 0) {
            double sink[most_rows];
            const scaling<T>* of_row[most_rows];
            for (std::size_t i = 0; i < most_rows; ++i) {
                const std::size_t row = i < count ? i : 0;
                sink[i] = own->row[row].sink;
                of_row[i] = &scale_of(row, of_all);
            }
            if (take_sinks_of_rows<B, T, most_rows>(sink, max, k_max, of_row, magic, own->sink_term)) return;
        }
        for (std::size_t i = 0; i < count; ++i) {
            own->sink_term[i] = 0;
            if (is_special(i) || is_minus_infinity(own->row[i].sink)) continue;
            row_constants<T> row = constants(i);
            sink_of_row sink;
            if (!take_sink(own->row[i].sink, row, scale_of(i, of_all), sink)) continue;
            if (!is_finite(sink.above_max.head)) special |= 1u << i;
            else magic[i] = row.magic, own->sink_term[i] = sink.term;
        }
    }

    SMX_ALWAYS_INLINE void find_log_sums(double (&log_sum)[most_rows], const scaling<T>& of_all) const noexcept {
        if (count > 2 && !general && !own_scales())
            return log_sums_of_rows<B, T, most_rows>(sum, ties, max, k_max, of_all, log_sum);
        for (std::size_t i = 0; i < count; ++i)
            log_sum[i] = log_sum_exp_of(sum[i], ties[i], constants(i), scale_of(i, of_all));
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
