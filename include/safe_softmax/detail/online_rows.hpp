// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/exact_packs.hpp>
#include <safe_softmax/detail/online_job.hpp>
#include <safe_softmax/detail/online_sum.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::online;
using vocabulary::online_block;
using vocabulary::online_call;

/// What online_softmax does, with backend B and arithmetic in T.
template <class B, class T>
class online_rows {
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    using function = vocabulary::job_function;
    using reader = operand_reader<B, T>;
    static constexpr std::size_t block = online_block;

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        if (j.scale == 1.0) run_under_default(j, no_scaling<T>);
        else run_scaled(j);
    }

private:
    static SMX_NOINLINE void run_scaled(const job& j) noexcept { run_under_default(j, make_scaling<T>(j.scale)); }

    static SMX_NOINLINE void run_under_default(const job& j, const scaling<T>& s) noexcept {
        online_call& c = *static_cast<online_call*>(const_cast<void*>(j.op[online::call].data));
        switch (j.function) {
            case function::online_push: return push(j, s, c);
            case function::online_merge: return merge(j, c);
            case function::online_read: return read(j, s, c);
            default: return write(j, s, c);
        }
    }

    static SMX_ALWAYS_INLINE double magnitude_of_scale(const job& j) noexcept { return magnitude_of(j.scale); }

    /// The scaling that finds the largest logit: by its sign alone.
    static SMX_ALWAYS_INLINE const scaling<T>& sign_of(const scaling<T>& s) noexcept {
        static constexpr scaling<T> turned = make_scaling<T>(-1.0);
        return s.negative ? turned : no_scaling<T>;
    }

    /// The row that has this maximum.
    static SMX_ALWAYS_INLINE row_constants<T> constants_of(double max, const scaling<T>& s) noexcept {
        const T m = static_cast<T>(max);
        return constants_of_row(s.plain ? m : rounded(m * magnitude_of(s.first)), s);
    }

    // ---- states -------------------------------------------------------------------------------------------------------

    static SMX_NOINLINE void push(const job& j, const scaling<T>& s, online_call& c) noexcept {
        const online_state before = *c.state;
        const operand& in = j.op[online::in];
        if (operand_pieces<B, T>::direct(in)) {
            push_blocks(j, s, reader{in, nullptr}, *c.state);
        } else {
            alignas(64) T buffer[block];
            push_blocks(j, s, reader{in, buffer}, *c.state);
        }
        c.factor = rounded_to_arithmetic(rescale_factor(before, *c.state, magnitude_of_scale(j)));
    }

    static SMX_NOINLINE void push_blocks(const job& j, const scaling<T>& s, const reader& from,
                                         online_state& state) noexcept {
        for (std::size_t i = 0; i < j.length; i += block) {
            const std::size_t n = j.length - i < block ? j.length - i : block;
            const T* x = from.read(i, n);
            const T top = pass::largest(x, n, sign_of(s));
            online_state b;
            if (!is_finite(top) || !state_of_block(x, n, top, s, magnitude_of_scale(j), b))
                b = state_of_special(j, x, n, s.negative);
            merge_states(state, b, magnitude_of_scale(j));
        }
    }

    /// False: there is a NaN.
    static SMX_ALWAYS_INLINE bool state_of_block(const T* x, std::size_t n, T top, const scaling<T>& s, double scale,
                                                 online_state& b) noexcept {
        b.max = magnitude_bits(top) == 0 ? 0.0 : static_cast<double>(top);
        const row_constants<T> row = constants_of(b.max, s);
        row_sum<B, T> total;
        std::size_t ties = 0;
        if (row.general) pass::template add_terms_below_max<true>(total, ties, x, n, row, s);
        else pass::template add_terms_below_max<false>(total, ties, x, n, row, s);
        const double rest = total.result();
        if (sum_is_nan(rest)) return false;
        b.count = ties;
        if (rest > 0) add_block(b, rest, exact_max_term(row, s), scale);
        return true;
    }

    /// exp(max) * rest / max_term.
    static SMX_ALWAYS_INLINE void add_block(online_state& b, double rest, double max_term, double scale) noexcept {
        const power p = power_of(b.max, scale);
        if (p.beyond) return;
        max_term *= 0x1p-62;
        const double first = fence(p.factor.head / max_term);
        double_double value;
        if constexpr (sizeof(T) == 4) {
            value = {rounded(first * rest), 0};
        } else {
            const split_double back = two_product(first, max_term);
            const double second =
                fence(fence(fence(fence(p.factor.head - back.head) - back.tail) + p.factor.tail) / max_term);
            value = mul(double_double{first, second}, rest);
        }
        add_to_rest(b, value, p.octave - 62, 1);
    }

    static SMX_NOINLINE online_state state_of_special(const job& j, const T* x, std::size_t n, bool negative) noexcept {
        const special_row found = inspect<T>(stepped<const T>{x, 1}, n, negative);
        if (found.nan || found.infinities != 0) return special_state(found.nan, found.infinities);
        online_state nothing;
        nothing.count = j.special == special_values::ieee ? 1 : 0;
        return nothing;
    }

    static SMX_NOINLINE void merge(const job& j, online_call& c) noexcept {
        const online_state before = *c.state;
        merge_states(*c.state, *c.other, magnitude_of_scale(j));
        c.factor = rounded_to_arithmetic(rescale_factor(before, *c.state, magnitude_of_scale(j)));
    }

    // ---- results ------------------------------------------------------------------------------------------------------

    /// A row without an answer, or with one of +inf: all there is to say about it.
    static SMX_ALWAYS_INLINE bool is_special(const online_state& s) noexcept { return !is_finite(s.max); }
    static SMX_ALWAYS_INLINE bool gives_nan(const job& j, const online_state& s) noexcept {
        return is_nan(s.max) || (j.special == special_values::ieee && s.count != 0);
    }

    /// sum of exp(z - max) - count
    static SMX_ALWAYS_INLINE double_double rest_of(const job& j, const online_state& s) noexcept {
        return rest_below_max(s, magnitude_of_scale(j));
    }
    static SMX_ALWAYS_INLINE double sum_of(double_double rest, const online_state& s) noexcept {
        return add(rest, {static_cast<double>(s.count), 0}).head;
    }
    static SMX_ALWAYS_INLINE double log_sum_of(double_double rest, const online_state& s) noexcept {
        const double below = add(rest, {static_cast<double>(s.count - 1), 0}).head;
        return fence(
            magnitude_bits(below) == 0
                ? 0.0
                : log_1_plus<T>(below));  // +0, which compilers would fold where signs of zero do not matter to them
    }

    static SMX_ALWAYS_INLINE double rounded_to_arithmetic(double x) noexcept {
        return static_cast<double>(static_cast<T>(x));
    }
    static SMX_ALWAYS_INLINE void set_sums(online_call& c, double sum) noexcept {
        c.sum = rounded_to_arithmetic(sum);
        c.inverse_sum = sum > 0 || is_nan(sum) ? rounded_to_arithmetic(fence(1 / sum)) : 0.0;
    }

    static SMX_NOINLINE void read(const job& j, const scaling<T>& s, online_call& c) noexcept {
        const online_state& state = *c.state;
        c.factor =
            c.other != nullptr ? rounded_to_arithmetic(rescale_factor(state, *c.other, magnitude_of_scale(j))) : 1;
        if (is_special(state)) {
            const double sum = gives_nan(j, state) ? quiet_nan<double>()
                               : is_nothing(state) ? 0
                                                   : static_cast<double>(state.count);
            set_sums(c, sum);
            if (j.op[online::out]) put_any(j.op[online::out], 0, gives_nan(j, state) ? quiet_nan<double>() : state.max);
            return;
        }
        const double_double rest = rest_of(j, state);
        set_sums(c, sum_of(rest, state));
        if (j.op[online::out])
            put_any(j.op[online::out], 0, log_total(log_sum_of(rest, state), constants_of(state.max, s), s));
    }

    static SMX_NOINLINE void write(const job& j, const scaling<T>& s, online_call& c) noexcept {
        const online_state& state = *c.state;
        const operand &in = j.op[online::in], &out = j.op[online::out];
        alignas(64) T copy[block];
        alignas(64) T buffer[block];
        const reader from{in, copy};
        const operand_writer<B, T> to{out, buffer};
        c.refused = false;
        for_blocks(j, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (!was_pushed(from.read(i, n), n, state, s.negative)) c.refused = true;
        });
        if (c.refused) return;
        if (is_special(state)) return write_special(j, state, s.negative);

        const row_constants<T> row = constants_of(state.max, s);
        if (j.function == function::online_log_probabilities) {
            const T log_sum = static_cast<T>(log_sum_of(rest_of(j, state), state));
            for_blocks(j, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                const T* x = from.read(i, n);
                if (row.general) pass::template subtract<true>(x, to.piece(i), n, row, log_sum, s);
                else pass::template subtract<false>(x, to.piece(i), n, row, log_sum, s);
                to.written(i, n);
            });
            return;
        }
        const double max_term = exact_max_term(row, s);
        const T share = share_of<T>(
            j.function == function::online_weights ? max_term : rounded(max_term * sum_of(rest_of(j, state), state)));
        for_blocks(j, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* x = from.read(i, n);
            row_sum<B, T> unused;
            if (row.general) pass::template add_terms<precision::full, true>(unused, x, to.piece(i), n, row, s);
            else pass::template add_terms<precision::full, false>(unused, x, to.piece(i), n, row, s);
            pass::scale(to.piece(i), to.piece(i), n, share);
            to.written(i, n);
        });
    }

    template <class F>
    static SMX_ALWAYS_INLINE void for_blocks(const job& j, F f) noexcept {
        for (std::size_t i = 0; i < j.length; i += block) f(i, j.length - i < block ? j.length - i : block);
    }

    /// No NaN, and nothing above the maximum.
    static SMX_NOINLINE bool was_pushed(const T* x, std::size_t n, const online_state& state, bool negative) noexcept {
        if (is_nan(state.max)) return true;
        if (!is_finite(state.max) && !is_nothing(state)) {
            for (std::size_t i = 0; i < n; ++i)
                if (is_nan(x[i])) return false;
            return true;
        }
        using P = pack_t<B, T>;
        const P limit = P::broadcast(is_nothing(state) ? lowest<T> : next_above(static_cast<T>(state.max)));
        const P zero = P::broadcast(0), one = P::broadcast(1);
        P found = zero;
        const auto look = [&](P a) SMX_INLINE_LAMBDA {
            found = maximum(found, zero_where_less(one, negative ? sub(zero, a) : a, limit));
        };
        std::size_t i = 0;
        for (; i + P::lanes <= n; i += P::lanes) look(P::load(x + i));
        if (i < n) look(blend_first(P::load_partial(x + i, n - i), P::broadcast(x[i]), n - i));
        return reduce_max(found) == 0;
    }
    /// The next number, or +inf.
    static SMX_ALWAYS_INLINE T next_above(T x) noexcept {
        using bits = typename float_bits<T>::type;
        if (magnitude_bits(x) == 0) return from_bits<T>(1);
        const bits b = vocabulary::bit_cast<bits>(x);
        return from_bits<T>(is_negative(x) ? b - 1 : b + 1);
    }

    static SMX_NOINLINE void write_special(const job& j, const online_state& state, bool negative) noexcept {
        const operand &in = j.op[online::in], &out = j.op[online::out];
        const bool log = j.function == function::online_log_probabilities, nan = gives_nan(j, state);
        const std::size_t count = static_cast<std::size_t>(state.count);
        const double share = j.function == function::online_weights ? 1.0
                             : log                                  ? share_of_infinity<true>(count)
                                                                    : share_of_infinity<false>(count);
        for (std::size_t i = 0; i < j.length; ++i) {
            const double x = number_at<double>(moved(in.data, static_cast<std::ptrdiff_t>(i) * in.step), in.type);
            const bool top = !is_nothing(state) && !is_finite(x) && is_negative(x) == negative;
            if (nan) put_nan(out, i);
            else if (top) put_number(out, i, share);
            else put_nothing(out, i, i + 1, log);
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
