// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/running_max.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Elements of the rows of a block of row_pipeline, one row at least: what the loop works on stays in the first cache.
template <class T>
inline constexpr std::size_t block_elements = 8192 / sizeof(T);

/// What row_pipeline keeps of a block of rows from one stage to the next; the arrays are filled up to whole packs.
template <class T, std::size_t Lanes>
struct row_block {
    static constexpr std::size_t most_rows = 8, arrays = Lanes < most_rows ? most_rows : Lanes;

    std::size_t begin, count = 0;
    bool plain;  ///< every row of it
    alignas(64) T max[arrays];
    alignas(64) T magic[arrays];
    alignas(64) T k_max[arrays];
    alignas(64) double sum[most_rows];
    alignas(64) double ties[most_rows];
    alignas(64) T result[arrays];  ///< softmax: what the terms are multiplied by; else the logarithm of the sum

    SMX_ALWAYS_INLINE row_constants<T> constants(std::size_t i) const noexcept { return {max[i], 0, magic[i], k_max[i], false}; }
};

/// Many contiguous rows of one length, a few at a time (a block): one loop computes the terms of a row, looks for the largest
/// logit of a row of the next block and writes the results of a row of the last one. The terms keep the arithmetic busy, the
/// other two little but loads and stores, so that they come nearly free; and what follows from maxima and sums is worked out for
/// all rows of a block together. The bits are those of rows.hpp. Every row has a plain scale; rows that turn out to need the
/// general or the special path are handed to `other`, with all those of their block.
template <class B, class In, class Out, function F>
class row_pipeline {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    using pass = passes<B, T>;
    static constexpr std::size_t lanes = P::lanes, group = packs_per_group * lanes;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    using block = row_block<T, lanes>;
    static constexpr std::size_t most_rows = block::most_rows;
    /// From here on the largest logits are looked for in groups first: a branch that is mostly not taken.
    static constexpr std::size_t long_row = 512;
    /// The terms of a block wait for their sums: here while the rows are short, else in the output if it can hold them.
    static constexpr std::size_t waiting_elements = F == function::softmax ? piece_elements<T> : 1;

public:
    static SMX_ALWAYS_INLINE bool takes(const work& w, const recipe<T>& r) noexcept {
        constexpr bool any_length = F != function::softmax || std::is_same_v<Out, T>;
        return r.scale.plain && w.rows.extent > 1 && w.length >= lanes && (any_length || w.length <= piece_elements<T>);
    }

    SMX_ALWAYS_INLINE row_pipeline(const work& w, const recipe<T>& r) noexcept
        : work_(w), scale_(r.scale), length_(w.length), pitch_((w.length + lanes - 1) / lanes * lanes) {
        const std::size_t fit = block_elements<T> / pitch_;
        rows_ = fit < 1 ? 1 : fit < most_rows ? fit : most_rows;
    }

    template <class Other>
    SMX_ALWAYS_INLINE void run(const Other& other) noexcept {
        alignas(64) T waiting[waiting_elements];
        waiting_ = F == function::softmax && length_ <= waiting_elements ? waiting : nullptr;
        block blocks[3];
        block *last = &blocks[0], *now = &blocks[1], *next = &blocks[2];
        P top[most_rows];  // of each row of the next block, lane by lane
        for (P& t : top) t = P::broadcast(0);
        start(*now, 0);
        find_tops(*now, top);
        while (now->count != 0) {
            find_constants(*now, top);
            start(*next, now->begin + now->count);
            if (now->plain) {
                run_block(*last, *now, *next, top);
                finish(*last, now->count);
                find_results(*now);
            } else {
                finish(*last, 0);
                find_tops(*next, top);
                for (std::size_t i = 0; i < now->count; ++i) other(now->begin + i);
                now->count = 0;
            }
            block* const free = last;
            last = now;
            now = next;
            next = free;
        }
        finish(*last, 0);
    }

private:
    SMX_ALWAYS_INLINE const In* in(std::size_t j) const noexcept { return in_row<In>(work_, j); }
    SMX_ALWAYS_INLINE Out* out(std::size_t j) const noexcept { return out_row<Out>(work_, j); }
    /// Where the terms of row i of block b are.
    SMX_ALWAYS_INLINE T* terms_of(const block& b, std::size_t i) const noexcept {
        if constexpr (std::is_same_v<Out, T>) {
            if (waiting_ == nullptr) return out(b.begin + i);
        }
        return waiting_ + i * pitch_;
    }

