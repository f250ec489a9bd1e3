// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The largest of the elements of type S that were added, as a pack: its largest lane is the one. With a NaN among them, that or
/// NaN; the zero of -0 and +0 is either.
template <class P, class S>
class running_max {
public:
    SMX_ALWAYS_INLINE explicit running_max(const S* pack) noexcept : even_(P::load(pack)), odd_(even_) {}
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept { even_ = maximum(even_, P::load(p)); }
    /// Four packs.
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        even_ = maximum(maximum(even_, P::load(p)), P::load(p + 2 * P::lanes));
        odd_ = maximum(maximum(odd_, P::load(p + P::lanes)), P::load(p + 3 * P::lanes));
    }
    SMX_ALWAYS_INLINE P lanes() const noexcept { return maximum(even_, odd_); }

private:
    P even_, odd_;
};

#if defined(__GNUC__)
/// 16-bit elements are not converted: as integers with a sign, positive ones are in order and negative ones the other way round, so
/// the largest is the largest of all integers or, where all elements are negative, the least.
template <class P, class S>
    requires(sizeof(S) == 2)
class running_max<P, S> {
    static constexpr std::size_t count = 2 * P::lanes;
    typedef short integers __attribute__((vector_size(2 * count)));

public:
    SMX_ALWAYS_INLINE explicit running_max(const S* p) noexcept {
        put_twice(p, most_);
        least_ = most_;
    }
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept {
        integers v;
        put_twice(p, v);
        add(v);
    }
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        for (std::size_t half = 0; half < 2; ++half) {
            integers v;
            std::memcpy(&v, p + half * count, sizeof v);
            add(v);
        }
    }
    SMX_ALWAYS_INLINE P lanes() const noexcept {
        const integers largest = most_ < 0 ? least_ : most_;
        S element[count];
        std::memcpy(static_cast<void*>(element), &largest, sizeof element);
        return maximum(P::load(element), P::load(element + P::lanes));
    }

private:
    // By reference: the calling convention of vectors depends on what the compiler may use.
    static SMX_ALWAYS_INLINE void put_twice(const S* p, integers& v) noexcept {
        std::memcpy(&v, p, sizeof v / 2);
        std::memcpy(reinterpret_cast<char*>(&v) + sizeof v / 2, p, sizeof v / 2);
    }
    SMX_ALWAYS_INLINE void add(const integers& v) noexcept {
        most_ = most_ > v ? most_ : v;
        least_ = least_ < v ? least_ : v;
    }

    integers most_, least_;
};
#endif

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
