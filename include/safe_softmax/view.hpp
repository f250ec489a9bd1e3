// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// What the functions take as arrays.

#include <safe_softmax/detail/unpaired.hpp>
#include <safe_softmax/element.hpp>
#include <safe_softmax/strided_span.hpp>
#include <safe_softmax/tensor_view.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <version>

namespace smx {
namespace vocabulary {

/// Any view as pointer, extents and strides in elements.
template <class T, std::size_t Rank>
struct layout {
    T* data;
    std::array<std::size_t, Rank> extent;
    std::array<std::ptrdiff_t, Rank> stride;
};

/// An accessor that hands out something else than elements (a scaling or conjugating one) is no view of elements.
template <class V>
inline constexpr bool plain_access = true;
template <class V>
    requires requires { typename V::reference; }
inline constexpr bool plain_access<V> = std::is_same_v<typename V::reference, typename V::element_type&>;

/// Shaped like std::mdspan with a strided layout and plain element access; <mdspan> itself is not needed.
template <class V>
concept mdspan_like = requires(const V& v, std::size_t axis) {
    typename V::element_type;
    { V::rank() } -> std::convertible_to<std::size_t>;
    { v.extent(axis) } -> std::convertible_to<std::size_t>;
    { v.stride(axis) } -> std::convertible_to<std::ptrdiff_t>;
    { v.data_handle() } -> std::convertible_to<typename V::element_type*>;
    requires plain_access<V>;
    requires V::rank() >= 1;
};

/// What views may consist of: elements, and the integers and truth values that masks, lengths and targets are made of.
template <class T>
concept viewable_element = element<T> || std::integral<T>;

/// Adapters to other libraries set it for what they look at, which then is no mere range of elements.
template <class V>
inline constexpr bool has_adapter = false;

/// The elements of a contiguous sized range: what std::span makes of it. (The concepts of <ranges> say the same, but that header
/// takes three times as long to compile.)
template <class V>
#if !defined(__cpp_lib_ranges)  // libc++ up to 14 makes a span of a strided_span, too
    requires requires(V& v) { std::begin(v); }
#endif
using elements_of_range = typename decltype(std::span(std::declval<V&>()))::element_type;

template <class V>
concept contiguous_elements = !has_adapter<std::remove_const_t<V>> && requires { typename elements_of_range<V>; } &&
                              viewable_element<elements_of_range<V>>;

/// How to look at a V: specialised for all that can be looked at.
template <class V>
struct view_traits {
    static constexpr bool viewable = false;
};

template <class T, std::size_t Rank>
    requires viewable_element<T>
struct view_traits<tensor_view<T, Rank>> {
    static constexpr bool viewable = true, borrowed = true;
    static constexpr std::size_t rank = Rank;
    using element_type = T;
    SMX_INLINE_VOCABULARY static constexpr layout<T, Rank> look(const tensor_view<T, Rank>& v) noexcept {
        layout<T, Rank> l{v.data(), {}, {}};
        for (std::size_t d = 0; d < Rank; ++d) {
            l.extent[d] = unpaired(v.extent(d));
            l.stride[d] = unpaired(v.stride(d));
        }
        return l;
    }
};

template <class T>
    requires viewable_element<T>
struct view_traits<strided_span<T>> {
    static constexpr bool viewable = true, borrowed = true;
    static constexpr std::size_t rank = 1;
    using element_type = T;
    SMX_INLINE_VOCABULARY static constexpr layout<T, 1> look(const strided_span<T>& v) noexcept {
        return {v.data(), {unpaired(v.size())}, {unpaired(v.stride())}};
    }
};

template <class V>
    requires(mdspan_like<V> && viewable_element<typename V::element_type>)
struct view_traits<V> {
    static constexpr bool viewable = true, borrowed = true;
    static constexpr std::size_t rank = V::rank();
    using element_type = typename V::element_type;
    SMX_INLINE_VOCABULARY static constexpr layout<element_type, rank> look(const V& v) noexcept {
        layout<element_type, rank> l{v.data_handle(), {}, {}};
        for (std::size_t d = 0; d < rank; ++d) {
            l.extent[d] = unpaired(static_cast<std::size_t>(v.extent(d)));
            l.stride[d] = unpaired(static_cast<std::ptrdiff_t>(v.stride(d)));
        }
        return l;
    }
};

template <class V>
    requires(contiguous_elements<V> && !mdspan_like<std::remove_cv_t<V>>)
struct view_traits<V> {
    static constexpr bool viewable = true, borrowed = std::ranges::enable_borrowed_range<std::remove_cv_t<V>>;
    static constexpr std::size_t rank = 1;
    static constexpr bool contiguous = true;
    using element_type = elements_of_range<V>;
    SMX_INLINE_VOCABULARY static constexpr layout<element_type, 1> look(V& v) noexcept {
        // No iterators, as std::span would ask for: libstdc++'s debugging ones of _Float16 cannot be linked.
#if defined(__cpp_lib_ranges)
        return {std::ranges::data(v), {static_cast<std::size_t>(std::ranges::size(v))}, {1}};
#else  // libc++ up to 14
        return {std::data(v), {static_cast<std::size_t>(std::size(v))}, {1}};
#endif
    }
};

/// A V that is const shows elements that are const, and view_traits<const V> says so itself.
template <class Traits>
concept deep_const = requires { requires Traits::deep_const; };

/// Looking through const does not change what a non-owning view shows.
template <class V>
    requires(!contiguous_elements<const V> && view_traits<V>::viewable && !deep_const<view_traits<V>>)
struct view_traits<const V> : view_traits<V> {};

template <class V>
using traits_of = view_traits<std::remove_reference_t<V>>;

/// A view of elements, or of integers or truth values.
template <class V>
concept any_view = traits_of<const std::remove_reference_t<V>>::viewable;

}  // namespace vocabulary

/// Something to read elements from: a contiguous sized range (vector, array, C array, span), strided_span, tensor_view,
/// or a type shaped like std::mdspan with a strided layout. Its element type is float, double, float16, bfloat16 or a
/// type registered through format_of.
template <class V>
concept readable_view =
    vocabulary::any_view<V> && element<typename vocabulary::traits_of<const std::remove_reference_t<V>>::element_type>;

/// The same, with elements that may be written; not a temporary that owns them.
template <class V>
concept writable_view =
    vocabulary::traits_of<V>::viewable && element<typename vocabulary::traits_of<V>::element_type> &&
    !std::is_const_v<typename vocabulary::traits_of<V>::element_type> &&
    (std::is_lvalue_reference_v<V> || vocabulary::traits_of<V>::borrowed);

namespace vocabulary {

template <class V>
inline constexpr std::size_t rank_of = traits_of<V>::rank;
template <class V>
using element_of = typename traits_of<V>::element_type;

/// Elements next to each other, whatever their number.
template <class V>
inline constexpr bool is_contiguous = requires { requires traits_of<V>::contiguous; };

/// Views of the same rank.
template <class A, class B>
concept same_rank = rank_of<const std::remove_reference_t<A>> == rank_of<B>;

/// What a reduction along one axis can be written to: that axis is gone, or has one element.
template <class A, class B>
concept reduced_rank = rank_of<B> == rank_of<const std::remove_reference_t<A>> ||
                       rank_of<B> + 1 == rank_of<const std::remove_reference_t<A>>;

template <class V>
SMX_INLINE_VOCABULARY constexpr bool is_strided(const V& v) noexcept {
    if constexpr (requires {
                      { v.is_strided() } -> std::convertible_to<bool>;
                  })
        return v.is_strided();
    else return true;
}

/// The layout of a view in the library's own storage types.
template <class V>
SMX_INLINE_VOCABULARY auto look(V& v) noexcept {
    using traits = traits_of<V>;
    using T = typename traits::element_type;
    using S = std::conditional_t<std::is_const_v<T>, const storage_t<T>, storage_t<T>>;
    auto l = traits::look(v);
    return layout<S, traits::rank>{reinterpret_cast<S*>(l.data), l.extent, l.stride};
}

}  // namespace vocabulary
}  // namespace smx
