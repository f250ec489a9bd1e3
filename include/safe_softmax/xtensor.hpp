// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/expression.hpp>
#include <safe_softmax/view.hpp>

#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

/// @file
/// xtensor's containers, adaptors and strided views as views. Takes xtensor 0.24 (Debian: libxtensor-dev), the CMake target
/// xtensor.
///
/// ```cpp
/// smx::safe_softmax(logits, probabilities, {.axis = 1});                 // xtensor, xtensor_fixed: of static rank
/// smx::safe_softmax(xt::view(logits, xt::all(), 3), probabilities);      // where it is, with its strides
/// smx::safe_softmax(2 * a + b, probabilities);                           // expressions are evaluated first
/// ```
///
/// xarray and strided views, whose rank is known at run time only, are dynamic: the functions of dynamic_view.hpp take them, and
/// those that dynamic_array.hpp names, with masks and targets of integers, too.

namespace smx {
namespace vocabulary {

/// Of elements, or (masks, targets) of integers or truth values.
template <class V>
concept xtensor_any = xt::is_xexpression<std::remove_const_t<V>>::value && viewable_element<typename V::value_type>;
template <class V>
concept xtensor_expression = xtensor_any<V> && element<typename V::value_type>;

template <class V>
    requires xt::is_xexpression<V>::value
inline constexpr bool has_adapter<V> = true;

/// With elements in memory, and strides. A view that picks single indices has none.
template <class V>
inline constexpr bool xtensor_has_strides = xt::has_data_interface<V>::value && xt::has_strides<V>::value;
template <class E, class... S>
inline constexpr bool xtensor_has_strides<xt::xview<E, S...>> =
    xt::has_data_interface<xt::xview<E, S...>>::value && xt::xview<E, S...>::is_strided_view;

template <class V>
concept xtensor_direct = xtensor_any<V> && xtensor_has_strides<std::remove_const_t<V>>;

/// Has elements of somebody else: a view of something that is no temporary, an adaptor of a pointer.
template <class V>
inline constexpr bool xtensor_borrowed = false;
template <class E, class... S>
inline constexpr bool xtensor_borrowed<xt::xview<E, S...>> =
    std::is_lvalue_reference_v<E> || xtensor_borrowed<std::remove_const_t<E>>;
template <class E, class S, xt::layout_type L, class F>
inline constexpr bool xtensor_borrowed<xt::xstrided_view<E, S, L, F>> =
    std::is_lvalue_reference_v<E> || xtensor_borrowed<std::remove_const_t<E>>;
template <class C>
inline constexpr bool xtensor_borrowed_buffer = std::is_lvalue_reference_v<C>;
template <class P, class A>
inline constexpr bool xtensor_borrowed_buffer<xt::xbuffer_adaptor<P, xt::no_ownership, A>> = true;
template <class C, std::size_t N, xt::layout_type L, class T>
inline constexpr bool xtensor_borrowed<xt::xtensor_adaptor<C, N, L, T>> = xtensor_borrowed_buffer<C>;
template <class C, xt::layout_type L, class S, class T>
inline constexpr bool xtensor_borrowed<xt::xarray_adaptor<C, L, S, T>> = xtensor_borrowed_buffer<C>;

inline constexpr std::size_t xtensor_dynamic = (std::numeric_limits<std::size_t>::max)();
template <class Shape>
inline constexpr std::size_t xtensor_rank_of_shape = xtensor_dynamic;
template <class Index, std::size_t N>
inline constexpr std::size_t xtensor_rank_of_shape<std::array<Index, N>> = N;
template <std::size_t... N>
inline constexpr std::size_t xtensor_rank_of_shape<xt::fixed_shape<N...>> = sizeof...(N);
template <class V>
inline constexpr std::size_t xtensor_rank = xtensor_rank_of_shape<typename V::shape_type>;
template <class V>
inline constexpr bool xtensor_static = xtensor_rank<V> != xtensor_dynamic && xtensor_rank<V> != 0;

template <class V>
    requires(xtensor_direct<V> && xtensor_static<V>)
struct view_traits<V> {
    static constexpr bool viewable = true, borrowed = xtensor_borrowed<std::remove_const_t<V>>, deep_const = true;
    static constexpr std::size_t rank = xtensor_rank<V>;
    using element_type = std::remove_pointer_t<decltype(std::declval<V&>().data())>;
    static layout<element_type, rank> look(V& v) noexcept {
        layout<element_type, rank> l{v.data() + v.data_offset(), {}, {}};
        for (std::size_t d = 0; d < rank; ++d) {
            l.extent[d] = static_cast<std::size_t>(v.shape()[d]);
            l.stride[d] = static_cast<std::ptrdiff_t>(v.strides()[d]);
        }
        return l;
    }
};

template <class V>
    requires(xtensor_direct<V> && !xtensor_static<V>)
struct dynamic_traits<V> {
    using element_type = std::remove_pointer_t<decltype(std::declval<V&>().data())>;
    using void_type = std::conditional_t<std::is_const_v<element_type>, const void, void>;
    static constexpr bool viewable = element<element_type>, writable = !std::is_const_v<element_type>,
                          borrowed = xtensor_borrowed<std::remove_const_t<V>>, deep_const = true;
    static basic_dynamic_view<void_type> look(V& v, const char*, const char*) {
        const std::vector<std::size_t> extents(v.shape().begin(), v.shape().end());
        const std::vector<std::ptrdiff_t> strides(v.strides().begin(), v.strides().end());
        return {v.data() + v.data_offset(), format_of<std::remove_const_t<element_type>>, extents, strides};
    }
    static array_ref look_at_any(V& v, const char* function, const char* name) {
        const std::vector<std::size_t> extents(v.shape().begin(), v.shape().end());
        const std::vector<std::ptrdiff_t> strides(v.strides().begin(), v.strides().end());
        return SMX_ABI::detail::array_of_dynamic({function, name}, v.data() + v.data_offset(),
                                                 scalar_type_of<std::remove_const_t<element_type>>(), extents, strides);
    }
};

template <class E>
    requires(xtensor_expression<E> && !xtensor_direct<E> && !mdspan_like<E>)
struct expression_traits<E> {
    static constexpr bool is_expression = true;
    using value = std::conditional_t<xtensor_static<E>,
                                     xt::xtensor<typename E::value_type, xtensor_static<E> ? xtensor_rank<E> : 1>,
                                     xt::xarray<typename E::value_type>>;
    static value evaluate(const E& e) { return value(e); }
};

}  // namespace vocabulary
}  // namespace smx
