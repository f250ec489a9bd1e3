// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/passes.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Rows that lie next to each other in memory (an axis that is not the last): a lane for each row, K packs of rows at a
// time, each with its own maximum, constants and sum, added up in the order of sum.hpp.

/// Packs of rows in a full tile: four registers.
template <class P>
inline constexpr std::size_t packs_per_tile = P::registers >= 4 ? 1 : 4 / P::registers;

/// The sums of K packs of rows: an accumulator for each of the lanes that one row would have.
template <class B, class T, std::size_t K>
class column_sums {
    using P = pack_t<B, T>;
    using D = typename B::f64;
    static constexpr bool narrow = sizeof(T) == 4;
    static constexpr std::size_t rows = K * P::lanes;

public:
    static constexpr std::size_t lanes = P::lanes;

    SMX_ALWAYS_INLINE column_sums() noexcept {
        for (auto& lane : first_)
            for (D& sum : lane) sum = D::broadcast(0);
        for (auto& lane : second_)
            for (D& sum : lane) sum = D::broadcast(0);
    }

    /// One group's sum of the elements of `lane`, for the rows of pack k.
    SMX_ALWAYS_INLINE void add_group(std::size_t lane, std::size_t k, P s) noexcept {
        if constexpr (narrow) {  // first: rows 0, 2, 4, …; second: rows 1, 3, 5, …
            first_[lane][k] = add(first_[lane][k], even_as_double(s));
            second_[lane][k] = add(second_[lane][k], odd_as_double(s));
        } else {  // first: sums; second: what they rounded away
            D error;
            first_[lane][k] = two_sum(first_[lane][k], s, error);
            second_[lane][k] = add(second_[lane][k], error);
        }
    }

    /// The sum of each row.
    SMX_ALWAYS_INLINE void result(double (&sum)[rows]) noexcept {
        for (std::size_t k = 0; k < K; ++k) {
            if constexpr (narrow) {
                double even[D::lanes], odd[D::lanes];
                store(even, fold(first_, k));
                store(odd, fold(second_, k));
                for (std::size_t l = 0; l < D::lanes; ++l) {
                    sum[k * lanes + 2 * l] = even[l] * 0x1p896;
                    sum[k * lanes + 2 * l + 1] = odd[l] * 0x1p896;
                }
            } else {
                for (std::size_t half = lanes / 2; half > 0; half /= 2) {
                    for (std::size_t l = 0; l < half; ++l) {
                        D lost;
                        first_[l][k] = two_sum(first_[l][k], first_[l + half][k], lost);
                        second_[l][k] = add(add(second_[l][k], second_[l + half][k]), lost);
                    }
                }
                store(sum + k * lanes, add(first_[0][k], second_[0][k]));
            }
        }
    }

private:
    /// Lane 2l with lane 2l+1, then by halving: what row_sum does with its two accumulators.
    static SMX_ALWAYS_INLINE D fold(D (&lane)[lanes][K], std::size_t k) noexcept {
        D pair[lanes / 2];
        for (std::size_t l = 0; l < lanes / 2; ++l) pair[l] = add(lane[2 * l][k], lane[2 * l + 1][k]);
        for (std::size_t half = lanes / 4; half > 0; half /= 2)
            for (std::size_t l = 0; l < half; ++l) pair[l] = add(pair[l], pair[l + half]);
        return pair[0];
    }

    D first_[lanes][K], second_[lanes][K];
};

/// K packs of neighbouring rows; `count` of them, K * lanes but for the last tile, which has K = 1.
template <class B, class T, class S, class O, std::size_t K>
class column_tile {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes, rows = K * lanes;
    static constexpr precision Q = sizeof(O) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

    side<const S> in_;
    side<O> out_;
    std::size_t length_, count_;
    const recipe<T>& recipe_;

    struct constants {
        T max[rows], magic[rows], offset[rows];
        row_constants<T> row[rows];
        bool general = false, special = false;
    };

public:
    SMX_ALWAYS_INLINE column_tile(side<const S> in, side<O> out, std::size_t length, std::size_t count,
                                  const recipe<T>& r) noexcept
        : in_(in), out_(out), length_(length), count_(count), recipe_(r) {}

