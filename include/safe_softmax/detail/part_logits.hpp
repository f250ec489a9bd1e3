// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_pieces.hpp>
#include <safe_softmax/detail/sink.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Logits that are sums: an element times a scale, an added mask, a bias, a slope times a distance. Each part is split by itself into
// whole eighths of an octave and a rest (exp.hpp); the integers are added, exactly, and so are the rests, of which there are at most
// three. So nothing has to be added up in more digits than a pack has, and numbers of any size may cancel.
//
// 2^(r/8) - 1 for |r| <= 3/2: error 0.35 * 2^-24 (float), 1.5e-6 (16-bit results), 1.2e-18 (double); coefficients.sollya. A sum of rests
// rounds by 2^-24 (2^-53) more, a tenth of that in the term. Error of a term: 2.6 * 2^-24, 6e-6, 2.3 * 2^-53.

template <class T>
struct exp_of_parts;
template <>
struct exp_of_parts<float> {
    static constexpr float full[] = {-0x1.20064p-29f, 0x1.62e41ep-4f, 0x1.ebfc14p-9f, 0x1.c72ceap-14f, 0x1.3afa5ap-19f};
    static constexpr float half[] = {-0x1.8d8a32p-20f, 0x1.62e47cp-4f, 0x1.ecad3p-9f, 0x1.c64e5ep-14f};
};
template <>
struct exp_of_parts<double> {
    static constexpr double full[] = {0x1.a69fc858ef1p-61,   0x1.62e42fefa39efp-4,  0x1.ebfbdff82c569p-9,
                                      0x1.c6b08d704a487p-14, 0x1.3b2ab6fbc68abp-19, 0x1.5d87fe760ea9ep-25,
                                      0x1.43091059848c6p-31, 0x1.ffcc27f60e9fcp-38, 0x1.62eac0b4a6c19p-44,
                                      0x1.b43cad5175cd4p-51};
};

/// The logits of one row, as kept_logits has them for rows without such parts. Good for what is not too large (see find_constants);
/// other rows take logit_pairs.hpp.
template <class B, class T>
class part_logits {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    using factor = typename scaling<T>::factor;
    /// No positive part is larger: integers of eighths stay exact.
    static constexpr T most = T(0x1p16);

public:
    /// A row that fails may still be done by other means: nothing has been written over it.
    static constexpr bool can_retry = true;
    static constexpr bool adds_numbers = true;  // but for those of rows that have a slope alone

    part_logits() noexcept {}  // what is written over
    /// `of_x` and `of_distance` are the scale and the slope; the latter is null where there is none.
    SMX_ALWAYS_INLINE void begin(const factor& of_x, const factor* of_distance, double diagonal,
                                 bool in_place) noexcept {
        x_ = &of_x;
        distance_ = of_distance;
        diagonal_ = diagonal;
        in_place_ = in_place;
        at_ = 0;
    }

    /// Whether rows of a job can be written like that at all; their slopes are asked one by one.
    static SMX_ALWAYS_INLINE bool suits(const job& j, double scale) noexcept {
        const double size = scale < 0 ? -scale : scale;
        const bool three = j.op[masked::bias] && j.op[masked::mask] && is_floating(j.op[masked::mask].type);
        return j.softcap == 0 && size >= 0x1p-16 && size <= 0x1p16 && !(three && j.op[masked::slope]);
    }

