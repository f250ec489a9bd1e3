// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

/// @file
/// What runs tasks on threads: the shape of it. parallel.hpp shows two.

namespace smx {
inline namespace SMX_ABI {

/// What an executor is handed: call it with a number. Two pointers, copied freely, good until the executor returns. Throws
/// nothing.
class parallel_task {
public:
    /// Refers to f, which has to outlive it.
    template <class F>
        requires(!std::same_as<F, parallel_task>)
    explicit parallel_task(const F& f) noexcept
        : f_(&f), call_([](const void* g, std::size_t i) noexcept { (*static_cast<const F*>(g))(i); }) {}

    /// Runs task i.
    void operator()(std::size_t i) const noexcept { call_(f_, i); }

private:
    const void* f_;
    void (*call_)(const void*, std::size_t) noexcept;
};

/// Something that runs tasks on threads:
///
///     e.concurrency()   how many tasks can run at the same time; 0 and 1: everything stays on the calling thread
///     e(tasks, f)       calls f(0), f(1), ... f(tasks - 1), each once, in any order, on any threads, the calling one too,
///                       and returns when all have returned and what they wrote can be read by the caller
///
/// f is a parallel_task. Tasks do not wait for each other, so any number of threads will do, and running them one after the
/// other is right.
template <class E>
concept parallel_executor = requires(E& e, std::size_t tasks, const parallel_task& f) {
    { e.concurrency() } -> std::convertible_to<std::size_t>;
    e(tasks, f);
};

namespace detail {

/// Work of fewer elements stays on the calling thread, and no task has less than a quarter of it. Two threads break even
/// at about this size; see bench/README.md, "Threads".
inline constexpr std::size_t parallel_from = 32768;

/// Tasks for each thread: what one thread is late by, another makes up for.
inline constexpr std::size_t tasks_per_thread = 4;

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
