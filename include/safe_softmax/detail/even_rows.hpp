// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/row_block.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/simd/prefetch.hpp>
#include <safe_softmax/simd/running_max.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// What is there of the rows of even_rows.
enum class row_parts {
    whole,       ///< all of them
    before_end,  ///< what is before an end that each row has; behind it nothing is read, and results are +0
    kept         ///< the same, and of that what bytes that are not 0 say; other results are +0
};

/// Contiguous rows: the first, and how far it is to the next.
template <class In, class Out>
struct rows_at {
    const In* in;
    std::ptrdiff_t in_pitch;
    Out* out;
    std::ptrdiff_t out_pitch;
    const std::uint8_t* keep = nullptr;  ///< row_parts::kept
    std::ptrdiff_t keep_pitch = 0;

    SMX_ALWAYS_INLINE rows_at moved(std::ptrdiff_t rows) const noexcept {
        return {in + rows * in_pitch,     in_pitch,  out + rows * out_pitch, out_pitch,
                keep + rows * keep_pitch, keep_pitch};
    }
    SMX_ALWAYS_INLINE rows_at row(std::size_t i) const noexcept { return moved(static_cast<std::ptrdiff_t>(i)); }
};

/// Many contiguous rows of one length, a few packs each, eight at a time (a block). As in row_pipeline.hpp, one loop looks for the
/// largest logit of a row of the next block, writes the results of a row of the last one, and computes the terms of a row. But what
/// depends on the length is known when it is compiled, or before it begins: of rows of 64 elements it takes half the instructions. The
/// bits are those of rows.hpp. Blocks with a row that has a NaN or is not plain are left to the caller.
template <class B, class In, class Out, function F, row_parts Parts = row_parts::whole>
class even_rows {
    static_assert(F != function::logsumexp && (Parts == row_parts::whole || F == function::softmax));
    using block = row_block<B, In, Out>;
    using T = typename block::T;
    using P = typename block::P;
    using lanes_sum = typename row_sum<B, T>::lanes_sum;
    using rows_type = rows_at<In, Out>;
    static constexpr std::size_t lanes = P::lanes, rows = block::most_rows;
    static constexpr bool softmax = F == function::softmax, masked = Parts != row_parts::whole;
    static constexpr precision Q = softmax && sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    /// Shorter rows are done sooner by turned_rows.hpp.
    static constexpr std::size_t shortest = softmax ? (sizeof(T) == 8 ? 12 : 16) : (sizeof(T) == 8 ? 16 : 25);
    /// Longer ones would gain less than it takes to compile them.
    static constexpr std::size_t longest = (softmax ? 8 : 4) * lanes;
    static_assert(shortest >= lanes);

    static SMX_ALWAYS_INLINE bool suits(std::size_t count, std::size_t length, const scaling<T>& s) noexcept {
        return count >= rows && length >= shortest && length <= longest && s.plain;
    }

    struct no_ends {
        SMX_ALWAYS_INLINE std::size_t operator()(std::size_t) const noexcept { return 0; }
    };
    /// `count` rows: by blocks where that suits, the rest by others(first, end). end_of(i): where row i ends, if it is masked.
    template <class Others, class G = no_ends>
    static SMX_ALWAYS_INLINE void run(const rows_type& all, std::size_t length, std::size_t count, const scaling<T>& s,
                                      const Others& others, const G& end_of = {}) noexcept {
        std::size_t skipped = lanes;
        for (std::size_t i = 0; i != count;) {
            std::size_t left = count - i;
            if (suits(left, length, s)) {
                const std::size_t blocks = left / rows,
                                  done = run_blocks(all.row(i), length, blocks, s,
                                                    [&](std::size_t l) SMX_INLINE_LAMBDA { return end_of(i + l); });
                i += done * rows;
                left -= done * rows;
                if (done != 0) skipped = lanes;
                if (done != blocks && left > skipped) left = skipped;
                skipped *= 2;  // rows that are left over one after the other: for many to come, perhaps
            }
            if (left != 0) others(i, i + left);
            i += left;
        }
    }

private:
    /// `blocks`, 1 or more. How many of them are done: all, or those before the first one that is left over.
    template <class G>
    static SMX_ALWAYS_INLINE std::size_t run_blocks(const rows_type& at, std::size_t length, std::size_t blocks,
                                                    const scaling<T>& s, const G& end_of) noexcept {
        const std::size_t packs = (length + lanes - 1) / lanes;
        if constexpr (softmax) {
            switch (packs) {
                case 5: return run_with<5>(at, length, blocks, s, end_of);
                case 6: return run_with<6>(at, length, blocks, s, end_of);
                case 7: return run_with<7>(at, length, blocks, s, end_of);
                case 8: return run_with<8>(at, length, blocks, s, end_of);
                default: break;
            }
        }
        switch (packs) {
            case 1: return run_with<1>(at, length, blocks, s, end_of);
            case 2: return run_with<2>(at, length, blocks, s, end_of);
            case 3: return run_with<3>(at, length, blocks, s, end_of);
            default: return run_with<4>(at, length, blocks, s, end_of);
        }
    }

