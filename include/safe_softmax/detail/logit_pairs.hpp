// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/exact_packs.hpp>
#include <safe_softmax/detail/masked_job.hpp>
#include <safe_softmax/detail/pieces.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// cap * tanh(z/cap) in double, with an error of 2^-51*cap.
template <class P>
class capped_logit {
    using constants = exp_constants<double>;

public:
    /// by: 2/cap.
    SMX_ALWAYS_INLINE capped_logit(double cap, double by) noexcept : cap_(P::broadcast(cap)), by_(P::broadcast(by)) {}

    SMX_ALWAYS_INLINE P operator()(P z) const noexcept {
        const P one = P::broadcast(1);
        const auto& c = no_scaling<double>.direct.c;
        const P exp = exp_term<precision::full>(up_to(mul(z, by_), P::broadcast(60)),
                                                P::broadcast(constants::round + 8 * constants::bias),
                                                P::broadcast(c.head), P::broadcast(c.tail), P::broadcast(c.whole));
        return mul(div(sub(exp, one), add(exp, one)), cap_);
    }

private:
    /// a, but at most limit; NaN stays.
    static SMX_ALWAYS_INLINE P up_to(P a, P limit) noexcept {
        const P zero = P::broadcast(0), minus = sub(zero, a), low = sub(zero, limit);
        return add(zero_where_less(a, minus, low), sub(limit, zero_where_less(limit, minus, low)));
    }

    P cap_, by_;
};

/// Logits as pairs head + tail of T, so that scale, bias and mask are added without rounding: what the passes need where a
/// row's logits are not just its elements times a scale. Where a position is masked out, head is -inf and tail 0.
template <class B, class T>
class logit_pairs {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;

public:
    /// Elements of a piece; a multiple of a group of packs, as the order of the sum wants it.
    static constexpr std::size_t piece = 1024;

    SMX_ALWAYS_INLINE logit_pairs(const job& j, const operand* op, std::size_t query) noexcept : job_(j), op_(op) {
        const double scale = scale_at(j, op[masked::temperature]);
        scale_head_ = static_cast<T>(scale);
        scale_tail_ = static_cast<T>(fence(scale - static_cast<double>(scale_head_)));
        if (j.softcap != 0) {
            const double_double by = divide({2, 0}, {j.softcap, 0});
            by_head_ = by.head;
            by_tail_ = by.tail;
        }
        if (op[masked::slope]) {
            const double slope = number_at<double>(op[masked::slope].data, op[masked::slope].type);
            slope_head_ = static_cast<T>(slope);
            slope_tail_ = static_cast<T>(fence(slope - static_cast<double>(slope_head_)));
            diagonal_ = fence(static_cast<double>(query) + static_cast<double>(j.causal_offset));
        }
    }

    /// From now on `by` is added to every logit, before anything is rounded; false if nothing can be.
    SMX_ALWAYS_INLINE bool shift_by(T by) noexcept {
        const bool can = op_[masked::bias] || (op_[masked::mask] && is_floating(op_[masked::mask].type));
        if (can) shift_ = by;
        return can;
    }
    SMX_ALWAYS_INLINE T shift() const noexcept { return shift_; }

