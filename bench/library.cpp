// SPDX-License-Identifier: BSL-1.0
// `library` is defined as the name of the build, see CMakeLists.txt.
#include "competitors.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <span>

namespace bench {

template <class T>
void library(function f, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner) {
    if (rows == 1) {
        const std::span<const T> from(in, length);
        const std::span<T> to(out, length);
        if (f == function::softmax) smx::safe_softmax(from, to);
        else smx::log_softmax(from, to);
        return;
    }
    const smx::tensor_view<const T, 3> from(in, {rows / inner, length, inner});
    const smx::tensor_view<T, 3> to(out, {rows / inner, length, inner});
    if (f == function::softmax) smx::safe_softmax(from, to, {.axis = 1});
    else smx::log_softmax(from, to, {.axis = 1});
}

template loops<float> library<float>;
template loops<double> library<double>;
template loops<smx::float16> library<smx::float16>;
template loops<smx::bfloat16> library<smx::bfloat16>;

}  // namespace bench
