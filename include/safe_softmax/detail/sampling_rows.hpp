// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/elementary.hpp>
#include <safe_softmax/detail/family_job.hpp>
#include <safe_softmax/detail/logit_pairs.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The largest logits of a row, with or without sampling one of them; backend B, arithmetic in T.
///
/// Nothing is sorted and nothing allocated: logits are ordered as integers, of which the smallest that is kept is found eleven
/// bits at a time, by counting (top_k) or adding up (top_p) what each of 2048 leading digits has. Of logits that are equal to it
/// the first ones are kept.
template <class B, class T>
class sampling_rows {
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    using v = vocabulary::sampling;
    using function = vocabulary::job_function;
    static constexpr int key_bits = 8 * static_cast<int>(sizeof(T)), digit = 11;
    static constexpr std::size_t digits = std::size_t(1) << digit;

    /// Logits in their order, without a sign; the two zeros are one.
    static SMX_ALWAYS_INLINE std::uint64_t key_of(T x, bool negative) noexcept {
        using bits = typename float_bits<T>::type;
        constexpr bits sign = bits(1) << (key_bits - 1);
        const bits m = magnitude_bits(x);
        return is_negative(x) == negative ? static_cast<bits>(sign + m) : static_cast<bits>(sign - m);
    }

    /// Which logits take part: those above `least`, and those equal to it before place `end`.
    struct kept {
        std::uint64_t least = 0;
        std::size_t end = (std::numeric_limits<std::size_t>::max)();
        SMX_ALWAYS_INLINE bool all() const noexcept { return least == 0; }
        SMX_ALWAYS_INLINE bool has(std::uint64_t key, std::size_t i) const noexcept { return key > least || (key == least && i < end); }
    };

    /// The row, with -inf (scaled) for what does not take part. Where there is a +inf, it counts as 0 and everything else as -inf.
    struct reader {
        using element = T;
        operand_reader<B, T> in;
        T* buffer;
        bool negative, infinite;
        kept which;
        SMX_ALWAYS_INLINE const T* read(std::size_t i, std::size_t n) const noexcept {
            const T* x = in.read(i, n);
            if (which.all() && !infinite) return x;
            select(x, i, n);
            return buffer;
        }
        SMX_NOINLINE void select(const T* x, std::size_t i, std::size_t n) const noexcept {
            const T none = negative ? -minus_infinity<T>() : minus_infinity<T>();
            for (std::size_t l = 0; l < n; ++l) {
                T z = x[l];
                if (infinite) z = !is_finite(z) && is_negative(z) == negative ? T(0) : none;
                buffer[l] = which.has(key_of(z, negative), i + l) ? z : none;
            }
        }
    };

    struct row_of_job {
        const job& j;
        const vocabulary::sampling_call& call;
        const scaling<T>& s;
        const operand& in;
        reader from;
        T* terms;  // room for a piece
        row_constants<T> constants;
        double total;
    };

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        run_under_default(j);
    }

