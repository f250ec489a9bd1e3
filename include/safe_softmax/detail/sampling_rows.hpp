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
/// Nothing is sorted and nothing allocated: the smallest logit that is kept is found by bisection, each step one pass that counts (top_k) or
/// adds up (top_p) what is at or above a threshold, until the few logits that are still in question fit on the stack. Of logits that are equal
/// to the smallest the first ones are kept.
template <class B, class T>
class sampling_rows {
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    using v = vocabulary::sampling;
    using function = vocabulary::job_function;
    using P = pack_t<B, T>;
    using bits = typename float_bits<T>::type;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr bits sign_bit = bits(1) << (8 * sizeof(T) - 1);
    static constexpr std::size_t everywhere = (std::numeric_limits<std::size_t>::max)();

    /// Numbers in their order, without a sign; the two zeros are one.
    static SMX_ALWAYS_INLINE bits key_of(T z) noexcept {
        const bits m = magnitude_bits(z);
        return is_negative(z) ? sign_bit - m : sign_bit + m;
    }
    static SMX_ALWAYS_INLINE T number_of(bits key) noexcept {
        return from_bits<T>(key >= sign_bit ? key - sign_bit : sign_bit | (sign_bit - key));
    }

    /// Which logits take part: those above `least`, and those equal to it before place `end`. Logits with the sign of the scale.
    struct kept {
        T least = minus_infinity<T>();
        std::size_t end = everywhere;
        bool all = true;
    };

    /// The row, with -inf (scaled) for what does not take part. Where there is a +inf, it counts as 0 and everything else as -inf.
    struct reader {
        using element = T;
        operand_reader<B, T> in;
        T* buffer;
        bool negative, infinite;
        kept which;
        SMX_ALWAYS_INLINE const T* read(std::size_t i, std::size_t n) const noexcept {
            if (which.all) return read_all(i, n);
            select(read_all(i, n), i, n);
            return buffer;
        }
        /// Whether or not they take part.
        SMX_ALWAYS_INLINE const T* read_all(std::size_t i, std::size_t n) const noexcept {
            const T* x = in.read(i, n);
            if (!infinite) return x;
            for (std::size_t l = 0; l < n; ++l)
                buffer[l] = !is_finite(x[l]) && is_negative(x[l]) == negative ? T(0) : none();
            return buffer;
        }

    private:
        SMX_ALWAYS_INLINE T none() const noexcept { return negative ? plus_infinity<T>() : minus_infinity<T>(); }
        SMX_NOINLINE void select(const T* x, std::size_t i, std::size_t n) const noexcept {
            const P least = P::broadcast(which.least), zero = P::broadcast(0), low = P::broadcast(lowest<T>);
            const auto selected = [&](P a) SMX_INLINE_LAMBDA {
                const P z = negative ? sub(zero, a) : a;
                const P half = sub(low, zero_where_less(low, z, least)), penalty = add(half, half);  // 0, or -inf
                return negative ? sub(a, penalty) : add(a, penalty);
            };
            std::size_t l = 0;
            for (; l + lanes <= n; l += lanes) store(buffer + l, selected(P::load(x + l)));
            if (l < n) store_partial(buffer + l, selected(P::load_partial(x + l, n - l)), n - l);
            if (which.end >= i + n) return;
            const T last = negative ? -which.least : which.least;
            for (l = which.end > i ? which.end - i : 0; l < n; ++l)
                if (buffer[l] == last) buffer[l] = none();
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

    static SMX_NOINLINE void row(const job& j, const operand* op, const vocabulary::sampling_call& call,
                                 const scaling<T>& s, std::uint64_t number) noexcept {
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
            const double u = op[v::u] ? number_at<double>(op[v::u].data, op[v::u].type)
                                      : unit_of_bits(random_bits(call.seed, number));
            return put_index(op[v::out], is_finite(r.constants.max) ? index_of(r, u) : ~std::uint64_t(0));
        }
        if (!is_finite(r.constants.max)) return put_nothing(op[v::out], 0, j.length, false);
        if (j.length == 1) return put_number(op[v::out], 0, 1);  // not 1 less a rounding
        const operand_writer<B, T> to{op[v::out], terms};
        const bool number_row =
            sizeof(T) == 4 && size_of(op[v::out].type) == 2
                ? kernel::template softmax_through_buffer<half_of>(r.from, to, j.length, {terms}, r.constants, s)
                : kernel::template softmax_through_buffer<precision::full>(r.from, to, j.length, {terms}, r.constants,
                                                                           s);
        for (std::size_t i = 0; i < j.length && !number_row; ++i) put_nan(op[v::out], i);
    }
    static constexpr precision half_of = sizeof(T) == 4 ? precision::half : precision::full;

