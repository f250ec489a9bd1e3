// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/passes.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A contiguous row of K packs that stays in registers from the load to the store. The bits are those of rows.hpp; rows
/// that need the general or the special path are left to it.
template <class B, class T, class S, class O, std::size_t K>
class short_row {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr precision Q = sizeof(O) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    /// length is in ((K - 1) * lanes, K * lanes].
    SMX_ALWAYS_INLINE void load(const S* in, std::size_t length, const recipe<T>& r) noexcept {
        length_ = length;
        recipe_ = &r;
        const P first = P::broadcast(load_element<T>(in));
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) x_[k] =
            full(k) ? P::load(in + k * lanes) : blend_first(P::load_partial(in + k * lanes, left(k)), first, left(k));
        P m = x_[0];
        SMX_UNROLL for (std::size_t k = 1; k < K; ++k) m = maximum(m, x_[k]);
        const T max_of_row = reduce_max(m);
        finite_ = is_finite(max_of_row);
        row_ = constants_of_row(max_of_row, r.scale);
    }

    SMX_ALWAYS_INLINE bool plain() const noexcept { return finite_ && !row_.general; }

    /// For log_softmax and logsumexp: the sum of exp(z - max z), then its logarithm.
    SMX_ALWAYS_INLINE void take_sum() noexcept { number_ = sum_below_max(); }
    SMX_ALWAYS_INLINE void take_logarithm() noexcept {
        if (number_) log_sum_ = log_sum_exp_of(rest_, ties_, row_, recipe_->scale);
    }
    /// The logarithms of `count` rows, more than two; the sums of those that are plain have been taken.
    static SMX_ALWAYS_INLINE void take_logarithms(short_row* row, std::size_t count) noexcept {
        constexpr std::size_t most = 8;
        double rest[most], ties[most], log_sum[most];
        T max[most], k_max[most];
        for (std::size_t i = 0; i < most; ++i) {
            const short_row& r = row[i < count ? i : 0];
            const bool known = r.plain() && r.number_;
            rest[i] = known ? r.rest_ : 0;
            ties[i] = known ? r.ties_ : 1;
            max[i] = known ? r.row_.max : 0;
            k_max[i] = known ? r.row_.k_max : 0;
        }
        log_sums_of_rows<B, T, most>(rest, ties, max, k_max, row[0].recipe_->scale, log_sum);
        for (std::size_t i = 0; i < count; ++i) row[i].log_sum_ = log_sum[i];
    }

    SMX_ALWAYS_INLINE void softmax(O* out) const noexcept {
        const row_terms<P, false> terms(recipe_->scale, P::broadcast(row_.magic), P::broadcast(0));
        P term[K];
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) term[k] = cut(terms.template of_logit<Q>(x_[k]), k);
        const double sum = row_sum<B, T>(sum_of_group(term)).result();
        if (sum_is_nan(sum)) return fill_nan(stepped<O>{out, 1}, length_);
        const P share = P::broadcast(share_of<T>(sum));
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) put(out, k, mul(term[k], share));
    }

    SMX_ALWAYS_INLINE void log_softmax(O* out) const noexcept {
        if (!number_) return fill_nan(stepped<O>{out, 1}, length_);
        const log_of_terms<P, false> result(recipe_->scale, P::broadcast(row_.max),
                                            P::broadcast(static_cast<T>(log_sum_)));
        if (recipe_->scale.direct.value == 1) {
            SMX_UNROLL for (std::size_t k = 0; k < K; ++k) put(out, k, result.unscaled(x_[k]));
        } else {
            SMX_UNROLL for (std::size_t k = 0; k < K; ++k) put(out, k, result(x_[k]));
        }
    }

    SMX_ALWAYS_INLINE void logsumexp(O* out) const noexcept {
        if (number_) store_exact(out, log_total(log_sum_, row_, recipe_->scale));
        else store_nan(out);
    }

