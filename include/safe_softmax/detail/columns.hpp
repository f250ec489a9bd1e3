// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/log_of_rows.hpp>
#include <safe_softmax/detail/passes.hpp>
#include <safe_softmax/simd/prefetch.hpp>

#include <utility>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Rows that lie next to each other in memory (an axis that is not the last): a lane for each row, K packs of rows at a
// time, each with its own maximum, constants and sum, added up in the order of sum.hpp.

/// f(0), ..., f(N - 1), as so many statements.
template <std::size_t N, class F, std::size_t... Each>
SMX_ALWAYS_INLINE void unrolled_over(F f, std::index_sequence<Each...>) noexcept {
    (f(Each), ...);
}
template <std::size_t N, class F>
SMX_ALWAYS_INLINE void unrolled(F f) noexcept {
    unrolled_over<N>(f, std::make_index_sequence<N>());
}

/// Packs of rows in a full tile: four registers.
template <class P>
inline constexpr std::size_t packs_per_tile = P::registers >= 4 ? 1 : 4 / P::registers;

/// Sums of neighbouring rows, those with even numbers and those with odd ones, times 2^-896: see even_as_double.
template <class D>
SMX_ALWAYS_INLINE void store_interleaved(double* to, D even_sums, D odd_sums) noexcept {
    double even[D::lanes], odd[D::lanes];
    store(even, even_sums);
    store(odd, odd_sums);
    for (std::size_t l = 0; l < D::lanes; ++l) {
        to[2 * l] = even[l] * 0x1p896;
        to[2 * l + 1] = odd[l] * 0x1p896;
    }
}

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

    /// The sum of each row: its head and, for double, its tail.
    SMX_ALWAYS_INLINE void parts(double* head, double* tail) noexcept {
        for (std::size_t k = 0; k < K; ++k) {
            if constexpr (narrow) {
                store_interleaved(head + k * lanes, fold(first_, k), fold(second_, k));
            } else {
                for (std::size_t half = lanes / 2; half > 0; half /= 2) {
                    for (std::size_t l = 0; l < half; ++l) {
                        D lost;
                        first_[l][k] = two_sum(first_[l][k], first_[l + half][k], lost);
                        second_[l][k] = add(add(second_[l][k], second_[l + half][k]), lost);
                    }
                }
                store(head + k * lanes, first_[0][k]);
                store(tail + k * lanes, second_[0][k]);
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

/// K packs of neighbouring rows of input; `count` rows, K * lanes of them but for the last tile, which has K = 1.
template <class B, class T, class S, std::size_t K>
class column_input {
public:
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes, rows = K * lanes;
    static constexpr bool narrow = sizeof(T) == 4;

    struct constants {
        T max[rows], offset[rows], magic[rows], k_max[rows];
        bool general = false, special = false;  ///< one row needs that: then the whole tile takes this path

        SMX_ALWAYS_INLINE row_constants<T> of_row(std::size_t j) const noexcept {
            return {max[j], offset[j], magic[j], k_max[j], general};
        }
    };

    /// From logits to terms, for each pack of rows.
    template <bool General>
    class all_terms {
    public:
        SMX_ALWAYS_INLINE all_terms(const column_input& in, const constants& c) noexcept
            : all_terms(in, c, std::make_index_sequence<K>()) {}
        SMX_ALWAYS_INLINE const row_terms<P, General>& operator[](std::size_t k) const noexcept { return terms_[k]; }

    private:
        template <std::size_t... Each>
        SMX_ALWAYS_INLINE all_terms(const column_input& in, const constants& c, std::index_sequence<Each...>) noexcept
            : terms_{row_terms<P, General>(in.scale_, P::load(c.magic + Each * lanes),
                                           P::load(c.offset + Each * lanes))...} {}
        row_terms<P, General> terms_[K];
    };

    SMX_ALWAYS_INLINE column_input(const S* data, std::ptrdiff_t step, std::size_t length, std::size_t count,
                                   const scaling<T>& s) noexcept
        : data_(data), step_(step), length_(length), count_(count), scale_(s) {}

    /// octaves: see by_octaves in recipe.hpp.
    SMX_NOINLINE void find_constants(constants& c, bool octaves) const noexcept {
        const P first = P::broadcast(scale_.plain ? T(1) : scale_.first);
        const column_input in = *this;
        P m[K];
        unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA { m[k] = mul(in.load(0, k), first); });
        P odd[K];
        unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA { odd[k] = m[k]; });
        std::size_t i = 1;
        for (; i + 2 <= in.length_; i += 2) {
            unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA { m[k] = maximum(m[k], mul(in.load(i, k), first)); });
            unrolled<K>([&](std::size_t k)
                            SMX_INLINE_LAMBDA { odd[k] = maximum(odd[k], mul(in.load(i + 1, k), first)); });
        }
        if (i < in.length_)
            unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA { m[k] = maximum(m[k], mul(in.load(i, k), first)); });
        unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA { m[k] = maximum(m[k], odd[k]); });
        if (plain_constants(m, c, octaves)) return;
        for (std::size_t k = 0; k < K; ++k) store(c.max + k * lanes, m[k]);
        row_constants<T> row[rows];
        for (std::size_t j = 0; j < rows; ++j) {
            row[j] = constants_of_row(c.max[j], scale_, octaves);
            c.general |= row[j].general;
            c.special |= !is_finite(c.max[j]);
        }
        for (std::size_t j = 0; j < rows; ++j) {
            if (c.general) make_general(row[j], scale_);
            c.max[j] = row[j].max;
            c.offset[j] = row[j].offset;
            c.magic[j] = row[j].magic;
            c.k_max[j] = row[j].k_max;
        }
    }

    /// The sum of every row; each term goes to visit(i, k, term) as well.
    template <precision Q, bool General, class F>
    SMX_ALWAYS_INLINE void sum_terms(const constants& c, double (&total)[rows], F visit) const noexcept {
        // Here and below: that the compiler knows that what is written does not change it.
        const column_input in = *this;
        const all_terms<General> terms(in, c);
        in.sum(total, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA {
            const P term = terms[k].template operator()<Q>(in.load(i, k));
            visit(i, k, term);
            return term;
        });
    }

    /// log(sum of exp(z - max z)) of every row; nan tells where there is a NaN.
    template <bool General>
    SMX_NOINLINE void log_sums(const constants& c, double (&log_sum)[rows], bool (&nan)[rows]) const noexcept {
        double rest[rows];
        double ties[rows] = {};
        P equal[K];
        for (P& e : equal) e = P::broadcast(0);
        const P one = P::broadcast(1);
        std::size_t counted = 0;
        const auto flush = [&]() {  // float counts to 2^24
            T lane[lanes];
            for (std::size_t k = 0; k < K; ++k) {
                store(lane, equal[k]);
                for (std::size_t l = 0; l < lanes; ++l) ties[k * lanes + l] += static_cast<double>(lane[l]);
                equal[k] = P::broadcast(0);
            }
            counted = 0;
        };
        const column_input in = *this;
        const all_terms<General> terms(in, c);
        P top[K];
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) top[k] = terms[k].logit_of_max(P::load(c.max + k * lanes));
        in.sum(rest, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA {
            const row_terms<P, General>& term = terms[k];
            const P z = term.logit(in.load(i, k));
            equal[k] = add(equal[k], sub(one, zero_where_equal(one, z, top[k])));
            if (++counted == std::size_t(1) << 23) flush();
            return zero_where_equal(term.template of_logit<precision::full>(z), z, top[k]);
        });
        flush();
        if constexpr (!General) {
            for (std::size_t j = 0; j < rows; ++j) nan[j] = sum_is_nan(rest[j]);
            return log_sums_of_rows<B, T, rows>(rest, ties, c.max, c.k_max, scale_, log_sum);
        }
        for (std::size_t j = 0; j < rows; ++j) {
            nan[j] = sum_is_nan(rest[j]);
            log_sum[j] = nan[j] ? 0 : log_sum_exp_of(rest[j], ties[j], c.of_row(j), scale_);
        }
    }

    SMX_ALWAYS_INLINE P load(std::size_t i, std::size_t k) const noexcept {
        const S* p = data_ + static_cast<std::ptrdiff_t>(i) * step_ + k * lanes;
        return K == 1 && count_ < lanes ? P::load_partial(p, count_) : P::load(p);
    }
    SMX_ALWAYS_INLINE std::size_t length() const noexcept { return length_; }
    SMX_ALWAYS_INLINE std::size_t count() const noexcept { return count_; }
    SMX_ALWAYS_INLINE const scaling<T>& scale() const noexcept { return scale_; }