    SMX_ALWAYS_INLINE void start(block& b, std::size_t begin) const noexcept {
        const std::size_t left = work_.rows.extent - begin;
        b.begin = begin;
        b.count = left < rows_ ? left : rows_;
    }

    SMX_ALWAYS_INLINE void find_tops(const block& b, P (&top)[most_rows]) const noexcept {
        for (std::size_t i = 0; i < b.count; ++i) top[i] = pass::largest_pack(in(b.begin + i), length_);
    }

    SMX_ALWAYS_INLINE void find_constants(block& b, const P (&top)[most_rows]) const noexcept {
        if (rows_ > 2) reduce_max_each(b.max, top);
        else for (std::size_t i = 0; i < rows_; ++i) b.max[i] = reduce_max(top[i]);
        for (std::size_t i = b.count; i < block::arrays; ++i) b.max[i] = b.max[0];
        const P max = P::load(b.max);
        b.plain = all_plain(max, scale_);
        const P k_max = plain_k_max(max, scale_);
        store(b.k_max, k_max);
        store(b.magic, plain_magic(k_max));
    }

    SMX_ALWAYS_INLINE void find_results(block& b) const noexcept {
        if constexpr (F == function::softmax) {
            using D = typename B::f64;
            for (std::size_t i = 0; i < most_rows; i += D::lanes) store(b.result + i, div(D::broadcast(1), D::load(b.sum + i)));  // as share_of
        } else {
            double log_sum[most_rows];
            find_log_sums(b, log_sum);
            for (std::size_t i = 0; i < b.count; ++i) {
                b.result[i] = static_cast<T>(log_sum[i]);
                if constexpr (F == function::logsumexp) {
                    if (sum_is_nan(b.sum[i])) store_nan(out(b.begin + i));
                    else store_exact(out(b.begin + i), log_total(log_sum[i], b.constants(i), scale_));
                }
            }
        }
    }

    SMX_ALWAYS_INLINE void find_log_sums(const block& b, double (&log_sum)[most_rows]) const noexcept {
        if constexpr (sizeof(T) == 4) {
            if (rows_ > 2) return log_sums_of_rows<B, most_rows>(b.sum, b.ties, b.max, b.k_max, scale_, log_sum);
        }
        for (std::size_t i = 0; i < b.count; ++i) log_sum[i] = log_sum_exp_of(b.sum[i], b.ties[i], b.constants(i), scale_);
    }

    /// Writes the rows from `from` on, and those with a NaN.
    SMX_ALWAYS_INLINE void finish(const block& b, std::size_t from) const noexcept {
        if constexpr (F == function::logsumexp) return;
        for (std::size_t i = from; i < b.count; ++i) {
            if constexpr (F == function::softmax) {
                pass::scale(terms_of(b, i), out(b.begin + i), length_, b.result[i]);
            } else {
                pass::template subtract<false>(in(b.begin + i), out(b.begin + i), length_, b.constants(i), b.result[i], scale_);
            }
        }
        for (std::size_t i = 0; i < b.count; ++i)
            if (sum_is_nan(b.sum[i])) fill_nan(stepped<Out>{out(b.begin + i), 1}, length_);
    }

