// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/expression.hpp>
#include <safe_softmax/view.hpp>

#include <Eigen/Core>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

/// @file
/// Eigen's dense objects as views, for all functions of the library; expressions for safe_softmax, log_softmax and logsumexp. Takes
/// Eigen 3.4 or newer (Debian: libeigen3-dev), the CMake target Eigen3::Eigen; for its tensors: eigen_tensor.hpp.
///
/// ```cpp
/// smx::safe_softmax(logits, probabilities, {.axis = 1});        // of each row of a matrix or array; axis 0: of each column
/// smx::safe_softmax(logits.col(3), probabilities.col(3));       // of one
/// smx::safe_softmax(2 * a + b, probabilities);                  // evaluated first
/// ```
///
/// Vectors, those whose type says so, have one axis, all else has two: rows (0) and columns (1), whatever the order in memory.
/// Array, Matrix, Map, Ref, Block, Transpose, Diagonal and so on are looked at where they are, with their strides, negative and
/// zero ones too; expressions without memory of their own are evaluated first, and cannot be written to.

namespace smx {

template <>
inline constexpr element_format format_of<Eigen::half> = element_format::binary16;
template <>
inline constexpr element_format format_of<Eigen::bfloat16> = element_format::bfloat16;

namespace vocabulary {

/// What an object is that may be known as one of its bases: MatrixBase<D>& is a D.
template <class V>
    requires requires(V& v) { v.derived(); }
using eigen_object = std::remove_reference_t<decltype(std::declval<V&>().derived())>;

template <class V>
concept eigen_dense = requires {
    typename eigen_object<V>;
} && std::derived_from<std::remove_const_t<eigen_object<V>>, Eigen::DenseBase<std::remove_const_t<eigen_object<V>>>>;

template <class V>
    requires eigen_dense<V>
inline constexpr bool has_adapter<V> = true;

/// With elements in memory.
template <class V>
concept eigen_direct = eigen_dense<V> && requires(eigen_object<V>& v) {
    { *v.data() } -> std::convertible_to<typename eigen_object<V>::Scalar>;
    v.innerStride();
    v.rowStride();
    v.colStride();
};

/// A copy of what was not as Ref<const T> would have it may be inside.
template <class V>
inline constexpr bool eigen_borrowed = !std::derived_from<V, Eigen::PlainObjectBase<V>>;
template <class T, int Options, class Stride>
inline constexpr bool eigen_borrowed<Eigen::Ref<const T, Options, Stride>> = false;

template <class V>
    requires(eigen_direct<V> && viewable_element<typename eigen_object<V>::Scalar>)
struct view_traits<V> {
    using object = eigen_object<V>;
    static constexpr bool viewable = true, borrowed = eigen_borrowed<std::remove_const_t<object>>, deep_const = true;
    static constexpr std::size_t rank = object::IsVectorAtCompileTime ? 1 : 2;
    using element_type = std::remove_reference_t<decltype(*std::declval<object&>().data())>;
    static layout<element_type, rank> look(V& known_as) noexcept {
        object& v = known_as.derived();
        const auto extent = [](Eigen::Index n) { return static_cast<std::size_t>(n); };
        const auto stride = [](Eigen::Index n) { return static_cast<std::ptrdiff_t>(n); };
        if constexpr (rank == 1) return {v.data(), {extent(v.size())}, {stride(v.innerStride())}};
        else return {v.data(), {extent(v.rows()), extent(v.cols())}, {stride(v.rowStride()), stride(v.colStride())}};
    }
};

template <class E>
    requires(eigen_dense<E> && !eigen_direct<E> && element<typename eigen_object<E>::Scalar>)
struct expression_traits<E> {
    static constexpr bool is_expression = true;
    static typename eigen_object<E>::PlainObject evaluate(const E& e) { return e.derived(); }
};

}  // namespace vocabulary
}  // namespace smx
