// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// An array of several axes.

#include <safe_softmax/config.hpp>
#include <safe_softmax/detail/unpaired.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace smx {

/// An N-dimensional array in memory that somebody else owns: row-major, or with one stride per axis, in elements.
///
/// ```cpp
/// smx::tensor_view batch(logits.data(), {64, 32000});                      // row-major
/// smx::tensor_view<float, 2> transposed(data, {cols, rows}, {1, std::ptrdiff_t(cols)});     // any strides, negative ones too
/// ```
///
/// `data` points at the element with all indices 0.
template <class T, std::size_t Rank>
class tensor_view {
    static_assert(Rank >= 1, "a tensor_view has at least one axis");

public:
    using element_type = T;                  ///< const where elements may only be read
    using value_type = std::remove_cv_t<T>;  ///< without const

    /// Row-major. Extents are not negative.
    template <std::integral Extent>
    SMX_INLINE_VOCABULARY constexpr tensor_view(T* data, const Extent (&extents)[Rank]) noexcept : data_(data) {
        for (std::size_t d = 0; d < Rank; ++d) extents_[d] = vocabulary::unpaired(static_cast<std::size_t>(extents[d]));
        row_major();
    }

    /// With strides in elements, of any sign.
    template <std::integral Extent, std::integral Stride>
    SMX_INLINE_VOCABULARY constexpr tensor_view(T* data, const Extent (&extents)[Rank],
                                                const Stride (&strides)[Rank]) noexcept
        : data_(data) {
        for (std::size_t d = 0; d < Rank; ++d) {
            extents_[d] = vocabulary::unpaired(static_cast<std::size_t>(extents[d]));
            strides_[d] = vocabulary::unpaired(static_cast<std::ptrdiff_t>(strides[d]));
        }
    }

    /// Row-major.
    SMX_INLINE_VOCABULARY constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents) noexcept
        : data_(data), extents_(extents) {
        row_major();
    }

    /// With strides in elements, of any sign.
    SMX_INLINE_VOCABULARY constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents,
                                                const std::array<std::ptrdiff_t, Rank>& strides) noexcept
        : data_(data), extents_(extents), strides_(strides) {}

    /// From elements that may be written to elements that may only be read.
    template <class U>
        requires std::is_same_v<const U, T>
    SMX_INLINE_VOCABULARY constexpr tensor_view(const tensor_view<U, Rank>& other) noexcept
        : data_(other.data()), extents_(other.extents()), strides_(other.strides()) {}

    /// The number of axes.
    SMX_INLINE_VOCABULARY static constexpr std::size_t rank() noexcept { return Rank; }
    /// The element with all indices 0.
    SMX_INLINE_VOCABULARY constexpr T* data() const noexcept { return data_; }
    /// The number of elements along an axis.
    SMX_INLINE_VOCABULARY constexpr std::size_t extent(std::size_t axis) const noexcept { return extents_[axis]; }
    /// From one element to the next along an axis, in elements.
    SMX_INLINE_VOCABULARY constexpr std::ptrdiff_t stride(std::size_t axis) const noexcept { return strides_[axis]; }
    /// Of all axes.
    SMX_INLINE_VOCABULARY constexpr const std::array<std::size_t, Rank>& extents() const noexcept { return extents_; }
    /// Of all axes.
    SMX_INLINE_VOCABULARY constexpr const std::array<std::ptrdiff_t, Rank>& strides() const noexcept {
        return strides_;
    }

    /// The element with these indices, unchecked.
    template <std::integral... Index>
        requires(sizeof...(Index) == Rank)
    SMX_INLINE_VOCABULARY constexpr T& operator()(Index... index) const noexcept {
        const std::ptrdiff_t indices[] = {static_cast<std::ptrdiff_t>(index)...};
        std::ptrdiff_t offset = 0;
        for (std::size_t d = 0; d < Rank; ++d) offset += indices[d] * strides_[d];
        return data_[offset];
    }

private:
    SMX_INLINE_VOCABULARY constexpr void row_major() noexcept {
        std::size_t stride = 1;
        for (std::size_t d = Rank; d-- > 0;) {
            strides_[d] = static_cast<std::ptrdiff_t>(stride);
            stride *= extents_[d] == 0 ? 1 : extents_[d];
        }
    }

    T* data_;
    std::array<std::size_t, Rank> extents_{};
    std::array<std::ptrdiff_t, Rank> strides_{};
};

/// Takes type and rank from its arguments.
template <class T, std::integral Extent, std::size_t Rank>
tensor_view(T*, const Extent (&)[Rank]) -> tensor_view<T, Rank>;
/// Takes type and rank from its arguments.
template <class T, std::integral Extent, std::integral Stride, std::size_t Rank>
tensor_view(T*, const Extent (&)[Rank], const Stride (&)[Rank]) -> tensor_view<T, Rank>;

}  // namespace smx
