// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/logit_pairs.hpp>
#include <safe_softmax/detail/masked_pieces.hpp>
#include <safe_softmax/detail/masked_special.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Masked rows of float or 16 bits with a softcap: their logits are plain doubles. What it refuses goes to masked_pairs.hpp: a slope,
/// a bias and an added mask, which may cancel, a scale that is 0, a largest logit that is large or not finite.
template <class B>
class masked_capped {
    using P = pack_t<B, double>;
    using kernel = row_kernel<B, double>;
    static constexpr std::size_t lanes = P::lanes, piece = piece_elements<double>;
    static constexpr precision Q = precision::full;
    static constexpr const scaling<double>& one = no_scaling<double>;

public:
    SMX_ALWAYS_INLINE explicit masked_capped(const job& j) noexcept
        : job_(j), cap_(j.softcap, j.softcap != 0 ? divide({2, 0}, {j.softcap, 0}).head : 0) {}

    static SMX_ALWAYS_INLINE bool suits(const job& j) noexcept {
        const bool two_numbers = j.op[masked::bias] && j.op[masked::mask] && is_floating(j.op[masked::mask].type);
        return j.softcap != 0 && !j.wide && j.scale != 0 && !j.op[masked::slope] && !two_numbers;
    }

    /// False, with nothing written: the row is not for this.
    SMX_NOINLINE bool run(const operand* op, std::size_t kept) noexcept {
        const double scale = scale_at(job_, op[masked::temperature]);
        if (scale == 0) return false;

        alignas(64) double buffer[piece];
        const capped_pieces logits{op, P::broadcast(scale), cap_, buffer};
        if (kept <= piece) {
            const pieces_in_place<const double> all{logits.read(0, kept)};
            return run_from(op, all, kernel::largest(all, 0, kept, one), buffer, kept);
        }
        if (logits.has_numbers()) return run_from(op, logits, kernel::largest(logits, 0, kept, one), buffer, kept);
        const double element = largest(op, kept, scale < 0);
        return is_finite(element) && run_from(op, logits, logits.of(element), buffer, kept);
    }

private:
    /// Pieces of terms on the stack: 48 KiB.
    static constexpr std::size_t waiting = 3;
    /// Where this is the largest logit, all that have a term are right to 2^-33 after a number is added.
    static constexpr double largest_top = 0x1p20;

    /// `buffer` has a piece of the logits, or all of them; results pass through it.
    template <class From>
    SMX_NOINLINE bool run_from(const operand* op, const From& logits, double top, double* buffer,
                               std::size_t kept) noexcept {
        if (!is_finite(top) || !(magnitude_of(top) < largest_top)) return false;
        const row_constants<double> of_max = constants_of_row(top, one);
        row_constants<double> row = of_max;
        const double top_term = exact_max_term(of_max, one);
        sink_of_row sink;
        const bool has_sink = place_sink(sink_at(op[masked::sink]), {top, 0}, top_term, row, sink);
        if (has_sink && !is_finite(sink.above_max.head)) return write_by_sink(job_, op, kept, sink), true;

        const operand_writer<B, double, true> to{op[masked::out], buffer};
        if (job_.function == vocabulary::job_function::masked_log_softmax) {
            std::size_t ties;
            double rest;
            if (!kernel::sum_below_max(logits, kept, of_max, one, ties, rest)) return write_nan(job_, op, kept), true;
            const double log_sum =
                log_of_sum_with_sink<double>(rest, static_cast<double>(ties) - 1, top_term, has_sink, sink);
            kernel::subtract(logits, to, 0, kept, of_max, log_sum, one);
            return true;
        }
        if (kept == 1 && !has_sink) return put_number(op[masked::out], 0, 1.0), true;
        alignas(64) double terms[waiting * piece];
        const waiting_terms<double> room{terms, waiting};
        double sum = sum_of_row<B, double>(
            kept, [&](row_sum<B, double>& total, std::size_t first, std::size_t count) SMX_INLINE_LAMBDA {
                kernel::template add_terms<Q>(total, logits, first, count, room, row, one);
            });
        if (sum_is_nan(sum)) return write_nan(job_, op, kept), true;
        if (has_sink) sum = fence(sum + sink.term);
        kernel::template write_shares<Q>(logits, to, 0, kept, room, share_of<double>(sum), row, one);
        return true;
    }

    /// A row's logits, -inf where they are masked out; like pieces_copied. A piece is good until the next one is read.
    struct capped_pieces {
        using element = double;
        const operand* op;
        P scale;
        capped_logit<P> cap;
        double* buffer;