    /// Fills head and tail for elements i to i + n, and up to the next whole pack with logits of -inf. Returns the largest
    /// head; in `reach`, the largest |element * scale|.
    SMX_NOINLINE T prepare(std::size_t i, std::size_t n, T* head, T* tail, T& reach) noexcept {
        const T* x = operand_reader<B, T>{op_[masked::in], x_}.read(i, n);
        const T* bias = op_[masked::bias] ? operand_reader<B, T>{op_[masked::bias], bias_}.read(i, n) : nullptr;
        const operand& m = op_[masked::mask];
        const T* added = m && is_floating(m.type) ? operand_reader<B, T>{m, mask_}.read(i, n) : nullptr;
        const std::uint8_t* kept = m && !is_floating(m.type) ? operand_pieces<B, T>::bytes(m, i, n, bytes_) : nullptr;

        const P none = P::broadcast(minus_infinity<T>()), least = P::broadcast(lowest<T>), zero = P::broadcast(0);
        const bool scaled = !(scale_head_ == 1 && scale_tail_ == 0);
        P top = none, most = zero;
        for (std::size_t l = 0; l < n; l += lanes) {
            const std::size_t left = n - l;
            const auto load = [&](const T* p) SMX_INLINE_LAMBDA {
                return left >= lanes ? P::load(p + l) : P::load_partial(p + l, left);
            };
            P h = load(x), e = zero;
            if (scale_head_ == 0) {  // infinite elements stay, as with a very small scale; 0 times one would be NaN
                h = zero_where_less(h, maximum(h, sub(zero, h)), sub(zero, none));
                if (job_.scale < 0) h = sub(zero, h);
            } else if (scaled) {
                const P given = h;
                h = two_product(given, P::broadcast(scale_head_), e);
                e = fma(given, P::broadcast(scale_tail_), e);
            }
            most = maximum(most, maximum(h, sub(zero, h)));
            if (job_.softcap != 0) cap(h, e);
            if (op_[masked::slope]) add_slope(i + l, h, e);
            if (bias != nullptr || added != nullptr) {
                // -inf in bias or mask hides whatever else is there; elsewhere in the sum it is stronger than +inf.
                P hidden = zero, infinite = zero;
                const P minus = minus_infinity_of(h);
                const auto add_numbers = [&](P b, bool last) SMX_INLINE_LAMBDA {
                    const P up = sub(zero, minus_infinity_of(sub(zero, b))), down = minus_infinity_of(b);
                    add_to(h, e, zero_where_less(zero_where_less(b, b, least), sub(zero, b), least), last);
                    infinite = add(infinite, up);
                    hidden = add(hidden, down);
                };
                if (bias != nullptr) add_numbers(load(bias), added == nullptr);
                if (added != nullptr) add_numbers(load(added), true);
                h = add(h, zero_where_less(infinite, add(minus, hidden), least));
                h = add(zero_where_less(h, hidden, least), hidden);
            }
            if (kept != nullptr) {
                if (left >= lanes) {
                    h = where_nonzero(kept + l, h, none);
                } else {
                    std::uint8_t last[lanes] = {};
                    for (std::size_t b = 0; b < left; ++b) last[b] = kept[l + b];
                    h = where_nonzero(last, h, none);
                }
            }
            if (left < lanes) h = blend_first(h, none, left);
            // e is NaN where h is infinite.
            e = zero_where_less(zero_where_less(e, h, least), sub(zero, h), least);
            const P sum = add(h, e);
            e = zero_where_less(sub(e, sub(sum, h)), sum, least);
            store(head + l, sum);
            store(tail + l, e);
            top = maximum(top, sum);
        }
        const T r = reduce_max(most);
        if (!(r <= reach)) reach = r;  // a NaN stays
        return reduce_max(top);
    }

private:
    /// (h, e) += b. shifted: and the shift.
    SMX_ALWAYS_INLINE void add_to(P& h, P& e, P b, bool shifted) const noexcept {
        P error;
        if (shifted && shift_ != 0) {
            b = two_sum(b, P::broadcast(shift_), error);
            e = add(e, error);
        }
        h = two_sum(h, b, error);
        e = add(e, error);
    }

    /// ALiBi: slope * (key - query).
    SMX_ALWAYS_INLINE void add_slope(std::size_t i, P& h, P& e) const noexcept {
        static constexpr auto ramp = [] {
            struct {
                T lane[lanes];
            } r{};
            for (std::size_t l = 0; l < lanes; ++l) r.lane[l] = static_cast<T>(l);
            return r;
        }();
        const P distance =
            add(P::load(ramp.lane), P::broadcast(static_cast<T>(fence(static_cast<double>(i) - diagonal_))));
        P low, error;
        const P b = two_product(distance, P::broadcast(slope_head_), low);
        low = fma(distance, P::broadcast(slope_tail_), low);
        h = two_sum(h, b, error);
        e = add(e, add(error, low));
    }

