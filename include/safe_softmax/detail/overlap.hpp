// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <cstddef>
#include <cstdint>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Whether two sets of elements, each spread over memory by strides, share a byte: an integer linear equation with
/// bounded unknowns, solved exactly. The unknowns are taken by falling step; those left can only make up for what lies
/// between two steps, so that for layouts met in practice one or two values of each are tried.
template <std::size_t Unknowns>
class lattice {
public:
    /// An index from 0 to last moves the difference of the two addresses by step bytes.
    SMX_ALWAYS_INLINE void add(std::ptrdiff_t step, std::size_t last) noexcept {
        if (last == 0 || step == 0) return;
        if (step < 0) {
            step = -step;
            base_ -= step * static_cast<std::ptrdiff_t>(last);
        }
        std::size_t at = 0;
        while (at < size_ && term_[at].step > step) ++at;
        if (at < size_ && term_[at].step == step) {
            term_[at].last += static_cast<std::ptrdiff_t>(last);
            return;
        }
        for (std::size_t i = size_; i > at; --i) term_[i] = term_[i - 1];
        term_[at] = {step, static_cast<std::ptrdiff_t>(last)};
        ++size_;
    }

    /// Whether base + (a sum of index * step) can lie strictly between low and high. Undecided after many tries: false.
    bool reaches(std::ptrdiff_t base, std::ptrdiff_t low, std::ptrdiff_t high) noexcept {
        std::ptrdiff_t reach = 0;
        for (std::size_t i = size_; i-- > 0;) {
            reach += term_[i].step * term_[i].last;
            reach_[i] = reach;
        }
        reach_[size_] = 0;
        tries_ = 0;
        return search(0, base_ + base - low, high - low);
    }

private:
    struct term {
        std::ptrdiff_t step, last;
    };
    static constexpr int most_tries = 100000;

    /// Whether 0 < value + … < width.
    bool search(std::size_t i, std::ptrdiff_t value, std::ptrdiff_t width) noexcept {
        if (i == size_ || i >= Unknowns) return 0 < value && value < width;
        const std::ptrdiff_t step = term_[i].step;
        // value + index*step + (0 to reach of the others) must meet 1 to width-1
        std::ptrdiff_t first = value + reach_[i + 1] >= 1 ? 0 : (-(value + reach_[i + 1]) + step) / step;
        for (; first <= term_[i].last && value + first * step < width; ++first) {
            if (++tries_ > most_tries) return false;
            if (search(i + 1, value + first * step, width)) return true;
        }
        return false;
    }

    term term_[Unknowns + 1] = {};
    std::ptrdiff_t reach_[Unknowns + 1] = {};
    std::size_t size_ = 0;
    std::ptrdiff_t base_ = 0;
    int tries_ = 0;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
