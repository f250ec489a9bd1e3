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

    /// Elements of the longest row that stays in registers: where a pack is one register there are enough of them for four.
    static constexpr std::size_t longest = P::registers == 1 ? 4 * lanes : longest_short_row<P>;

public:
    explicit prefix_rows(const recipe<T>& r) noexcept : recipe_(r) {}

    /// length >= 2
    SMX_ALWAYS_INLINE void add(const S* in, S* out, std::size_t length) noexcept {
        if constexpr (longest_short_row<P> != 0) {
            if (recipe_.scale.plain && length <= longest) {
                if (length <= lanes) one_.add(in, out, length, recipe_);
                else if (length <= 2 * lanes) two_.add(in, out, length, recipe_);
                else if constexpr (longest == 4 * lanes) {
                    if (length <= 3 * lanes) three_.add(in, out, length, recipe_);
                    else four_.add(in, out, length, recipe_);
                }
                return;
            }
        }
        // The next row is likely to be as far away as the last one was.
        const std::ptrdiff_t in_pitch = last_in_ == nullptr ? 0 : distance(last_in_, in);
        const std::ptrdiff_t out_pitch = last_out_ == nullptr ? 0 : distance(last_out_, out);
        last_in_ = in;
        last_out_ = out;
        if (length > longest_grouped_row<S>)
            return kernels<B, S, S>::template contiguous_row<F>(in, out, length, recipe_, in_pitch, out_pitch);
        constexpr auto ahead = static_cast<std::ptrdiff_t>(rows_in_group);
        group_.add(in, out, length, far_from(in, ahead * in_pitch), far_from(out, ahead * out_pitch));
        if (group_.full()) run_group();
    }
    SMX_ALWAYS_INLINE void flush() noexcept {
        one_.run(recipe_);
        two_.run(recipe_);
        three_.run(recipe_);
        four_.run(recipe_);
        run_group();
    }

private:
    /// Rows of K packs that wait for each other: see short_rows_together.
    template <std::size_t K>
    struct waiting {
        static constexpr std::size_t together = K > 2 ? short_rows_together / 2 : short_rows_together;
        const S* in[together];
        S* out[together];
        std::size_t length[together];
        std::size_t count = 0;

        SMX_ALWAYS_INLINE void add(const S* from, S* to, std::size_t n, const recipe<T>& r) noexcept {
            in[count] = from;
            out[count] = to;
            length[count] = n;
            if (++count == together) run(r);
        }
        SMX_NOINLINE void run(const recipe<T>& r) noexcept {
            short_row<B, T, S, S, K> row[together];
            for (std::size_t i = 0; i < count; ++i) row[i].load(in[i], length[i], r);
            if constexpr (F == function::log_softmax) {
                for (std::size_t i = 0; i < count; ++i)
                    if (row[i].plain()) row[i].take_sum();
                for (std::size_t i = 0; i < count; ++i)
                    if (row[i].plain()) row[i].take_logarithm();
            }
            for (std::size_t i = 0; i < count; ++i) {
                if (!row[i].plain()) kernels<B, S, S>::template contiguous_row<F>(in[i], out[i], length[i], r);
                else if constexpr (F == function::softmax) row[i].softmax(out[i]);
                else row[i].log_softmax(out[i]);
            }
            count = 0;
        }
    };

    SMX_NOINLINE void run_group() noexcept { kernels<B, S, S>::template run_group<F>(group_, recipe_); }

    /// In elements, from one array to another maybe.
    template <class E>
    static SMX_ALWAYS_INLINE std::ptrdiff_t distance(E* from, E* to) noexcept {
        return static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from)) /
               static_cast<std::ptrdiff_t>(sizeof(S));
    }

    const recipe<T>& recipe_;
    const S* last_in_ = nullptr;
    S* last_out_ = nullptr;
    row_group<B, S, S> group_;
    waiting<1> one_;
    waiting<2> two_;
    waiting<3> three_;
    waiting<4> four_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
