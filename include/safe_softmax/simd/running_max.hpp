// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The largest of the elements of type S that were added, as a pack: its largest lane is the one. With a NaN among them, any of them or
/// NaN; the zero of -0 and +0 is either.
template <class P, class S>
class running_max {
public:
    SMX_ALWAYS_INLINE explicit running_max(const S* pack) noexcept : most_(P::load(pack)) {}
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept { most_ = maximum(most_, P::load(p)); }
    /// Four packs.
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) add_pack(p + k * P::lanes);
    }
    SMX_ALWAYS_INLINE P lanes() const noexcept { return most_; }

private:
    P most_;
};

#if SMX_VECTOR_TYPES
/// 16-bit elements are not converted: as integers with a sign, positive ones are in order and negative ones the other way round, so
/// the largest is the largest of all integers or, where all elements are negative, the least.
template <class P, class S>
    requires(sizeof(S) == 2)
class running_max<P, S> {
    static constexpr std::size_t register_bytes = P::lanes / P::registers * sizeof(typename P::value_type);
    static constexpr std::size_t count = register_bytes / sizeof(S);
    typedef short integers __attribute__((vector_size(register_bytes)));

public:
    SMX_ALWAYS_INLINE explicit running_max(const S* pack) noexcept : packs_(P::load(pack)), most_(), least_() {
        most_ += static_cast<short>(-32768);
        least_ += static_cast<short>(std::is_same_v<S, float16> ? 0xfc00 - 0x10000
                                                                : 0xff80 - 0x10000);  // -inf: nothing was added
    }
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept { packs_ = maximum(packs_, P::load(p)); }
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        SMX_UNROLL for (std::size_t i = 0; i < 4 * P::lanes; i += count) {
            integers v;
            std::memcpy(&v, p + i, sizeof v);
            most_ = most_ > v ? most_ : v;
            least_ = least_ < v ? least_ : v;
        }
    }
    SMX_ALWAYS_INLINE P lanes() const noexcept {
        integers largest = most_ < 0 ? least_ : most_;
        P result = packs_;
        S element[P::lanes < count ? count : P::lanes];
        for (std::size_t i = 0; i < P::lanes; i += count)
            std::memcpy(static_cast<void*>(element + i), &largest, sizeof largest);
        for (std::size_t i = 0; i < count; i += P::lanes) result = maximum(result, P::load(element + i));
        return result;
    }

private:
    P packs_;
    integers most_, least_;
};
#endif

template <class P>
SMX_ALWAYS_INLINE P turned(P x) noexcept {
    return sub(P::broadcast(0), x);
}

/// The largest of the elements that were added, and the least one with its sign turned, as running_max has them.
template <class P, class S>
class running_range {
public:
    SMX_ALWAYS_INLINE explicit running_range(const S* pack) noexcept {
        const P x = P::load(pack);
        SMX_UNROLL for (std::size_t k = 0; k < 4; ++k) most_[k] = x, turned_[k] = turned(x);
    }
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept { add<0>(P::load(p)); }
    /// Four packs.
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        add<0>(P::load(p));
        add<1>(P::load(p + P::lanes));
        add<2>(P::load(p + 2 * P::lanes));
        add<3>(P::load(p + 3 * P::lanes));
    }
    SMX_ALWAYS_INLINE P most() const noexcept { return largest(most_); }
    SMX_ALWAYS_INLINE P least_turned() const noexcept { return largest(turned_); }

private:
    template <std::size_t K>
    SMX_ALWAYS_INLINE void add(P x) noexcept {
        most_[K] = maximum(most_[K], x);
        turned_[K] = maximum(turned_[K], turned(x));
    }
    static SMX_ALWAYS_INLINE P largest(const P (&p)[4]) noexcept {
        return maximum(maximum(p[0], p[1]), maximum(p[2], p[3]));
    }
    P most_[4], turned_[4];
};

#if SMX_VECTOR_TYPES
/// As integers without a sign, negative ones are above positive ones and the largest is the least.
template <class P, class S>
    requires(sizeof(S) == 2)
class running_range<P, S> {
    static constexpr std::size_t register_bytes = P::lanes / P::registers * sizeof(typename P::value_type);
    static constexpr std::size_t count = register_bytes / sizeof(S);
    typedef unsigned short integers __attribute__((vector_size(register_bytes)));

public:
    SMX_ALWAYS_INLINE explicit running_range(const S* pack) noexcept
        : most_(pack), turned_(turned(P::load(pack))), least_() {}
    SMX_ALWAYS_INLINE void add_pack(const S* p) noexcept {
        most_.add_pack(p);
        turned_ = maximum(turned_, turned(P::load(p)));
    }
    SMX_ALWAYS_INLINE void add_group(const S* p) noexcept {
        most_.add_group(p);
        SMX_UNROLL for (std::size_t i = 0; i < 4 * P::lanes; i += count) {
            integers v;
            std::memcpy(&v, p + i, sizeof v);
            least_ = least_ > v ? least_ : v;
        }
    }
    SMX_ALWAYS_INLINE P most() const noexcept { return most_.lanes(); }
    /// 0 if no element is negative.
    SMX_ALWAYS_INLINE P least_turned() const noexcept {
        P result = maximum(turned_, P::broadcast(0));
        S element[P::lanes < count ? count : P::lanes];
        for (std::size_t i = 0; i < P::lanes; i += count)
            std::memcpy(static_cast<void*>(element + i), &least_, sizeof least_);
        for (std::size_t i = 0; i < count; i += P::lanes) result = maximum(result, turned(P::load(element + i)));
        return result;
    }

private:
    running_max<P, S> most_;
    P turned_;
    integers least_;
};
#endif

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
