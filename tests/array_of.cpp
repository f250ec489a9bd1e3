// SPDX-License-Identifier: BSL-1.0
#include "array_of.hpp"

#include <safe_softmax/tensor_view.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace softmax_test {
namespace {

template <class T, std::size_t Rank>
smx::array_ref tensor_of(const view& v) {
    std::array<std::size_t, Rank> extents;
    std::array<std::ptrdiff_t, Rank> strides;
    std::copy_n(v.extents, Rank, extents.begin());
    std::copy_n(v.strides, Rank, strides.begin());
    return smx::tensor_view<T, Rank>(static_cast<T*>(v.data), extents, strides);
}

template <class T>
smx::array_ref array_of_type(const view& v) {
    switch (v.rank) {
        case 1: return tensor_of<T, 1>(v);
        case 2: return tensor_of<T, 2>(v);
        default: return tensor_of<T, 3>(v);
    }
}

}  // namespace

smx::array_ref array_of(const view& v) {
    switch (v.type) {
        case dtype::f32: return array_of_type<float>(v);
        case dtype::f64: return array_of_type<double>(v);
        case dtype::f16: return array_of_type<smx::float16>(v);
        case dtype::bf16: return array_of_type<smx::bfloat16>(v);
    }
    throw std::logic_error("softmax_test: unknown element type");
}

}  // namespace softmax_test
