// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/element.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/detail/scaling.hpp>

#include <cstddef>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

enum class function { softmax, log_softmax, logsumexp };

/// The arithmetic of a pair of element types: float, or double as soon as either side is.
template <class In, class Out>
using compute_t = std::conditional_t<std::is_same_v<In, double> || std::is_same_v<Out, double>, double, float>;

/// `rows` rows of `length` elements: all that a kernel is told about memory. Steps run along a row, strides from row to
/// row, in elements. For logsumexp, which writes one element per row, out.step is not used.
template <class T>
struct side {
    T* data;
    std::ptrdiff_t step;
    std::ptrdiff_t stride;
};
template <class In, class Out>
struct batch {
    side<const In> in;
    side<Out> out;
    std::size_t length;
    std::size_t rows;
};

/// What a kernel is told about the options.
template <class T>
struct recipe {
    const scaling<T>& scale;
    special_values special;
};

/// One row, element by element.
template <class S>
struct stepped {
    S* data;
    std::ptrdiff_t step;
    SMX_ALWAYS_INLINE S* at(std::size_t i) const noexcept { return data + static_cast<std::ptrdiff_t>(i) * step; }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
