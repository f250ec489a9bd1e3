// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/results_past_cache.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::shared_row;
using vocabulary::stage;

/// What is done with a segment of a row that lies as From does. Not inlined: all functions and types of output share it.
template <class B, class T, class From>
struct segment_passes {
    using kernel = row_kernel<B, T>;

    static SMX_NOINLINE T largest(const From& in, std::size_t begin, std::size_t count, const scaling<T>& s) noexcept {
        return kernel::largest(in, begin, count, s);
    }
    template <precision Q>
    static SMX_NOINLINE sum_parts sum(const From& in, std::size_t begin, std::size_t count, T* buffer,
                                      const row_constants<T>& row, const scaling<T>& s) noexcept {
        row_sum<B, T> total;
        kernel::template add_terms<Q>(total, in, begin, count, {buffer}, row, s);
        return total.parts();
    }
    static SMX_NOINLINE sum_parts sum_below_max(const From& in, std::size_t begin, std::size_t count, std::size_t& ties,
                                                const row_constants<T>& row, const scaling<T>& s) noexcept {
        row_sum<B, T> total;
        kernel::add_terms_below_max(total, ties, in, begin, count, row, s);
        return total.parts();
    }
};

/// One segment of a row that several threads share (work.hpp), one stage at a time:
///
///     maximum   its largest logit
///     sum       the sum of its terms, which softmax in the arithmetic's own type leaves in the output, but for rows that few
///               caches hold (results_past_cache.hpp)
///     result    its results; for logsumexp, of the whole row
///
/// What follows from all segments (the row's maximum, its constants, its sum) everyone works out alone, in their
/// order: it costs less than a stage. The bits are those of kernels.hpp.
template <class B, class In, class Out>
class segment_kernels {
    using T = compute_t<In, Out>;
    using kernel = row_kernel<B, T>;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    /// w: a single row, of more than vocabulary::segment_step elements.
    template <function F>
    static SMX_ALWAYS_INLINE void run(const work& w, shared_row& shared, stage now, std::size_t segment) noexcept {
        const default_environment environment;
        run_under_default<F>(w, shared, now, segment);
    }

private:
    template <function F>
    static SMX_NOINLINE void run_under_default(const work& w, shared_row& shared, stage now,
                                               std::size_t segment) noexcept {
        if (w.scale == 1.0) return run_with<F>(w, no_scaling<T>, shared, now, segment);
        run_with<F>(w, make_scaling<T>(w.scale), shared, now, segment);
    }

    template <function F>
    static SMX_NOINLINE void run_with(const work& w, const scaling<T>& s, shared_row& shared, stage now,
                                      std::size_t segment) noexcept {
        const stepped<const In> in{static_cast<const In*>(w.in), w.in_step};
        const stepped<Out> out{static_cast<Out*>(w.out), w.out_step};
        alignas(64) T buffer[piece_elements<T>];
        if (w.in_step == 1 && (w.out_step == 1 || F == function::logsumexp)) {
            const pieces_in_place<const In> from{in.data};
            const pieces_in_place<Out> to{out.data};
            if constexpr (F != function::logsumexp && sizeof(T) == 4) {
                if (goes_past_cache<T>(out.data, w.length))
                    return run_stage<F, false, true>(from, to, in, out, buffer, w, s, shared, now, segment);
            }
            run_stage<F, std::is_same_v<Out, T>, false>(from, to, in, out, buffer, w, s, shared, now, segment);
        } else {
            alignas(64) T copy[piece_elements<T>];
            const pieces_copied<T, const In> from{in.data, in.step, copy};
            const pieces_copied<T, Out> to{out.data, out.step, buffer};
            run_stage<F, false, false>(from, to, in, out, buffer, w, s, shared, now, segment);
        }
    }