private:
    SMX_ALWAYS_INLINE bool full(std::size_t k) const noexcept { return length_ >= (k + 1) * lanes; }
    SMX_ALWAYS_INLINE std::size_t left(std::size_t k) const noexcept {
        return length_ > k * lanes ? length_ - k * lanes : 0;
    }
    SMX_ALWAYS_INLINE P cut(P a, std::size_t k) const noexcept {
        return full(k) ? a : blend_first(a, P::broadcast(0), left(k));
    }
    SMX_ALWAYS_INLINE void put(O* out, std::size_t k, P a) const noexcept {
        if (full(k)) store(out + k * lanes, a);
        else store_partial(out + k * lanes, a, left(k));
    }

    /// False if there is a NaN.
    SMX_ALWAYS_INLINE bool sum_below_max() noexcept {
        const row_terms<P, false> terms(recipe_->scale, P::broadcast(row_.magic), P::broadcast(0));
        const P max = P::broadcast(row_.max);
        P term[K];
        std::size_t ties = 0;
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) {
            ties += count_equal(x_[k], max);
            term[k] = cut(zero_where_equal(terms.template of_logit<precision::full>(x_[k]), x_[k], max), k);
        }
        // Past its end the row continues with its first element.
        if (first_lane_equal(max)) ties -= K * lanes - length_;
        rest_ = row_sum<B, T>(sum_of_group(term)).result();
        ties_ = static_cast<double>(ties);
        return !sum_is_nan(rest_);
    }
    SMX_ALWAYS_INLINE bool first_lane_equal(P max) const noexcept {
        return count_equal(blend_first(x_[0], max, 1), max) == lanes;
    }

    P x_[K];
    std::size_t length_ = 0;
    const recipe<T>* recipe_ = nullptr;
    row_constants<T> row_{};
    double rest_ = 0, ties_ = 0, log_sum_ = 0;
    bool finite_ = false, number_ = false;
};

/// Elements of the longest row that goes this way. Where a pack is four registers, none does: there are too few of them.
template <class P>
inline constexpr std::size_t longest_short_row = P::registers > 2 ? 0 : 2 * P::lanes;
/// The same for a row that is alone: many of this length are done sooner by row_pipeline.hpp.
template <class P>
inline constexpr std::size_t longest_lone_short_row = P::registers > 2 ? 0 : 4 * P::lanes;

/// Up to this many rows go step by step together: their chains of dependent instructions overlap, and a masked store of
/// one row does not hold up the masked load of the next (which seems to overlap it, 4 KiB apart or next to it).
inline constexpr std::size_t short_rows_together = 8;

/// `count` rows from row j on; done[i] is false for those that have to take another way, of which
/// nothing has been written. The scaling is plain.
template <class T, class S, class O, function F, std::size_t K, class B, std::size_t N>
SMX_NOINLINE void short_rows_of(const work& w, const recipe<T>& r, std::size_t j, std::size_t count,
                                bool (&done)[N]) noexcept {
    short_row<B, T, S, O, K> row[N];
    const auto in = [&](std::size_t i) { return in_row<S>(w, j + i); };
    const auto out = [&](std::size_t i) { return out_row<O>(w, j + i); };
    if constexpr (N == 1) count = 1;
    for (std::size_t i = 0; i < count; ++i) {
        row[i].load(in(i), w.length, r);
        done[i] = row[i].plain();
    }
    if constexpr (F != function::softmax) {
        for (std::size_t i = 0; i < count; ++i)
            if (done[i]) row[i].take_sum();
        if (N == short_rows_together && count > 2) {
            row[0].take_logarithms(row, count);
        } else {
            for (std::size_t i = 0; i < count; ++i)
                if (done[i]) row[i].take_logarithm();
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (!done[i]) continue;
        if constexpr (F == function::softmax) row[i].softmax(out(i));
        else if constexpr (F == function::log_softmax) row[i].log_softmax(out(i));
        else row[i].logsumexp(out(i));
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
