// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/exact_packs.hpp>
#include <safe_softmax/detail/masked_job.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/some_elements.hpp>
#include <safe_softmax/detail/sum.hpp>
#include <safe_softmax/simd/prefetch.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Elements of a masked row from `first` on, and what goes along with each; null where it is not given.
template <class S>
struct masked_piece {
    const S* x;
    const std::uint8_t* keep;
    const S* added;
    const S* bias;
    std::size_t first;
    // What is likely to be read and written soon, as far away as the elements of another row are; or the very same, where that is unknown.
    const S* x_soon;
    const std::uint8_t* keep_soon;
    const S* added_soon;
    const S* bias_soon;
    const S* out_soon;
};

/// Rows whose arguments all lie in memory as the passes want them: contiguous, of one type.
template <class S>
class masked_in_place {
public:
    static constexpr bool by_copy = false;
    SMX_ALWAYS_INLINE explicit masked_in_place(const masked_piece<S>& row) noexcept : row_(row) {}

    /// A whole row. `soon` bytes from each argument of it to that of one that comes soon.
    static SMX_ALWAYS_INLINE masked_piece<S> row(const operand* op, const std::ptrdiff_t* soon) noexcept {
        const bool added = is_floating(op[masked::mask].type);
        const auto* const x = static_cast<const S*>(op[masked::in].data);
        const auto* const keep = added ? nullptr : static_cast<const std::uint8_t*>(op[masked::mask].data);
        const auto* const numbers = added ? static_cast<const S*>(op[masked::mask].data) : nullptr;
        const auto* const bias = static_cast<const S*>(op[masked::bias].data);
        return {x,
                keep,
                numbers,
                bias,
                0,
                away(x, soon[masked::in]),
                away(keep, soon[masked::mask]),
                away(numbers, soon[masked::mask]),
                away(bias, soon[masked::bias]),
                away(static_cast<const S*>(op[masked::out].data), soon[masked::out])};
    }
    /// Elements from i on; until the next call.
    SMX_ALWAYS_INLINE const masked_piece<S>& read(std::size_t i, std::size_t) const noexcept {
        return i == 0 ? row_ : further(i);
    }

private:
    SMX_NOINLINE const masked_piece<S>& further(std::size_t i) const noexcept {
        const auto at = [i](auto* p) SMX_INLINE_LAMBDA { return p == nullptr ? p : p + i; };
        further_ = {row_.x + i,      at(row_.keep),      at(row_.added),      at(row_.bias),      i,
                    row_.x_soon + i, row_.keep_soon + i, row_.added_soon + i, row_.bias_soon + i, row_.out_soon + i};
        return further_;
    }
    template <class E>
    static SMX_ALWAYS_INLINE const E* away(const E* p, std::ptrdiff_t bytes) noexcept {
        return far_from(p, bytes / static_cast<std::ptrdiff_t>(sizeof(E)));
    }

    const masked_piece<S>& row_;
    mutable masked_piece<S> further_;

public:
    static bool suits(const job& j) noexcept {
        const auto contiguous = [&](const operand& o, scalar_type type) SMX_INLINE_LAMBDA {
            return !o || (o.type == type && o.step == static_cast<std::ptrdiff_t>(size_of(type)));
        };
        constexpr scalar_type type = vocabulary::scalar_type_of<S>();
        const operand& mask = j.op[masked::mask];
        return contiguous(j.op[masked::in], type) && contiguous(j.op[masked::out], type) &&
               contiguous(j.op[masked::bias], type) &&
               (is_floating(mask.type) ? contiguous(mask, type) : !mask || mask.step == 1);
    }
};

/// All other rows: what does not lie like that is copied, a piece at a time. Numbers: they may have a bias or an added mask, which take room.
template <class B, class T, bool Numbers>
class masked_by_copy {
    static constexpr std::size_t piece = piece_elements<T>;

public:
    static constexpr bool by_copy = true;
    SMX_ALWAYS_INLINE explicit masked_by_copy(const operand* op) noexcept : op_(op) {}
    SMX_NOINLINE masked_piece<T> read(std::size_t i, std::size_t n) const noexcept {
        const operand& mask = op_[masked::mask];
        const auto numbers = [&](const operand& o, T* buffer) SMX_INLINE_LAMBDA -> const T* {
            return o && is_floating(o.type) ? operand_reader<B, T>{o, buffer}.read(i, n) : nullptr;
        };
        masked_piece<T> p{numbers(op_[masked::in], x_),
                          nullptr,
                          Numbers ? numbers(mask, added_) : nullptr,
                          Numbers ? numbers(op_[masked::bias], bias_) : nullptr,
                          i,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};
        if (mask && !is_floating(mask.type)) p.keep = operand_pieces<B, T>::bytes(mask, i, n, bytes_);
        p.x_soon = p.out_soon = p.x;
        p.keep_soon = p.keep;
        p.added_soon = p.added;
        p.bias_soon = p.bias;
        return p;
    }

private:
    const operand* op_;
    alignas(64) mutable T x_[piece];
    alignas(64) mutable T added_[Numbers ? piece : 1];
    alignas(64) mutable T bias_[Numbers ? piece : 1];
    mutable std::uint8_t bytes_[piece];
};

