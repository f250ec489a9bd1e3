// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Arrays of any rank and type, as arguments that may be missing.

#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/error.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace smx {
namespace vocabulary {

/// What the elements of an array are, where only the running program knows. The first four are in the order of type_index.
enum class scalar_type : std::uint8_t {
    float32,
    float64,
    float16,
    bfloat16,
    boolean,
    uint8,
    uint16,
    uint32,
    uint64,
    int8,
    int16,
    int32,
    int64
};

SMX_INLINE_VOCABULARY constexpr scalar_type scalar_type_of(element_format format) noexcept {
    switch (format) {
        case element_format::binary64: return scalar_type::float64;
        case element_format::binary16: return scalar_type::float16;
        case element_format::bfloat16: return scalar_type::bfloat16;
        default: return scalar_type::float32;
    }
}
template <class T>
SMX_INLINE_VOCABULARY constexpr scalar_type scalar_type_of() noexcept {
    if constexpr (element<T>) {
        return scalar_type_of(format_of<std::remove_cv_t<T>>);
    } else if constexpr (std::is_same_v<std::remove_cv_t<T>, bool>) {
        return scalar_type::boolean;
    } else {
        constexpr bool negative = std::is_signed_v<T>;
        switch (sizeof(T)) {
            case 1: return negative ? scalar_type::int8 : scalar_type::uint8;
            case 2: return negative ? scalar_type::int16 : scalar_type::uint16;
            case 4: return negative ? scalar_type::int32 : scalar_type::uint32;
            default: return negative ? scalar_type::int64 : scalar_type::uint64;
        }
    }
}

SMX_INLINE_VOCABULARY constexpr std::size_t size_of(scalar_type t) noexcept {
    switch (t) {
        case scalar_type::float64:
        case scalar_type::uint64:
        case scalar_type::int64: return 8;
        case scalar_type::float32:
        case scalar_type::uint32:
        case scalar_type::int32: return 4;
        case scalar_type::boolean:
        case scalar_type::uint8:
        case scalar_type::int8: return 1;
        default: return 2;
    }
}
SMX_INLINE_VOCABULARY constexpr bool is_floating(scalar_type t) noexcept { return t <= scalar_type::bfloat16; }

}  // namespace vocabulary

/// What the elements of an array are, where only the running program knows: of masks and targets, too, unlike element_format.
using vocabulary::scalar_type;

inline namespace SMX_ABI {
namespace detail {

SMX_NOINLINE inline void check_array_ref(std::size_t extents, std::size_t strides, std::size_t most) {
    if (extents > most) refuse("array_ref", "extents has %zu axes, but %zu is the most", extents, most);
    if (extents != strides) refuse("array_ref", "strides has %zu axes, but extents has %zu", strides, extents);
}

}  // namespace detail
}  // namespace SMX_ABI

/// An array that somebody else owns, of any rank up to 8 and of elements of any kind that a view may have: how functions with
/// many optional arguments take them. Made from any view, from one number, from nothing, or from an address:
///
/// ```cpp
/// options.bias = smx::tensor_view(bias.data(), {heads, 1, keys});
/// options.sink = 0.0;
/// const bool has_lengths = bool(options.lengths);
/// ```
///
/// One number is stored inside; everything else has to outlive the call, as with std::span.
class array_ref {
public:
    static constexpr std::size_t max_rank = 8;  ///< the most axes

    /// Nothing: the argument is not given.
    SMX_INLINE_VOCABULARY constexpr array_ref() noexcept {}

    /// A view, of elements, integers or truth values.
    template <class V>
        requires(vocabulary::any_view<V> && !std::is_same_v<std::remove_cvref_t<V>, array_ref> &&
                 (std::is_lvalue_reference_v<V> || vocabulary::traits_of<V>::borrowed))
    SMX_INLINE_VOCABULARY array_ref(V&& view) noexcept {  // implicit on purpose: options are aggregates
        using traits = vocabulary::traits_of<const std::remove_reference_t<V>>;
        static_assert(traits::rank <= max_rank, "an array_ref has at most 8 axes");
        const auto l = traits::look(view);
        data_ = l.data;
        type_ = vocabulary::scalar_type_of<typename traits::element_type>();
        rank_ = traits::rank;
        for (std::size_t d = 0; d < rank_; ++d) {
            extents_[d] = l.extent[d];
            strides_[d] = l.stride[d];
        }
        present_ = true;
        strided_ = vocabulary::is_strided(view);
    }

