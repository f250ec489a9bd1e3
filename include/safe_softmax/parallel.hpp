// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/executor.hpp>
#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/logsumexp.hpp>
#include <safe_softmax/softmax.hpp>
#include <safe_softmax/detail/split.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/segments.hpp>
#endif

#include <cstddef>
#include <type_traits>

/// @file
/// The functions on several threads, with the bits of one.
///
///     smx::safe_softmax(executor, in, out, options)     smx::log_softmax(executor, in, out, options)
///     smx::safe_softmax(executor, inout, options)       smx::log_softmax(executor, inout, options)
///     smx::logsumexp(executor, in, out, options)
///
/// The library starts no threads: the executor brings them. openmp.hpp and tbb.hpp have one each; this is one that starts
/// threads for every call, which is worth its while for calls of a millisecond and more:
///
/// ```cpp
/// struct thread_executor {
///     std::size_t threads = std::thread::hardware_concurrency();
///     std::size_t concurrency() const { return threads; }
///     void operator()(std::size_t tasks, const auto& f) const {
///         std::atomic<std::size_t> next = 0;
///         const auto work = [&] { for (std::size_t i = next++; i < tasks; i = next++) f(i); };
///         std::vector<std::future<void>> started;
///         for (std::size_t t = 1; t < threads && t < tasks; ++t) started.push_back(std::async(std::launch::async, work));
///         work();
///     }  // the destructors wait for the threads
/// };
/// ```
///
/// and this one hands the tasks to a pool that somebody else keeps, whose submit(g) runs g() some time:
///
/// ```cpp
/// template <class Pool>
/// struct pool_executor {
///     Pool& pool;
///     std::size_t concurrency() const { return pool.size(); }
///     void operator()(std::size_t tasks, const auto& f) const {
///         std::latch done(static_cast<std::ptrdiff_t>(tasks));
///         for (std::size_t i = 0; i < tasks; ++i) pool.submit([&, i] { f(i); done.count_down(); });
///         done.wait();
///     }
/// };
/// ```

