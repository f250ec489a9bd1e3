// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/passes.hpp>
#include <safe_softmax/detail/row_block.hpp>
#include <safe_softmax/simd/running_max.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The rows that one turn of row_pipeline is about, each of `lanes` elements or more: number i of three blocks.
template <class B, class In, class Out>
struct three_rows {
    using T = compute_t<In, Out>;
    using block = row_block<B, In, Out>;

    const block& last;                             ///< of which the results are written, from its terms,
    block& now;                                    ///< of which the terms are computed,
    const block& later;                            ///< of which the largest logit is looked for
    const scaling<T>&of_last, &of_now, &of_later;  ///< the scale of each of them
    T* terms;                      ///< of row 0 of `now`; those of `last` are there, too, until new ones overwrite them
    std::size_t pitch;             ///< from one row's terms to the next's
    std::ptrdiff_t results_ahead;  ///< so many elements ahead the cache is asked for lines of results; 0: not at all

    /// 2 KiB, or the next row where that would be in the gap before it.
    static SMX_ALWAYS_INLINE std::ptrdiff_t results_ahead_of(const block& b) noexcept {
        constexpr auto ahead = static_cast<std::ptrdiff_t>(2048 / sizeof(Out));
        if (b.count < 2 || b.length[0] >= static_cast<std::size_t>(ahead)) return ahead;
        const std::ptrdiff_t next = b.out[1] - b.out[0];
        return next > 0 && next < ahead ? ahead : next;
    }
};

/// As running_max, of x*first (x in plain scaling).
template <class P, class S>
class scaled_max {
public:
    SMX_ALWAYS_INLINE scaled_max(const S* pack, const scaling<typename P::value_type>& s) noexcept
        : first_(P::broadcast(s.plain ? 1 : s.first)), most_(mul(P::load(pack), first_)) {}
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept { most_ = maximum(most_, mul(P::load(p), first_)); }
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        for (std::size_t k = 0; k < packs_per_group; ++k) add_pack(p + k * P::lanes);
    }
    SMX_ALWAYS_INLINE P lanes() const noexcept { return most_; }

private:
    P first_, most_;
};

/// What loops there are, for a function F.
enum class loop_kind {
    usual,  ///< plain rows; softmax: terms wait in a buffer, padded to whole packs, where those of the row that is done were
    in_output,  ///< softmax: terms wait in the output
    searching,  ///< logarithms: the largest logit is looked for in groups first, by a branch that is mostly not taken
    general     ///< rows that are not plain
};

/// Unscaled: log_softmax with a scale of 1.
template <class B, class In, class Out, function F, loop_kind Kind, bool Unscaled>
class pipeline_loop {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    using rows_type = three_rows<B, In, Out>;
    using lanes_sum = typename row_sum<B, T>::lanes_sum;
    static constexpr std::size_t lanes = P::lanes, group = packs_per_group * lanes;
    static constexpr bool general = Kind == loop_kind::general, in_output = Kind == loop_kind::in_output;
    static constexpr bool softmax = F == function::softmax, has_results = F != function::logsumexp;
    static constexpr precision Q = softmax && sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    /// For logarithms of float, one term after the other takes less time.
    static constexpr bool in_steps = step_by_step<P> && !general && (softmax || sizeof(In) == 2);
    using maximum_of = std::conditional_t<general, scaled_max<P, In>, running_max<P, In>>;

public:
    /// Whether rows of several segments get here, and whether rows that are not in a cache do.
    static constexpr bool takes_segments = softmax                                   ? in_output
                                           : F == function::log_softmax && !Unscaled ? Kind == loop_kind::usual
                                                                                     : Kind == loop_kind::searching;
    static constexpr bool fetches = takes_segments || (softmax && Kind == loop_kind::usual);