    /// False: not all parts are moderate, or the largest logit is not.
    template <class From>
    SMX_ALWAYS_INLINE bool find_constants(const From& from, std::size_t length, bool) noexcept {
        const scaling<T>& one = no_scaling<T>;
        tops found{minus_infinity<T>(), minus_infinity<T>()};
        bool moderate = true;
        of_max_.max = 0;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const auto& piece = from.read(i, n);
            const tops t = is_simple(piece) ? largest<true>(piece, n) : largest<false>(piece, n);
            found.logit = row_kernel<B, T>::larger(found.logit, t.logit);
            found.part = row_kernel<B, T>::larger(found.part, t.part);
            if (in_place_ && moderate) moderate = !has_nan(piece, n);
        });
        if (is_minus_infinity(found.logit)) of_max_.max = found.logit;
        if (!moderate || !(found.part < most) ||
            !(magnitude_of(found.logit) * one.direct.c.whole < exp_constants<T>::subtract_from))
            return false;
        if (distance_ != nullptr && !(magnitude_of(distance_->value) * reach(length) < static_cast<double>(most)))
            return false;
        row_ = constants_of_row(found.logit, one);
        of_max_ = row_;
        reference_ = {static_cast<double>(found.logit), 0};
        return true;
    }
    /// After find_constants: every logit is -inf, and there is no NaN. That their sums came out as -inf says little: large numbers may have
    /// overflowed.
    template <class From>
    SMX_ALWAYS_INLINE bool is_nothing(const From& from, std::size_t length) const noexcept {
        if (!is_minus_infinity(of_max_.max)) return false;
        bool something = false;
        for_pieces<T>(0, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const auto& p = from.read(i, n);
            something = something || has_nan(p, n) || has_more_than_minus_infinity(p, n);
        });
        return !something;
    }
    SMX_ALWAYS_INLINE bool take_sink(double z, sink_of_row& sink) noexcept {
        return !is_minus_infinity(z) && place_sink(z, reference_, top_term(), row_, sink);
    }

    /// For logarithms: the first of the largest logits, exactly.
    template <class From>
    SMX_ALWAYS_INLINE void find_reference(const From& from, std::size_t length) noexcept {
        for (std::size_t i = 0; i < length; i += piece_elements<T>) {
            const std::size_t n = length - i < piece_elements<T> ? length - i : piece_elements<T>;
            const auto& piece = from.read(i, n);
            const std::size_t at = position(piece, n);
            if (at == n) continue;
            at_ = i + at;
            reference_ = is_simple(piece) ? pair_at<true>(piece, at, n) : pair_at<false>(piece, at, n);
            return;
        }
    }

    template <precision Q, class S>
    SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const masked_piece<S>& from, T* to,
                                     std::size_t n) const noexcept {
        if (is_simple(from)) terms<Q, true, true>(total, from, to, n);
        else terms<Q, false, true>(total, from, to, n);
    }
    template <class S>
    SMX_ALWAYS_INLINE void add_other_terms(row_sum<B, T>& total, std::size_t& ties, const masked_piece<S>& from,
                                           std::size_t n) const noexcept {
        ties = 1;
        if (is_simple(from)) terms<precision::full, true, false>(total, from, nullptr, n);
        else terms<precision::full, false, false>(total, from, nullptr, n);
    }
    SMX_ALWAYS_INLINE double top_term() const noexcept {
        return exact_term<T>(reference_.head, reference_.tail, static_cast<double>(of_max_.k_max),
                             no_scaling<T>.direct);
    }
    template <class S, class O>
    SMX_ALWAYS_INLINE void subtract(const masked_piece<S>& from, O* to, std::size_t n, T log_sum) const noexcept {
        if (is_simple(from)) logarithms<true>(from, to, n, log_sum);
        else logarithms<false>(from, to, n, log_sum);
    }

