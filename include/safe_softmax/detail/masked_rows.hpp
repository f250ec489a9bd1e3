// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_capped.hpp>
#include <safe_softmax/detail/masked_group.hpp>
#include <safe_softmax/detail/numbered_rows.hpp>
#include <safe_softmax/simd/environment.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// masked_softmax and masked_log_softmax with backend B and arithmetic in T. The ways to a row:
///
///     prefix   contiguous elements of one type times a scale, some at the end left out, not
///              with special_values::ieee: as without a mask                                       prefix_rows.hpp
///              and softmax of eight rows at a time, up to eight packs each                        even_rows.hpp
///     numbered the same with a sink (not masked_log_softmax) or a temperature for each row:
///              from a pack on, and where a pack is one or two registers                           numbered_rows.hpp
///     kept     elements times a scale, some left out by truth values, a sink                      kept_logits.hpp
///              and, as above, softmax of short rows without a sink or a temperature each          even_rows.hpp
///     parts    numbers added to that: a mask, a bias, a slope                                     part_logits.hpp
///     capped   float and 16 bits with a softcap and at most one number added, none of them large  masked_capped.hpp
///     pairs    what is left: other rows with a softcap, and where numbers are large               masked_pairs.hpp
///     special  rows with a NaN or without a finite maximum                                        masked_special.hpp
///
/// A temperature for all rows is part of their scale. The bits do not depend on the way.
template <class B, class T>
class masked_rows {
    using P = pack_t<B, T>;

public:
    static void run(const job& j) noexcept {
        const default_environment environment;
        if (has_one_for_all(j, masked::temperature)) return run_at_one_temperature(j);
        run_under_default(j);
    }

private:
    static SMX_NOINLINE void run_at_one_temperature(const job& j) noexcept {
        job same = j;
        same.scale = scale_at(j, j.op[masked::temperature]);
        same.op[masked::temperature] = {};
        run_under_default(same);
    }
    static SMX_NOINLINE void run_under_default(const job& j) noexcept {
        if (j.function == vocabulary::job_function::masked_log_softmax) run_function<true>(j);
        else run_function<false>(j);
    }

    template <bool Log>
    static SMX_ALWAYS_INLINE void run_function(const job& j) noexcept {
        if (j.softcap != 0) return run_pairs<Log>(j);
        if (has_prefix_rows<Log>(j)) {
            const scaling<T> s = j.scale == 1.0 ? no_scaling<T> : make_scaling<T>(j.scale);
            constexpr function f = Log ? function::log_softmax : function::softmax;
            switch (j.op[masked::in].type) {
                case scalar_type::float16: return run_rows_of<float16, f>(j, s);
                case scalar_type::bfloat16: return run_rows_of<bfloat16, f>(j, s);
                default: return run_rows_of<T, f>(j, s);
            }
        }
        const bool parts =
            j.op[masked::bias] || j.op[masked::slope] || (j.op[masked::mask] && is_floating(j.op[masked::mask].type));
        if constexpr (!Log) {
            if (!parts) {
                if (runs_kept_blocks<T>(j)) return;
                if constexpr (sizeof(T) == 4) {
                    if (runs_kept_blocks<float16>(j) || runs_kept_blocks<bfloat16>(j)) return;
                }
            }
        }
        if (parts) run_logits<part_logits<B, T>, Log>(j);
        else run_logits<kept_logits<B, T>, Log>(j);
    }

    template <class Logits, bool Log>
    static SMX_ALWAYS_INLINE void run_logits(const job& j) noexcept {
        if (masked_in_place<T>::suits(j)) return run_groups<Logits, masked_in_place<T>, T, Log>(j);
        if constexpr (sizeof(T) == 4) {
            if (masked_in_place<float16>::suits(j))
                return run_groups<Logits, masked_in_place<float16>, float16, Log>(j);
            if (masked_in_place<bfloat16>::suits(j))
                return run_groups<Logits, masked_in_place<bfloat16>, bfloat16, Log>(j);
        }
        run_groups<Logits, masked_by_copy<B, T, Logits::adds_numbers>, T, Log>(j);
    }

    template <class Logits, class From, class O, bool Log>
    static SMX_NOINLINE void run_groups(const job& j) noexcept {
        masked_group<B, T, Logits, From, O, Log> group(j);
        for_each_row(j, [&](const operand* op, std::size_t query)
                            SMX_INLINE_LAMBDA { add_row<Log>(group, j, op, query, kept_of_row(j, op, query)); });
        group.flush();
    }
    template <bool Log, class Group>
    static SMX_ALWAYS_INLINE void add_row(Group& group, const job& j, const operand* op, std::size_t query,
                                          std::size_t kept) noexcept {
        if (kept < j.length) put_nothing(op[masked::out], kept, j.length, Log);
        if (kept == 0) return all_masked(j, op);
        if constexpr (sizeof(T) == 4) {
            if (op[masked::slope] && !has_small_distances(j, query)) {
                masked_pairs<B, double>::run(j, op, query, kept);
                return;
            }
        }
        group.add(op, query, kept);
    }

