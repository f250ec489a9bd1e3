// SPDX-License-Identifier: BSL-1.0
// `library` is defined as the name of the build, see CMakeLists.txt.
#include "competitors.hpp"

#include <safe_softmax/openmp.hpp>
#include <safe_softmax/safe_softmax.hpp>

#include <span>

namespace bench {
namespace {

/// executor...: none for a single thread.
template <class T>
void call(function f, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner, const auto&... executor) {
    if (rows == 1) {
        const std::span<const T> from(in, length);
        const std::span<T> to(out, length);
        if (f == function::softmax) smx::safe_softmax(executor..., from, to);
        else smx::log_softmax(executor..., from, to);
        return;
    }
    const smx::tensor_view<const T, 3> from(in, {rows / inner, length, inner});
    const smx::tensor_view<T, 3> to(out, {rows / inner, length, inner});
    if (f == function::softmax) smx::safe_softmax(executor..., from, to, {.axis = 1});
    else smx::log_softmax(executor..., from, to, {.axis = 1});
}

}  // namespace

template <class T>
void library(function f, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner) {
    call(f, in, out, rows, length, inner);
}

#if !SMX_DISPATCH
template <class T>
void library_two_threads(function f, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner) {
    call(f, in, out, rows, length, inner, smx::openmp_executor{2});
}
template loops<float> library_two_threads<float>;
template loops<double> library_two_threads<double>;
template loops<smx::float16> library_two_threads<smx::float16>;
template loops<smx::bfloat16> library_two_threads<smx::bfloat16>;
#endif

template loops<float> library<float>;
template loops<double> library<double>;
template loops<smx::float16> library<smx::float16>;
template loops<smx::bfloat16> library<smx::bfloat16>;

}  // namespace bench
