// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_pieces.hpp>
#include <safe_softmax/detail/sink.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Logits of a masked row that are elements times a scale, -inf where a truth value says so. The bits are those of the
/// passes of passes.hpp over a row in which -inf stands there.
template <class B, class T>
class kept_logits {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;

public:
    kept_logits() noexcept {}  // what is written over
    explicit kept_logits(const scaling<T>& s) noexcept : scaling_(&s) {}
    static constexpr bool can_retry = false;
    static constexpr bool adds_numbers = false;

    /// False if the row has no finite maximum. as_softmax: the constants are those of softmax without a mask (by_octaves in recipe.hpp).
    template <class From>
    SMX_ALWAYS_INLINE bool find_constants(const From& from, std::size_t length, bool as_softmax) noexcept {
        T top = 0;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T m = largest(from.read(i, n), n, *scaling_);
            top = i == 0 ? m : row_kernel<B, T>::larger(top, m);
        });
        of_max_.max = top;
        if (!is_finite(top)) return false;
        row_ = constants_of_row(top, *scaling_, as_softmax && by_octaves<function::softmax>(length));
        of_max_ = row_;
        return true;
    }
    /// After find_constants: every logit is -inf, and there is no NaN.
    template <class From>
    SMX_ALWAYS_INLINE bool is_nothing(const From& from, std::size_t length) const noexcept {
        if (!is_minus_infinity(of_max_.max)) return false;
        bool nan = false;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const auto& p = from.read(i, n);
            nan = nan || any_nan<B, T>(p.x, p.keep, n);
        });
        return !nan;
    }
    /// False: the row has no sink, or one of -inf.
    SMX_ALWAYS_INLINE bool take_sink(double z, sink_of_row& sink) noexcept {
        return !is_minus_infinity(z) && detail::take_sink(z, row_, *scaling_, sink);
    }
    template <class From>
    SMX_ALWAYS_INLINE void find_reference(const From&, std::size_t) noexcept {}

    /// Adds the terms of a piece to the sum of its row and writes them to `to`.
    template <precision Q, class S>
    SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const masked_piece<S>& from, T* to,
                                     std::size_t n) const noexcept {
        if (from.keep == nullptr) terms_of<Q, false>(total, from, to, n);
        else terms_of<Q, true>(total, from, to, n);
    }
    /// Adds those below the largest, relative to it, and counts the largest ones.
    template <class S>
    SMX_ALWAYS_INLINE void add_other_terms(row_sum<B, T>& total, std::size_t& ties, const masked_piece<S>& from,
                                           std::size_t n) const noexcept {
        if (from.keep == nullptr) other_terms<false>(total, ties, from, n);
        else other_terms<true>(total, ties, from, n);
    }
    SMX_ALWAYS_INLINE double top_term() const noexcept { return exact_max_term(of_max_, *scaling_); }
    /// Logits less the largest less log_sum.
    template <class S, class O>
    SMX_ALWAYS_INLINE void subtract(const masked_piece<S>& from, O* to, std::size_t n, T log_sum) const noexcept {
        if (of_max_.general) logarithms<true>(from, to, n, of_max_, log_sum, *scaling_);
        else logarithms<false>(from, to, n, of_max_, log_sum, *scaling_);
    }