        SMX_ALWAYS_INLINE bool has_numbers() const noexcept {
            return op[masked::bias] || (op[masked::mask] && is_floating(op[masked::mask].type));
        }
        SMX_NOINLINE const double* read(std::size_t i, std::size_t n) const noexcept {
            std::uint8_t bytes[piece];
            const operand& m = op[masked::mask];
            const bool added = is_floating(m.type);
            const std::uint8_t* const keep = m && !added ? operand_pieces<B, double>::bytes(m, i, n, bytes) : nullptr;
            operand_pieces<B, double>::copy_in(op[masked::in], i, n, buffer);
            const P none = P::broadcast(minus_infinity<double>());
            const auto hide = [&](P z, std::size_t l, auto left) SMX_INLINE_LAMBDA {
                return where_kept(keep == nullptr ? nullptr : keep + l, z, none, left);
            };
            for_packs(n, [&](std::size_t l, auto left) SMX_INLINE_LAMBDA {
                store_some(buffer + l, hide(cap(product(load_some<P>(buffer + l, left), scale)), l, left), left);
            });
            if (m && added) add_numbers(m, i, n);
            if (!op[masked::bias]) return buffer;
            add_numbers(op[masked::bias], i, n);
            if (keep == nullptr) return buffer;
            for_packs(n, [&](std::size_t l, auto left) SMX_INLINE_LAMBDA {
                store_some(buffer + l, hide(load_some<P>(buffer + l, left), l, left), left);
            });
            return buffer;
        }
        SMX_NOINLINE double of(double element_of_row) const noexcept {
            double z[lanes];
            store(z, cap(product(P::broadcast(element_of_row), scale)));
            return z[0];
        }

    private:
        /// Where one is -inf the logit is that, even if it was NaN.
        SMX_NOINLINE void add_numbers(const operand& o, std::size_t i, std::size_t n) const noexcept {
            constexpr std::size_t part = 256;
            alignas(64) double number[part];
            for (std::size_t begin = 0; begin < n; begin += part) {
                const std::size_t count = n - begin < part ? n - begin : part;
                operand_pieces<B, double>::copy_in(o, i + begin, count, number);
                for_packs(count, [&](std::size_t l, auto left) SMX_INLINE_LAMBDA {
                    double* const at = buffer + begin + l;
                    const P b = load_some<P>(number + l, left), z = add(load_some<P>(at, left), b);
                    store_some(at, add(zero_where_less(z, b, P::broadcast(lowest<double>)), minus_infinity_of(b)),
                               left);
                });
            }
        }
        /// f(first element, elements): whole packs have a number of them that is known when this is compiled.
        template <class F>
        static SMX_ALWAYS_INLINE void for_packs(std::size_t n, F f) noexcept {
            std::size_t l = 0;
            for (; l + lanes <= n; l += lanes) f(l, std::integral_constant<std::size_t, lanes>());
            if (l < n) f(l, n - l);
        }
    };

    /// The element of the largest logit where no numbers are added, by float, which every element is: not finite if that is infinite
    /// or nothing is kept. A NaN is seen by the sum.
    static SMX_NOINLINE double largest(const operand* op, std::size_t kept, bool negative) noexcept {
        using F = pack_t<B, float>;
        constexpr std::size_t floats = piece_elements<float> / 4;
        alignas(64) float x[floats];
        std::uint8_t bytes[floats];
        const F sign = F::broadcast(negative ? -1.0f : 1.0f), none = F::broadcast(minus_infinity<float>());
        F top = none;
        for (std::size_t i = 0; i < kept; i += floats) {
            const std::size_t n = kept - i < floats ? kept - i : floats;
            const float* const from = operand_reader<B, float>{op[masked::in], x}.read(i, n);
            const operand& m = op[masked::mask];
            const std::uint8_t* const keep = m ? operand_pieces<B, float>::bytes(m, i, n, bytes) : nullptr;
            const auto step = [&](std::size_t l, auto left) SMX_INLINE_LAMBDA {
                const F z = mul(load_some<F>(from + l, left), sign);
                top = maximum(top, where_kept(keep == nullptr ? nullptr : keep + l, z, none, left));
            };
            std::size_t l = 0;
            for (; l + F::lanes <= n; l += F::lanes) step(l, std::integral_constant<std::size_t, F::lanes>());
            if (l < n) step(l, n - l);
        }
        const double found = static_cast<double>(reduce_max(top));
        return negative ? -found : found;
    }

    const job& job_;
    const capped_logit<P> cap_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