    template <bool Log>
    static SMX_NOINLINE void run_pairs(const job& j) noexcept {
        masked_capped<B> capped(j);
        const bool tries_capped = sizeof(T) == 4 && masked_capped<B>::suits(j);
        for_each_row(j, [&](const operand* op, std::size_t query) SMX_INLINE_LAMBDA {
            const std::size_t kept = kept_of_row(j, op, query);
            if (kept < j.length) put_nothing(op[masked::out], kept, j.length, Log);
            if (kept == 0) return all_masked(j, op);
            if constexpr (sizeof(T) == 4) {
                if (tries_capped && capped.run(op, kept)) return;
            }
            masked_pairs<B, double>::run(j, op, query, kept);
        });
    }

    /// A row of which no element is kept.
    static SMX_ALWAYS_INLINE void all_masked(const job& j, const operand* op) noexcept {
        if (j.special == special_values::ieee && j.length != 0) write_special(j, op, 0);
    }

    /// Whether key - query is an integer that float has, for every key.
    static SMX_ALWAYS_INLINE bool has_small_distances(const job& j, std::size_t query) noexcept {
        const double diagonal = fence(static_cast<double>(query) + static_cast<double>(j.causal_offset));
        return j.length < std::size_t(1) << 22 && magnitude_of(diagonal) < 0x1p22;
    }