    /// False: the results are NaN. The maximum is -inf where nothing can be chosen.
    static SMX_ALWAYS_INLINE bool take_maximum(row_of_job& r) noexcept {
        const bool as_softmax = by_octaves<detail::function::softmax>(r.j.length);
        if (kernel::find_constants(r.from, r.j.length, r.s, r.constants, as_softmax)) return true;
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
        return kernel::find_constants(r.from, r.j.length, r.s, r.constants, as_softmax);
    }

    /// Finds out what takes part. False: there is a NaN.
    static SMX_NOINLINE bool select(row_of_job& r) noexcept {
        if (!is_finite(r.constants.max)) return true;
        const bool by_k = r.call.top_k != 0 && r.call.top_k < r.j.length, by_p = r.call.top_p < 1,
                   by_share = r.call.min_p > 0;
        if (by_k) {
            double above = 0;
            std::size_t count = 0;
            measure<false>(r, infinity_bits<T> + sign_bit, above, count);
            if (count != 0) return false;  // the maximum is finite, so this is a NaN
            take<false>(r, static_cast<double>(r.call.top_k));
        }
        if (by_p) {
            r.total = sum_of_terms(r);
            if (sum_is_nan(r.total)) return false;
            take<true>(r, rounded(r.call.top_p * r.total));
        }
        if (by_share) take_min_p(r);
        if (r.j.function != function::sample && (by_k || by_p || !by_share)) return true;
        r.total = sum_of_terms(r);
        return !sum_is_nan(r.total);
    }

    // ---- sums ---------------------------------------------------------------------------------------------------------