    /// False if a row needs the special path; then nothing has been written.
    SMX_NOINLINE bool softmax() noexcept {
        constants c;
        find_constants(c);
        if (c.special) return false;
        c.general ? softmax_finite<true>(c) : softmax_finite<false>(c);
        return true;
    }
    SMX_NOINLINE bool log_softmax() noexcept {
        constants c;
        find_constants(c);
        if (c.special) return false;
        c.general ? log_softmax_finite<true>(c) : log_softmax_finite<false>(c);
        return true;
    }
    SMX_NOINLINE bool logsumexp() noexcept {
        constants c;
        find_constants(c);
        if (c.special) return false;
        double log_sum[rows];
        bool nan[rows];
        c.general ? log_sums<true>(c, log_sum, nan) : log_sums<false>(c, log_sum, nan);
        for (std::size_t j = 0; j < count_; ++j) {
            if (nan[j]) store_nan(out_.data + j);
            else store_exact(out_.data + j, log_total(log_sum[j], c.row[j], recipe_.scale));
        }
        return true;
    }

private:
    SMX_ALWAYS_INLINE P load(std::size_t i, std::size_t k) const noexcept {
        const S* p = in_.data + static_cast<std::ptrdiff_t>(i) * in_.step + k * lanes;
        return K == 1 && count_ < lanes ? P::load_partial(p, count_) : P::load(p);
    }
    SMX_ALWAYS_INLINE P load_term(std::size_t i, std::size_t k) const noexcept {
        const O* p = out_.data + static_cast<std::ptrdiff_t>(i) * out_.step + k * lanes;
        return K == 1 && count_ < lanes ? P::load_partial(p, count_) : P::load(p);
    }
    SMX_ALWAYS_INLINE void put(std::size_t i, std::size_t k, P a) const noexcept {
        O* p = out_.data + static_cast<std::ptrdiff_t>(i) * out_.step + k * lanes;
        if (K == 1 && count_ < lanes) store_partial(p, a, count_);
        else store(p, a);
    }

    SMX_NOINLINE void find_constants(constants& c) const noexcept {
        const scaling<T>& s = recipe_.scale;
        const P first = P::broadcast(s.plain ? T(1) : s.first);
        P m[K];
        for (std::size_t k = 0; k < K; ++k) m[k] = mul(load(0, k), first);
        for (std::size_t i = 1; i < length_; ++i)
            for (std::size_t k = 0; k < K; ++k) m[k] = max(m[k], mul(load(i, k), first));
        for (std::size_t k = 0; k < K; ++k) store(c.max + k * lanes, m[k]);
        for (std::size_t j = 0; j < rows; ++j) {
            c.row[j] = constants_of_row(c.max[j], s);
            c.general |= c.row[j].general;
            c.special |= !is_finite(c.max[j]);
        }
        for (std::size_t j = 0; j < rows; ++j) {
            if (c.general) make_general(c.row[j], s);  // the whole tile takes one path
            c.max[j] = c.row[j].max;
            c.magic[j] = c.row[j].magic;
            c.offset[j] = c.row[j].offset;
        }
    }

    template <bool General>
    SMX_ALWAYS_INLINE row_terms<P, General> terms_of(const constants& c, std::size_t k) const noexcept {
        return row_terms<P, General>(recipe_.scale, P::load(c.magic + k * lanes), P::load(c.offset + k * lanes));
    }