    SMX_ALWAYS_INLINE void run_block(const block& last, block& now, const block& next, P (&top)[most_rows]) const noexcept {
        const bool finishes = F != function::logsumexp && last.count != 0;
        if constexpr (F != function::softmax) {
            if (length_ >= long_row && !finishes) return run_rows<false, false, true>(last, now, next, top);
            if (length_ >= long_row && scale_.direct.value == 1) return run_rows<true, true, true>(last, now, next, top);
        } else if constexpr (std::is_same_v<Out, T>) {
            if (waiting_ == nullptr) return finishes ? run_rows<true, false, true>(last, now, next, top) : run_rows<false, false, true>(last, now, next, top);
        }
        if (finishes) run_rows<true, false, false>(last, now, next, top);
        else run_rows<false, false, false>(last, now, next, top);
    }

    /// The rows that one turn of the loop is about.
    struct three_rows {
        const In* in;     ///< of which the terms are computed,
        T* terms;         ///< to here
        const In* later;  ///< of which the largest logit is looked for
        const In* done;   ///< of which the results are written, from these terms,
        const T* done_terms;
        Out* out;         ///< to here
    };

    template <bool Finish, bool Unscaled, bool Long>
    SMX_NOINLINE void run_rows(const block& last, block& now, const block& next, P (&top)[most_rows]) const noexcept {
        typename row_sum<B, T>::lanes_sum sum[most_rows];
        for (std::size_t i = 0; i < now.count; ++i) {
            const three_rows rows{in(now.begin + i), terms_of(now, i), in(i < next.count ? next.begin + i : now.begin + i),
                                  in(last.begin + i), terms_of(last, i), out(last.begin + i)};
            loop<Finish, Unscaled, Long> l(rows, *this, last, now, i);
            if (length_ <= vocabulary::segment_step) {
                l.run(0, length_);
                if (rows_ > 2) sum[i] = l.sum.of_lanes();
                else now.sum[i] = l.sum.result();
            } else {
                const std::size_t segment = vocabulary::segment_length(length_);
                sum_parts total{0, 0};
                for (std::size_t e = 0; e < length_; e += segment) {
                    l.sum = {};
                    l.run(e, length_ - e < segment ? length_ : e + segment);
                    total = with_segment(total, l.sum.parts());
                }
                now.sum[i] = total.result();
            }
            now.ties[i] = static_cast<double>(l.ties);
            top[i] = l.top();
        }
        if (rows_ <= 2) return;
        for (std::size_t i = now.count; i < most_rows; ++i) sum[i] = sum[0];
        row_sum<B, T>::results(now.sum, sum);
    }

    template <bool Finish, bool Unscaled, bool Long>
    class loop {
    public:
        row_sum<B, T> sum;
        std::size_t ties = 0;

        SMX_ALWAYS_INLINE loop(const three_rows& rows, const row_pipeline& p, const block& last, const block& now, std::size_t i) noexcept
            : rows_(rows), term_(p.scale_, P::broadcast(now.magic[i]), P::broadcast(0)), max_(P::broadcast(now.max[i])),
              share_(P::broadcast(Finish ? last.result[i] : T(0))), result_(p.scale_, P::broadcast(Finish ? last.max[i] : T(0)), share_),
              most_(rows.later), last_results_(share_) {
            if constexpr (Finish && F == function::softmax && !Long) last_results_ = mul(P::load(rows.done_terms + p.length_ - lanes), share_);
            if constexpr (Finish && F == function::log_softmax) last_results_ = result(P::load(rows.done + p.length_ - lanes));
        }

        SMX_ALWAYS_INLINE P top() const noexcept { return most_.lanes(); }

        /// Elements e to end, whole groups or up to the end of the row.
        SMX_ALWAYS_INLINE void run(std::size_t e, std::size_t end) noexcept {
            for (; e + group <= end; e += group) whole_group(e);
            if (e == end) return;
            P first = P::broadcast(0), second = first;  // of the last group: what it lacks counts as 0
            const std::size_t half = e + 2 * lanes;
            for (; e < end; e += lanes) {
                const bool whole = e + lanes <= end;
                most_.add_pack(rows_.later + (whole ? e : end - lanes));
                const P t = whole ? whole_pack(e) : last_pack(e, end - e);
                if (e < half) first = add(first, t);
                else second = add(second, t);
            }
            sum.add_group(add(first, second));
        }