    /// cap * tanh(h/cap): for elements of up to 24 bits with an error of 2^-51*cap, for double as a pair to 2^-62*cap.
    SMX_ALWAYS_INLINE void cap(P& h, P& e) const noexcept {
        if constexpr (sizeof(T) == 8) {
            const P cap = P::broadcast(job_.softcap);
            if (job_.wide) {
                P product;
                const P head = two_product(h, P::broadcast(by_head_), product);
                double_pack a{head, fma(e, P::broadcast(by_head_), fma(h, P::broadcast(by_tail_), product))};
                a.head = within(a.head, P::broadcast(80));
                a.tail = zero_where_less(a.tail, sub(P::broadcast(79), maximum(a.head, sub(P::broadcast(0), a.head))),
                                         P::broadcast(0));
                a = capped(a);
                h = two_product(a.head, cap, product);
                e = fma(a.tail, cap, product);
            } else {
                h = capped_logit<P>(job_.softcap, by_head_)(h);
                e = P::broadcast(0);
            }
        }
    }

    struct double_pack {
        P head, tail;
    };

    /// a between -limit and limit; NaN stays.
    static SMX_ALWAYS_INLINE P within(P a, P limit) noexcept {
        const P zero = P::broadcast(0), low = sub(zero, limit);
        a = add(zero_where_less(a, a, low), sub(low, zero_where_less(low, a, low)));
        const P b = sub(zero, a);
        return sub(zero, add(zero_where_less(b, b, low), sub(low, zero_where_less(low, b, low))));
    }

    /// tanh(a/2) for |a| <= 80: s = exp(a/4096) - 1 by Taylor's series, twelve times (1 + s)^2 - 1, then s/(s + 2).
    static SMX_NOINLINE double_pack capped(double_pack a) noexcept {
        const auto c = [](double x) SMX_INLINE_LAMBDA { return P::broadcast(x); };
        const P x = mul(a.head, c(0x1p-12)), x_tail = mul(a.tail, c(0x1p-12));
        P p = c(0x1.a01a01a01a01ap-13);  // 1/7!
        p = fma(p, x, c(0x1.6c16c16c16c17p-10));
        p = fma(p, x, c(0x1.1111111111111p-7));
        p = fma(p, x, c(0x1.5555555555555p-5));
        p = fma(p, x, c(0x1.5555555555555p-3));
        // x + x^2/2 + x^3*p
        P error, low;
        const P square = two_product(x, mul(x, c(0.5)), error);
        P head = two_sum(x, square, low);
        P tail = add(add(low, error), fma(product(square, mul(x, c(2))), p, fma(x, x_tail, x_tail)));
        for (int i = 0; i < 12; ++i) {
            const P s = two_product(head, head, error);
            error = fma(mul(head, c(2)), tail, error);
            const P sum = two_sum(mul(head, c(2)), s, low);
            tail = add(add(low, error), mul(tail, c(2)));
            head = add(sum, tail);
            tail = sub(tail, sub(head, sum));
        }
        const P below = two_sum(head, c(2), low);
        low = add(low, tail);
        const P q = div(head, below);
        P minus;
        const P back = two_product(q, below, minus);
        const P rest = sub(sub(add(sub(head, back), tail), minus), product(q, low));
        return {q, div(rest, below)};
    }

    const job& job_;
    const operand* op_;
    T scale_head_, scale_tail_, slope_head_ = 0, slope_tail_ = 0;
    T shift_ = 0;
    double diagonal_ = 0, by_head_ = 0, by_tail_ = 0;
    alignas(64) T x_[piece];
    alignas(64) T bias_[piece];
    alignas(64) T mask_[piece];
    std::uint8_t bytes_[piece];
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
