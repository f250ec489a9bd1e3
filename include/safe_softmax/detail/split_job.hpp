// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/executor.hpp>
#include <safe_softmax/detail/cross_entropy_job.hpp>
#include <safe_softmax/detail/run_job.hpp>
#include <safe_softmax/detail/split.hpp>
#include <safe_softmax/simd/environment.hpp>

#include <cstdint>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// The rows of a job in parts, for threads to share; as split.hpp has it for some work, every part is a job of its own. The index that a
// causal mask and ALiBi see goes on in each: their offset takes up where the part begins.

class job_threads;
inline void split_job(const job& j, dispatch::job_kernel kernel, const job_threads& executor);

/// Any executor as the runner of jobs, one type for what is compiled once. Refers to it.
class job_threads : public job_runner {
public:
    template <parallel_executor E>
        requires(!std::same_as<std::remove_const_t<E>, job_threads>)
    explicit job_threads(E& e) noexcept
        : job_runner{[](const job_runner& self, const job& j, dispatch::job_kernel kernel) {
              split_job(j, kernel, static_cast<const job_threads&>(self));
          }},
          executor_(const_cast<void*>(static_cast<const void*>(&e))),
          concurrency_([](void* p) { return static_cast<std::size_t>(static_cast<E*>(p)->concurrency()); }),
          run_([](void* p, std::size_t tasks, const parallel_task& f) { (*static_cast<E*>(p))(tasks, f); }) {}

    std::size_t concurrency() const { return concurrency_(executor_); }
    void operator()(std::size_t tasks, const parallel_task& f) const { run_(executor_, tasks, f); }

private:
    void* executor_;
    std::size_t (*concurrency_)(void*);
    void (*run_)(void*, std::size_t, const parallel_task&);
};

/// Rows of the innermost loop that are not cut: neighbours in memory that fill a line of the cache.
inline std::size_t rows_of_unit(const job& j) noexcept {
    if (j.loops == 0 || j.length <= 1) return 1;
    const vocabulary::job_loop& inner = j.loop[j.loops - 1];
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(j.op[0].type));
    return inner.stride[0] == size && j.op[0].step != size ? row_units::pack : 1;
}

/// Iterations [first, last) of the outermost loop.
inline job part_of_loop(const job& j, std::size_t first, std::size_t last) noexcept {
    job part = j;
    for (std::size_t o = 0; o < j.operands; ++o)
        if (j.op[o] && j.loop[0].stride[o] != 0)
            part.op[o].data = moved(j.op[o].data, static_cast<std::ptrdiff_t>(first) * j.loop[0].stride[o]);
    part.loop[0].extent = last - first;
    if (j.query_loop == 0) part.causal_offset += static_cast<std::ptrdiff_t>(first);
    return part;
}

/// Iteration i of the outermost loop, without that loop.
inline job inside_loop(const job& j, std::size_t i) noexcept {
    job part = part_of_loop(j, i, i + 1);
    for (std::size_t l = 1; l < j.loops; ++l) part.loop[l - 1] = j.loop[l];
    --part.loops;
    part.query_loop = j.query_loop == 0 ? part.loops : j.query_loop - 1;
    return part;
}

/// Calls f(job) for parts that together are units [first, last) of j, as few of them as there can be. Inner: units of the innermost loop,
/// each of so many rows, the last one of what is left over besides.
template <class F>
void for_job_units(const job& j, std::size_t rows, std::size_t inner, std::size_t first, std::size_t last, const F& f) {
    if (first == last) return;
    if (j.loops == 0) return f(j);
    if (j.loops == 1) return f(part_of_loop(j, first * rows, last == inner ? j.loop[0].extent : last * rows));
    std::size_t below = inner;
    for (std::size_t l = 1; l + 1 < j.loops; ++l) below *= j.loop[l].extent;
    const auto within = [&](std::size_t i, std::size_t begin, std::size_t end) {
        for_job_units(inside_loop(j, i), rows, inner, begin, end, f);
    };
    std::size_t i = first / below;
    const std::size_t end = last / below, head = first % below, tail = last % below;
    if (i == end) return within(i, head, tail);
    if (head != 0) within(i++, head, below);
    if (i < end) f(part_of_loop(j, i, end));
    if (tail != 0) within(end, 0, tail);
}