    /// ThroughOutput: terms wait in the output. PastCache: as results_past_cache.hpp.
    template <function F, bool ThroughOutput, bool PastCache, class From, class To>
    static SMX_ALWAYS_INLINE void run_stage(const From& from, const To& to, stepped<const In> in, stepped<Out> out,
                                            T* buffer, const work& w, const scaling<T>& s, shared_row& shared,
                                            stage now, std::size_t segment) noexcept {
        using pass = segment_passes<B, T, From>;
        const std::size_t segments = vocabulary::segment_count(w.length),
                          longest = vocabulary::segment_length(w.length);
        const std::size_t begin = segment * longest;
        const std::size_t count = w.length - begin < longest ? w.length - begin : longest;
        if (now == stage::maximum) {
            shared.top[segment] = static_cast<double>(pass::largest(from, begin, count, s));
            return;
        }
        T top = static_cast<T>(shared.top[0]);
        for (std::size_t i = 1; i < segments; ++i) top = kernel::larger(top, static_cast<T>(shared.top[i]));
        const stepped<const In> in_part{in.at(begin), in.step};
        const stepped<Out> out_part{F == function::logsumexp ? out.data : out.at(begin), out.step};
        if (!is_finite(top))
            return special<F>(in_part, out_part, count, {s, w.special}, shared, now, segment, segments);
        const row_constants<T> row = constants_of_row(top, s, by_octaves<F>(w.length));

        if (now == stage::sum) {
            sum_parts parts;
            std::size_t ties = 0;
            if constexpr (F != function::softmax) {
                parts = pass::sum_below_max(from, begin, count, ties, row, s);
            } else if constexpr (ThroughOutput) {
                row_sum<B, T> sum;
                kernel::template add_terms<Q>(sum, in_part.data, out_part.data, count, row, s);
                parts = sum.parts();
            } else {
                parts = pass::template sum<Q>(from, begin, count, buffer, row, s);
            }
            shared.sum[segment] = parts.head;
            shared.rest[segment] = parts.tail;
            shared.ties[segment] = ties;
            return;
        }
        sum_parts parts{0, 0};
        std::size_t ties = 0;
        for (std::size_t i = 0; i < segments; ++i) {
            parts = with_segment(parts, {shared.sum[i], shared.rest[i]});
            ties += shared.ties[i];
        }
        const double sum = parts.result();
        if constexpr (F == function::softmax) {
            if (sum_is_nan(sum)) fill_nan(out_part, count);
            else if constexpr (ThroughOutput)
                passes<B, T>::scale(out_part.data, out_part.data, count, share_of<T>(sum));
            else if constexpr (PastCache)
                write_shares_past_cache<B, T, Q>(in.data, out.data, begin, count, share_of<T>(sum), row, s);
            else kernel::template write_shares<Q>(from, to, begin, count, {}, share_of<T>(sum), row, s);
        } else {
            const bool number = !sum_is_nan(sum);
            const double log_sum = number ? log_sum_exp_of(sum, static_cast<double>(ties), row, s) : 0;
            if constexpr (F == function::log_softmax) {
                if (!number) fill_nan(out_part, count);
                else if constexpr (PastCache)
                    subtract_past_cache<B, T>(in.data, out.data, begin, count, log_sum, row, s);
                else kernel::subtract(from, to, begin, count, row, log_sum, s);
            } else {
                if (number) store_exact(out.data, log_total(log_sum, row, s));
                else store_nan(out.data);
            }
        }
    }

    /// A row without a finite maximum; shared.ties are the logits of +inf, a sum of 1 says that there is a NaN.
    template <function F>
    static SMX_NOINLINE void special(stepped<const In> in, stepped<Out> out, std::size_t count, const recipe<T>& r,
                                     shared_row& shared, stage now, std::size_t segment,
                                     std::size_t segments) noexcept {
        if (now == stage::sum) {
            const special_row part = inspect<T>(in, count, r.scale.negative);
            shared.sum[segment] = part.nan ? 1 : 0;
            shared.ties[segment] = part.infinities;
            return;
        }
        special_row row;
        for (std::size_t i = 0; i < segments; ++i) {
            row.nan = row.nan || shared.sum[i] != 0;
            row.infinities += shared.ties[i];
        }
        if constexpr (F == function::logsumexp) write_special_total(row, out.data, r.special);
        else write_special_row<T, F == function::log_softmax>(row, in, out, count, r);
    }
};

/// Null for rare pairs of types (work.hpp): nobody shares their rows.
template <function F, class In, class Out>
constexpr dispatch::segment_kernel segment_kernel_of() noexcept {
    if constexpr (vocabulary::every_path<In, Out>) return &segment_kernels<default_backend, In, Out>::template run<F>;
    else return nullptr;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