    /// Packs, here and below: those of a row, with the part of one at its end.
    template <std::size_t Packs, class G>
    static SMX_NOINLINE std::size_t run_with(const rows_type& first, std::size_t length, std::size_t blocks,
                                             const scaling<T>& s, const G& end_of) noexcept {
        constexpr auto step = static_cast<std::ptrdiff_t>(rows);
        block some[3];
        for (block& b : some) b.count = rows;
        P top[rows];
        lanes_sum sum[rows];
        alignas(64) T terms[softmax ? rows * Packs * lanes : 1];
        rows_type at = first;
        const auto set_ends = [&](block& b, std::size_t i) SMX_INLINE_LAMBDA {
            for (std::size_t l = 0; l < rows && masked; ++l) b.length[l] = end_of(i + l);
        };
        const std::ptrdiff_t rows_ahead =
            results_wait() ? static_cast<std::ptrdiff_t>((2048 / sizeof(Out) - 1) / length + 1) : 0;
        set_ends(some[0], 0);
        find_tops<Packs>(at, length, some[0], top);
        find_constants(some[0], top, s);
        for (std::size_t j = 0;; ++j, at = at.moved(step)) {
            block &last = some[(j + 2) % 3], &now = some[j % 3], &next = some[(j + 1) % 3];
            const bool waits = j != 0;  // the last block for its results to be written
            const rows_type of_last = waits ? at.moved(-step) : at;
            if (j == blocks || now.general || now.special != 0) [[unlikely]] {
                if (waits) write<Packs>(of_last, last, terms, length, s);
                return j;
            }
            const bool more = j + 1 < blocks;
            set_ends(next, (more ? j + 1 : j) * rows);
            run_block<Packs>(of_last, last, waits, at, now, more ? at.moved(step) : at, next, terms, length, s,
                             rows_ahead, sum, top);
            find_results(now, sum, s);
            if (now.has_nan) [[unlikely]]
                return j;
            if (more) find_constants(next, top, s);
        }
    }

    /// Whether the cache is asked for lines of results, 2 KiB ahead, as pipeline_loop::fetch_results does.
    static SMX_ALWAYS_INLINE bool results_wait() noexcept { return softmax && std::is_same_v<Out, T> && stores_wait(); }

    template <std::size_t Packs>
    static SMX_ALWAYS_INLINE void run_block(rows_type of_last, const block& last, bool waits, rows_type of_now,
                                            block& now, rows_type of_next, const block& next, T* terms,
                                            std::size_t length, const scaling<T>& s, std::ptrdiff_t rows_ahead,
                                            lanes_sum (&sum)[rows], P (&top)[rows]) noexcept {
        constexpr std::size_t first = Packs < packs_per_group ? Packs : packs_per_group, second = Packs - first;
        const bool unscaled = s.direct.value == 1;
        const row_terms<P, false> shared(s, P::broadcast(0), P::broadcast(0));
        for (std::size_t i = 0; i < rows; ++i) {
            top[i] = top_of_row<Packs>(of_next, length, next.length[i]);

            if (rows_ahead != 0)
                prefetch<Packs * lanes * sizeof(Out), true>(far_from(of_last.out, rows_ahead * of_last.out_pitch));
            if (waits) write_row<Packs>(of_last, last, i, terms, length, s, unscaled);

            row_terms<P, false> term = shared;
            term.magic = P::broadcast(now.magic[i]);
            const P max = P::broadcast(softmax ? T(0) : now.max[i]);
            const std::size_t end = masked ? now.length[i] : length;
            std::size_t ties = 0;
            row_sum<B, T> total(group<Packs, 0, first>(of_now, end, term, max, terms, ties));
            if constexpr (second != 0)
                total.add_group(group<Packs, first, second>(of_now, end, term, max, terms, ties));
            sum[i] = total.of_lanes();
            if constexpr (!softmax) now.ties[i] = static_cast<double>(ties);

            of_now = of_now.moved(1);
            of_next = of_next.moved(1);
            of_last = of_last.moved(1);
            terms += softmax ? Packs * lanes : 0;
        }
    }

    /// The pack from element e on, -inf where the row has none.
    static SMX_ALWAYS_INLINE P logits(const rows_type& row, std::size_t e, std::size_t end) noexcept {
        const P none = P::broadcast(minus_infinity<T>());
        if (!masked && end == e + lanes) return in_register(P::load(row.in + e));
        const P z = in_register(P::load_before(row.in + e, e, end, none));
        if constexpr (Parts == row_parts::kept) return where_nonzero_before(row.keep + e, e, end, z, none);
        else return z;
    }

