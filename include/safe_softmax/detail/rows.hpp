// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/sum.hpp>
#include <safe_softmax/detail/terms.hpp>

#include <utility>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// One row after the other: a pass for the maximum, a pass for terms and their sum, a pass for the results.
// Rows are read and written through contiguous<S> or stepped<S>; length is at least 1.

/// f(i, n) for every pack of a row: n elements from i on, n = lanes but for the last.
template <std::size_t Lanes, class F>
SMX_ALWAYS_INLINE void for_each_pack(std::size_t length, F f) noexcept {
    std::size_t i = 0;
    for (; i + Lanes <= length; i += Lanes) f(i, std::integral_constant<std::size_t, Lanes>{});
    if (i < length) f(i, length - i);
}

template <class P, class Row, class N>
SMX_ALWAYS_INLINE P load_from(const Row& row, std::size_t i, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) return row.template load<P>(i, n);
    else return row.template load<P>(i);
}
template <class P, class Row, class N>
SMX_ALWAYS_INLINE void store_to(const Row& row, std::size_t i, P a, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) row.put(i, a, n);
    else row.put(i, a);
}

/// The largest transform(x); with a NaN in the row, that or NaN.
template <class P, class Row, class F>
SMX_ALWAYS_INLINE typename P::value_type max_of_row(const Row& in, std::size_t length, F transform) noexcept {
    constexpr std::size_t lanes = P::lanes;
    if (length < lanes) {
        const P first = P::broadcast(load_element<typename P::value_type>(in.at(0)));
        return reduce_max(transform(blend_first(in.template load<P>(0, length), first, length)));
    }
    P m0 = transform(in.template load<P>(0));
    P m1 = m0, m2 = m0, m3 = m0;
    std::size_t i = lanes;
    for (; i + 4 * lanes <= length; i += 4 * lanes) {
        m0 = max(m0, transform(in.template load<P>(i)));
        m1 = max(m1, transform(in.template load<P>(i + lanes)));
        m2 = max(m2, transform(in.template load<P>(i + 2 * lanes)));
        m3 = max(m3, transform(in.template load<P>(i + 3 * lanes)));
    }
    for (; i + lanes <= length; i += lanes) m0 = max(m0, transform(in.template load<P>(i)));
    if (i < length) m1 = max(m1, transform(in.template load<P>(length - lanes)));  // some a second time: no harm
    return reduce_max(max(max(m0, m1), max(m2, m3)));
}

template <class P, class Row>
SMX_ALWAYS_INLINE typename P::value_type max_of_row(const Row& in, std::size_t length,
                                                    const scaling<typename P::value_type>& s) noexcept {
    if (s.plain) return max_of_row<P>(in, length, [](P x) SMX_INLINE_LAMBDA { return x; });
    const P first = P::broadcast(s.first);
    return max_of_row<P>(in, length, [first](P x) SMX_INLINE_LAMBDA { return mul(x, first); });
}

/// The sum of term(i, n), in the order of sum.hpp. term gives +0 in the lanes past the end of the row.
template <class B, class P, class F>
SMX_ALWAYS_INLINE double sum_of_row(std::size_t length, F term) noexcept {
    constexpr std::size_t lanes = P::lanes, group = packs_per_group * lanes;
    using full = std::integral_constant<std::size_t, lanes>;
    row_sum<B, typename P::value_type> sum;
    std::size_t i = 0;
    for (; i + group <= length; i += group) {
        const P a0 = term(i, full{}), a1 = term(i + lanes, full{});
        const P a2 = term(i + 2 * lanes, full{}), a3 = term(i + 3 * lanes, full{});
        sum.add_group(add(add(a0, a1), add(a2, a3)));
    }
    if (i < length) {
        const auto rest = [&](std::size_t at) SMX_INLINE_LAMBDA -> P {
            if (at + lanes <= length) return term(at, full{});
            return at < length ? term(at, length - at) : P::broadcast(0);
        };
        const P a0 = rest(i), a1 = rest(i + lanes);
        const P a2 = rest(i + 2 * lanes), a3 = rest(i + 3 * lanes);
        sum.add_group(add(add(a0, a1), add(a2, a3)));
    }
    return sum.result();
}

template <class P, class N>
SMX_ALWAYS_INLINE P within(P a, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) return blend_first(a, P::broadcast(0), n);
    else return a;
}

/// Terms of a row that wait for their sum, when the output cannot hold them: 16 KiB, which the first cache has room for.
template <class T>
inline constexpr std::size_t waiting_terms = 16384 / sizeof(T);

template <class B, class T, class In, class Out>
class row_kernel {
    using P = pack_t<B, T>;
    template <class S>
    static constexpr bool narrow = sizeof(S) == 2 && sizeof(T) == 4;
    /// Stepped rows take the general path always, which gives the same bits: half the code.
    static constexpr bool only_general = !std::is_same_v<In, contiguous<std::remove_reference_t<decltype(*std::declval<In>().data)>>>;

    static SMX_ALWAYS_INLINE row_constants<T> constants(T max, const recipe<T>& r) noexcept {
        row_constants<T> row = constants_of_row(max, r.scale);
        if (only_general) make_general(row, r.scale);
        return row;
    }

public:
    /// The type of the row's elements in memory decides how exact the exponentials are.
    template <class S>
    static SMX_ALWAYS_INLINE void softmax(const In& in, const Out& out, std::size_t length, const recipe<T>& r) noexcept {
        const T max = max_of_row<P>(in, length, r.scale);
        if (!is_finite(max)) return write_special_row<T, false>(in, out, length, r);
        const row_constants<T> row = constants(max, r);
        const bool nan = row.general ? softmax_finite<S, true>(in, out, length, r, row)
                                     : softmax_finite<S, only_general>(in, out, length, r, row);
        if (nan) fill_nan(out, length);
    }

