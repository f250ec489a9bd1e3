// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// An executor for parallel.hpp and parallel_family.hpp: the threads of OpenMP.

#include <cstddef>
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace smx {
#if defined(_OPENMP)
inline namespace with_openmp {
#else
inline namespace without_openmp {  // objects compiled with and without -fopenmp can be linked into one program
#endif

/// The threads of OpenMP, for functions that take an executor:
///
/// ```cpp
/// smx::safe_softmax(smx::openmp_executor{}, in, out);
/// ```
///
/// Takes a compiler that was told to use OpenMP: -fopenmp, or the CMake target OpenMP::OpenMP_CXX. Without, this header
/// compiles all the same, concurrency() is 1 and everything runs on the calling thread.
struct openmp_executor {
    int threads = 0;  ///< at most so many; 0: as many as OpenMP would take (OMP_NUM_THREADS, omp_set_num_threads)

    /// 1 inside a parallel region that may not have another one in it.
    std::size_t concurrency() const noexcept {
#if defined(_OPENMP)
        if (omp_get_active_level() >= omp_get_max_active_levels()) return 1;
        return static_cast<std::size_t>(threads > 0 ? threads : omp_get_max_threads());
#else
        return 1;
#endif
    }

    /// Runs tasks 0 to tasks - 1, one after the other as threads get free.
    template <class F>
    void operator()(std::size_t tasks, const F& f) const noexcept {
#if defined(_OPENMP)
        const int team = static_cast<int>(concurrency());
        const std::ptrdiff_t end = static_cast<std::ptrdiff_t>(tasks);
#pragma omp parallel for schedule(dynamic) num_threads(team)
        for (std::ptrdiff_t i = 0; i < end; ++i) f(static_cast<std::size_t>(i));
#else
        for (std::size_t i = 0; i < tasks; ++i) f(i);
#endif
    }
};

}  // namespace with_openmp or without_openmp
}  // namespace smx
