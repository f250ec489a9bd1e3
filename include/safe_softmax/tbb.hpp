// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// An executor for parallel.hpp and parallel_family.hpp: the threads of oneTBB.

#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <cstddef>

namespace smx {

/// The threads of oneTBB, for functions that take an executor:
///
/// ```cpp
/// smx::safe_softmax(smx::tbb_executor{}, in, out);
/// ```
///
/// In the task arena of the caller, which says how many threads there are; called in a task of TBB it is a nested
/// parallel_for. Takes oneTBB 2021 or newer (Debian: libtbb-dev) and its library: the CMake target TBB::tbb.
struct tbb_executor {
    /// Of the task arena that it is called in.
    std::size_t concurrency() const { return static_cast<std::size_t>(tbb::this_task_arena::max_concurrency()); }

    /// Isolated: while the calling thread waits it takes no other task, which might want a lock that the caller holds.
    template <class F>
    void operator()(std::size_t tasks, const F& f) const {
        tbb::this_task_arena::isolate([&] { tbb::parallel_for(std::size_t(0), tasks, f, tbb::simple_partitioner{}); });
    }
};

}  // namespace smx