    /// Adds up term(i, k) for every row.
    template <class F>
    SMX_ALWAYS_INLINE void sum(double (&total)[rows], F term) const noexcept {
        constexpr std::size_t group = packs_per_group * lanes;
        column_sums<B, T, K> sums;
        std::size_t start = 0;
        for (; start + group <= length_; start += group) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const std::size_t i = start + lane;
                for (std::size_t k = 0; k < K; ++k) {
                    const P a0 = term(i, k), a1 = term(i + lanes, k), a2 = term(i + 2 * lanes, k), a3 = term(i + 3 * lanes, k);
                    sums.add_group(lane, k, add(add(a0, a1), add(a2, a3)));
                }
            }
        }
        for (std::size_t lane = 0; lane < lanes && start + lane < length_; ++lane) {
            for (std::size_t k = 0; k < K; ++k) {
                P a[packs_per_group] = {P::broadcast(0), P::broadcast(0), P::broadcast(0), P::broadcast(0)};
                for (std::size_t i = start + lane, q = 0; i < length_; i += lanes, ++q) a[q] = term(i, k);
                sums.add_group(lane, k, add(add(a[0], a[1]), add(a[2], a[3])));
            }
        }
        sums.result(total);
    }

    template <bool General>
    SMX_NOINLINE void softmax_finite(const constants& c) noexcept {
        double total[rows];
        T share[rows];
        sum(total, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA {
            const P term = terms_of<General>(c, k).template operator()<Q>(load(i, k));
            if constexpr (std::is_same_v<O, T>) put(i, k, term);
            return term;
        });
        bool any_nan = false;
        for (std::size_t j = 0; j < rows; ++j) {
            share[j] = static_cast<T>(1.0 / total[j]);
            any_nan |= sum_is_nan(total[j]);
        }
        for (std::size_t i = 0; i < length_; ++i) {
            for (std::size_t k = 0; k < K; ++k) {
                const P r = P::load(share + k * lanes);
                if constexpr (std::is_same_v<O, T>) put(i, k, mul(load_term(i, k), r));
                else put(i, k, mul(terms_of<General>(c, k).template operator()<Q>(load(i, k)), r));
            }
        }
        for (std::size_t j = 0; any_nan && j < count_; ++j)
            if (sum_is_nan(total[j])) fill_nan(stepped<O>{out_.data + j, out_.step}, length_);
    }

    template <bool General>
    SMX_NOINLINE void log_sums(const constants& c, double (&log_sum)[rows], bool (&nan)[rows]) const noexcept {
        double rest[rows];
        double ties[rows] = {};
        P equal[K];
        for (P& e : equal) e = P::broadcast(0);
        const P one = P::broadcast(1);
        std::size_t counted = 0;
        const auto flush = [&]() SMX_INLINE_LAMBDA {  // float counts to 2^24
            T lane[lanes];
            for (std::size_t k = 0; k < K; ++k) {
                store(lane, equal[k]);
                for (std::size_t l = 0; l < lanes; ++l) ties[k * lanes + l] += static_cast<double>(lane[l]);
                equal[k] = P::broadcast(0);
            }
            counted = 0;
        };
        sum(rest, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA {
            const row_terms<P, General> terms = terms_of<General>(c, k);
            const P top = terms.logit_of_max(P::load(c.max + k * lanes));
            const P z = terms.logit(load(i, k));
            equal[k] = add(equal[k], sub(one, zero_where_equal(one, z, top)));
            if (++counted == std::size_t(1) << 23) flush();
            return zero_where_equal(terms.template of_logit<precision::full>(z), z, top);
        });
        flush();
        for (std::size_t j = 0; j < rows; ++j) {
            nan[j] = sum_is_nan(rest[j]);
            log_sum[j] = nan[j] ? 0 : log_sum_exp_of(rest[j], ties[j], c.row[j], recipe_.scale);
        }
    }

    template <bool General>
    SMX_NOINLINE void log_softmax_finite(const constants& c) noexcept {
        double log_sum[rows];
        bool nan[rows];
        log_sums<General>(c, log_sum, nan);
        T narrow_log_sum[rows];
        for (std::size_t j = 0; j < rows; ++j) narrow_log_sum[j] = static_cast<T>(log_sum[j]);
        for (std::size_t i = 0; i < length_; ++i) {
            for (std::size_t k = 0; k < K; ++k) {
                const log_of_terms<P, General> result(recipe_.scale, P::load(c.max + k * lanes), P::load(narrow_log_sum + k * lanes));
                put(i, k, result(load(i, k)));
            }
        }
        for (std::size_t j = 0; j < count_; ++j)
            if (nan[j]) fill_nan(stepped<O>{out_.data + j, out_.step}, length_);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
