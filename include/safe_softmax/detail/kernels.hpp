// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>
#include <safe_softmax/detail/rows.hpp>
#include <safe_softmax/detail/short_rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A function of the rows of a batch with backend B. The path depends on steps, strides and length alone, and every path
/// gives the same bits:
///
///     columns      rows are neighbours in memory: a lane for each row             columns.hpp
///     short rows   contiguous, one or two packs: they stay in registers           short_rows.hpp
///     rows         contiguous ones pass by pass, stepped ones by way of a copy    rows.hpp, passes.hpp
///     special      rows with a NaN or without a finite maximum                    special.hpp
template <class B, class In, class Out>
class kernels {
    using T = compute_t<In, Out>;
    using P = pack_t<B, T>;
    using kernel = row_kernel<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    static constexpr precision Q = sizeof(Out) == 2 && sizeof(T) == 4 ? precision::half : precision::full;

public:
    /// Many: there may be more than one row (saves compiling the columns for 1-D views).
    template <function F, bool Many>
    static SMX_NOINLINE void run(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        if constexpr (Many) {
            // Next to each other, and enough of them to fill a quarter of a pack.
            if (b.in.stride == 1 && b.out.stride == 1 && b.in.step != 1 && b.rows >= lanes / 4) return columns<F>(b, r);
        }
        const bool contiguous = b.in.step == 1 && (b.out.step == 1 || F == function::logsumexp);
        if constexpr (longest_short_row<P> != 0) {
            if (contiguous && r.scale.plain && b.length <= longest_short_row<P>) return short_rows<F>(b, r);
        }
        for (std::size_t j = 0; j < b.rows; ++j) {
            if (contiguous) contiguous_row<F>(in_row(b, j), out_row(b, j), b.length, r);
            else stepped_row<F>({in_row(b, j), b.in.step}, {out_row(b, j), b.out.step}, b.length, r);
        }
    }

private:
    static SMX_ALWAYS_INLINE const In* in_row(const batch<In, Out>& b, std::size_t j) noexcept {
        return b.in.data + static_cast<std::ptrdiff_t>(j) * b.in.stride;
    }
    static SMX_ALWAYS_INLINE Out* out_row(const batch<In, Out>& b, std::size_t j) noexcept {
        return b.out.data + static_cast<std::ptrdiff_t>(j) * b.out.stride;
    }

    template <function F>
    static SMX_ALWAYS_INLINE void short_rows(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        if (b.rows == 1) return short_rows_by<F, 1>(b, r);
        short_rows_by<F, short_rows_together>(b, r);
    }
    template <function F, std::size_t N>
    static SMX_ALWAYS_INLINE void short_rows_by(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        for (std::size_t j = 0; j < b.rows; j += N) {
            const std::size_t count = b.rows - j < N ? b.rows - j : N;
            bool done[N];
            if (b.length <= lanes) short_rows_of<T, F, 1, B, N>(b, r, j, count, done);
            else short_rows_of<T, F, 2, B, N>(b, r, j, count, done);
            for (std::size_t i = 0; i < count; ++i)
                if (!done[i]) contiguous_row<F>(in_row(b, j + i), out_row(b, j + i), b.length, r);
        }
    }

    template <function F>
    static SMX_NOINLINE void contiguous_row(const In* in, Out* out, std::size_t length, const recipe<T>& r) noexcept {
        const pieces_in_place<const In> from{in};
        const pieces_in_place<Out> to{out};
        row_constants<T> row;
        if (!kernel::find_constants(from, length, r.scale, row)) return special<F>({in, 1}, {out, 1}, length, r);
        if constexpr (F == function::softmax) {
            bool done;
            if constexpr (std::is_same_v<Out, T>) {
                done = kernel::template softmax_through_output<Q>(in, out, length, row, r.scale);
            } else {
                alignas(64) T buffer[piece_elements<T>];
                done = kernel::template softmax_through_buffer<Q>(from, to, length, buffer, row, r.scale);
            }
            if (!done) fill_nan(stepped<Out>{out, 1}, length);
        } else {
            with_logarithm<F>(from, to, {out, 1}, length, row, r);
        }
    }

    template <function F>
    static SMX_NOINLINE void stepped_row(stepped<const In> in, stepped<Out> out, std::size_t length, const recipe<T>& r) noexcept {
        alignas(64) T copy[piece_elements<T>];
        alignas(64) T buffer[piece_elements<T>];
        const pieces_copied<T, const In> from{in.data, in.step, copy};
        const pieces_copied<T, Out> to{out.data, out.step, buffer};
        row_constants<T> row;
        if (!kernel::find_constants(from, length, r.scale, row)) return special<F>(in, out, length, r);
        if constexpr (F == function::softmax) {
            if (!kernel::template softmax_through_buffer<Q>(from, to, length, buffer, row, r.scale)) fill_nan(out, length);
        } else {
            with_logarithm<F>(from, to, out, length, row, r);
        }
    }

    template <function F, class From, class To>
    static SMX_ALWAYS_INLINE void with_logarithm(const From& from, const To& to, stepped<Out> out, std::size_t length,
                                                 const row_constants<T>& row, const recipe<T>& r) noexcept {
        double log_sum;
        const bool number = kernel::log_of_sum(from, length, row, r.scale, log_sum);
        if constexpr (F == function::logsumexp) {
            if (number) store_exact(out.data, log_total(log_sum, row, r.scale));
            else store_nan(out.data);
        } else {
            if (number) kernel::subtract(from, to, length, row, log_sum, r.scale);
            else fill_nan(out, length);
        }
    }

    template <function F>
    static SMX_ALWAYS_INLINE void special(stepped<const In> in, stepped<Out> out, std::size_t length, const recipe<T>& r) noexcept {
        if constexpr (F == function::logsumexp) write_special_total<T>(in, out.data, length, r);
        else write_special_row<T, F == function::log_softmax>(in, out, length, r);
    }

    template <function F>
    static SMX_ALWAYS_INLINE void columns(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        constexpr std::size_t wide = packs_per_tile<P>;
        std::size_t j = 0;
        for (; j + wide * lanes <= b.rows; j += wide * lanes) tile<F, wide>(b, r, j, wide * lanes);
        for (; j < b.rows; j += lanes) tile<F, 1>(b, r, j, b.rows - j < lanes ? b.rows - j : lanes);
    }

    template <function F, std::size_t K>
    static SMX_ALWAYS_INLINE void tile(const batch<In, Out>& b, const recipe<T>& r, std::size_t j, std::size_t count) noexcept {
        const In* in = b.in.data + j;
        Out* out = b.out.data + j;
        column_tile<B, T, In, Out, K> t({in, b.in.step, b.length, count, r.scale}, out, b.out.step);
        const bool done = t.template run<F>();
        for (std::size_t l = 0; l < count && !done; ++l) stepped_row<F>({in + l, b.in.step}, {out + l, b.out.step}, b.length, r);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