/// The bytes of a pack of which only the first n can be read; the others are 0.
template <std::size_t Lanes>
struct partial_bytes {
    std::uint8_t byte[Lanes] = {};
    SMX_ALWAYS_INLINE partial_bytes(const std::uint8_t* from, std::size_t n) noexcept {
        // Two overlapping copies of a fixed size each are faster than one call for n bytes.
        const auto copy = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) SMX_INLINE_LAMBDA {
            std::memcpy(byte, from, N);
            std::memcpy(byte + n - N, from + n - N, N);
        };
        if (Lanes > 8 && n >= 8) copy(std::integral_constant < std::size_t, Lanes<8 ? Lanes : 8>());
        else if (n >= 4) copy(std::integral_constant<std::size_t, 4>());
        else if (n >= 2) copy(std::integral_constant<std::size_t, 2>());
        else if (n == 1) byte[0] = from[0];
    }
};

/// Adds the terms of a piece to the sum, in the order of sum.hpp: a[] of group(first element, a) for four whole packs, term(first element,
/// elements) for others. What is not there is +0; whole packs have a number of elements that is known when this is compiled.
template <class B, class T, class G, class F>
SMX_ALWAYS_INLINE row_sum<B, T> sum_in_groups(row_sum<B, T> sum, std::size_t n, G group, F term) noexcept {
    using P = pack_t<B, T>;
    constexpr std::integral_constant<std::size_t, P::lanes> whole;
    std::size_t i = 0;
    for (; i + packs_per_group * P::lanes <= n; i += packs_per_group * P::lanes) {
        P a[packs_per_group];
        group(i, a);
        sum.add_group(sum_of_group(a));
    }
    if (i < n) {
        P a[packs_per_group] = {P::broadcast(0), P::broadcast(0), P::broadcast(0), P::broadcast(0)};
        for (std::size_t k = 0; i < n; ++k, i += P::lanes) {
            if (n - i >= P::lanes) a[k] = term(i, whole);
            else a[k] = term(i, n - i);
        }
        sum.add_group(sum_of_group(a));
    }
    return sum;
}
/// The same, one term after the other.
template <class B, class T, class F>
SMX_ALWAYS_INLINE row_sum<B, T> sum_in_groups(row_sum<B, T> sum, std::size_t n, F term) noexcept {
    using P = pack_t<B, T>;
    const auto group = [&](std::size_t i, P(&a)[packs_per_group]) SMX_INLINE_LAMBDA {
        SMX_UNROLL for (std::size_t k = 0; k < packs_per_group; ++k) a[k] =
            term(i + k * P::lanes, std::integral_constant<std::size_t, P::lanes>());
    };
    return sum_in_groups<B, T>(sum, n, group, term);
}

/// a where the byte is not 0, else b; without bytes a. Beyond n elements b.
template <class P, class N>
SMX_ALWAYS_INLINE P where_kept(const std::uint8_t* keep, P a, P b, N n) noexcept {
    if constexpr (std::is_same_v<N, std::size_t>) {
        if (keep == nullptr) return blend_first(a, b, n);
        return where_nonzero(partial_bytes<P::lanes>(keep, n).byte, a, b);
    } else {
        return keep == nullptr ? a : where_nonzero(keep, a, b);
    }
}

/// Whether a number that is kept is NaN, or at least as large as the largest finite one. Without numbers there is none.
template <class B, class T, class S>
SMX_NOINLINE bool any_nan(const S* x, const std::uint8_t* keep, std::size_t n) noexcept {
    using P = pack_t<B, T>;
    if (x == nullptr) return false;
    const P one = P::broadcast(1), zero = P::broadcast(0), limit = P::broadcast(-lowest<T>);
    P bad = zero;
    const auto take = [&](std::size_t i, auto left) SMX_INLINE_LAMBDA {
        const P number = where_kept(keep == nullptr ? nullptr : keep + i, load_some<P>(x + i, left), zero, left);
        bad = maximum(bad, zero_where_less(one, number, limit));
    };
    std::size_t i = 0;
    for (; i + P::lanes <= n; i += P::lanes) take(i, std::integral_constant<std::size_t, P::lanes>());
    if (i < n) take(i, n - i);
    return reduce_max(bad) != 0;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