private:
    /// What constants_of_row says, in packs; false if a row is not plain.
    SMX_ALWAYS_INLINE bool plain_constants(const P (&max)[K], constants& c, bool octaves) const noexcept {
        bool plain = true;
        unrolled<K>([&](std::size_t k) SMX_INLINE_LAMBDA {
            plain = all_plain(max[k], scale_) && plain;
            P k_max = plain_k_max(max[k], scale_);
            if (octaves) k_max = whole_octaves_of(k_max);
            store(c.max + k * lanes, max[k]);
            store(c.offset + k * lanes, P::broadcast(0));
            store(c.magic + k * lanes, plain_magic(k_max));
            store(c.k_max + k * lanes, k_max);
        });
        return plain;
    }

    /// What one lane adds up of rows of one group: element `lane` and those that are `lanes` behind one another.
    template <class F>
    SMX_ALWAYS_INLINE P sum_of_lane(std::size_t lane, std::size_t k, F term) const noexcept {
        P s = term(lane, k);
        if (lane + lanes < length_) s = add(s, term(lane + lanes, k));
        if (lane + 2 * lanes < length_) {
            P later = term(lane + 2 * lanes, k);
            if (lane + 3 * lanes < length_) later = add(later, term(lane + 3 * lanes, k));
            s = add(s, later);
        }
        return s;
    }

    /// The sums of rows of one group: each lane gets one sum, so that sums with 0 are left out.
    template <class F>
    SMX_ALWAYS_INLINE void sum_of_one_group(double (&total)[rows], F term) const noexcept {
        using D = typename B::f64;
        std::size_t some = length_ < lanes ? length_ : lanes;
        for (std::size_t k = 0; k < K; ++k) {
            if constexpr (narrow) {
                D even[lanes / 2], odd[lanes / 2];
                for (std::size_t lane = 0; lane < some; ++lane) {
                    const P s = sum_of_lane(lane, k, term);
                    const std::size_t pair = lane / 2;
                    if (lane % 2 == 0) {
                        even[pair] = even_as_double(s);
                        odd[pair] = odd_as_double(s);
                    } else {
                        even[pair] = add(even[pair], even_as_double(s));
                        odd[pair] = add(odd[pair], odd_as_double(s));
                    }
                }
                std::size_t pairs = (some + 1) / 2;
                for (std::size_t half = lanes / 4; half > 0; half /= 2) {
                    for (std::size_t l = half; l < pairs; ++l) {
                        even[l - half] = add(even[l - half], even[l]);
                        odd[l - half] = add(odd[l - half], odd[l]);
                    }
                    if (pairs > half) pairs = half;
                }
                store_interleaved(total + k * lanes, even[0], odd[0]);
            } else {
                P sum[lanes], error[lanes];
                for (std::size_t lane = 0; lane < some; ++lane) {
                    sum[lane] = sum_of_lane(lane, k, term);
                    error[lane] = P::broadcast(0);
                }
                std::size_t left = some;
                for (std::size_t half = lanes / 2; half > 0; half /= 2) {
                    for (std::size_t l = half; l < left; ++l) {
                        P lost;
                        sum[l - half] = two_sum(sum[l - half], sum[l], lost);
                        error[l - half] = add(add(error[l - half], error[l]), lost);
                    }
                    if (left > half) left = half;
                }
                store(total + k * lanes, add(sum[0], error[0]));
            }
        }
    }

    /// Adds up term(i, k) for every row, segment by segment if there are several.
    template <class F>
    SMX_ALWAYS_INLINE void sum(double (&total)[rows], F term) const noexcept {
        if (length_ <= packs_per_group * lanes) return sum_of_one_group(total, term);
        const std::size_t segment = vocabulary::segment_length(length_);
        double rest[rows] = {};  // with total: compilers do not know that there is a first segment
        for (double& t : total) t = 0;
        for (std::size_t begin = 0; begin < length_; begin += segment) {
            column_sums<B, T, K> sums;
            add_terms(sums, begin, length_ - begin < segment ? length_ : begin + segment, term);
            double head[rows], tail[rows];
            sums.parts(begin == 0 ? total : head, begin == 0 ? rest : tail);
            if (narrow && begin == 0 && segment < length_) {
                for (double& r : rest) r = 0;
            }
            for (std::size_t j = 0; j < rows && begin != 0; ++j) {
                const sum_parts sum = with_segment({total[j], rest[j]}, {head[j], narrow ? 0 : tail[j]});
                total[j] = sum.head;
                rest[j] = sum.tail;
            }
        }
        if (narrow && length_ <= segment) return;
        for (std::size_t j = 0; j < rows; ++j) total[j] = add(total[j], rest[j]);
    }

    /// Adds term(i, k) for i in [start, end).
    template <class F>
    SMX_ALWAYS_INLINE void add_terms(column_sums<B, T, K>& sums, std::size_t start, std::size_t end,
                                     F term) const noexcept {
        constexpr std::size_t group = packs_per_group * lanes;
        for (; start + group <= end; start += group) {
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                const std::size_t i = start + lane;
                SMX_UNROLL for (std::size_t k = 0; k < K; ++k) {
                    const P a0 = term(i, k), a1 = term(i + lanes, k), a2 = term(i + 2 * lanes, k),
                            a3 = term(i + 3 * lanes, k);
                    sums.add_group(lane, k, add(add(a0, a1), add(a2, a3)));
                }
            }
        }
        for (std::size_t lane = 0; lane < lanes && start + lane < end; ++lane) {
            SMX_UNROLL for (std::size_t k = 0; k < K; ++k) {
                P a[packs_per_group] = {P::broadcast(0), P::broadcast(0), P::broadcast(0), P::broadcast(0)};
                for (std::size_t i = start + lane, q = 0; i < end; i += lanes, ++q) a[q] = term(i, k);
                sums.add_group(lane, k, sum_of_group(a));
            }
        }
    }

    const S* data_;
    std::ptrdiff_t step_;
    std::size_t length_, count_;
    const scaling<T>& scale_;
};

