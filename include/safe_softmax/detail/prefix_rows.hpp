// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/kernels.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// softmax (F) of contiguous rows that begin in one place and end in another: those of a causal mask, or of lengths. In and out
/// have elements of type S; what is behind a row's end is not looked at. The rows are the caller's until flush().
template <class B, class T, class S, function F>
class prefix_rows {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;
    /// So many rows of a pack each are done sooner as short rows; more of them by the pipeline: 256 rows of log_softmax in 0.8 of the time.
    static constexpr std::size_t few_short_rows = 16;

public:
    explicit prefix_rows(const recipe<T>& r) noexcept : recipe_(r) {}

    /// length >= 2
    SMX_ALWAYS_INLINE void add(const S* in, S* out, std::size_t length) noexcept {
        if constexpr (longest_short_row<P> != 0) {
            if (recipe_.scale.plain && length <= lanes) return short_.add(in, out, length, recipe_);
        }
        if constexpr (kernels<B, S, S>::has_pipeline) {
            if (takes_one_sweep(in, out, length))
                return kernels<B, S, S>::template contiguous_row<F>(in, out, length, recipe_);
            if (kernels<B, S, S>::template takes_pipeline<F>(length)) return rows_.add(in, out, length);
            if (length > lanes) return long_row(in, out, length);
            return short_row_by_itself(in, out, length, recipe_);
        }
        kernels<B, S, S>::template contiguous_row<F>(in, out, length, recipe_);
    }
    /// Many of one length; false: they have to be added one by one.
    SMX_ALWAYS_INLINE bool add_rows(const S* in, std::ptrdiff_t in_pitch, S* out, std::ptrdiff_t out_pitch,
                                    std::size_t length, std::size_t count) noexcept {
        if constexpr (kernels<B, S, S>::has_pipeline) {
            if ((length <= lanes && count <= few_short_rows) || takes_one_sweep(in, out, length)) return false;
            if (!kernels<B, S, S>::template takes_pipeline<F>(length)) return false;
            rows_.add_rows(in, in_pitch, out, out_pitch, length, count);
            return true;
        } else {
            return false;
        }
    }
    /// A few, each of its own length: from `least` to `most`.
    SMX_ALWAYS_INLINE bool add_rows(const S* in, std::ptrdiff_t in_pitch, S* out, std::ptrdiff_t out_pitch,
                                    const std::size_t* length, std::size_t count, std::size_t least,
                                    std::size_t most) noexcept {
        if constexpr (kernels<B, S, S>::has_pipeline) {
            if (least <= lanes || takes_one_sweep(in, out, most) || !kernels<B, S, S>::template takes_pipeline<F>(most))
                return false;
            rows_.add_rows(in, in_pitch, out, out_pitch, length, count, most);
            return true;
        } else {
            return false;
        }
    }
    SMX_ALWAYS_INLINE void flush() noexcept {
        short_.run(recipe_);
        if constexpr (kernels<B, S, S>::has_pipeline) rows_.flush();
    }

private:
    /// Rows of up to a pack that wait for each other: see short_rows_together.
    struct short_rows {
        const S* in[short_rows_together];
        S* out[short_rows_together];
        std::size_t length[short_rows_together];
        std::size_t count = 0;

        SMX_ALWAYS_INLINE void add(const S* from, S* to, std::size_t n, const recipe<T>& r) noexcept {
            in[count] = from;
            out[count] = to;
            length[count] = n;
            if (++count == short_rows_together) run(r);
        }
        SMX_NOINLINE void run(const recipe<T>& r) noexcept {
            short_row<B, T, S, S, 1> row[short_rows_together];
            for (std::size_t i = 0; i < count; ++i) row[i].load(in[i], length[i], r);
            if constexpr (F == function::log_softmax) {
                for (std::size_t i = 0; i < count; ++i)
                    if (row[i].plain()) row[i].take_sum();
                if (count > 2) row[0].take_logarithms(row, count);
                else
                    for (std::size_t i = 0; i < count; ++i)
                        if (row[i].plain()) row[i].take_logarithm();
            }
            for (std::size_t i = 0; i < count; ++i) {
                if (!row[i].plain()) short_row_by_itself(in[i], out[i], length[i], r);
                else if constexpr (F == function::softmax) row[i].softmax(out[i]);
                else row[i].log_softmax(out[i]);
            }
            count = 0;
        }
    };

    /// Not in 16 bits: what might have to follow takes its room from the pipeline (long_row).
    static SMX_ALWAYS_INLINE bool takes_one_sweep(const S* in, const S* out, std::size_t length) noexcept {
        return sizeof(S) != 2 && kernels<B, S, S>::template takes_one_sweep<F>(in, out, length, true);
    }
    /// One that the pipeline does not take: of more terms than wait in its buffer, which then is this row's, or of more results than caches hold.
    SMX_NOINLINE void long_row(const S* in, S* out, std::size_t length) noexcept {
        rows_.flush();
        kernels<B, S, S>::template contiguous_row<F>(in, out, length, recipe_, 0, 0, rows_.room());
    }
    /// Of up to a pack.
    static SMX_NOINLINE void short_row_by_itself(const S* in, S* out, std::size_t length, const recipe<T>& r) noexcept {
        alignas(64) T room[lanes];
        kernels<B, S, S>::template contiguous_row<F>(in, out, length, r, 0, 0, {room, 1});
    }

    const recipe<T>& recipe_;
    struct no_rows {
        SMX_ALWAYS_INLINE no_rows(const recipe<T>&, typename row_pipeline<B, S, S, F>::one_row*) noexcept {}
    };
    std::conditional_t<kernels<B, S, S>::has_pipeline, row_pipeline<B, S, S, F>, no_rows> rows_{
        recipe_, &kernels<B, S, S>::template contiguous_row<F>};
    short_rows short_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
