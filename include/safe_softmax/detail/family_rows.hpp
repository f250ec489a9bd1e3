// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/elementary.hpp>
#include <safe_softmax/detail/family_job.hpp>
#include <safe_softmax/detail/online_sum.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Functions that compute in double whatever the elements are.

SMX_ALWAYS_INLINE double element_of(const operand& o, std::size_t i) noexcept {
    return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
}

/// log(exp(a) + exp(b)); see logaddexp.hpp.
SMX_ALWAYS_INLINE double logaddexp_of_numbers(double a, double b) noexcept {
    if (is_nan(a) || is_nan(b)) return quiet_nan<double>();
    if (!is_finite(a) || !is_finite(b)) {
        if (!is_finite(a) && !is_negative(a)) return a;  // +inf
        if (!is_finite(b) && !is_negative(b)) return b;
        return is_finite(a) ? a : b;
    }
    const double most = a < b ? b : a, least = a < b ? a : b;
    const double below = rounded(0.5 * least) - rounded(0.5 * most);  // half, so that it is finite
    if (!(below > -360)) return most;
    return fence(most + log_1_plus<double>(exp_of_negative(2 * below)));
}

SMX_NOINLINE inline void logaddexp_rows(const job& j) noexcept {
    using v = vocabulary::logaddexp_of;
    for_each_row(j, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA {
        for (std::size_t i = 0; i < j.length; ++i)
            put_any(op[v::out], i, logaddexp_of_numbers(element_of(op[v::in], i), element_of(op[v::other], i)));
    });
}

// ---- a sum of weighted exponentials --------------------------------------------------------------------------------------

/// A double_double times 2^octave: no weight and no logit is too large for it.
struct wide_number {
    double_double value{0, 0};
    std::int64_t octave = 0;

    /// += v * 2^o
    SMX_ALWAYS_INLINE void add_product(double_double v, std::int64_t o) noexcept {
        if (value.head == 0 || o > octave + 400) {
            if (value.head != 0) value = shifted(value, octave, o);
            octave = o;
        } else {
            v = shifted(v, o, octave);
        }
        value = add(value, v);
    }

private:
    static SMX_ALWAYS_INLINE double_double shifted(double_double v, std::int64_t from, std::int64_t to) noexcept {
        const double octaves = static_cast<double>(from) - static_cast<double>(to);
        if (octaves < -900) return {0, 0};
        const double by = power_of_two(static_cast<int>(octaves));
        return {v.head * by, v.tail * by};
    }
};

struct signed_log {
    double log, sign;
};

SMX_NOINLINE inline signed_log weighted_row(const job& j, const operand* op) noexcept {
    using v = vocabulary::weighted_sum;
    const operand &in = op[v::in], &weights = op[v::weights];
    const double nan = quiet_nan<double>(), nothing = online_state{}.max;
    const bool negative = j.scale < 0, ieee = j.special == special_values::ieee;
    const double scale = magnitude_of(j.scale);
    const auto weight_at = [&](std::size_t i) SMX_INLINE_LAMBDA { return weights ? element_of(weights, i) : 1.0; };
    const auto logit_at = [&](std::size_t i) SMX_INLINE_LAMBDA {
        const double x = element_of(in, i);
        return negative ? -x : x;
    };
    double max = nothing;
    bool any = false, plus = false, minus = false;
    for (std::size_t i = 0; i < j.length; ++i) {
        const double w = weight_at(i);
        if (!is_finite(w)) return {nan, nan};
        if (w == 0) continue;
        const double x = logit_at(i);
        if (is_nan(x)) return {nan, nan};
        any = true;
        if (!is_finite(x) && !is_negative(x)) (w > 0 ? plus : minus) = true;
        else if (is_finite(x) && (!is_finite(max) || x > max)) max = x;
    }
    if (plus || minus) {
        if (ieee || (plus && minus)) return {nan, nan};
        return {-nothing, plus ? 1.0 : -1.0};
    }
    if (!is_finite(max)) return any && ieee ? signed_log{nan, nan} : signed_log{nothing, 0};

    const power top = power_of(max, scale);
    wide_number sum, rest;  // at the maximum; below it, still to be divided by top.factor
    for (std::size_t i = 0; i < j.length; ++i) {
        const double w = weight_at(i), x = logit_at(i);
        if (w == 0 || !is_finite(x)) continue;
        const double magnitude = magnitude_of(w);
        const int e = exponent_of(magnitude), half = e / 2;
        const double scaled = rounded(w * power_of_two(-half)) * power_of_two(half - e);  // in [1, 2)
        if (x == max) {
            sum.add_product({scaled, 0}, e);  // exactly 1, in units of the largest
        } else if (!top.beyond) {
            const power p = power_of(x, scale);
            if (!p.beyond) rest.add_product(mul(p.factor, scaled), p.octave - top.octave + e);
        }
    }
    if (rest.value.head != 0) sum.add_product(divide(rest.value, top.factor), rest.octave);
    const double_double s = sum.value.head < 0 ? negated(sum.value) : sum.value;
    if (s.head == 0) return {nothing, 0};
    const double sign = sum.value.head < 0 ? -1.0 : 1.0;

    // log(s * 2^octave)
    const int e = exponent_of(s.head);
    const std::int64_t octaves = sum.octave + e;
    double log;
    if (octaves >= -1 && octaves < 900) {
        const double by = power_of_two(static_cast<int>(sum.octave));
        const double_double y{s.head * by, s.tail * by};
        if (y.head >= 1) log = log_1_plus<double>(magnitude_of(add(y, {-1, 0}).head));
        else log = -log_1_plus<double>(divide(add({1, 0}, negated(y)), y).head);
        if (y.head >= 1 && add(y, {-1, 0}).head < 0) log = -log;
    } else {
        log = fma(static_cast<double>(octaves), 0x1.62e42fefa39efp-1, log_of_positive(s.head * power_of_two(-e)));
    }
    return {fma(max, scale, log), sign};
}

