// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/passes.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// One row after the other. A row lies in memory contiguously or stepped; either way the passes see contiguous pieces: of
// the row itself, or of a copy in the arithmetic's type.

/// Pieces of a contiguous row, where they are.
template <class S>
struct pieces_in_place {
    using element = std::remove_const_t<S>;
    S* data;
    SMX_ALWAYS_INLINE S* piece(std::size_t i) const noexcept { return data + i; }
    SMX_ALWAYS_INLINE const element* read(std::size_t i, std::size_t) const noexcept { return data + i; }
    SMX_ALWAYS_INLINE void written(std::size_t, std::size_t) const noexcept {}
};

/// Pieces of a stepped row, copied to and from a buffer.
template <class T, class S>
struct pieces_copied {
    using element = T;
    S* data;
    std::ptrdiff_t step;
    T* buffer;
    SMX_ALWAYS_INLINE T* piece(std::size_t) const noexcept { return buffer; }
    SMX_NOINLINE const T* read(std::size_t i, std::size_t n) const noexcept {
        for (std::size_t j = 0; j < n; ++j) buffer[j] = load_element<T>(data + static_cast<std::ptrdiff_t>(i + j) * step);
        return buffer;
    }
    SMX_NOINLINE void written(std::size_t i, std::size_t n) const noexcept {
        for (std::size_t j = 0; j < n; ++j) store_element(data + static_cast<std::ptrdiff_t>(i + j) * step, buffer[j]);
    }
};

/// f(first element, number of elements) for every piece of a row.
template <class T, class F>
SMX_ALWAYS_INLINE void for_pieces(std::size_t length, F f) noexcept {
    for (std::size_t i = 0; i < length; i += piece_elements<T>)
        f(i, length - i < piece_elements<T> ? length - i : piece_elements<T>);
}

template <class B, class T>
class row_kernel {
    using pass = passes<B, T>;

public:
    /// The constants of a row; false if it has none because its maximum is not finite.
    template <class In>
    static SMX_ALWAYS_INLINE bool find_constants(const In& in, std::size_t length, const scaling<T>& s, row_constants<T>& row) noexcept {
        T top = 0;
        for_pieces<T>(length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T m = pass::largest(in.read(i, n), n, s);
            if (i == 0 || is_nan(m) || top < m) top = m;  // a NaN stays
        });
        if (!is_finite(top)) return false;
        row = constants_of_row(top, s);
        return true;
    }

    /// Terms in `out` itself: its elements are of the arithmetic's type, one behind the other.
    template <precision Q, class S>
    static SMX_ALWAYS_INLINE bool softmax_through_output(const S* in, T* out, std::size_t length, const row_constants<T>& row,
                                                         const scaling<T>& s) noexcept {
        row_sum<B, T> total;
        add_terms<Q>(total, in, out, length, row, s);
        const double sum = total.result();
        if (sum_is_nan(sum)) return false;
        pass::scale(out, out, length, share_of<T>(sum));
        return true;
    }

    /// Terms in a buffer, a piece at a time; computed a second time if there is more than one piece. False: a NaN.
    template <precision Q, class In, class Out>
    static SMX_ALWAYS_INLINE bool softmax_through_buffer(const In& in, const Out& out, std::size_t length, T* buffer,
                                                         const row_constants<T>& row, const scaling<T>& s) noexcept {
        row_sum<B, T> total;
        for_pieces<T>(length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            add_terms<Q>(total, in.read(i, n), buffer, n, row, s);
        });
        const double sum = total.result();
        if (sum_is_nan(sum)) return false;
        for_pieces<T>(length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (length > piece_elements<T>) {
                row_sum<B, T> again;
                add_terms<Q>(again, in.read(i, n), buffer, n, row, s);
            }
            pass::scale(buffer, out.piece(i), n, share_of<T>(sum));
            out.written(i, n);
        });
        return true;
    }

    /// log(sum of exp(z - max z)); false if there is a NaN.
    template <class In>
    static SMX_ALWAYS_INLINE bool log_of_sum(const In& in, std::size_t length, const row_constants<T>& row, const scaling<T>& s,
                                             double& log_sum) noexcept {
        row_sum<B, T> total;
        std::size_t ties = 0;
        for_pieces<T>(length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            if (row.general) pass::template add_terms_below_max<true>(total, ties, in.read(i, n), n, row, s);
            else pass::template add_terms_below_max<false>(total, ties, in.read(i, n), n, row, s);
        });
        const double rest = total.result();
        if (sum_is_nan(rest)) return false;
        log_sum = log_sum_exp_of(rest, static_cast<double>(ties), row, s);
        return true;
    }

    template <class In, class Out>
    static SMX_ALWAYS_INLINE void subtract(const In& in, const Out& out, std::size_t length, const row_constants<T>& row,
                                           double log_sum, const scaling<T>& s) noexcept {
        for_pieces<T>(length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
            const T log = static_cast<T>(log_sum);
            if (row.general) pass::template subtract<true>(in.read(i, n), out.piece(i), n, row, log, s);
            else pass::template subtract<false>(in.read(i, n), out.piece(i), n, row, log, s);
            out.written(i, n);
        });
    }

private:
    template <precision Q, class S>
    static SMX_ALWAYS_INLINE void add_terms(row_sum<B, T>& total, const S* in, T* terms, std::size_t n, const row_constants<T>& row,
                                            const scaling<T>& s) noexcept {
        if (row.general) pass::template add_terms<Q, true>(total, in, terms, n, row, s);
        else pass::template add_terms<Q, false>(total, in, terms, n, row, s);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