    /// The largest logit of a row, by lanes; 0 if it ends before its first element.
    template <std::size_t Packs>
    static SMX_ALWAYS_INLINE P top_of_row(const rows_type& row, std::size_t length, std::size_t end) noexcept {
        if constexpr (masked) {
            if (end == 0) return P::broadcast(0);
            P most = logits(row, 0, end);
            SMX_UNROLL for (std::size_t k = 1; k < Packs; ++k) most = maximum(most, logits(row, k * lanes, end));
            return most;
        } else {
            running_max<P, In> most(row.in);
            SMX_UNROLL for (std::size_t k = 1; k + 1 < Packs; ++k) most.add_pack(row.in + k * lanes);
            if constexpr (Packs > 1) most.add_pack(row.in + length - lanes);  // some a second time
            return most.lanes();
        }
    }

    /// The sum of N packs of terms from pack K on, without the largest ones for logarithms, which `ties` counts.
    template <std::size_t Packs, std::size_t K, std::size_t N>
    static SMX_ALWAYS_INLINE P group(const rows_type& row, std::size_t end, const row_terms<P, false>& term, P max,
                                     T* terms, std::size_t& ties) noexcept {
        P z[N], t[N];
        SMX_UNROLL for (std::size_t k = 0; k < N; ++k) z[k] = !masked && K + k + 1 < Packs
                                                                  ? in_register(P::load(row.in + (K + k) * lanes))
                                                                  : logits(row, (K + k) * lanes, end);
        term.template of_each<Q>(
            t, [&](std::size_t k) SMX_INLINE_LAMBDA { return z[k]; }, [](std::size_t) SMX_INLINE_LAMBDA {});
        SMX_UNROLL for (std::size_t k = 0; k < N; ++k) {
            if constexpr (softmax) {
                store(terms + (K + k) * lanes, t[k]);
            } else {
                ties += count_equal(z[k], max);
                t[k] = zero_where_equal(t[k], z[k], max);
            }
        }
        return sum_of_group(t);
    }

    /// The results of row i, some of the last pack twice.
    template <std::size_t Packs>
    static SMX_ALWAYS_INLINE void write_row(const rows_type& row, const block& b, std::size_t i, T* terms,
                                            std::size_t length, const scaling<T>& s, bool unscaled) noexcept {
        const auto put = [&](auto result) SMX_INLINE_LAMBDA {
            const P at_end = result(length - lanes);  // before others are written: it may be in place
            SMX_UNROLL for (std::size_t k = 0; k + 1 < Packs; ++k) store(row.out + k * lanes, result(k * lanes));
            store(row.out + length - lanes, at_end);
        };
        const T number = masked && b.length[i] == 0 ? T(0) : b.result[i];
        if constexpr (softmax) {
            const P share = P::broadcast(number);
            put([&](std::size_t e) SMX_INLINE_LAMBDA { return mul(P::load(terms + e), share); });
            if (masked && b.length[i] == 1) store_element(row.out, T(1));  // not less a rounding
        } else {
            const log_of_terms<P, false> result(s, P::broadcast(b.max[i]), P::broadcast(number));
            if (unscaled) put([&](std::size_t e) SMX_INLINE_LAMBDA { return result.unscaled(P::load(row.in + e)); });
            else put([&](std::size_t e) SMX_INLINE_LAMBDA { return result(P::load(row.in + e)); });
        }
    }

    template <std::size_t Packs>
    static SMX_ALWAYS_INLINE void find_tops(rows_type at, std::size_t length, const block& b, P (&top)[rows]) noexcept {
        for (std::size_t i = 0; i < rows; ++i, at = at.moved(1)) top[i] = top_of_row<Packs>(at, length, b.length[i]);
    }
    template <std::size_t Packs>
    static SMX_ALWAYS_INLINE void write(rows_type at, const block& b, T* terms, std::size_t length,
                                        const scaling<T>& s) noexcept {
        for (std::size_t i = 0; i < rows; ++i, at = at.moved(1), terms += softmax ? Packs * lanes : 0)
            write_row<Packs>(at, b, i, terms, length, s, s.direct.value == 1);
    }

    // Not inlined: one copy for all numbers of packs.

    static SMX_NOINLINE void find_constants(block& b, const P (&top)[rows], const scaling<T>& s) noexcept {
        b.template find_constants<F>(top, s, false);
    }
    static SMX_NOINLINE void find_results(block& b, const lanes_sum (&sum)[rows], const scaling<T>& s) noexcept {
        row_sum<B, T>::results(b.sum, sum);
        b.template find_results<F>(s);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