    static SMX_ALWAYS_INLINE double terms_of(row_of_job& r, std::size_t i, std::size_t n) noexcept {
        return compute_terms(r, r.from.read(i, n), n);
    }
    static SMX_ALWAYS_INLINE double compute_terms(row_of_job& r, const T* x, std::size_t n) noexcept {
        row_sum<B, T> total;
        if (r.constants.general)
            pass::template add_terms<precision::full, true>(total, x, r.terms, n, r.constants, r.s);
        else pass::template add_terms<precision::full, false>(total, x, r.terms, n, r.constants, r.s);
        return total.result();
    }
    static SMX_NOINLINE double sum_of_terms(row_of_job& r) noexcept {
        double sum = 0;
        for_pieces<T>(0, r.j.length,
                      [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA { sum = fence(sum + terms_of(r, i, n)); });
        return sum;
    }

    /// Where the running sum of the terms first exceeds u*total; an element whose probability is a normal number.
    static SMX_NOINLINE std::uint64_t index_of(row_of_job& r, double u) noexcept {
        constexpr T smallest = (std::numeric_limits<T>::min)();
        const double target = rounded(u * r.total),
                     least = rounded(static_cast<double>(smallest) * r.total);  // target < total
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

    /// How many logits have this key or a larger one, and the sum of their terms (without Terms: their number).
    template <bool Terms>
    static SMX_NOINLINE void measure(row_of_job& r, bits key, double& mass, std::size_t& count) noexcept {
        const P limit = P::broadcast(number_of(key)), zero = P::broadcast(0), one = P::broadcast(1),
                none = P::broadcast(minus_infinity<T>());
        row_sum<B, T> total;
        count = 0;
        for_pieces<T>(0, r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* x = r.from.read_all(i, n);
            if constexpr (Terms) compute_terms(r, x, n);
            P found = zero;
            for (std::size_t l = 0; l < n; l += packs_per_group * lanes) {
                P a[packs_per_group] = {zero, zero, zero, zero};
                for (std::size_t k = 0; k < packs_per_group && l + k * lanes < n; ++k) {
                    const std::size_t at = l + k * lanes, left = n - at;
                    P z = left >= lanes ? P::load(x + at) : P::load_partial(x + at, left);
                    if (r.s.negative) z = sub(zero, z);
                    if (left < lanes) z = blend_first(z, none, left);
                    found = add(found, zero_where_less(one, z, limit));
                    if constexpr (Terms)
                        a[k] = zero_where_less(
                            left >= lanes ? P::load(r.terms + at) : P::load_partial(r.terms + at, left), z, limit);
                }
                if constexpr (Terms) total.add_group(sum_of_group(a));
            }
            T lane[lanes];
            store(lane, found);
            for (std::size_t l = 0; l < lanes; ++l) count += static_cast<std::size_t>(lane[l]);
        });
        if constexpr (Terms) mass = total.result();
        else mass = static_cast<double>(count);
    }

    /// Keeps the fewest of the largest logits whose mass (number, terms) reaches the target.
    template <bool Terms>
    static SMX_NOINLINE void take(row_of_job& r, double target) noexcept {
        // The mass from `low` on reaches the target, that from `high` on does not.
        T top = 0, bottom = 0;
        const scaling<T>& up = sign_scaling(r.s.negative);
        const scaling<T>& down = sign_scaling(!r.s.negative);
        for_pieces<T>(0, r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* x = r.from.read_all(i, n);
            const T most = pass::largest(x, n, up), least = -pass::largest(x, n, down);
            top = i == 0 || top < most ? most : top;
            bottom = i == 0 || least < bottom ? least : bottom;
        });
        bits low = key_of(bottom), high = key_of(top) + 1;
        if (!r.from.which.all && key_of(r.from.which.least) > low) low = key_of(r.from.which.least);
        double above = 0;
        std::size_t from_low = r.j.length, from_high = 0;
        if (!r.from.which.all) {
            double unused;
            measure<false>(r, low, unused, from_low);
        }
        for (bool by_value = true; high - low > 1 && from_low - from_high > candidates; by_value = !by_value) {
            bits middle = low + (high - low) / 2;
            if (by_value && is_finite(number_of(low)) && is_finite(number_of(high))) {
                const bits m = key_of(fence(fence(number_of(low) / 2) + fence(number_of(high) / 2)));
                if (m > low && m < high) middle = m;
            }
            double mass;
            std::size_t count;
            measure<Terms>(r, middle, mass, count);
            if (mass >= target) {
                low = middle;
                from_low = count;
            } else {
                high = middle;
                from_high = count;
                above = mass;
            }
        }
        if (high - low > 1) settle<Terms>(r, target, low, high, above);
        take_ties<Terms>(r, target, low, above);
    }
    static constexpr std::size_t candidates = 512;

    static SMX_ALWAYS_INLINE const scaling<T>& sign_scaling(bool negative) noexcept {
        static constexpr scaling<T> turned = make_scaling<T>(-1.0);
        return negative ? turned : no_scaling<T>;
    }