namespace smx {
inline namespace SMX_ABI {

namespace detail {

/// Hands checked work to the kernels by way of an executor.
template <function F, class E>
class to_executor {
public:
    explicit to_executor(E& executor) noexcept : executor_(executor) {}

    template <known_rows K, class In, class Out, std::size_t R>
    void run(const work& w) const {
        std::size_t elements = w.length * w.rows.extent;
        for (std::size_t l = 0; l < w.outer_count; ++l) elements *= w.outer[l].extent;
        const std::size_t threads = elements < parallel_from ? 1 : static_cast<std::size_t>(executor_.concurrency());
        if (threads <= 1) return to_kernels<F>{}.template run<K, In, Out, R>(w);
        const element_sizes size{sizeof(In), sizeof(Out)};
        const row_units units(w, threads);
        // One and the same for all tasks, even if another thread makes another instruction set the active one.
#if SMX_DISPATCH
        using vocabulary::type_index;
        const dispatch::table& active = dispatch::active_table();
        constexpr std::size_t f = static_cast<std::size_t>(F);
        const dispatch::kernel of_rows = active.run[f][type_index<In>][type_index<Out>];
        const dispatch::segment_kernel of_segment = active.run_segment[f][type_index<In>][type_index<Out>];
#else
        const dispatch::kernel of_rows = &kernels<default_backend, In, Out>::template run<F, K>;
        // Not const: g++ warns of comparing an address that it knows.
        dispatch::segment_kernel of_segment = segment_kernel_of<F, In, Out>();
#endif
        if (of_segment == nullptr || !by_segments(w, units, threads))
            return run_units<R>(w, units, elements, threads, size, of_rows);
        for (std::size_t row = 0; row < units.count; ++row)
            for_units<R>(w, units, row, row + 1, size, [&](const work& one) { run_segments(one, of_segment); });
    }

private:
    /// Rows one after the other, each shared by all threads, if fewer than there are tasks otherwise, and if that leaves threads idle for
    /// longer.
    static bool by_segments(const work& w, const row_units& units, std::size_t threads) noexcept {
        if (w.length <= vocabulary::segment_step || units.rows != 1) return false;
        if (units.count / tasks_per_thread >= threads) return false;
        const auto rounds = [threads](std::size_t parts) { return (parts - 1) / threads + 1; };
        const std::size_t segments = vocabulary::segment_count(w.length);
        return units.count * rounds(segments) < rounds(units.count) * segments;
    }

    void run_segments(const work& row, dispatch::segment_kernel kernel) const {
        const std::size_t segments = vocabulary::segment_count(row.length);
        vocabulary::shared_row shared{};
        const auto run_stage = [&](vocabulary::stage now) {
            const auto run_task = [&, now](std::size_t segment) noexcept { kernel(row, shared, now, segment); };
            executor_(segments, parallel_task(run_task));
        };
        run_stage(vocabulary::stage::maximum);
        run_stage(vocabulary::stage::sum);
        if constexpr (F == function::logsumexp) kernel(row, shared, vocabulary::stage::result, 0);
        else run_stage(vocabulary::stage::result);
    }

    template <std::size_t R>
    void run_units(const work& w, const row_units& units, std::size_t elements, std::size_t threads, element_sizes size,
                   dispatch::kernel kernel) const {
        std::size_t tasks = elements / (parallel_from / 4);
        if (tasks / tasks_per_thread >= threads) tasks = threads * tasks_per_thread;
        if (tasks > units.count) tasks = units.count;
        if (tasks <= 1) return kernel(w);
        const auto run_task = [&](std::size_t t) noexcept {
            const share_of_units part(units.count, tasks, t);
            for_units<R>(w, units, part.first, part.last, size, kernel);
        };
        executor_(tasks, parallel_task(run_task));
    }

    E& executor_;
};

}  // namespace detail

/// safe_softmax on the threads of an executor: the same bits, whatever their number and the order of tasks, and the same
/// checks and errors, before any task starts.
///
/// | work                                     | is shared                                                               |
/// | ---------------------------------------- | ----------------------------------------------------------------------- |
/// | of fewer than 32768 elements             | not: it stays on the calling thread, and the executor is not asked      |
/// | rows                                     | row by row, four tasks to a thread                                      |
/// | rows next to each other in memory, axis not the last | by tiles of 64 rows, or of 16 if there would be too few: fewer than 32 stay |
/// | a few rows of more than 65536 elements   | each by segments, up to 64, in three rounds of tasks (logsumexp: two)   |
/// | a single row of up to 65536 elements     | not                                                                     |
///
/// @param executor  a parallel_executor
///
/// Allocates nothing, locks nothing and waits for nothing but the executor. Takes up to 80 KiB of stack of each thread. What a
/// thread has set, rounding or flush-to-zero, does not matter and is kept. If the executor throws, its exception passes
/// through. If it throws or returns before each task was run once, `out` has unspecified values; for tasks that then still
/// run, the views have to stay alive, and the call itself, which does not: that is a defect of the executor.
template <parallel_executor E, readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void safe_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::softmax, std::remove_reference_t<E>> to(executor);
    detail::elementwise(to, "safe_softmax", in, out, options);
}

/// The same in place.
template <parallel_executor E, writable_view InOut>
void safe_softmax(E&& executor, InOut&& inout, const softmax_options& options = {}) {
    smx::SMX_ABI::safe_softmax(executor, inout, inout, options);
}

/// log_softmax on the threads of an executor, as safe_softmax is.
template <parallel_executor E, readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void log_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::log_softmax, std::remove_reference_t<E>> to(executor);
    detail::elementwise(to, "log_softmax", in, out, options);
}

/// The same in place.
template <parallel_executor E, writable_view InOut>
void log_softmax(E&& executor, InOut&& inout, const softmax_options& options = {}) {
    smx::SMX_ABI::log_softmax(executor, inout, inout, options);
}

/// logsumexp on the threads of an executor, as safe_softmax is.
template <parallel_executor E, readable_view In, writable_view Out>
    requires vocabulary::reduced_rank<In, Out>
void logsumexp(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::logsumexp, std::remove_reference_t<E>> to(executor);
    detail::reduction(to, "logsumexp", in, out, options);
}

/// The same of a single row, as a value of its element type.
template <parallel_executor E, readable_view In>
    requires(vocabulary::rank_of<const In> == 1)
auto logsumexp(E&& executor, const In& in, const softmax_options& options = {}) {
    using element_type = std::remove_cv_t<vocabulary::element_of<const In>>;
    vocabulary::storage_t<element_type> result[1];
    smx::SMX_ABI::logsumexp(executor, in, result, options);
    return vocabulary::bit_cast<element_type>(result[0]);
}

}  // namespace SMX_ABI
}  // namespace smx