private:
    template <precision Q, bool Keep, class S>
    SMX_ALWAYS_INLINE void terms_of(row_sum<B, T>& total, const masked_piece<S>& from, T* to,
                                    std::size_t n) const noexcept {
        if (row_.general) terms<Q, true, Keep>(total, from, to, n, row_, *scaling_);
        else terms<Q, false, Keep>(total, from, to, n, row_, *scaling_);
    }

    template <bool Keep, class S>
    SMX_ALWAYS_INLINE void other_terms(row_sum<B, T>& total, std::size_t& ties, const masked_piece<S>& from,
                                       std::size_t n) const noexcept {
        if (of_max_.general) terms_below_max<true, Keep>(total, ties, from, n, of_max_, *scaling_);
        else terms_below_max<false, Keep>(total, ties, from, n, of_max_, *scaling_);
    }

    /// What becomes -inf once it is scaled.
    static SMX_ALWAYS_INLINE P none(const scaling<T>& s) noexcept {
        return P::broadcast(s.negative ? plus_infinity<T>() : minus_infinity<T>());
    }

    template <class S>
    static SMX_ALWAYS_INLINE T largest(const masked_piece<S>& from, std::size_t n, const scaling<T>& s) noexcept {
        return from.keep == nullptr ? largest_of<false>(from.x, nullptr, n, s)
                                    : largest_of<true>(from.x, from.keep, n, s);
    }
    template <bool Keep, class S>
    static SMX_NOINLINE T largest_of(const S* x, const std::uint8_t* keep, std::size_t n,
                                     const scaling<T>& s) noexcept {
        const P first = P::broadcast(s.plain ? T(1) : s.first), hidden = none(s);
        const auto logit = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            return mul(where_kept(Keep ? keep + i : nullptr, load_some<P>(x + i, left), hidden, left), first);
        };
        constexpr std::integral_constant<std::size_t, lanes> whole;
        P a = P::broadcast(minus_infinity<T>()), b = a, c = a, d = a;
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
            a = maximum(a, logit(i, whole));
            b = maximum(b, logit(i + lanes, whole));
            c = maximum(c, logit(i + 2 * lanes, whole));
            d = maximum(d, logit(i + 3 * lanes, whole));
        }
        for (; i + lanes <= n; i += lanes) a = maximum(a, logit(i, whole));
        if (i < n) b = maximum(b, logit(i, n - i));
        return reduce_max(maximum(maximum(a, b), maximum(c, d)));
    }

    template <precision Q, bool General, bool Keep, class S>
    static SMX_NOINLINE void terms(row_sum<B, T>& total, const masked_piece<S>& piece, T* to, std::size_t n,
                                   const row_constants<T>& row, const scaling<T>& s) noexcept {
        const row_terms<P, General> term(s, P::broadcast(row.magic), P::broadcast(row.offset));
        const P zero = P::broadcast(0);
        const masked_piece<S> from = piece;
        const auto fetch = [&](std::size_t i) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(S)>(from.x_soon + i);
            prefetch<lanes * sizeof(S), true>(from.out_soon + i);
            if constexpr (Keep) prefetch<1>(from.keep_soon + i);
        };
        const auto kept = [&](std::size_t i, P t, auto left) SMX_INLINE_LAMBDA {
            t = where_kept(Keep ? from.keep + i : nullptr, t, zero, left);
            store_some(to + i, t, left);
            return t;
        };
        constexpr std::integral_constant<std::size_t, lanes> whole;
        total = sum_in_groups<B, T>(
            total, n,
            [&](std::size_t i, P(&t)[packs_per_group]) SMX_INLINE_LAMBDA {
                term.template of_each<Q>(
                    t,
                    [&](std::size_t k) SMX_INLINE_LAMBDA {
                        fetch(i + k * lanes);
                        return term.logit(P::load(from.x + i + k * lanes));
                    },
                    [&](std::size_t k) SMX_INLINE_LAMBDA { t[k] = kept(i + k * lanes, t[k], whole); });
            },
            [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
                fetch(i);
                return kept(i, term.template operator()<Q>(load_some<P>(from.x + i, left)), left);
            });
    }

    template <bool General, bool Keep, class S>
    static SMX_NOINLINE void terms_below_max(row_sum<B, T>& total, std::size_t& ties, const masked_piece<S>& piece,
                                             std::size_t n, const row_constants<T>& row, const scaling<T>& s) noexcept {
        const row_terms<P, General> term(s, P::broadcast(row.magic), P::broadcast(row.offset));
        const P max = term.logit_of_max(P::broadcast(row.max)), hidden = none(s);
        const masked_piece<S> from = piece;
        std::size_t equal = 0;
        const auto logit = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(S)>(from.x_soon + i);
            prefetch<lanes * sizeof(S), true>(from.out_soon + i);
            if constexpr (Keep) prefetch<1>(from.keep_soon + i);
            return term.logit(where_kept(Keep ? from.keep + i : nullptr, load_some<P>(from.x + i, left), hidden, left));
        };
        total = sum_in_groups<B, T>(
            total, n,
            [&](std::size_t i, P(&t)[packs_per_group]) SMX_INLINE_LAMBDA {
                term.of_each_below(
                    t, max, equal,
                    [&](std::size_t k) SMX_INLINE_LAMBDA {
                        return logit(i + k * lanes, std::integral_constant<std::size_t, lanes>());
                    },
                    [](std::size_t) SMX_INLINE_LAMBDA {});
            },
            [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
                const P z = logit(i, left);
                equal += count_equal(z, max);
                return zero_where_equal(term.template of_logit<precision::full>(z), z, max);
            });
        ties += equal;
    }

    template <bool General, class S, class O>
    static SMX_NOINLINE void logarithms(const masked_piece<S>& from, O* to, std::size_t n, const row_constants<T>& row,
                                        T log_sum, const scaling<T>& s) noexcept {
        const log_of_terms<P, General> result(s, P::broadcast(row.max), P::broadcast(log_sum));
        const P hidden = none(s);
        const S* const x = from.x;
        const std::uint8_t* const keep = from.keep;
        const auto map = [&](auto f) SMX_INLINE_LAMBDA {
            const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
                store_some(to + i,
                           f(where_kept(keep == nullptr ? nullptr : keep + i, load_some<P>(x + i, left), hidden, left)),
                           left);
            };
            std::size_t i = 0;
            for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
            if (i < n) step(i, n - i);
        };
        if (!General && s.direct.value == 1) map([&](P z) SMX_INLINE_LAMBDA { return result.unscaled(z); });
        else map(result);
    }

    const scaling<T>* scaling_;
    row_constants<T> row_;     // what the terms of a softmax are relative to: a sink may be above all of them
    row_constants<T> of_max_;  // what logarithms are relative to
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