    /// The same among the few between low and high.
    template <bool Terms>
    static SMX_NOINLINE void settle(row_of_job& r, double target, bits& low, bits& high, double& above) noexcept {
        struct {
            bits key;
            double mass;
        } left[candidates];
        std::size_t size = 0;
        const P lowest_kept = P::broadcast(number_of(low)), zero = P::broadcast(0), one = P::broadcast(1);
        for_pieces<T>(0, r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T* x = r.from.read_all(i, n);
            if constexpr (Terms) compute_terms(r, x, n);
            for (std::size_t l = 0; l < n; l += lanes) {
                const std::size_t end = n - l < lanes ? n : l + lanes;
                if (end == l + lanes) {
                    const P z = r.s.negative ? sub(zero, P::load(x + l)) : P::load(x + l);
                    if (reduce_max(zero_where_less(one, z, lowest_kept)) == 0) continue;
                }
                for (std::size_t e = l; e < end; ++e) {
                    const bits key = key_of(r.s.negative ? -x[e] : x[e]);
                    if (key >= low && key < high && size < candidates)
                        left[size++] = {key, Terms ? static_cast<double>(r.terms[e]) : 1.0};
                }
            }
        });
        while (high - low > 1) {
            const bits middle = low + (high - low) / 2;
            double mass = above;
            for (std::size_t e = 0; e < size; ++e)
                if (left[e].key >= middle) mass = fence(mass + left[e].mass);
            const bool reached = mass >= target;
            if (!reached) above = mass;
            (reached ? low : high) = middle;
            std::size_t rest = 0;
            for (std::size_t e = 0; e < size; ++e)
                if ((left[e].key >= middle) == reached) left[rest++] = left[e];
            size = rest;
            if (size == 1) {  // what is left of the target is its
                low = left[0].key;
                high = low + 1;
            }
        }
    }

    /// Those above `key` have a mass that does not reach the target; of those equal to it as many as are needed, one at least.
    template <bool Terms>
    static SMX_NOINLINE void take_ties(row_of_job& r, double target, bits key, double above) noexcept {
        kept found{number_of(key), everywhere, false};
        const bool limited = !r.from.which.all && key_of(r.from.which.least) == key;
        const std::size_t limit = limited ? r.from.which.end : everywhere;
        const P least = P::broadcast(r.s.negative ? -found.least : found.least);
        bool enough = false;
        std::size_t end = 0;
        for_pieces<T>(0, r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (found.end != everywhere) return;
            const T* x = r.from.read_all(i, n);
            bool computed = false;
            for (std::size_t l = 0; l < n && found.end == everywhere; l += lanes) {
                const std::size_t last = n - l < lanes ? n : l + lanes;
                if (last == l + lanes && count_equal(P::load(x + l), least) == 0) continue;
                for (std::size_t e = l; e < last && found.end == everywhere; ++e) {
                    if (key_of(r.s.negative ? -x[e] : x[e]) != key) continue;
                    if (enough || i + e >= limit) {
                        found.end = end;  // there are more of them than are kept
                        break;
                    }
                    if (Terms && !computed) compute_terms(r, x, n);
                    computed = true;
                    end = i + e + 1;
                    above = fence(above + (Terms ? static_cast<double>(r.terms[e]) : 1.0));
                    enough = above >= target;
                }
            }
        });
        r.from.which = found;
    }

    /// The least logit whose term is at least min_p times the largest; the exponential alone is asked, not the row.
    static SMX_NOINLINE void take_min_p(row_of_job& r) noexcept {
        const auto term_at = [&](bits key) SMX_INLINE_LAMBDA {
            const T x = r.s.negative ? -number_of(key) : number_of(key);
            compute_terms(r, &x, 1);
            return static_cast<double>(r.terms[0]);
        };
        T top = 0;
        for_pieces<T>(0, r.j.length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T most = pass::largest(r.from.read_all(i, n), n, sign_scaling(r.s.negative));
            top = i == 0 || top < most ? most : top;
        });
        bits low = key_of(minus_infinity<T>()), high = key_of(top);
        const double limit = rounded(term_at(high) * r.call.min_p);
        while (high - low > 1) {
            const bits middle = low + (high - low) / 2;
            (term_at(middle) >= limit ? high : low) = middle;
        }
        if (r.from.which.all || number_of(high) > r.from.which.least)
            r.from.which = {number_of(high), everywhere, false};
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