private:
    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        scaling<T> made;
        const scaling<T>* s = &no_scaling<T>;
        if (j.scale != 1.0) {
            made = make_scaling<T>(j.scale);
            s = &made;
        }
        const vocabulary::sampling_call& call = *static_cast<const vocabulary::sampling_call*>(j.op[v::call].data);
        std::uint64_t number = 0;
        for_each_row(j, [&](const operand* op, std::size_t) SMX_INLINE_LAMBDA { row(j, op, call, *s, number++); });
    }

    static SMX_NOINLINE void row(const job& j, const operand* op, const vocabulary::sampling_call& call, const scaling<T>& s, std::uint64_t number) noexcept {
        alignas(64) T copy[piece_elements<T>];
        alignas(64) T selected[piece_elements<T>];
        alignas(64) T terms[piece_elements<T>];
        row_of_job r{j, call, s, op[v::in], {{op[v::in], copy}, selected, s.negative, false, {}}, terms, {}, 0};
        if (j.length == 0 || !take_maximum(r) || !select(r)) {
            if (j.function == function::sample) return put_index(op[v::out], ~std::uint64_t(0));
            for (std::size_t i = 0; i < j.length; ++i) put_nan(op[v::out], i);
            return;
        }
        if (j.function == function::sample) {
            const double u = op[v::u] ? number_at<double>(op[v::u].data, op[v::u].type) : unit_of_bits(random_bits(call.seed, number));
            return put_index(op[v::out], is_finite(r.constants.max) ? index_of(r, u) : ~std::uint64_t(0));
        }
        if (!is_finite(r.constants.max)) return put_nothing(op[v::out], 0, j.length, false);
        const operand_writer<B, T> to{op[v::out], terms};
        const bool number_row = sizeof(T) == 4 && size_of(op[v::out].type) == 2
                                    ? kernel::template softmax_through_buffer<half_of>(r.from, to, j.length, terms, r.constants, s)
                                    : kernel::template softmax_through_buffer<precision::full>(r.from, to, j.length, terms, r.constants, s);
        for (std::size_t i = 0; i < j.length && !number_row; ++i) put_nan(op[v::out], i);
    }
    static constexpr precision half_of = sizeof(T) == 4 ? precision::half : precision::full;

    /// False: the results are NaN. The maximum is -inf where nothing can be chosen.
    static SMX_ALWAYS_INLINE bool take_maximum(row_of_job& r) noexcept {
        if (kernel::find_constants(r.from, r.j.length, r.s, r.constants)) return true;
        special_row found;
        for (std::size_t i = 0; i < r.j.length; ++i) {
            const double x = number_at<double>(moved(r.in.data, static_cast<std::ptrdiff_t>(i) * r.in.step), r.in.type);
            if (is_nan(x)) found.nan = true;
            else if (!is_finite(x) && is_negative(x) == r.s.negative) ++found.infinities;
        }
        if (found.nan || r.j.special == special_values::ieee) return false;
        r.constants.max = minus_infinity<T>();
        if (found.infinities == 0) return true;
        r.from.infinite = true;
        return kernel::find_constants(r.from, r.j.length, r.s, r.constants);
    }

    /// Finds out what takes part. False: there is a NaN.
    static SMX_NOINLINE bool select(row_of_job& r) noexcept {
        if (!is_finite(r.constants.max)) return true;
        const std::size_t k = r.call.top_k;
        if (k != 0 && k < r.j.length && !take_top_k(r, k)) return false;
        const bool sum_needed = r.j.function == function::sample || r.call.top_p < 1 || r.call.min_p > 0;
        if (!sum_needed) return true;
        r.total = sum_of_terms(r);
        if (sum_is_nan(r.total)) return false;
        if (r.call.top_p < 1) take_top_p(r);
        if (r.call.min_p > 0) take_min_p(r);
        if (r.j.function == function::sample && (r.call.top_p < 1 || r.call.min_p > 0)) r.total = sum_of_terms(r);
        return true;
    }

    // ---- sums ---------------------------------------------------------------------------------------------------------

    static SMX_ALWAYS_INLINE double terms_of(row_of_job& r, std::size_t i, std::size_t n) noexcept {
        row_sum<B, T> total;
        const T* x = r.from.read(i, n);
        if (r.constants.general) pass::template add_terms<precision::full, true>(total, x, r.terms, n, r.constants, r.s);
        else pass::template add_terms<precision::full, false>(total, x, r.terms, n, r.constants, r.s);
        return total.result();
    }
    static SMX_NOINLINE double sum_of_terms(row_of_job& r) noexcept {
        double sum = 0;
        for_pieces<T>(r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA { sum = fence(sum + terms_of(r, i, n)); });
        return sum;
    }

    /// Where the running sum of the terms first exceeds u*total; an element whose probability is a normal number.
    static SMX_NOINLINE std::uint64_t index_of(row_of_job& r, double u) noexcept {
        constexpr T smallest = (std::numeric_limits<T>::min)();
        const double target = rounded(u * r.total), least = rounded(static_cast<double>(smallest) * r.total);  // target < total
        double sum = 0;
        for (std::size_t i = 0;; i += piece_elements<T>) {
            const std::size_t n = r.j.length - i < piece_elements<T> ? r.j.length - i : piece_elements<T>;
            const double next = fence(sum + terms_of(r, i, n));
            if (next > target || n == r.j.length - i) {
                std::size_t last = 0;
                for (std::size_t l = 0; l < n && !(sum > target); ++l) {
                    const double term = static_cast<double>(r.terms[l]);
                    if (!(term > least)) continue;
                    last = l;
                    sum = fence(sum + term);
                }
                return i + last;  // if not beyond the target: the two sums differ in their last digits
            }
            sum = next;
        }
    }

    // ---- top_k, top_p, min_p ------------------------------------------------------------------------------------------

    /// f(key, place, term) for what takes part. Without terms: 1 for a NaN, else 0.
    template <bool Terms, class F>
    static SMX_ALWAYS_INLINE void for_each_kept(row_of_job& r, F f) noexcept {
        for_pieces<T>(r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if constexpr (Terms) terms_of(r, i, n);
            const T* x = r.from.read(i, n);
            for (std::size_t l = 0; l < n; ++l) {
                const std::uint64_t key = key_of(x[l], r.s.negative);
                if (r.from.which.has(key, i + l)) f(key, i + l, Terms ? static_cast<double>(r.terms[l]) : is_nan(x[l]) ? 1.0 : 0.0);
            }
        });
    }

    /// The first `count` of those that are equal to the least are kept, all above it, and none below.
    static SMX_NOINLINE void keep(row_of_job& r, std::uint64_t least, std::size_t count) noexcept {
        std::size_t end = 0;
        for_each_kept<false>(r, [&](std::uint64_t key, std::size_t i, double) SMX_INLINE_LAMBDA {
            if (key == least && count != 0) {
                --count;
                end = i + 1;
            }
        });
        r.from.which = {least, end};
    }

    static SMX_NOINLINE bool take_top_k(row_of_job& r, std::size_t k) noexcept {
        std::uint64_t prefix = 0;
        bool nan = false;
        for (int left = key_bits; left > 0;) {
            const int width = left < digit ? left : digit, shift = left - width;
            std::size_t count[digits] = {};
            for_each_kept<false>(r, [&](std::uint64_t key, std::size_t, double is_a_nan) SMX_INLINE_LAMBDA {
                nan = nan || is_a_nan != 0;
                if (left == key_bits || key >> left == prefix) ++count[key >> shift & ((std::size_t(1) << width) - 1)];
            });
            if (nan) return false;
            std::size_t d = (std::size_t(1) << width) - 1;
            for (; d > 0 && k > count[d]; --d) k -= count[d];
            prefix = prefix << width | d;
            left = shift;
        }
        keep(r, prefix, k);
        return true;
    }

    static SMX_NOINLINE void take_top_p(row_of_job& r) noexcept {
        const double target = rounded(r.call.top_p * r.total);
        double above = 0;
        std::uint64_t prefix = 0;
        for (int left = key_bits; left > 0;) {
            const int width = left < digit ? left : digit, shift = left - width;
            double mass[digits] = {};
            for_each_kept<true>(r, [&](std::uint64_t key, std::size_t, double term) SMX_INLINE_LAMBDA {
                double& m = mass[key >> shift & ((std::size_t(1) << width) - 1)];
                if (left == key_bits || key >> left == prefix) m = fence(m + term);
            });
            // The first digit, from above, with which the target is reached; the last one, if sums differ in their last digits.
            std::size_t chosen = digits;
            for (std::size_t d = std::size_t(1) << width; d-- > 0;) {
                if (!(mass[d] > 0)) continue;
                if (chosen != digits) above = fence(above + mass[chosen]);
                chosen = d;
                if (fence(above + mass[d]) >= target) break;
            }
            prefix = prefix << width | chosen;
            left = shift;
        }
        // How many of the last ones, which are all equal.
        std::size_t ties = 0;
        for_each_kept<true>(r, [&](std::uint64_t key, std::size_t, double term) SMX_INLINE_LAMBDA {
            if (key != prefix || (ties != 0 && above >= target)) return;
            ++ties;
            above = fence(above + term);
        });
        keep(r, prefix, ties);
    }

    static SMX_NOINLINE void take_min_p(row_of_job& r) noexcept {
        double most = 0;
        for_each_kept<true>(r, [&](std::uint64_t, std::size_t, double t) SMX_INLINE_LAMBDA { most = t > most ? t : most; });
        const double limit = rounded(most * r.call.min_p);
        std::uint64_t least = ~std::uint64_t(0);
        for_each_kept<true>(r, [&](std::uint64_t key, std::size_t, double t) SMX_INLINE_LAMBDA {
            if (t >= limit && key < least) least = key;
        });
        if (least > r.from.which.least) r.from.which = {least, (std::numeric_limits<std::size_t>::max)()};
    }

    // ---- indices ------------------------------------------------------------------------------------------------------

    /// An index as an integer of any kind; all bits set: none.
    static SMX_ALWAYS_INLINE void put_index(const operand& o, std::uint64_t index) noexcept {
        void* p = const_cast<void*>(o.data);
        const auto as = [&](auto value) SMX_INLINE_LAMBDA { std::memcpy(p, &value, sizeof value); };
        switch (size_of(o.type)) {
            case 1: return as(static_cast<std::uint8_t>(index));
            case 2: return as(static_cast<std::uint16_t>(index));
            case 4: return as(static_cast<std::uint32_t>(index));
            default: return as(index);
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
