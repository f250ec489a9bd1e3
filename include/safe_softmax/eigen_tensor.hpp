// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/eigen.hpp>

#include <unsupported/Eigen/CXX11/Tensor>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

/// @file
/// Eigen's tensors as views: Tensor, TensorFixedSize and TensorMap of rank 1 and more, row- and column-major; expressions are
/// evaluated first.
///
/// ```cpp
/// Eigen::Tensor<float, 3> scores(heads, queries, keys), weights(heads, queries, keys);
/// smx::safe_softmax(scores * scores.constant(0.125f), weights, {.axis = 2});
/// ```

namespace smx {
namespace vocabulary {

template <class V>
concept eigen_tensor =
    std::derived_from<std::remove_const_t<V>, Eigen::TensorBase<std::remove_const_t<V>, Eigen::ReadOnlyAccessors>> &&
    Eigen::internal::traits<std::remove_const_t<V>>::NumDimensions >= 1;

template <class V>
    requires eigen_tensor<V>
inline constexpr bool has_adapter<V> = true;

/// With elements in memory, without gaps.
template <class V>
inline constexpr bool eigen_plain_tensor = false;
template <class T, int N, int Options, class Index>
inline constexpr bool eigen_plain_tensor<Eigen::Tensor<T, N, Options, Index>> = true;
template <class T, class Sizes, int Options, class Index>
inline constexpr bool eigen_plain_tensor<Eigen::TensorFixedSize<T, Sizes, Options, Index>> = true;
template <class Plain, int Options, template <class> class Pointer>
inline constexpr bool eigen_plain_tensor<Eigen::TensorMap<Plain, Options, Pointer>> = true;

template <class V>
inline constexpr bool eigen_tensor_map = false;
template <class Plain, int Options, template <class> class Pointer>
inline constexpr bool eigen_tensor_map<Eigen::TensorMap<Plain, Options, Pointer>> = true;

template <class V>
    requires(eigen_tensor<V> && eigen_plain_tensor<std::remove_const_t<V>> && viewable_element<typename V::Scalar>)
struct view_traits<V> {
    static constexpr bool viewable = true, borrowed = eigen_tensor_map<std::remove_const_t<V>>, deep_const = true;
    static constexpr std::size_t rank =
        static_cast<std::size_t>(Eigen::internal::traits<std::remove_const_t<V>>::NumDimensions);
    using element_type = std::remove_reference_t<decltype(*std::declval<V&>().data())>;
    static layout<element_type, rank> look(V& v) noexcept {
        layout<element_type, rank> l{v.data(), {}, {}};
        const auto& dimensions = v.dimensions();
        const auto dimension = [&](std::size_t d) {
            if constexpr (requires { dimensions.begin(); }) return dimensions[d];
            else return dimensions[static_cast<std::ptrdiff_t>(d)];  // Eigen::Sizes
        };
        std::ptrdiff_t stride = 1;
        for (std::size_t i = 0; i < rank; ++i) {
            const std::size_t d = static_cast<int>(V::Layout) == static_cast<int>(Eigen::RowMajor) ? rank - 1 - i : i;
            l.extent[d] = static_cast<std::size_t>(dimension(d));
            l.stride[d] = stride;
            stride *= static_cast<std::ptrdiff_t>(l.extent[d] == 0 ? 1 : l.extent[d]);
        }
        return l;
    }
};

template <class E>
    requires(eigen_tensor<E> && !eigen_plain_tensor<E> &&
             element<std::remove_const_t<typename Eigen::internal::traits<E>::Scalar>>)
struct expression_traits<E> {
    using traits = Eigen::internal::traits<E>;
    using value = Eigen::Tensor<std::remove_const_t<typename traits::Scalar>, traits::NumDimensions, traits::Layout,
                                typename traits::Index>;
    static constexpr bool is_expression = true;
    static value evaluate(const E& e) { return value(e); }
};

}  // namespace vocabulary
}  // namespace smx
