// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/sum.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// What row_pipeline keeps of a few rows from one stage to the next, and what follows from their maxima and sums, worked out
/// for all of them together. Arrays are filled up to whole packs.
template <class B, class In, class Out>
struct row_block {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    static constexpr std::size_t most_rows = 8, arrays = P::lanes < most_rows ? most_rows : P::lanes;

    std::size_t count = 0;
    const In* in[most_rows] = {};
    Out* out[most_rows] = {};
    std::size_t length[most_rows] = {};
    bool general = false;  ///< a row of it is: then all are taken for such
    unsigned special = 0;  ///< a bit for each row without a finite maximum
    bool has_nan = false;  ///< a sum is not a number
    alignas(64) T max[arrays];
    alignas(64) T magic[arrays];
    alignas(64) T k_max[arrays];
    alignas(64) T offset[arrays];
    alignas(64) double sum[most_rows];
    alignas(64) double ties[most_rows];
    alignas(64) T result[arrays];  ///< softmax: what the terms are multiplied by; else the logarithm of the sum

    SMX_ALWAYS_INLINE bool is_special(std::size_t i) const noexcept { return (special >> i & 1) != 0; }
    /// Results of row i are to be written.
    SMX_ALWAYS_INLINE bool has_results(std::size_t i) const noexcept { return i < count && !is_special(i); }
    SMX_ALWAYS_INLINE row_constants<T> constants(std::size_t i) const noexcept {
        return {max[i], offset[i], magic[i], k_max[i], general};
    }

    /// Every row of it, with the same bits.
    SMX_ALWAYS_INLINE void make_general(const scaling<T>& s) noexcept {
        for (std::size_t i = 0; i < count && !general; ++i) {
            row_constants<T> row = constants(i);
            detail::make_general(row, s);
            max[i] = row.max;
        }
        general = true;
    }

    /// From the largest logit of each row (times `first` unless plain), by lanes.
    SMX_ALWAYS_INLINE void find_constants(const P (&top)[most_rows], const scaling<T>& s) noexcept {
        if (count > 2) reduce_max_each(max, top);
        else
            for (std::size_t i = 0; i < count; ++i) max[i] = reduce_max(top[i]);
        for (std::size_t i = count; i < arrays; ++i) max[i] = max[0];
        special = 0;
        general = false;
        const P tops = P::load(max);
        if (!all_plain(tops, s)) return find_each(s);
        const P k = plain_k_max(tops, s);
        store(k_max, k);
        store(magic, plain_magic(k));
        store(offset, P::broadcast(0));
    }

    template <function F>
    SMX_ALWAYS_INLINE void find_results(const scaling<T>& s) noexcept {
        for (std::size_t i = count; i < most_rows; ++i) sum[i] = sum[0], ties[i] = ties[0];
        using D = typename B::f64;
        const D one = D::broadcast(1), limit = D::broadcast(0x1p126);
        std::size_t nans = 0;  // see sum_is_nan
        SMX_UNROLL for (std::size_t i = 0; i < most_rows; i += D::lanes) nans +=
            count_equal(zero_where_less(one, D::load(sum + i), limit), one);
        has_nan = nans != 0;
        if constexpr (F == function::softmax) {
            SMX_UNROLL for (std::size_t i = 0; i < most_rows; i += D::lanes)
                store(result + i, div(D::broadcast(1), D::load(sum + i)));  // as share_of
        } else {
            double log_sum[most_rows];
            find_log_sums(log_sum, s);
            for (std::size_t i = 0; i < count; ++i) {
                result[i] = static_cast<T>(log_sum[i]);
                if (F == function::log_softmax || is_special(i)) continue;
                if (sum_is_nan(sum[i])) store_nan(out[i]);
                else store_exact(out[i], log_total(log_sum[i], constants(i), s));
            }
        }
    }

private:
    SMX_NOINLINE void find_each(const scaling<T>& s) noexcept {
        for (std::size_t i = 0; i < count; ++i) {
            if (!is_finite(max[i])) special |= 1u << i;
            general = general || !s.plain || (!is_special(i) && constants_of_row(max[i], s).general);
        }
        for (std::size_t i = 0; i < count; ++i) {
            row_constants<T> row = constants_of_row(is_special(i) ? T(0) : max[i], s);
            if (general) detail::make_general(row, s);
            max[i] = row.max;
            offset[i] = row.offset;
            magic[i] = row.magic;
            k_max[i] = row.k_max;
        }
        for (std::size_t i = count; i < arrays; ++i) max[i] = max[0], k_max[i] = k_max[0];  // for log_sums_of_rows
    }

    SMX_ALWAYS_INLINE void find_log_sums(double (&log_sum)[most_rows], const scaling<T>& s) const noexcept {
        if (count > 2 && !general) return log_sums_of_rows<B, T, most_rows>(sum, ties, max, k_max, s, log_sum);
        for (std::size_t i = 0; i < count; ++i) log_sum[i] = log_sum_exp_of(sum[i], ties[i], constants(i), s);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