private:
    struct tops {
        T logit, part;  // NaN if one is NaN, or not
    };

    /// An element and one number to add, which is given in place of the other one, too.
    template <class S>
    SMX_ALWAYS_INLINE bool is_simple(const masked_piece<S>& p) const noexcept {
        return p.keep == nullptr && distance_ == nullptr && (p.added == nullptr || p.bias == nullptr);
    }
    template <class S>
    static SMX_ALWAYS_INLINE const S* addend(const masked_piece<S>& p) noexcept {
        return p.added != nullptr ? p.added : p.bias;
    }

    SMX_ALWAYS_INLINE double reach(std::size_t length) const noexcept {
        const double front = magnitude_of(diagonal_),
                     back = magnitude_of(fence(static_cast<double>(length) - diagonal_));
        return front < back ? back : front;
    }
    SMX_ALWAYS_INLINE P distances(std::size_t i) const noexcept {
        static constexpr auto ramp = [] {
            struct {
                T lane[lanes];
            } r{};
            for (std::size_t l = 0; l < lanes; ++l) r.lane[l] = static_cast<T>(l);
            return r;
        }();
        return add(P::load(ramp.lane), P::broadcast(static_cast<T>(fence(static_cast<double>(i) - diagonal_))));
    }

    /// A logit to the last digit but a few, for the largest: the same wherever it is asked for.
    template <bool Simple, class S, class N>
    SMX_ALWAYS_INLINE P rounded_logit(const masked_piece<S>& from, std::size_t i, N left, P& part) const noexcept {
        const P none = P::broadcast(minus_infinity<T>()), scale = P::broadcast(x_->head);
        P x = load_some<P>(from.x + i, left);
        if constexpr (Simple) {
            part = product(x, scale);
            const P a = load_some<P>(addend(from) + i, left);
            P z = fma(x, scale, a);
            part = maximum(part, a);
            if constexpr (std::is_same_v<N, std::size_t>) {
                z = blend_first(z, none, left);
                part = blend_first(part, none, left);
            }
            return z;
        } else {
            const std::uint8_t* const keep = from.keep == nullptr ? nullptr : from.keep + i;
            part = product(x, scale);
            P z = part;
            const auto add_part = [&](P a) SMX_INLINE_LAMBDA {
                z = add(z, a);
                part = maximum(part, a);
            };
            if (from.bias != nullptr) add_part(load_some<P>(from.bias + i, left));
            if (from.added != nullptr) add_part(load_some<P>(from.added + i, left));
            if (distance_ != nullptr) z = fma(distances(from.first + i), P::broadcast(distance_->head), z);
            part = where_kept(keep, part, none, left);
            return where_kept(keep, z, none, left);
        }
    }

    template <bool Simple, class S>
    SMX_NOINLINE tops largest(const masked_piece<S>& from, std::size_t n) const noexcept {
        const P none = P::broadcast(minus_infinity<T>());
        P top[2] = {none, none}, parts[2] = {none, none};
        const auto take = [&](std::size_t i, auto left, P& t, P& p) SMX_INLINE_LAMBDA {
            P part;
            t = maximum(t, rounded_logit<Simple>(from, i, left, part));
            p = maximum(p, part);
        };
        constexpr std::integral_constant<std::size_t, lanes> whole;
        std::size_t i = 0;
        for (; i + 2 * lanes <= n; i += 2 * lanes) {
            take(i, whole, top[0], parts[0]);
            take(i + lanes, whole, top[1], parts[1]);
        }
        if (i + lanes <= n) take(i, whole, top[0], parts[0]), i += lanes;
        if (i < n) take(i, n - i, top[1], parts[1]);
        return {reduce_max(maximum(top[0], top[1])), reduce_max(maximum(parts[0], parts[1]))};
    }

    /// The place of the first logit that is as large as the largest; n: there is none.
    template <class S>
    SMX_NOINLINE std::size_t position(const masked_piece<S>& from, std::size_t n) const noexcept {
        const P top = P::broadcast(of_max_.max);
        T lane[lanes];
        const auto found = [&](std::size_t i, auto left, std::size_t& at) SMX_INLINE_LAMBDA {
            P part;
            const P z =
                is_simple(from) ? rounded_logit<true>(from, i, left, part) : rounded_logit<false>(from, i, left, part);
            if (count_equal(z, top) == 0) return false;
            store(lane, z);
            at = 0;
            while (at < lanes && (is_nan(lane[at]) || lane[at] != of_max_.max)) ++at;
            if (at == lanes) return false;  // with -ffast-math a NaN may count as equal
            at += i;
            return true;
        };
        std::size_t i = 0, at = n;
        for (; i + lanes <= n; i += lanes)
            if (found(i, std::integral_constant<std::size_t, lanes>(), at)) return at;
        if (i < n && found(i, n - i, at)) return at;
        return n;
    }

    /// Whether an element is NaN, or as good as infinite. Where terms are written over the elements this is asked before: the sum tells it
    /// too late for another try.
    template <class S>
    static SMX_ALWAYS_INLINE bool has_nan(const masked_piece<S>& p, std::size_t n) noexcept {
        return any_nan<B, T>(p.x, p.keep, n) || any_nan<B, T>(p.added, p.keep, n) || any_nan<B, T>(p.bias, p.keep, n);
    }

    /// An eighth of each part, so that the sum of three is finite where they are. No NaN.
    template <class S>
    SMX_NOINLINE bool has_more_than_minus_infinity(const masked_piece<S>& p, std::size_t n) const noexcept {
        const P none = P::broadcast(minus_infinity<T>()), eighth = P::broadcast(T(0.125));
        const P by = x_->head < 0 ? P::broadcast(T(-0.125)) : eighth;
        P top = none;
        const auto take = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            P z = product(load_some<P>(p.x + i, left), by);
            if (p.bias != nullptr) z = add(z, product(load_some<P>(p.bias + i, left), eighth));
            if (p.added != nullptr) z = add(z, product(load_some<P>(p.added + i, left), eighth));
            top = maximum(top, where_kept(p.keep == nullptr ? nullptr : p.keep + i, z, none, left));
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) take(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) take(i, n - i);
        return !is_minus_infinity(reduce_max(top));
    }

    /// A logit as head + low. Where the head is -inf, low is 0.
    template <bool Simple, class S, class N>
    SMX_ALWAYS_INLINE P logit_pair(const masked_piece<S>& from, std::size_t i, N left, P& low) const noexcept {
        P error;
        const P x = load_some<P>(from.x + i, left);
        P h = two_product(x, P::broadcast(x_->head), low);
        if (x_->tail != 0) low = fma(x, P::broadcast(x_->tail), low);
        const auto add_part = [&](P p) SMX_INLINE_LAMBDA {
            h = two_sum(h, p, error);
            low = add(low, error);
        };
        if constexpr (Simple) {
            add_part(load_some<P>(addend(from) + i, left));
        } else {
            if (from.bias != nullptr) add_part(load_some<P>(from.bias + i, left));
            if (distance_ != nullptr) {
                P lost;
                const P d = distances(from.first + i), b = two_product(d, P::broadcast(distance_->head), lost);
                lost = fma(d, P::broadcast(distance_->tail), lost);
                add_part(b);
                low = add(low, lost);
            }
            if (from.added != nullptr) add_part(load_some<P>(from.added + i, left));
        }
        low = zero_where_less(low, h, P::broadcast(lowest<T>));
        return h;
    }

    /// By the very operations of `logarithms`, so that nothing is left of the difference where the reference itself comes by.
    template <bool Simple, class S>
    SMX_NOINLINE double_double pair_at(const masked_piece<S>& from, std::size_t at, std::size_t n) const noexcept {
        const std::size_t i = at - at % lanes;
        P low;
        const P h = n - i < lanes ? logit_pair<Simple>(from, i, n - i, low)
                                  : logit_pair<Simple>(from, i, std::integral_constant<std::size_t, lanes>(), low);
        T head[lanes], tail[lanes];
        store(head, h);
        store(tail, low);
        return {static_cast<double>(head[at - i]), static_cast<double>(tail[at - i])};
    }

    /// Store: terms are written to `to`. Without: they are relative to the reference, which is left out.
    template <precision Q, bool Simple, bool Store, class S>
    SMX_NOINLINE void terms(row_sum<B, T>& total, const masked_piece<S>& piece, T* to, std::size_t n) const noexcept {
        const masked_piece<S> from = piece;
        const scale_parts<T>&cx = x_->c, &c1 = no_scaling<T>.direct.c, &cd = distance_ != nullptr ? distance_->c : c1;
        const P magic = P::broadcast(Store ? row_.magic : of_max_.magic), round = P::broadcast(exp_constants<T>::round),
                zero = P::broadcast(0);
        const std::size_t at = at_ - from.first;
        const S* const x = from.x;
        const S* const a = Simple ? addend(from) : from.added;
        const S* const a_soon = !Simple || from.added != nullptr ? from.added_soon : from.bias_soon;
        const factor* const distance = distance_;
        const auto reduce = [&](std::size_t i, auto left, P& t, P& r) SMX_INLINE_LAMBDA {
            prefetch<lanes * sizeof(S)>(from.x_soon + i);
            prefetch<lanes * sizeof(S), true>(from.out_soon + i);
            if (Simple || a != nullptr) prefetch<lanes * sizeof(S)>(a_soon + i);
            const P e = load_some<P>(x + i, left);
            t = fma(e, P::broadcast(P::fused ? cx.head : cx.whole), magic);
            r = reduced<Q>(e, sub(magic, t), P::broadcast(cx.head), P::broadcast(cx.tail));
            const auto add_part = [&](P p, const scale_parts<T>& c) SMX_INLINE_LAMBDA {
                const P minus_k = sub(round, fma(p, P::broadcast(P::fused ? c.head : c.whole), round));
                t = sub(t, minus_k);
                r = add(r, reduced<Q>(p, minus_k, P::broadcast(c.head), P::broadcast(c.tail)));
            };
            if (Simple || a != nullptr) add_part(load_some<P>(a + i, left), c1);
            if constexpr (!Simple) {
                if (from.bias != nullptr) add_part(load_some<P>(from.bias + i, left), c1);
                if (distance != nullptr) add_part(distances(from.first + i), cd);
            }
        };
        // The term of such a pair, p(r) and all.
        const auto complete = [&](std::size_t i, auto left, P t, P p) SMX_INLINE_LAMBDA {
            const P power = exp2_eighths(t);
            P term = zero_where_less(fma(power, p, power), t, P::broadcast(exp_constants<T>::round + 8));
            if (!Simple || std::is_same_v<decltype(left), std::size_t>)
                term = where_kept(Simple || from.keep == nullptr ? nullptr : from.keep + i, term, zero, left);
            if constexpr (Store) store_some(to + i, term, left);
            else if (at - i < lanes) term = without(term, at - i);
            return term;
        };
        const auto& c = coefficients_of_parts<Q>();
        const auto term = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            P t, r[1];
            reduce(i, left, t, r[0]);
            evaluate_each(c, r);
            return complete(i, left, t, r[0]);
        };
        if constexpr (step_by_step<P>) {
            total = sum_in_groups<B, T>(
                total, n,
                [&](std::size_t i, P(&terms)[packs_per_group]) SMX_INLINE_LAMBDA {
                    constexpr std::integral_constant<std::size_t, lanes> whole;
                    P t[packs_per_group], r[packs_per_group];
                    SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k)
                        reduce(i + k * lanes, whole, t[k], r[k]);
                    evaluate_each(c, r);
                    SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k) terms[k] =
                        complete(i + k * lanes, whole, t[k], r[k]);
                },
                term);
        } else {
            total = sum_in_groups<B, T>(total, n, term);
        }
    }
    template <precision Q>
    static SMX_ALWAYS_INLINE constexpr const auto& coefficients_of_parts() noexcept {
        if constexpr (Q == precision::half) return exp_of_parts<T>::half;
        else return exp_of_parts<T>::full;
    }
    static SMX_NOINLINE P without(P a, std::size_t l) noexcept {
        T lane[lanes];
        store(lane, a);
        lane[l] = 0;
        return P::load(lane);
    }

    template <bool Simple, class S, class O>
    SMX_NOINLINE void logarithms(const masked_piece<S>& from, O* to, std::size_t n, T log_sum) const noexcept {
        const P none = P::broadcast(minus_infinity<T>()), minus_log = P::broadcast(-log_sum);
        const P minus_head = P::broadcast(-static_cast<T>(reference_.head)),
                minus_low = P::broadcast(-static_cast<T>(reference_.tail));
        const auto step = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
            P low;
            const P h = logit_pair<Simple>(from, i, left, low);
            P result = add(add(h, minus_head), add(add(low, minus_low), minus_log));
            if (!Simple && from.keep != nullptr) result = where_kept(from.keep + i, result, none, left);
            store_some(to + i, result, left);
        };
        std::size_t i = 0;
        for (; i + lanes <= n; i += lanes) step(i, std::integral_constant<std::size_t, lanes>());
        if (i < n) step(i, n - i);
    }

    const factor* x_;
    const factor* distance_;
    double diagonal_;
    bool in_place_;
    row_constants<T> row_, of_max_;
    double_double reference_;
    std::size_t at_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
