// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/double_double.hpp>
#include <safe_softmax/detail/masked_job.hpp>
#include <safe_softmax/detail/pieces.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// -inf without a named infinity, which -ffinite-math-only does not know.
template <class T>
SMX_ALWAYS_INLINE T minus_infinity() noexcept {
    using bits = typename float_bits<T>::type;
    return from_bits<T>(infinity_bits<T> | bits(1) << (8 * sizeof(T) - 1));
}
template <class T>
inline constexpr T lowest = -(std::numeric_limits<T>::max)();

/// a*b = the result + error, exactly.
template <class P>
SMX_ALWAYS_INLINE P two_product(P a, P b, P& error) noexcept {
    const P p = product(a, b);
    if constexpr (P::fused) {
        error = fma(a, b, sub(P::broadcast(0), p));
    } else {
        const P x = truncate_half(a), y = truncate_half(b);
        const P u = sub(a, x), v = sub(b, y);
        error = add(add(add(sub(mul(x, y), p), mul(x, v)), mul(u, y)), mul(u, v));  // all products are exact
    }
    return p;
}

/// Logits as pairs head + tail of T, so that scale, bias and mask are added without rounding: what the passes need where a
/// row's logits are not just its elements times a scale. Where a position is masked out, head is -inf and tail 0.
template <class B, class T>
class logit_pairs {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;

public:
    /// Elements of a piece; a multiple of a group of packs, as the order of the sum wants it.
    static constexpr std::size_t piece = 1024;

    SMX_ALWAYS_INLINE logit_pairs(const job& j, const operand* op, std::size_t query) noexcept
        : job_(j), op_(op), scale_head_(static_cast<T>(j.scale)),
          scale_tail_(static_cast<T>(fence(j.scale - static_cast<double>(scale_head_)))) {
        if (op[masked::temperature]) {
            const double scale = fence(j.scale / number_at<double>(op[masked::temperature].data, op[masked::temperature].type));
            scale_head_ = static_cast<T>(scale);
            scale_tail_ = static_cast<T>(fence(scale - static_cast<double>(scale_head_)));
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
            const auto load = [&](const T* p) SMX_INLINE_LAMBDA { return left >= lanes ? P::load(p + l) : P::load_partial(p + l, left); };
            P h = load(x), e = zero;
            if (scaled) {
                const P given = h;
                h = two_product(given, P::broadcast(scale_head_), e);
                e = fma(given, P::broadcast(scale_tail_), e);
            }
            most = max(most, max(h, sub(zero, h)));
            if (job_.softcap != 0) cap(h, e);
            if (op_[masked::slope]) add_slope(i + l, h, e);
            if (bias != nullptr) add_to(h, e, load(bias), added == nullptr, least);
            if (added != nullptr) add_to(h, e, load(added), true, least);
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
            e = zero_where_less(e, h, least);
            const P sum = add(h, e);
            e = zero_where_less(sub(e, sub(sum, h)), sum, least);
            store(head + l, sum);
            store(tail + l, e);
            top = max(top, sum);
        }
        const T r = reduce_max(most);
        if (!(r <= reach)) reach = r;  // a NaN stays
        return reduce_max(top);
    }

private:
    /// (h, e) += b; where b is -inf the result is that, whatever h is.
    SMX_ALWAYS_INLINE void add_to(P& h, P& e, P b, bool shifted, P least) const noexcept {
        P error, addend = b;
        if (shifted && shift_ != 0) {
            addend = two_sum(b, P::broadcast(shift_), error);
            e = add(e, error);
        }
        const P sum = two_sum(h, addend, error);
        e = add(e, error);
        const P penalty = sub(b, zero_where_less(b, b, least));  // -inf or 0
        h = add(zero_where_less(sum, b, least), penalty);
    }

    /// ALiBi: slope * (key - query).
    SMX_ALWAYS_INLINE void add_slope(std::size_t i, P& h, P& e) const noexcept {
        T index[lanes];
        for (std::size_t l = 0; l < lanes; ++l) index[l] = static_cast<T>(fence(static_cast<double>(i + l) - diagonal_));
        const P distance = P::load(index);
        P low, error;
        const P b = two_product(distance, P::broadcast(slope_head_), low);
        low = fma(distance, P::broadcast(slope_tail_), low);
        h = two_sum(h, b, error);
        e = add(e, add(error, low));
    }

    /// cap * tanh(h/cap): for elements of up to 24 bits with an error of 2^-51*cap, for double as a pair.
    SMX_ALWAYS_INLINE void cap(P& h, P& e) const noexcept {
        if constexpr (sizeof(T) == 8) {
            T logit[lanes], low[lanes];
            store(logit, h);
            store(low, e);
            if (job_.wide) cap_pairs(logit, low);
            else cap_numbers(logit, low);
            h = P::load(logit);
            e = P::load(low);
        }
    }
    SMX_NOINLINE void cap_pairs(double (&logit)[lanes], double (&low)[lanes]) const noexcept {
        for (std::size_t l = 0; l < lanes; ++l) {
            if (is_nan(logit[l])) continue;
            const double_double z = is_finite(logit[l]) ? double_double{logit[l], low[l]} : double_double{logit[l] < 0 ? lowest<double> : -lowest<double>, 0};
            const double_double capped = mul(tanh(divide(z, {job_.softcap, 0})), job_.softcap);
            logit[l] = capped.head;
            low[l] = capped.tail;
        }
    }
    SMX_NOINLINE void cap_numbers(double (&logit)[lanes], double (&low)[lanes]) const noexcept {
        using constants = exp_constants<double>;
        const double by = fence(2 / job_.softcap);
        double e[lanes];
        bool nan[lanes];
        for (std::size_t l = 0; l < lanes; ++l) {
            const double a = fence(logit[l] * by);
            nan[l] = is_nan(a);
            e[l] = a > 60 ? 60 : a < -60 ? -60 : a;
            if (nan[l]) e[l] = 0;
        }
        const scaling<double>& one = no_scaling<double>;
        const P term = exp_term<precision::full>(P::load(e), P::broadcast(constants::round + 8 * constants::bias), P::broadcast(one.direct.c.head),
                                                 P::broadcast(one.direct.c.tail), P::broadcast(one.direct.c.whole));
        store(e, term);
        for (std::size_t l = 0; l < lanes; ++l) {
            if (!nan[l]) logit[l] = fence(fence(fence(e[l] - 1) / fence(e[l] + 1)) * job_.softcap);
            low[l] = 0;
        }
    }

    const job& job_;
    const operand* op_;
    T scale_head_, scale_tail_, slope_head_ = 0, slope_tail_ = 0;
    T shift_ = 0;
    double diagonal_ = 0;
    alignas(64) T x_[piece];
    alignas(64) T bias_[piece];
    alignas(64) T mask_[piece];
    std::uint8_t bytes_[piece];
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