/// A tile of neighbouring rows, from input to output.
template <class B, class T, class S, class O, std::size_t K,
          precision Q = sizeof(O) == 2 && sizeof(T) == 4 ? precision::half : precision::full>
class column_tile {
    using input = column_input<B, T, S, K>;
    using P = typename input::P;
    using constants = typename input::constants;
    static constexpr std::size_t lanes = input::lanes, rows = input::rows;

public:
    SMX_ALWAYS_INLINE column_tile(const input& in, O* out, std::ptrdiff_t step) noexcept
        : in_(in), out_(out), step_(step) {}

    /// False if a row needs the special path; then nothing has been written.
    template <function F>
    SMX_NOINLINE bool run() noexcept {
        constants c;
        in_.find_constants(c, by_octaves<F>(in_.length()));
        if (c.special) return false;
        if constexpr (F == function::softmax) {
            c.general ? softmax<true>(c) : softmax<false>(c);
        } else {
            double log_sum[rows];
            bool nan[rows];
            c.general ? in_.template log_sums<true>(c, log_sum, nan) : in_.template log_sums<false>(c, log_sum, nan);
            if constexpr (F == function::log_softmax) {
                c.general ? log_softmax<true>(c, log_sum) : log_softmax<false>(c, log_sum);
                for (std::size_t j = 0; j < in_.count(); ++j)
                    if (nan[j]) fill_nan(stepped<O>{out_ + j, step_}, in_.length());
            } else {
                for (std::size_t j = 0; j < in_.count(); ++j) {
                    if (nan[j]) store_nan(out_ + j);
                    else store_exact(out_ + j, log_total(log_sum[j], c.of_row(j), in_.scale()));
                }
            }
        }
        return true;
    }

private:
    SMX_ALWAYS_INLINE O* at(std::size_t i, std::size_t k) const noexcept {
        return out_ + static_cast<std::ptrdiff_t>(i) * step_ + k * lanes;
    }
    SMX_ALWAYS_INLINE void put(std::size_t i, std::size_t k, P a) const noexcept {
        if (K == 1 && in_.count() < lanes) store_partial(at(i, k), a, in_.count());
        else store(at(i, k), a);
    }
    SMX_ALWAYS_INLINE P term_at(std::size_t i, std::size_t k) const noexcept {
        return K == 1 && in_.count() < lanes ? P::load_partial(at(i, k), in_.count()) : P::load(at(i, k));
    }