    /// finish: there are results to be written.
    static SMX_ALWAYS_INLINE void run(const rows_type& rows, std::size_t i, bool finish, lanes_sum& sum,
                                      P& top) noexcept {
        pipeline_loop loop(rows, i, finish);
        const std::size_t together = loop.turns() * group;
        std::size_t e = 0;
        for (; e < together; e += group) {
            loop.fetch_results(e);
            loop.turn(e);
        }
        loop.end_later(e);
        loop.end_done(e);
        loop.end_terms(e, loop.length());
        if constexpr (!softmax) rows.now.ties[i] = static_cast<double>(loop.ties_);
        sum = loop.sum_.of_lanes();
        top = loop.most_.lanes();
    }
    /// The same of a row of several segments, or one that is not in a cache, and its sum. Not inlined: it would take registers from the other.
    static SMX_NOINLINE void run_far(const rows_type& rows, std::size_t i, bool finish, bool fetch, P& top) noexcept {
        pipeline_loop loop(rows, i, finish);
        const std::size_t length = loop.length(), segment = vocabulary::segment_length(length);
        std::size_t together = loop.turns() * group;
        sum_parts total{0, 0};
        for (std::size_t begin = 0; begin < length; begin += segment) {
            const std::size_t end = length - begin < segment ? length : begin + segment;
            std::size_t e = begin;
            for (; e < together && e < end; e += group) {
                if (fetch) loop.fetch(e);
                else loop.fetch_results(e);
                loop.turn(e);
            }
            if (e == together) {  // before terms of this row overwrite those of the other
                loop.end_later(e);
                loop.end_done(e);
                together = 0;
            }
            loop.end_terms(e, end);
            total = with_segment(total, loop.sum_.parts());
            loop.sum_ = {};
        }
        rows.now.ties[i] = static_cast<double>(loop.ties_);
        rows.now.sum[i] = total.result();
        top = loop.most_.lanes();
    }

private:
    SMX_ALWAYS_INLINE pipeline_loop(const rows_type& rows, std::size_t i, bool finish) noexcept
        : rows_(rows), i_(i), finish_(has_results && finish), in_(rows.now.in[i]), later_(rows.later.in[i]),
          done_(rows.last.in[i]), out_(rows.last.out[i]),
          terms_(in_output ? terms_in(rows.now.out[i]) : rows.terms + i * rows.pitch),
          done_terms_(in_output ? terms_in(out_) : terms_),
          term_(rows.of_now, P::broadcast(rows.now.magic[i]), P::broadcast(rows.now.offset[i])),
          max_(term_.logit_of_max(P::broadcast(rows.now.max[i]))),
          share_(P::broadcast(finish_ ? rows.last.result[i] : T(0))), results_ahead_(rows.results_ahead),
          log_(rows.of_last, P::broadcast(finish_ ? rows.last.max[i] : T(0)), share_),
          most_(start_max(later_, rows.of_later)), last_results_(share_) {
        if constexpr (has_results && !in_output) {
            if (finish_) last_results_ = results(done_length() - lanes);
        }
    }
    static SMX_ALWAYS_INLINE T* terms_in(Out* out) noexcept {
        if constexpr (in_output) return out;
        else return nullptr;
    }
    static SMX_ALWAYS_INLINE maximum_of start_max(const In* later, [[maybe_unused]] const scaling<T>& s) noexcept {
        if constexpr (general) return {later, s};
        else return maximum_of(later);
    }

    SMX_ALWAYS_INLINE std::size_t length() const noexcept { return rows_.now.length[i_]; }
    SMX_ALWAYS_INLINE std::size_t later_length() const noexcept { return rows_.later.length[i_]; }
    SMX_ALWAYS_INLINE std::size_t done_length() const noexcept { return rows_.last.length[i_]; }

    /// Whole groups that all rows have. Without results to be written each row goes by itself: there is one block of such rows.
    SMX_ALWAYS_INLINE std::size_t turns() const noexcept {
        std::size_t shortest = length();
        if (later_length() < shortest) shortest = later_length();
        if (has_results) {
            if (!finish_) return 0;
            if (done_length() < shortest) shortest = done_length();
        }
        return shortest / group;
    }

    SMX_ALWAYS_INLINE void turn(std::size_t e) noexcept {
        most_.add_group(later_ + e);
        add_group(e, [&](std::size_t at) SMX_INLINE_LAMBDA { finish(at); });
    }

    /// Where results are as large as terms, which are written beside them, stores that miss the first cache hold up the loop, even
    /// in batches that the second cache has room for; for a row that is there, it costs up to 4 %.
    SMX_ALWAYS_INLINE void fetch_results(std::size_t e) const noexcept {
        if constexpr (softmax && std::is_same_v<Out, T>) {
            if (results_ahead_ == 0) return;
            prefetch<group * sizeof(T), true>(far_from(in_output ? terms_ + e : out_ + e, results_ahead_));
        }
    }

    /// Processors follow what is read and written, but not over the end of a page, and not soon enough.
    SMX_ALWAYS_INLINE void fetch(std::size_t e) const noexcept {
        constexpr std::ptrdiff_t page = 4096;
        prefetch<group * sizeof(In)>(far_from(later_ + e, page / static_cast<std::ptrdiff_t>(sizeof(In))));
        if constexpr (in_output)
            prefetch<group * sizeof(T), true>(far_from(terms_ + e, page / static_cast<std::ptrdiff_t>(sizeof(T))));
        else if constexpr (has_results)
            prefetch<group * sizeof(Out), true>(far_from(out_ + e, page / static_cast<std::ptrdiff_t>(sizeof(Out))));
    }

