// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/dynamic_shape.hpp>
#include <safe_softmax/detail/shape.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

/// @file
/// Views of arrays of which only the running program knows rank and element type: a file's, a tensor's of another library. The functions
/// of masked_softmax.hpp, backward.hpp, cross_entropy.hpp, gumbel_softmax.hpp, logaddexp.hpp, weighted_logsumexp.hpp and sampling.hpp
/// take them as they take any view, with up to 8 axes; safe_softmax, log_softmax and logsumexp do with dynamic_view.hpp, with up to 64.

namespace smx {

/// An array in memory that somebody else owns; `Void` is `void`, or `const void` where elements may only be read:
///
/// ```cpp
/// const std::size_t extents[] = {64, 32000};
/// smx::const_dynamic_view logits(data, smx::element_format::binary16, extents);              // row-major
/// smx::dynamic_view columns(data, smx::element_format::binary32, extents, strides);         // any strides, in elements
/// ```
///
/// Floating elements only: integers and truth values (masks, targets) are for array_ref. `data` points at the element with all
/// indices 0. Rank 0, one element, counts as one axis of extent 1. Throws std::invalid_argument for more than 64 axes, numbers of
/// extents and strides that differ, and element_format::none.
template <class Void>
    requires std::is_void_v<Void>
class basic_dynamic_view {
public:
    static constexpr std::size_t max_rank = vocabulary::max_dynamic_rank;  ///< the most axes: 64

    /// With strides in elements, of any sign.
    basic_dynamic_view(Void* data, element_format format, std::span<const std::size_t> extents,
                       std::span<const std::ptrdiff_t> strides)
        : data_(data), format_(format), rank_(extents.size()) {
        SMX_ABI::detail::check_dynamic_view(format, extents.size(), strides.size());
        for (std::size_t d = 0; d < rank_; ++d) {
            extents_[d] = extents[d];
            strides_[d] = strides[d];
        }
    }

    /// Row-major.
    basic_dynamic_view(Void* data, element_format format, std::span<const std::size_t> extents)
        : data_(data), format_(format), rank_(extents.size()) {
        SMX_ABI::detail::check_dynamic_view(format, extents.size(), extents.size());
        std::size_t stride = 1;
        for (std::size_t d = rank_; d-- > 0;) {
            extents_[d] = extents[d];
            strides_[d] = static_cast<std::ptrdiff_t>(stride);
            stride *= extents[d] == 0 ? 1 : extents[d];
        }
    }

    /// Of any view whose layout has strides.
    template <class V>
        requires(std::is_const_v<Void> ? readable_view<V> : writable_view<V>)
    explicit basic_dynamic_view(V&& view) : rank_(vocabulary::rank_of<V>) {
        static_assert(vocabulary::rank_of<V> <= max_rank);
        const auto l = vocabulary::traits_of<V>::look(view);
        data_ = l.data;
        format_ = format_of<std::remove_cv_t<vocabulary::element_of<V>>>;
        for (std::size_t d = 0; d < rank_; ++d) {
            extents_[d] = l.extent[d];
            strides_[d] = l.stride[d];
        }
    }

    /// From elements that may be written to elements that may only be read.
    template <class Other>
        requires(std::is_const_v<Void> && !std::is_const_v<Other>)
    basic_dynamic_view(const basic_dynamic_view<Other>& other)
        : basic_dynamic_view(other.data(), other.format(), other.extents(), other.strides()) {}