/// Runs `count` units of a job from `first` on, on the threads of an executor if there is work for more than one.
SMX_NOINLINE inline void run_job_units(const job& j, std::size_t rows, std::size_t inner, std::size_t first,
                                       std::size_t count, std::size_t elements, std::size_t threads,
                                       dispatch::job_kernel kernel, const job_threads& executor) {
    std::size_t tasks = elements / (parallel_from / 4);
    if (tasks / tasks_per_thread >= threads) tasks = threads * tasks_per_thread;
    if (tasks > count) tasks = count;
    const auto run_task = [&](std::size_t t) noexcept {
        const share_of_units part(count, tasks, t);
        for_job_units(j, rows, inner, first + part.first, first + part.last, kernel);
    };
    if (tasks > 1) executor(tasks, parallel_task(run_task));
    else for_job_units(j, rows, inner, first, first + count, kernel);
}

SMX_NOINLINE inline void add_losses(vocabulary::loss_total& total, const double* loss, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) add_to(total, loss[i]);
}

/// Losses that are added up: the threads write down those of so many rows, then the calling thread adds them, in the order of the rows.
inline constexpr std::size_t losses_at_a_time = 1024;
SMX_NOINLINE inline void split_total(const job& j, std::size_t rows, std::size_t threads, dispatch::job_kernel kernel,
                                     const job_threads& executor) {
    double losses[losses_at_a_time];
    constexpr std::ptrdiff_t size = sizeof(double);
    job part = j;
    part.total = nullptr;
    part.op[cross_entropy_of::losses] = {nullptr, size, scalar_type::float64};
    std::ptrdiff_t stride = size;
    for (std::size_t l = j.loops; l-- > 0;) {
        part.loop[l].stride[cross_entropy_of::losses] = stride;
        stride *= static_cast<std::ptrdiff_t>(j.loop[l].extent);
    }
    const std::size_t innermost = j.loops == 0 ? 1 : j.loop[j.loops - 1].extent;
    for (std::size_t first = 0; first < rows; first += losses_at_a_time) {
        const std::size_t count = rows - first < losses_at_a_time ? rows - first : losses_at_a_time;
        // Row `first` writes to the first place: there is none to point at for row 0.
        part.op[cross_entropy_of::losses].data =
            reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(&losses[0]) - first * sizeof(double));
        run_job_units(part, 1, innermost, first, count, count * j.length, threads, kernel, executor);
        const default_environment environment;
        add_losses(*j.total, losses, count);
    }
    // A job without rows writes the total.
    job last = j;
    last.loops = last.query_loop = 1;
    last.loop[0].extent = 0;
    kernel(last);
}

/// Runs a job on the threads of an executor.
inline void split_job(const job& j, dispatch::job_kernel kernel, const job_threads& executor) {
    // A causal mask has no index that double has not.
    constexpr std::ptrdiff_t limit = std::ptrdiff_t(1) << (sizeof(std::ptrdiff_t) == 8 ? 52 : 30);
    std::size_t rows = 1;
    for (std::size_t l = 0; l < j.loops; ++l) rows *= j.loop[l].extent;
    const std::size_t elements = rows * j.length;
    const bool can_split = j.causal_offset < limit && j.causal_offset > -limit;
    const std::size_t threads = elements < parallel_from || !can_split ? 1 : executor.concurrency();
    if (threads <= 1 || rows <= 1) return kernel(j);
    if (j.total != nullptr) {
        if (j.length * losses_at_a_time < parallel_from) return kernel(j);
        return split_total(j, rows, threads, kernel, executor);
    }
    const std::size_t in_unit = rows_of_unit(j), innermost = j.loop[j.loops - 1].extent;
    const std::size_t inner = innermost < in_unit ? 1 : innermost / in_unit;
    run_job_units(j, in_unit, inner, 0, rows / innermost * inner, elements, threads, kernel, executor);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
