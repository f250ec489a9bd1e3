// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows of Out up to this length, but longer than those of short_rows.hpp, are worked on in groups.
template <class Out>
inline constexpr std::size_t longest_grouped_row = sizeof(Out) == 2 ? 1024 : 256;
inline constexpr std::size_t rows_in_group = 4;

/// A few contiguous rows, step by step: the largest logits of all of them, then all sums, then all results. What is slow
/// about a short row is that each step waits for the one before; those of other rows do not. The bits are those of rows.hpp.
template <class B, class In, class Out>
class row_group {
    using T = compute_t<In, Out>;
    using kernel = row_kernel<B, T>;
    using pass = passes<B, T>;
    using pieces = pieces_in_place<const In>;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    static constexpr bool in_output = std::is_same_v<Out, T>;

public:
    std::size_t count = 0;
    bool done[rows_in_group];  ///< false, and nothing written, where the maximum is not finite

    /// A row of 1 to longest_grouped_row elements. in_soon, out_soon: what the cache is asked for on the way, see passes.hpp.
    SMX_ALWAYS_INLINE void add(const In* in, Out* out, std::size_t length, const In* in_soon, Out* out_soon) noexcept {
        row_[count++] = {in, out, length, in_soon, out_soon};
    }
    SMX_ALWAYS_INLINE bool full() const noexcept { return count == rows_in_group; }
    SMX_ALWAYS_INLINE const In* in(std::size_t i) const noexcept { return row_[i].in; }
    SMX_ALWAYS_INLINE Out* out(std::size_t i) const noexcept { return row_[i].out; }
    SMX_ALWAYS_INLINE std::size_t length(std::size_t i) const noexcept { return row_[i].length; }

    template <function F>
    SMX_NOINLINE void run(const recipe<T>& r) noexcept {
        row_constants<T> constants[rows_in_group];
        for (std::size_t i = 0; i < count; ++i)
            done[i] = kernel::find_constants(pieces{row_[i].in}, row_[i].length, r.scale, constants[i]);
        if constexpr (F == function::softmax) softmax(constants, r);
        else with_logarithm<F>(constants, r);
    }

private:
    struct row {
        const In* in;
        Out* out;
        std::size_t length;
        const In* in_soon;
        Out* out_soon;
    };

    SMX_ALWAYS_INLINE void softmax(const row_constants<T> (&constants)[rows_in_group], const recipe<T>& r) noexcept {
        double sum[rows_in_group];
        alignas(64) T buffer[in_output ? 1 : rows_in_group][in_output ? 1 : longest_grouped_row<Out>];
        const auto terms = [&](std::size_t i) SMX_INLINE_LAMBDA {
            if constexpr (in_output) return row_[i].out;
            else return buffer[i];
        };
        for (std::size_t i = 0; i < count; ++i) {
            if (!done[i]) continue;
            row_sum<B, T> total;
            kernel::template add_terms<Q>(total, row_[i].in, terms(i), row_[i].length, constants[i], r.scale, row_[i].in_soon,
                                          reinterpret_cast<const char*>(in_output ? row_[i].out_soon : row_[i].out));
            sum[i] = total.result();
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (!done[i]) continue;
            if (sum_is_nan(sum[i])) fill_nan(stepped<Out>{row_[i].out, 1}, row_[i].length);
            else pass::scale(terms(i), row_[i].out, row_[i].length, share_of<T>(sum[i]));
        }
    }

    template <function F>
    SMX_ALWAYS_INLINE void with_logarithm(const row_constants<T> (&constants)[rows_in_group], const recipe<T>& r) noexcept {
        double sum[rows_in_group];
        bool number[rows_in_group];
        std::size_t ties[rows_in_group];
        for (std::size_t i = 0; i < count; ++i) {
            if (!done[i]) continue;
            const char* const written_soon = F == function::log_softmax ? reinterpret_cast<const char*>(row_[i].out) : nullptr;
            number[i] = kernel::sum_below_max(pieces{row_[i].in}, row_[i].length, constants[i], r.scale, ties[i], sum[i],
                                              {row_[i].in_soon, written_soon});
        }
        for (std::size_t i = 0; i < count; ++i)
            if (done[i] && number[i]) sum[i] = log_sum_exp_of(sum[i], static_cast<double>(ties[i]), constants[i], r.scale);
        for (std::size_t i = 0; i < count; ++i) {
            if (!done[i]) continue;
            if constexpr (F == function::logsumexp) {
                if (number[i]) store_exact(row_[i].out, log_total(sum[i], constants[i], r.scale));
                else store_nan(row_[i].out);
            } else {
                if (number[i]) kernel::subtract(pieces{row_[i].in}, pieces_in_place<Out>{row_[i].out}, 0, row_[i].length, constants[i], sum[i], r.scale);
                else fill_nan(stepped<Out>{row_[i].out, 1}, row_[i].length);
            }
        }
    }

    row row_[rows_in_group];
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