    /// Each row from e on by itself, where one has more than the others.
    SMX_ALWAYS_INLINE void end_later(std::size_t e) noexcept {
        const std::size_t end = later_length();
        if (e == end) return;
        for (; e + group <= end; e += group) most_.add_group(later_ + e);
        for (; e + lanes <= end; e += lanes) most_.add_pack(later_ + e);
        if (e < end) most_.add_pack(later_ + end - lanes);  // some a second time
    }
    SMX_ALWAYS_INLINE void end_done(std::size_t e) noexcept {
        if constexpr (has_results) {
            if (!finish_) return;
            const std::size_t end = done_length();
            for (; e + lanes <= end; e += lanes) finish(e);
            if (e == end) return;
            // Masked stores hold up what follows: some results are written a second time. (Beginning with as many as make stores
            // aligned was no gain below 4096 elements, and 2 to 5 % there.)
            if constexpr (in_output)
                store_partial(out_ + e, mul(P::load_partial(done_terms_ + e, end - e), share_), end - e);
            else store(out_ + end - lanes, last_results_);
        }
    }
    SMX_ALWAYS_INLINE void end_terms(std::size_t e, std::size_t end) noexcept {
        for (; e + group <= end; e += group) add_group(e, [](std::size_t) SMX_INLINE_LAMBDA {});
        if (e == end) return;
        P first = P::broadcast(0), second = first;  // of the last group: what it lacks counts as 0
        const std::size_t half = e + 2 * lanes;
        for (; e < end; e += lanes) {
            const P t = e + lanes <= end ? pack(e) : last_pack(e, end - e);
            if (e < half) first = add(first, t);
            else second = add(second, t);
        }
        sum_.add_group(add(first, second));
    }

    template <class G>
    SMX_ALWAYS_INLINE void add_group(std::size_t e, G beside) noexcept {
        if constexpr (Kind == loop_kind::searching) {
            P x[packs_per_group], t[packs_per_group];
            if constexpr (step_by_step<P>) {
                term_.template of_each<Q>(
                    t, [&](std::size_t k) SMX_INLINE_LAMBDA { return x[k] = logits(e + k * lanes); },
                    [&](std::size_t k) SMX_INLINE_LAMBDA { beside(e + k * lanes); });
            } else {
                SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k) beside(e + k * lanes);
                SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k) x[k] = logits(e + k * lanes);
                SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k) t[k] = term(x[k]);
            }
            if (has_any(x, max_)) [[unlikely]] {
                for (std::size_t k = 0; k < packs_per_group; ++k) t[k] = summand(x[k], t[k]);
            }
            sum_.add_group(sum_of_group(t));
        } else if constexpr (in_steps) {
            P x[packs_per_group], t[packs_per_group];
            term_.template of_each<Q>(
                t, [&](std::size_t k) SMX_INLINE_LAMBDA { return x[k] = logits(e + k * lanes); },
                [&](std::size_t k) SMX_INLINE_LAMBDA {
                    beside(e + k * lanes);
                    if constexpr (softmax) store(terms_ + e + k * lanes, t[k]);
                    t[k] = summand(x[k], t[k]);
                });
            sum_.add_group(sum_of_group(t));
        } else {
            beside(e);
            const P a0 = pack(e);
            beside(e + lanes);
            const P a1 = pack(e + lanes);
            beside(e + 2 * lanes);
            const P a2 = pack(e + 2 * lanes);
            beside(e + 3 * lanes);
            const P a3 = pack(e + 3 * lanes);
            sum_.add_group(add(add(a0, a1), add(a2, a3)));
        }
    }
    /// A pack of terms, and what it adds to the sum.
    SMX_ALWAYS_INLINE P pack(std::size_t e) noexcept {
        const P x = logits(e), t = term(x);
        if constexpr (softmax) store(terms_ + e, t);
        return summand(x, t);
    }
    /// The same for the last `left` elements, less than a pack.
    SMX_ALWAYS_INLINE P last_pack(std::size_t e, std::size_t left) noexcept {
        const P x = blend_first(term_.logit(P::load_partial(in_ + e, left)), P::broadcast(minus_infinity<T>()), left),
                t = term(x);
        if constexpr (in_output) store_partial(terms_ + e, t, left);
        else if constexpr (softmax) store(terms_ + e, t);
        return summand(x, t);
    }
    /// Loaded once and not with every operation: loads that touch two lines of the cache take long.
    SMX_ALWAYS_INLINE P logits(std::size_t e) const noexcept { return term_.logit(in_register(P::load(in_ + e))); }
    SMX_ALWAYS_INLINE P term(P z) const noexcept { return term_.template of_logit<Q>(z); }
    SMX_ALWAYS_INLINE P summand(P z, P t) noexcept {
        if constexpr (softmax) return t;
        ties_ += count_equal(z, max_);
        return zero_where_equal(t, z, max_);
    }

    SMX_ALWAYS_INLINE void finish(std::size_t e) const noexcept {
        if constexpr (has_results) store(out_ + e, results(e));
    }
    SMX_ALWAYS_INLINE P results(std::size_t e) const noexcept {
        if constexpr (softmax) return mul(P::load(done_terms_ + e), share_);
        else if constexpr (Unscaled) return log_.unscaled(P::load(done_ + e));
        else return log_(P::load(done_ + e));
    }

    const rows_type& rows_;
    const std::size_t i_;
    const bool finish_;
    const In *const in_, *const later_, *const done_;
    Out* const out_;
    T *const terms_, *const done_terms_;
    const row_terms<P, general> term_;
    const P max_, share_;
    const std::ptrdiff_t results_ahead_;
    const log_of_terms<P, general> log_;
    row_sum<B, T> sum_;
    std::size_t ties_ = 0;
    maximum_of most_;
    P last_results_;  // of the last elements of the row that is done
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