    /// Those that run_rows_of takes: prefix and numbered ones.
    template <bool Log>
    static SMX_ALWAYS_INLINE bool has_prefix_rows(const job& j) noexcept {
        const operand &in = j.op[masked::in], &out = j.op[masked::out];
        for (const std::size_t o : {masked::mask, masked::bias, masked::slope})
            if (j.op[o]) return false;
        if (Log && j.op[masked::sink]) return false;
        const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(in.type));
        return j.special != special_values::ieee && in.type == out.type && in.step == size && out.step == size &&
               (sizeof(T) == 4 || in.type == scalar_type::float64);
    }

    /// +0, or -inf.
    template <bool Log, class S>
    static SMX_ALWAYS_INLINE void fill(S* out, std::size_t n) noexcept {
        // From here on the C library has ways to write lines without reading them first.
        if (!Log && n * sizeof(S) >= 1024)
            return static_cast<void>(std::memset(static_cast<void*>(out), 0, n * sizeof(S)));
        constexpr std::size_t lanes = P::lanes;
        const P nothing = P::broadcast(Log ? minus_infinity<T>() : T(0));
        std::size_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes)
            for (std::size_t l = 0; l < 4 * lanes; l += lanes) store(out + i + l, nothing);
        for (; i + lanes <= n; i += lanes) store(out + i, nothing);
        if (i < n) store_partial(out + i, nothing, n - i);
    }

    template <class S, function F>
    static SMX_NOINLINE void run_rows_of(const job& j, const scaling<T>& s) noexcept {
        constexpr bool log = F == function::log_softmax;
        if constexpr (sizeof(S) == 2 && sizeof(T) == 8) return;  // 16 bits take float
        else {
            const recipe<T> r{s, j.special};
            if (!j.op[masked::temperature] && !j.op[masked::sink]) return run_prefix_rows<S, F>(j, r);
            if constexpr (kernels<B, S, S>::has_pipeline) {
                if (j.length >= P::lanes) return run_numbered_rows<S, log>(j, r);
            }
            run_groups<kept_logits<B, T>, masked_in_place<S>, S, log>(j);
        }
    }
    template <class S, function F>
    static SMX_NOINLINE void run_prefix_rows(const job& j, const recipe<T>& r) noexcept {
        prefix_rows<B, T, S, F> rows(r);
        const bool whole = !j.causal && !j.op[masked::lengths];
        for_each_run(j, [&](const operand* op, std::size_t count, std::size_t query,
                            std::size_t query_step) SMX_INLINE_LAMBDA {
            const rows_at<S, S> run = rows_of_run<S>(j, op);
            const kept_of_rows kept_of(j, op);
            const auto kept = [&](std::size_t i) SMX_INLINE_LAMBDA { return kept_of(i, query + i * query_step); };
            const auto add = [&](std::size_t first, std::size_t end) SMX_INLINE_LAMBDA {
                const rows_at<S, S> at = run.row(first);
                if (whole && rows.add_rows(at.in, at.in_pitch, at.out, at.out_pitch, j.length, end - first)) return;
                add_prefix_rows<S, F>(j, rows, run, kept, first, end);
            };
            if constexpr (kernels<B, S, S>::template has_even_rows<F>) {
                if (whole) return even_rows<B, S, S, F>::run(run, j.length, count, r.scale, add);
                if constexpr (F == function::softmax)  // logarithms would gain little
                    return even_rows<B, S, S, F, row_parts::before_end>::run(run, j.length, count, r.scale, add, kept);
            }
            add(0, count);
        });
        rows.flush();
    }
    /// The rows of a run that begins with these operands.
    template <class S>
    static SMX_ALWAYS_INLINE rows_at<S, S> rows_of_run(const job& j, const operand* op) noexcept {
        constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(S));
        return {static_cast<const S*>(op[masked::in].data), run_stride(j, masked::in) / size,
                static_cast<S*>(const_cast<void*>(op[masked::out].data)), run_stride(j, masked::out) / size};
    }

    /// Short rows with truth values, and neither a sink nor a temperature: softmax of eight at a time.
    template <class S>
    static SMX_ALWAYS_INLINE bool has_kept_blocks(const job& j) noexcept {
        using even = even_rows<B, S, S, function::softmax, row_parts::kept>;
        return j.op[masked::mask] && !j.op[masked::sink] && !j.op[masked::temperature] &&
               j.special != special_values::ieee && is_plain_scale(j.scale) && j.length >= even::shortest &&
               j.length <= even::longest && masked_in_place<S>::suits(j);
    }
    template <class S>
    static SMX_ALWAYS_INLINE bool runs_kept_blocks(const job& j) noexcept {
        if constexpr (kernels<B, S, S>::template has_even_rows<function::softmax>) {
            if (has_kept_blocks<S>(j)) return run_kept_blocks<S>(j), true;
        }
        return false;
    }
    template <class S>
    static SMX_NOINLINE void run_kept_blocks(const job& j) noexcept {
        const scaling<T> s = j.scale == 1.0 ? no_scaling<T> : make_scaling<T>(j.scale);
        masked_group<B, T, kept_logits<B, T>, masked_in_place<S>, S, false> group(j);
        for_each_run(
            j, [&](const operand* op, std::size_t count, std::size_t query, std::size_t query_step) SMX_INLINE_LAMBDA {
                rows_at<S, S> run = rows_of_run<S>(j, op);
                run.keep = static_cast<const std::uint8_t*>(op[masked::mask].data);
                run.keep_pitch = run_stride(j, masked::mask);
                const kept_of_rows kept_of(j, op);
                const auto kept = [&](std::size_t i) SMX_INLINE_LAMBDA { return kept_of(i, query + i * query_step); };
                const auto add = [&](std::size_t first, std::size_t end) SMX_INLINE_LAMBDA {
                    operand row[vocabulary::max_operands];
                    for (std::size_t i = first; i < end; ++i) {
                        for (std::size_t o = 0; o < vocabulary::max_operands; ++o) {
                            row[o] = op[o];
                            if (op[o])
                                row[o].data = moved(op[o].data, static_cast<std::ptrdiff_t>(i) * run_stride(j, o));
                        }
                        add_row<false>(group, j, row, query + i * query_step, kept(i));
                    }
                };
                even_rows<B, S, S, function::softmax, row_parts::kept>::run(run, j.length, count, s, add, kept);
            });
        group.flush();
    }

    /// Rows `first` to `end` of a run, of which kept_of says how many elements are looked at.
    template <class S, function F, class G>
    static SMX_ALWAYS_INLINE void add_prefix_rows(const job& j, prefix_rows<B, T, S, F>& rows, const rows_at<S, S>& run,
                                                  const G& kept_of, std::size_t first, std::size_t end) noexcept {
        std::size_t kept[8];
        for (std::size_t n = 0; first < end; first += n) {
            n = end - first < std::size(kept) ? end - first : std::size(kept);
            std::size_t least = j.length, most = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const std::size_t own = kept_of(first + i);
                if (own < j.length) fill<F == function::log_softmax>(run.row(first + i).out + own, j.length - own);
                kept[i] = own;
                least = own < least ? own : least;
                most = own > most ? own : most;
            }
            const rows_at<S, S> at = run.row(first);
            if (rows.add_rows(at.in, at.in_pitch, at.out, at.out_pitch, kept, n, least, most)) continue;
            for (std::size_t i = 0; i < n; ++i) {
                const rows_at<S, S> row = at.row(i);
                if (kept[i] > 1) rows.add(row.in, row.out, kept[i]);
                else if (kept[i] == 1) single_element<S, F>(j, row.in, row.out);
            }
        }
    }
    template <class S, function F>
    static SMX_NOINLINE void single_element(const job& j, const S* in, S* out) noexcept {
        if (is_finite(load_element<T>(in))) return store_exact(out, F == function::log_softmax ? 0.0 : 1.0);
        operand op[vocabulary::max_operands] = {};
        op[masked::in] = {in, j.op[masked::in].step, j.op[masked::in].type};
        op[masked::out] = {out, j.op[masked::out].step, j.op[masked::out].type};
        write_special(j, op, 1);
    }
    template <class S, bool Log>
    static SMX_NOINLINE void run_numbered_rows(const job& j, const recipe<T>& r) noexcept {
        numbered_rows<B, T, S, Log> rows(j, r);
        for_each_run(
            j, [&](const operand* op, std::size_t count, std::size_t query, std::size_t query_step) SMX_INLINE_LAMBDA {
                rows_at<S, S> at = rows_of_run<S>(j, op);
                const kept_of_rows kept_of(j, op);
                rows.begin_run(op);
                for (std::size_t i = 0; i < count; ++i, at = at.moved(1), query += query_step) {
                    const std::size_t kept = kept_of(i, query);
                    if (kept < j.length) fill<Log>(at.out + kept, j.length - kept);
                    if (kept != 0) rows.add(at.in, at.out, i, query, kept);
                }
            });
        rows.flush();
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
