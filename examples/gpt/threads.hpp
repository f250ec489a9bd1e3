// SPDX-License-Identifier: BSL-1.0
// The threads of a training: those of oneTBB (SMX_EXAMPLE_TBB) or OpenMP, where CMake found one of them, else none.
#pragma once

#if defined(SMX_EXAMPLE_TBB)
#include <safe_softmax/tbb.hpp>
#else
#include <safe_softmax/openmp.hpp>
#endif

#include <cstddef>

namespace gpt {

#if defined(SMX_EXAMPLE_TBB)
class threads {
public:
    static constexpr const char* name = "oneTBB";
    explicit threads(int count) : arena_(count) {}
    std::size_t concurrency() const { return static_cast<std::size_t>(arena_.max_concurrency()); }
    template <class F>
    void operator()(std::size_t tasks, const F& f) {
        arena_.execute([&] { smx::tbb_executor{}(tasks, f); });
    }

private:
    tbb::task_arena arena_;
};
#else
struct threads : smx::openmp_executor {
#if defined(_OPENMP)
    static constexpr const char* name = "OpenMP";
#else
    static constexpr const char* name = "neither oneTBB nor OpenMP";
#endif
    explicit threads(int count) : smx::openmp_executor{count} {}
};
#endif

}  // namespace gpt