    /// Writes result(i, k) for every i, of N packs from `first` on.
    template <std::size_t N, class F>
    SMX_ALWAYS_INLINE void write(std::size_t first, F result) const noexcept {
        // In place, a masked load waits for a masked store next to it: eight rows are loaded before one is written.
        constexpr std::size_t many = K == 1 ? 8 : 1;
        std::size_t i = 0;
        for (; i + many <= in_.length(); i += many) {
            P r[many][N];
            SMX_UNROLL for (std::size_t q = 0; q < many; ++q)
                unrolled<N>([&](std::size_t k) SMX_INLINE_LAMBDA { r[q][k] = result(i + q, first + k); });
            SMX_UNROLL for (std::size_t q = 0; q < many; ++q)
                unrolled<N>([&](std::size_t k) SMX_INLINE_LAMBDA { put(i + q, first + k, r[q][k]); });
        }
        for (; i < in_.length(); ++i)
            unrolled<N>([&](std::size_t k) SMX_INLINE_LAMBDA { put(i, first + k, result(i, first + k)); });
    }

    /// Terms in the output where it can hold them, else computed a second time.
    template <bool General>
    SMX_NOINLINE void softmax(const constants& c) noexcept {
        constexpr bool through_output = std::is_same_v<O, T>;
        double total[rows];
        T share[rows];
        const column_tile to = *this;
        in_.template sum_terms<Q, General>(c, total, [&](std::size_t i, std::size_t k, P term) SMX_INLINE_LAMBDA {
            if constexpr (through_output) {
                // Two rows further, or stores that miss the first cache hold up the loop.
                prefetch<lanes * sizeof(O), true>(far_from(to.at(i, k), 2 * to.step_));
                to.put(i, k, term);
            }
        });
        using D = typename B::f64;
        const D one = D::broadcast(1), limit = D::broadcast(0x1p126);
        std::size_t not_numbers = 0;  // see share_of and sum_is_nan
        for (std::size_t j = 0; j < rows; j += D::lanes) {
            const D sum = D::load(total + j);
            not_numbers += count_equal(zero_where_less(one, sum, limit), one);
            store(share + j, div(one, sum));
        }
        P r[K];
        SMX_UNROLL for (std::size_t k = 0; k < K; ++k) r[k] = P::load(share + k * lanes);
        if constexpr (through_output) {
            to.template write<K>(
                0, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA { return mul(to.term_at(i, k), r[k]); });
        } else {
            const typename input::template all_terms<General> terms(to.in_, c);
            to.template write<K>(0, [&](std::size_t i, std::size_t k) SMX_INLINE_LAMBDA {
                return mul(terms[k].template operator()<Q>(to.in_.load(i, k)), r[k]);
            });
        }
        if (not_numbers == 0) return;
        for (std::size_t j = 0; j < in_.count(); ++j)
            if (sum_is_nan(total[j])) fill_nan(stepped<O>{out_ + j, step_}, in_.length());
    }

    template <bool General>
    SMX_NOINLINE void log_softmax(const constants& c, const double (&log_sum)[rows]) noexcept {
        T rounded[rows];
        for (std::size_t j = 0; j < rows; ++j) rounded[j] = static_cast<T>(log_sum[j]);
        const column_tile to = *this;
        for (std::size_t k = 0; k < K; ++k) {
            const log_of_terms<P, General> result(to.in_.scale(), P::load(c.max + k * lanes),
                                                  P::load(rounded + k * lanes));
            to.template write<1>(
                k, [&](std::size_t i, std::size_t pack) SMX_INLINE_LAMBDA { return result(to.in_.load(i, pack)); });
        }
    }

    input in_;
    O* out_;
    std::ptrdiff_t step_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
