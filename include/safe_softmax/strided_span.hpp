// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// One row with a stride.

#include <safe_softmax/config.hpp>

#include <cstddef>
#include <type_traits>

namespace smx {

/// `size` elements, `stride` elements apart, of memory that somebody else owns: a column of a matrix, a row read
/// backwards (negative stride, `data` pointing at the last element), one value seen many times (stride 0, input only).
template <class T>
class strided_span {
public:
    using element_type = T;                  ///< const where elements may only be read
    using value_type = std::remove_cv_t<T>;  ///< without const

    /// `stride` is in elements.
    SMX_INLINE_VOCABULARY constexpr strided_span(T* data, std::size_t size, std::ptrdiff_t stride) noexcept
        : data_(data), size_(size), stride_(stride) {}

    /// From elements that may be written to elements that may only be read.
    template <class U>
        requires std::is_same_v<const U, T>
    SMX_INLINE_VOCABULARY constexpr strided_span(strided_span<U> other) noexcept
        : data_(other.data()), size_(other.size()), stride_(other.stride()) {}

    /// The first element, which with a negative stride is the one with the highest address.
    SMX_INLINE_VOCABULARY constexpr T* data() const noexcept { return data_; }
    /// The number of elements.
    SMX_INLINE_VOCABULARY constexpr std::size_t size() const noexcept { return size_; }
    /// From one element to the next, in elements.
    SMX_INLINE_VOCABULARY constexpr std::ptrdiff_t stride() const noexcept { return stride_; }
    /// Whether there is none.
    SMX_INLINE_VOCABULARY constexpr bool empty() const noexcept { return size_ == 0; }
    /// Element i, unchecked.
    SMX_INLINE_VOCABULARY constexpr T& operator[](std::size_t i) const noexcept {
        return data_[static_cast<std::ptrdiff_t>(i) * stride_];
    }

private:
    T* data_;
    std::size_t size_;
    std::ptrdiff_t stride_;
};

}  // namespace smx