SMX_NOINLINE inline void weighted_rows(const job& j) noexcept {
    using v = vocabulary::weighted_sum;
    for_each_row(j, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA {
        const signed_log r = weighted_row(j, op);
        put_any(op[v::out], 0, r.log);
        if (op[v::sign]) put_any(op[v::sign], 0, r.sign);
    });
}

// ---- gumbel_softmax --------------------------------------------------------------------------------------------------------

template <class B>
class gumbel_rows {
    using T = double;
    using kernel = row_kernel<B, T>;
    using v = vocabulary::gumbel;

    /// Logits with their noise. A row of +inf among others is taken for 0 among -inf.
    struct reader {
        using element = T;
        const operand& in;
        std::uint64_t seed, first;  // the number of the row's first element
        T* buffer;
        bool infinite;
        static constexpr std::size_t nothing = (std::numeric_limits<std::size_t>::max)();
        mutable std::size_t have = nothing;  // the piece in the buffer
        SMX_NOINLINE const T* read(std::size_t i, std::size_t n) const noexcept {
            if (have == i) return buffer;
            have = i;
            operand_pieces<B, T>::copy_in(in, i, n, buffer);
            for (std::size_t l = 0; l < n; ++l) {
                T x = buffer[l];
                if (infinite) x = !is_finite(x) && !is_negative(x) ? 0 : online_state{}.max;
                if (is_finite(x)) x = fence(x + gumbel_of_bits(random_bits(seed, first + i + l)));
                buffer[l] = x;
            }
            return buffer;
        }
    };

public:
    static SMX_NOINLINE void run(const job& j) noexcept {
        const vocabulary::gumbel_call& call = *static_cast<const vocabulary::gumbel_call*>(j.op[v::call].data);
        const scaling<T> s = make_scaling<T>(fence(1 / j.scale));  // here, where the caller's rounding does not matter
        std::uint64_t first = 0;
        for_each_row(j, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA {
            row(j, op, call, first, s);
            first += j.length;
        });
    }

private:
    static SMX_NOINLINE void row(const job& j, const operand* op, const vocabulary::gumbel_call& call,
                                 std::uint64_t first, const scaling<T>& s) noexcept {
        const operand &in = op[v::in], &out = op[v::out];
        alignas(64) T copy[piece_elements<T>];
        alignas(64) T buffer[piece_elements<T>];
        bool nan = false;
        std::size_t infinities = 0, finite = 0;
        for (std::size_t i = 0; i < j.length; ++i) {
            const double x = element_of(in, i);
            nan = nan || is_nan(x);
            if (is_finite(x)) ++finite;
            else if (!is_negative(x)) ++infinities;
        }
        if (nan || (j.special == special_values::ieee && (infinities != 0 || finite == 0))) return fill(j, out, true);
        if (infinities == 0 && finite == 0) return fill(j, out, false);

        const reader from{in, call.seed, first, copy, infinities != 0};
        if (call.hard) {
            T most = online_state{}.max;
            std::size_t place = 0;
            for_pieces<T>(0, j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                const T* z = from.read(i, n);
                for (std::size_t l = 0; l < n; ++l) {
                    if (!is_finite(z[l]) || (is_finite(most) && z[l] <= most)) continue;
                    most = z[l];
                    place = i + l;
                }
            });
            fill(j, out, false);
            return put_number(out, place, 1);
        }
        row_constants<T> constants;
        const operand_writer<B, T> to{out, buffer};
        if (!kernel::find_constants(from, j.length, s, constants) ||
            !kernel::template softmax_through_buffer<precision::full>(from, to, j.length, {buffer}, constants, s))
            fill(j, out, true);
    }
    static SMX_NOINLINE void fill(const job& j, const operand& out, bool nan) noexcept {
        if (!nan) return put_nothing(out, 0, j.length, false);
        for (std::size_t i = 0; i < j.length; ++i) put_nan(out, i);
    }
};

/// These three, for backend B; T makes no difference.
template <class B, class T>
class family_rows {
public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        run_under_default(j);
    }

private:
    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        switch (j.function) {
            case vocabulary::job_function::logaddexp: return logaddexp_rows(j);
            case vocabulary::job_function::weighted_logsumexp: return weighted_rows(j);
            default: return gumbel_rows<B>::run(j);
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
