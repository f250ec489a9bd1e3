// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows of Out of this length and less, but longer than those of short_rows.hpp, are worked on in groups.
template <class T>
inline constexpr std::size_t longest_grouped_row = sizeof(T) == 2 ? 1024 : 256;
inline constexpr std::size_t rows_in_group = 4;

/// A few rows of one length, step by step: the largest logits of all of them, then all sums, then all results. What is slow
/// about a short row is that each step waits for the one before; those of other rows do not. The bits are those of rows.hpp.
template <class B, class In, class Out>
class row_group {
    using T = compute_t<In, Out>;
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    static constexpr bool in_output = std::is_same_v<Out, T>;

public:
    /// The rows j to j + count - 1 of w, at most rows_in_group. done[i] is false, and nothing written, where the maximum is not finite.
    template <function F>
    static SMX_NOINLINE void run(const work& w, const recipe<T>& r, std::size_t j, std::size_t count, bool (&done)[rows_in_group]) noexcept {
        const std::size_t n = w.length;
        row_constants<T> row[rows_in_group];
        double sum[rows_in_group];
        for (std::size_t i = 0; i < count; ++i)
            done[i] = kernel::find_constants(pieces_in_place<const In>{in_row<In>(w, j + i)}, n, r.scale, row[i]);

        const std::ptrdiff_t ahead = static_cast<std::ptrdiff_t>(rows_in_group);
        if constexpr (F == function::softmax) {
            alignas(64) T buffer[in_output ? 1 : rows_in_group][in_output ? 1 : longest_grouped_row<Out>];
            const auto terms = [&](std::size_t i) SMX_INLINE_LAMBDA {
                if constexpr (in_output) return out_row<Out>(w, j + i);
                else return buffer[i];
            };
            for (std::size_t i = 0; i < count; ++i) {
                if (!done[i]) continue;
                const In* in = in_row<In>(w, j + i);
                Out* out = out_row<Out>(w, j + i);
                row_sum<B, T> total;
                kernel::template add_terms<Q>(total, in, terms(i), n, row[i], r.scale, far_from(in, ahead * w.rows.in),
                                              reinterpret_cast<const char*>(in_output ? far_from(out, ahead * w.rows.out) : out));
                sum[i] = total.result();
            }
            for (std::size_t i = 0; i < count; ++i) {
                if (!done[i]) continue;
                if (sum_is_nan(sum[i])) fill_nan(stepped<Out>{out_row<Out>(w, j + i), 1}, n);
                else pass::scale(terms(i), out_row<Out>(w, j + i), n, share_of<T>(sum[i]));
            }
        } else {
            bool number[rows_in_group];
            std::size_t ties[rows_in_group];
            for (std::size_t i = 0; i < count; ++i)
                if (done[i])
                    number[i] = kernel::sum_below_max(pieces_in_place<const In>{in_row<In>(w, j + i)}, n, row[i], r.scale, ties[i], sum[i],
                                                      {far_from(in_row<In>(w, j + i), ahead * w.rows.in),
                                                       F == function::log_softmax ? reinterpret_cast<const char*>(out_row<Out>(w, j + i)) : nullptr});
            for (std::size_t i = 0; i < count; ++i)
                if (done[i] && number[i]) sum[i] = log_sum_exp_of(sum[i], static_cast<double>(ties[i]), row[i], r.scale);
            for (std::size_t i = 0; i < count; ++i) {
                if (!done[i]) continue;
                Out* out = out_row<Out>(w, j + i);
                if constexpr (F == function::logsumexp) {
                    if (number[i]) store_exact(out, log_total(sum[i], row[i], r.scale));
                    else store_nan(out);
                } else {
                    if (number[i]) kernel::subtract(pieces_in_place<const In>{in_row<In>(w, j + i)}, pieces_in_place<Out>{out}, 0, n, row[i], sum[i], r.scale);
                    else fill_nan(stepped<Out>{out, 1}, n);
                }
            }
        }
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