    /// The element with all indices 0.
    Void* data() const noexcept { return data_; }
    /// Of its elements.
    element_format format() const noexcept { return format_; }
    /// The number of axes.
    std::size_t rank() const noexcept { return rank_; }
    /// The number of elements along an axis.
    std::size_t extent(std::size_t axis) const noexcept { return extents_[axis]; }
    /// From one element to the next along an axis, in elements.
    std::ptrdiff_t stride(std::size_t axis) const noexcept { return strides_[axis]; }
    /// Of all axes.
    std::span<const std::size_t> extents() const noexcept { return {extents_.data(), rank_}; }
    /// Of all axes, in elements.
    std::span<const std::ptrdiff_t> strides() const noexcept { return {strides_.data(), rank_}; }

private:
    Void* data_;
    element_format format_;
    std::size_t rank_;
    std::array<std::size_t, max_rank> extents_;
    std::array<std::ptrdiff_t, max_rank> strides_;
};

/// Elements that may be written.
using dynamic_view = basic_dynamic_view<void>;
/// Elements that may only be read.
using const_dynamic_view = basic_dynamic_view<const void>;

namespace vocabulary {

/// How to look at a V whose rank or element type is known at run time only: specialised by adapters. look(v, function, name)
/// gives a dynamic_view, or throws std::invalid_argument with both names in the text. look_at_any(v, function, name), where there is one,
/// gives an array_ref, of integers and truth values, too.
template <class V>
struct dynamic_traits {
    static constexpr bool viewable = false;
};

template <class Void>
struct dynamic_traits<basic_dynamic_view<Void>> {
    static constexpr bool viewable = true, writable = !std::is_const_v<Void>, borrowed = true;
    static const basic_dynamic_view<Void>& look(const basic_dynamic_view<Void>& v, const char*, const char*) noexcept {
        return v;
    }
};

template <class V>
    requires(dynamic_traits<V>::viewable && !deep_const<dynamic_traits<V>>)
struct dynamic_traits<const V> : dynamic_traits<V> {};

template <class V>
using dynamic_traits_of = dynamic_traits<std::remove_reference_t<V>>;

template <class V>
concept dynamic_array = dynamic_traits_of<const std::remove_reference_t<V>>::viewable;

}  // namespace vocabulary

/// Something to read elements from whose rank or element type is known at run time only.
template <class V>
concept dynamic_readable = vocabulary::dynamic_array<V>;

/// The same, with elements that may be written.
template <class V>
concept dynamic_writable = vocabulary::dynamic_array<V> && vocabulary::dynamic_traits_of<V>::writable &&
                           (std::is_lvalue_reference_v<V> || vocabulary::dynamic_traits_of<V>::borrowed);

namespace vocabulary {

/// Something whose elements may be integers or truth values, too.
template <class V>
concept dynamic_any = dynamic_array<V> || requires(const std::remove_reference_t<V>& v) {
    dynamic_traits_of<const std::remove_reference_t<V>>::look_at_any(v, "", "");
};

/// What functions with many arguments take: any view, or a dynamic one. (More than array_ref::max_rank axes are refused when it comes to that.)
template <class V>
concept readable_array = readable_view<V> || dynamic_readable<V>;
/// The same, with elements that may be written.
template <class V>
concept writable_array = writable_view<V> || dynamic_writable<V>;
/// The same, of integers or truth values, too; and what is an array_ref already.
template <class V>
concept any_array = array_like<V> || dynamic_any<V>;

/// Not known to be of different rank.
template <class A, class B>
concept maybe_same_rank = dynamic_array<A> || dynamic_array<B> || same_rank<A, B>;
/// Not known to be of another rank than a reduction of A along one axis has.
template <class A, class B>
concept maybe_reduced_rank = dynamic_array<A> || dynamic_array<B> || reduced_rank<A, B>;

}  // namespace vocabulary

inline namespace SMX_ABI {
namespace detail {

SMX_NOINLINE inline array_ref array_of_dynamic(argument a, const void* data, vocabulary::scalar_type type,
                                               std::span<const std::size_t> extents,
                                               std::span<const std::ptrdiff_t> strides) {
    if (extents.size() > array_ref::max_rank)
        refuse(a.function, "%s has %zu axes, but %zu is the most", a.name, extents.size(), array_ref::max_rank);
    return array_ref(data, type, extents, strides);
}
SMX_NOINLINE inline array_ref array_of_dynamic(argument a, const const_dynamic_view& v) {
    return array_of_dynamic(a, v.data(), vocabulary::scalar_type_of(v.format()), v.extents(), v.strides());
}

/// Arguments of a function as array_refs, by their names.
struct arguments_of {
    const char* function;

    template <class V>
    array_ref operator()(V&& v, const char* name) const {
        if constexpr (vocabulary::dynamic_array<V>)
            return array_of_dynamic({function, name}, vocabulary::dynamic_traits_of<V>::look(v, function, name));
        else return array_ref(v);
    }

    /// Of one that may have integers or truth values.
    template <class V>
    array_ref any(const V& v, const char* name) const {
        using traits = vocabulary::dynamic_traits_of<const V>;
        if constexpr (requires { traits::look_at_any(v, function, name); })
            return traits::look_at_any(v, function, name);
        else return (*this)(v, name);
    }
};

}  // namespace detail

/// A dynamic array as what options and masks are made of: `options.bias = smx::as_array(tensor)`. Floating elements, and where the adapter
/// knows them (dlpack.hpp, torch.hpp, xtensor.hpp) integers and truth values. It has to outlive the call. Throws std::invalid_argument as the
/// adapter does, and for more than 8 axes. (Of your own memory: array_ref(data, type, extents, strides).)
template <vocabulary::dynamic_any V>
array_ref as_array(const V& v) {
    return detail::arguments_of{"as_array"}.any(v, "array");
}

}  // namespace SMX_ABI
}  // namespace smx