    static SMX_ALWAYS_INLINE void log_softmax(const In& in, const Out& out, std::size_t length, const recipe<T>& r) noexcept {
        const T max = max_of_row<P>(in, length, r.scale);
        if (!is_finite(max)) return write_special_row<T, true>(in, out, length, r);
        const row_constants<T> row = constants(max, r);
        double log_sum;
        if (!log_of_sum(in, length, r, row, log_sum)) return fill_nan(out, length);
        const P m = P::broadcast(row.max), l = P::broadcast(static_cast<T>(log_sum));
        if (only_general || row.general) {
            const log_of_terms<P, true> result(r.scale, m, l);
            write(in, out, length, result);
        } else if constexpr (!only_general) {
            const log_of_terms<P, false> result(r.scale, m, l);
            if (r.scale.direct.value == 1) write(in, out, length, [&](P x) SMX_INLINE_LAMBDA { return result.unscaled(x); });
            else write(in, out, length, result);
        }
    }

    template <class S>
    static SMX_ALWAYS_INLINE void logsumexp(const In& in, S* out, std::size_t length, const recipe<T>& r) noexcept {
        const T max = max_of_row<P>(in, length, r.scale);
        if (!is_finite(max)) return write_special_total(in, out, length, r);
        const row_constants<T> row = constants(max, r);
        double log_sum;
        if (!log_of_sum(in, length, r, row, log_sum)) return store_nan(out);
        store_exact(out, log_total(log_sum, row, r.scale));
    }

private:
    template <class S, bool General>
    static SMX_ALWAYS_INLINE bool softmax_finite(const In& in, const Out& out, std::size_t length, const recipe<T>& r,
                                                 const row_constants<T>& row) noexcept {
        constexpr precision Q = narrow<S> ? precision::half : precision::full;
        const row_terms<P, General> terms(r.scale, P::broadcast(row.magic), P::broadcast(row.offset));
        if constexpr (std::is_same_v<S, T>) {
            return through<Q>(in, out, out, length, terms);
        } else {
            alignas(64) T buffer[waiting_terms<T>];
            if (length <= waiting_terms<T>) return through<Q>(in, contiguous<T>{buffer}, out, length, terms);
            const double sum = sum_of_row<B, P>(length, [&](std::size_t i, auto n) SMX_INLINE_LAMBDA {
                return within(terms.template operator()<Q>(load_from<P>(in, i, n)), n);
            });
            if (sum_is_nan(sum)) return true;
            const P share = P::broadcast(static_cast<T>(1.0 / sum));
            write(in, out, length, [&](P x) SMX_INLINE_LAMBDA { return mul(terms.template operator()<Q>(x), share); });
            return false;
        }
    }

    /// Terms into `waiting` while they are summed, from there, scaled, into out. Tells whether there was a NaN.
    template <precision Q, class Waiting, class Terms>
    static SMX_ALWAYS_INLINE bool through(const In& in, const Waiting& waiting, const Out& out, std::size_t length,
                                          const Terms& terms) noexcept {
        const double sum = sum_of_row<B, P>(length, [&](std::size_t i, auto n) SMX_INLINE_LAMBDA {
            const P term = within(terms.template operator()<Q>(load_from<P>(in, i, n)), n);
            store_to(waiting, i, term, n);
            return term;
        });
        if (sum_is_nan(sum)) return true;
        const P share = P::broadcast(static_cast<T>(1.0 / sum));
        write(waiting, out, length, [share](P term) SMX_INLINE_LAMBDA { return mul(term, share); });
        return false;
    }

    /// False if there was a NaN.
    static SMX_ALWAYS_INLINE bool log_of_sum(const In& in, std::size_t length, const recipe<T>& r, const row_constants<T>& row,
                                             double& log_sum) noexcept {
        std::size_t ties = 0;
        const double rest = row.general ? sum_below_max<true>(in, length, r, row, ties)
                                        : sum_below_max<only_general>(in, length, r, row, ties);
        if (sum_is_nan(rest)) return false;
        log_sum = log_sum_exp_of(rest, static_cast<double>(ties), row, r.scale);
        return true;
    }

    template <bool General>
    static SMX_ALWAYS_INLINE double sum_below_max(const In& in, std::size_t length, const recipe<T>& r,
                                                  const row_constants<T>& row, std::size_t& ties) noexcept {
        const row_terms<P, General> terms(r.scale, P::broadcast(row.magic), P::broadcast(row.offset));
        const P max = terms.logit_of_max(P::broadcast(row.max));
        const P first = P::broadcast(load_element<T>(in.at(0)));
        std::size_t equal = 0, padding = 0;
        const double rest = sum_of_row<B, P>(length, [&](std::size_t i, auto n) SMX_INLINE_LAMBDA {
            P x = load_from<P>(in, i, n);
            if constexpr (std::is_same_v<decltype(n), std::size_t>) {
                x = blend_first(x, first, n);
                padding = P::lanes - n;
            }
            const P z = terms.logit(x);
            equal += count_equal(z, max);
            return within(zero_where_equal(terms.template of_logit<precision::full>(z), z, max), n);
        });
        if (padding != 0 && count_equal(terms.logit(first), max) != 0) equal -= padding;
        ties = equal;
        return rest;
    }

    template <class From, class F>
    static SMX_ALWAYS_INLINE void write(const From& from, const Out& out, std::size_t length, F f) noexcept {
        for_each_pack<P::lanes>(length, [&](std::size_t i, auto n) SMX_INLINE_LAMBDA { store_to(out, i, f(load_from<P>(from, i, n)), n); });
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
