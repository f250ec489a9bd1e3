// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/columns.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// softmax, log_softmax, logsumexp of a batch with backend B: chooses the path by the steps and strides alone, and every
/// path gives the same bits. Many: there may be more than one row (saves compiling the columns for 1-D views).
template <class B, class In, class Out, bool Many>
class kernels {
    using T = compute_t<In, Out>;
    static constexpr std::size_t lanes = pack_t<B, T>::lanes;
    static constexpr std::size_t packs_per_tile = 4;

public:
    static SMX_NOINLINE void softmax(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        const auto row = [&](auto in, auto out) SMX_INLINE_LAMBDA {
            row_kernel<B, T, decltype(in), decltype(out)>::template softmax<Out>(in, out, b.length, r);
        };
        if (neighbours(b)) return columns(b, r, [](auto& tile) SMX_INLINE_LAMBDA { return tile.softmax(); }, row);
        rows(b, row);
    }
    static SMX_NOINLINE void log_softmax(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        const auto row = [&](auto in, auto out) SMX_INLINE_LAMBDA {
            row_kernel<B, T, decltype(in), decltype(out)>::log_softmax(in, out, b.length, r);
        };
        if (neighbours(b)) return columns(b, r, [](auto& tile) SMX_INLINE_LAMBDA { return tile.log_softmax(); }, row);
        rows(b, row);
    }
    static SMX_NOINLINE void logsumexp(const batch<In, Out>& b, const recipe<T>& r) noexcept {
        const auto row = [&](auto in, auto out) SMX_INLINE_LAMBDA {
            row_kernel<B, T, decltype(in), decltype(out)>::logsumexp(in, out.data, b.length, r);
        };
        if (neighbours(b)) return columns(b, r, [](auto& tile) SMX_INLINE_LAMBDA { return tile.logsumexp(); }, row);
        rows(b, row);
    }

private:
    /// Rows next to each other in memory, and enough of them to fill a quarter of a pack.
    static SMX_ALWAYS_INLINE bool neighbours(const batch<In, Out>& b) noexcept {
        return Many && b.in.stride == 1 && b.out.stride == 1 && b.in.step != 1 && b.rows >= lanes / 4;
    }

    template <class F>
    static SMX_ALWAYS_INLINE void rows(const batch<In, Out>& b, F row) noexcept {
        const bool unit = b.in.step == 1 && (b.out.step == 1 || b.out.step == 0);
        for (std::size_t j = 0; j < b.rows; ++j) {
            const In* in = b.in.data + static_cast<std::ptrdiff_t>(j) * b.in.stride;
            Out* out = b.out.data + static_cast<std::ptrdiff_t>(j) * b.out.stride;
            if (unit) row(contiguous<const In>{in}, contiguous<Out>{out});
            else row(stepped<const In>{in, b.in.step}, stepped<Out>{out, b.out.step});
        }
    }

    template <class F, class G>
    static SMX_ALWAYS_INLINE void columns(const batch<In, Out>& b, const recipe<T>& r, F whole, G row) noexcept {
        if constexpr (!Many) return;
        else columns_of_many(b, r, whole, row);
    }
    template <class F, class G>
    static SMX_ALWAYS_INLINE void columns_of_many(const batch<In, Out>& b, const recipe<T>& r, F whole, G row) noexcept {
        const auto tile = [&]<std::size_t K>(std::integral_constant<std::size_t, K>, std::size_t j, std::size_t count) SMX_INLINE_LAMBDA {
            const side<const In> in{b.in.data + j, b.in.step, 1};
            const side<Out> out{b.out.data + j, b.out.step, 1};
            column_tile<B, T, In, Out, K> t(in, out, b.length, count, r);
            if (whole(t)) return;
            for (std::size_t l = 0; l < count; ++l)
                row(stepped<const In>{in.data + l, in.step}, stepped<Out>{out.data + l, out.step});
        };
        std::size_t j = 0;
        for (; j + packs_per_tile * lanes <= b.rows; j += packs_per_tile * lanes)
            tile(std::integral_constant<std::size_t, packs_per_tile>{}, j, packs_per_tile * lanes);
        for (; j < b.rows; j += lanes)
            tile(std::integral_constant<std::size_t, 1>{}, j, b.rows - j < lanes ? b.rows - j : lanes);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
