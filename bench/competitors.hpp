// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <cstddef>

namespace bench {

enum class function { softmax, log_softmax };

/// rows x length elements, row r at (r / inner) * inner * length + r % inner, elements inner apart.
template <class T>
using loops = void(function, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner);

/// What a user writes who has no library: a loop for the maximum, one for exponentials and their sum, one for the results;
/// with the axis `inner` elements apart. Two builds: -O3 -march=native, and that with -ffast-math.
template <class T>
loops<T> three_loops_precise;
template <class T>
loops<T> three_loops_fast;

/// The library, compiled with -O3 -march=native, and without -march by way of run-time dispatch.
template <class T>
loops<T> library_native;
template <class T>
loops<T> library_dispatch;

/// library_native on two threads of OpenMP; on one where OpenMP was not found.
template <class T>
loops<T> library_two_threads;

}  // namespace bench