    private:
        SMX_ALWAYS_INLINE void whole_group(std::size_t e) noexcept {
            most_.add_group(rows_.later + e);
            if constexpr (Long && F != function::softmax) {
                finish(e), finish(e + lanes), finish(e + 2 * lanes), finish(e + 3 * lanes);
                const P x[packs_per_group] = {logits(e), logits(e + lanes), logits(e + 2 * lanes), logits(e + 3 * lanes)};
                P t[packs_per_group] = {term(x[0]), term(x[1]), term(x[2]), term(x[3])};
                // The largest logit is in one of many groups, mostly.
                if (count_equal(maximum(maximum(x[0], x[1]), maximum(x[2], x[3])), max_) != 0) [[unlikely]] {
                    for (std::size_t k = 0; k < packs_per_group; ++k) {
                        ties += count_equal(x[k], max_);
                        t[k] = zero_where_equal(t[k], x[k], max_);
                    }
                }
                sum.add_group(add(add(t[0], t[1]), add(t[2], t[3])));
            } else {
                const P a0 = whole_pack(e), a1 = whole_pack(e + lanes), a2 = whole_pack(e + 2 * lanes), a3 = whole_pack(e + 3 * lanes);
                sum.add_group(add(add(a0, a1), add(a2, a3)));
            }
        }
        /// Once and not with every operation: loads that touch two lines of the cache take long.
        SMX_ALWAYS_INLINE P logits(std::size_t e) const noexcept { return in_register(P::load(rows_.in + e)); }
        SMX_ALWAYS_INLINE P term(P x) const noexcept { return term_.template of_logit<F == function::softmax ? Q : precision::full>(x); }
        SMX_ALWAYS_INLINE void finish(std::size_t e) const noexcept {
            if constexpr (Finish && F == function::softmax) store(rows_.out + e, mul(P::load(rows_.done_terms + e), share_));
            if constexpr (Finish && F == function::log_softmax) store(rows_.out + e, result(P::load(rows_.done + e)));
        }
        /// A pack of the rows but for `later`; what it adds to the sum.
        SMX_ALWAYS_INLINE P whole_pack(std::size_t e) noexcept {
            finish(e);
            const P x = logits(e), t = term(x);
            if constexpr (F == function::softmax) store(rows_.terms + e, t);
            return summand(x, t);
        }
        /// The same for the last `left` elements, which are less than a pack.
        SMX_ALWAYS_INLINE P last_pack(std::size_t e, std::size_t left) noexcept {
            constexpr bool in_output = F == function::softmax && Long;
            if constexpr (Finish && in_output) store_partial(rows_.out + e, mul(P::load_partial(rows_.done_terms + e, left), share_), left);
            else if constexpr (Finish) store(rows_.out + e + left - lanes, last_results_);
            const P x = blend_first(P::load_partial(rows_.in + e, left), P::broadcast(minus_infinity<T>()), left), t = term(x);
            if constexpr (in_output) store_partial(rows_.terms + e, t, left);
            else if constexpr (F == function::softmax) store(rows_.terms + e, t);
            return summand(x, t);
        }
        SMX_ALWAYS_INLINE P summand(P x, P t) noexcept {
            if constexpr (F == function::softmax) return t;
            ties += count_equal(x, max_);
            return zero_where_equal(t, x, max_);
        }
        SMX_ALWAYS_INLINE P result(P x) const noexcept {
            if constexpr (Unscaled) return result_.unscaled(x);
            else return result_(x);
        }

        const three_rows rows_;
        const row_terms<P, false> term_;
        const P max_, share_;
        const log_of_terms<P, false> result_;
        running_max<P, In> most_;
        /// Of the last elements of the row, written a second time where they are no whole pack: masked stores hold up what follows.
        P last_results_;
    };

    const work& work_;
    const scaling<T>& scale_;
    std::size_t length_, pitch_, rows_;
    T* waiting_ = nullptr;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