    /// An array of which only the running program knows rank and type, with strides in elements; without axes, one element. A mask
    /// of truth values, say: `smx::array_ref(data, smx::scalar_type::boolean, extents, strides)`. Throws std::invalid_argument for more than 8
    /// axes, and for numbers of extents and strides that differ.
    array_ref(const void* data, vocabulary::scalar_type type, std::span<const std::size_t> extents,
              std::span<const std::ptrdiff_t> strides)
        : data_(data), type_(type), present_(true) {
        SMX_ABI::detail::check_array_ref(extents.size(), strides.size(), max_rank);
        rank_ = extents.empty() ? 1 : extents.size();
        extents_[0] = strides_[0] = 1;
        for (std::size_t d = 0; d < extents.size(); ++d) {
            extents_[d] = extents[d];
            strides_[d] = strides[d];
        }
    }

    /// The same, row-major.
    array_ref(const void* data, vocabulary::scalar_type type, std::span<const std::size_t> extents)
        : data_(data), type_(type), present_(true) {
        SMX_ABI::detail::check_array_ref(extents.size(), extents.size(), max_rank);
        rank_ = extents.empty() ? 1 : extents.size();
        extents_[0] = strides_[0] = 1;
        std::size_t stride = 1;
        for (std::size_t d = extents.size(); d-- > 0;) {
            extents_[d] = extents[d];
            strides_[d] = static_cast<std::ptrdiff_t>(stride);
            stride *= extents[d] == 0 ? 1 : extents[d];
        }
    }

    /// The same number everywhere.
    template <class Number>
        requires(std::integral<Number> || std::floating_point<Number>)
    SMX_INLINE_VOCABULARY constexpr array_ref(Number value) noexcept
        : integer_(std::is_integral_v<Number> ? static_cast<std::int64_t>(value) : 0),
          number_(static_cast<double>(value)),
          type_(std::is_integral_v<Number> ? vocabulary::scalar_type::int64 : vocabulary::scalar_type::float64),
          present_(true) {}

    /// Whether there is anything.
    SMX_INLINE_VOCABULARY constexpr explicit operator bool() const noexcept { return present_; }
    /// 0 for a number.
    SMX_INLINE_VOCABULARY constexpr std::size_t rank() const noexcept { return rank_; }
    /// In elements.
    SMX_INLINE_VOCABULARY constexpr std::size_t extent(std::size_t axis) const noexcept { return extents_[axis]; }
    /// From one element to the next, in elements.
    SMX_INLINE_VOCABULARY constexpr std::ptrdiff_t stride(std::size_t axis) const noexcept { return strides_[axis]; }
    /// Of its elements.
    SMX_INLINE_VOCABULARY constexpr vocabulary::scalar_type type() const noexcept { return type_; }
    /// False for a view whose layout has no strides.
    SMX_INLINE_VOCABULARY constexpr bool is_strided() const noexcept { return strided_; }
    /// Where the element with all indices 0 is.
    SMX_INLINE_VOCABULARY const void* data() const noexcept {
        if (rank_ != 0) return data_;
        return type_ == vocabulary::scalar_type::int64 ? static_cast<const void*>(&integer_)
                                                       : static_cast<const void*>(&number_);
    }

private:
    const void* data_ = nullptr;
    std::int64_t integer_ = 0;
    double number_ = 0;
    std::array<std::size_t, max_rank> extents_{};
    std::array<std::ptrdiff_t, max_rank> strides_{};
    std::size_t rank_ = 0;
    vocabulary::scalar_type type_ = vocabulary::scalar_type::float64;
    bool present_ = false;
    bool strided_ = true;
};

namespace vocabulary {

/// Any view, or an array_ref.
template <class V>
concept array_like = any_view<V> || std::is_same_v<std::remove_cvref_t<V>, array_ref>;

}  // namespace vocabulary
}  // namespace smx
