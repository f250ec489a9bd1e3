// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/backward.hpp>
#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/detail/split_job.hpp>

/// @file
/// Masks, gradients and losses on several threads, with the bits of one: the functions of masked_softmax.hpp, backward.hpp and
/// cross_entropy.hpp with an executor in front, as parallel.hpp has it.
///
///     smx::masked_softmax(executor, in, mask, out, options)       smx::masked_log_softmax(executor, ...)
///     smx::softmax_backward(executor, y, dy, dx, options)         smx::log_softmax_backward(executor, ...)
///     smx::masked_softmax_backward(executor, y, dy, dx, options)  smx::masked_log_softmax_backward(executor, ...)
///     smx::cross_entropy(executor, logits, targets, losses, options)
///     smx::cross_entropy_backward(executor, logits, targets, dlosses, dlogits, options)
///     smx::cross_entropy_with_gradient(executor, logits, targets, losses, dlogits, options)
///
/// Parameters, special values, error, bits and exceptions are those of the function without an executor, and all is checked before any
/// task starts. What the executor throws passes through, as parallel.hpp says.
///
/// | work                                                   | is shared                                                            |
/// | ------------------------------------------------------ | -------------------------------------------------------------------- |
/// | of fewer than 32768 elements, or a single row          | not: it stays on the calling thread                                  |
/// | rows                                                   | row by row, a task for each 8192 elements, but four to a thread at most |
/// | rows next to each other in memory, axis not the last   | by 16 rows                                                           |
/// | losses with reduction mean or sum                      | 1024 rows of 32 elements and more at a time; the calling thread adds up |
/// | a causal_offset of magnitude 2^52 and more             | not                                                                  |
///
/// Targets and lengths are checked by the calling thread alone. Allocates nothing, locks nothing and waits for nothing but the executor.
/// Takes 16 KiB of stack of each thread more than the function without an executor does, and 10 KiB more than that of the calling one.

namespace smx {
inline namespace SMX_ABI {

/// masked_softmax on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::any_array Mask,
          vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_softmax(E&& executor, const In& in, const Mask& mask, Out&& out, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_softmax, arg(in, "in"), arg.any(mask, "mask"),
                       arg(out, "out"), options, &threads);
}

/// The same with no mask but that of the options.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_softmax(E&& executor, const In& in, Out&& out, const masked_options& options) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_softmax, arg(in, "in"), array_ref(), arg(out, "out"),
                       options, &threads);
}

/// masked_log_softmax on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::any_array Mask,
          vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_log_softmax(E&& executor, const In& in, const Mask& mask, Out&& out, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_log_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_log_softmax, arg(in, "in"), arg.any(mask, "mask"),
                       arg(out, "out"), options, &threads);
}

/// The same with no mask but that of the options.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void masked_log_softmax(E&& executor, const In& in, Out&& out, const masked_options& options) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_log_softmax"};
    detail::run_masked(arg.function, detail::job_function::masked_log_softmax, arg(in, "in"), array_ref(),
                       arg(out, "out"), options, &threads);
}

/// softmax_backward on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void softmax_backward(E&& executor, const Y& y, const DY& dy, DX&& dx, const softmax_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dx, "dx"), "dx", options, &threads);
}

/// The same in place: dx over dy.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void softmax_backward(E&& executor, const Y& y, DY&& dy, const softmax_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dy, "dy"), "dy", options, &threads);
}

/// log_softmax_backward on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void log_softmax_backward(E&& executor, const Y& y, const DY& dy, DX&& dx, const softmax_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"log_softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::log_softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dx, "dx"), "dx", options, &threads);
}

/// The same in place: dx over dy.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void log_softmax_backward(E&& executor, const Y& y, DY&& dy, const softmax_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"log_softmax_backward"};
    detail::run_backward(arg.function, detail::job_function::log_softmax_backward, arg(y, "y"), arg(dy, "dy"),
                         arg(dy, "dy"), "dy", options, &threads);
}

/// masked_softmax_backward on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void masked_softmax_backward(E&& executor, const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, array_ref(), arg(y, "y"),
                                arg(dy, "dy"), arg(dx, "dx"), "dx", options, &threads);
}

/// The same in place: dx over dy.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void masked_softmax_backward(E&& executor, const Y& y, DY&& dy, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, array_ref(), arg(y, "y"),
                                arg(dy, "dy"), arg(dy, "dy"), "dy", options, &threads);
}

/// The same with the logits, which a softcap takes.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::readable_array Y,
          vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<In, DX> && vocabulary::maybe_same_rank<Y, DX> &&
             vocabulary::maybe_same_rank<DY, DX>)
void masked_softmax_backward(E&& executor, const In& in, const Y& y, const DY& dy, DX&& dx,
                             const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::softmax_backward, arg(in, "in"), arg(y, "y"),
                                arg(dy, "dy"), arg(dx, "dx"), "dx", options, &threads);
}

/// masked_log_softmax_backward on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::readable_array DY,
          vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<Y, DX> && vocabulary::maybe_same_rank<DY, DX>)
void masked_log_softmax_backward(E&& executor, const Y& y, const DY& dy, DX&& dx, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, array_ref(),
                                arg(y, "y"), arg(dy, "dy"), arg(dx, "dx"), "dx", options, &threads);
}

/// The same in place: dx over dy.
template <parallel_executor E, vocabulary::readable_array Y, vocabulary::writable_array DY>
    requires vocabulary::maybe_same_rank<Y, DY>
void masked_log_softmax_backward(E&& executor, const Y& y, DY&& dy, const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, array_ref(),
                                arg(y, "y"), arg(dy, "dy"), arg(dy, "dy"), "dy", options, &threads);
}

/// The same with the logits, which a softcap takes.
template <parallel_executor E, vocabulary::readable_array In, vocabulary::readable_array Y,
          vocabulary::readable_array DY, vocabulary::writable_array DX>
    requires(vocabulary::maybe_same_rank<In, DX> && vocabulary::maybe_same_rank<Y, DX> &&
             vocabulary::maybe_same_rank<DY, DX>)
void masked_log_softmax_backward(E&& executor, const In& in, const Y& y, const DY& dy, DX&& dx,
                                 const masked_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"masked_log_softmax_backward"};
    detail::run_masked_backward(arg.function, detail::job_function::masked_log_softmax_backward, arg(in, "in"),
                                arg(y, "y"), arg(dy, "dy"), arg(dx, "dx"), "dx", options, &threads);
}

/// cross_entropy on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Logits, class Targets, vocabulary::writable_array Losses>
    requires(vocabulary::any_array<Targets> || std::integral<Targets>)
void cross_entropy(E&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                   const cross_entropy_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"cross_entropy"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              array_ref(), "", array_ref(), "", options, &threads);
}

/// cross_entropy_backward on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Logits, class Targets, class DLosses,
          vocabulary::writable_array DLogits>
    requires((vocabulary::any_array<Targets> || std::integral<Targets>) &&
             (vocabulary::any_array<DLosses> || std::floating_point<DLosses>) &&
             vocabulary::maybe_same_rank<Logits, DLogits>)
void cross_entropy_backward(E&& executor, const Logits& logits, const Targets& targets, const DLosses& dlosses,
                            DLogits&& dlogits, const cross_entropy_options& options = {}) {
    const detail::job_threads threads(executor);
    if (options.dlosses)
        detail::refuse("cross_entropy_backward", "options.dlosses is given, but dlosses is an argument");
    const detail::arguments_of arg{"cross_entropy_backward"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), array_ref(),
                              arg(dlosses, "dlosses"), "dlosses", arg(dlogits, "dlogits"), "dlogits", options,
                              &threads);
}

/// cross_entropy_with_gradient on the threads of an executor.
template <parallel_executor E, vocabulary::readable_array Logits, class Targets, vocabulary::writable_array Losses,
          vocabulary::writable_array DLogits>
    requires((vocabulary::any_array<Targets> || std::integral<Targets>) && vocabulary::maybe_same_rank<Logits, DLogits>)
void cross_entropy_with_gradient(E&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                                 DLogits&& dlogits, const cross_entropy_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"cross_entropy_with_gradient"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              options.dlosses, "options.dlosses", arg(dlogits, "dlogits"), "dlogits", options,
                              &threads);
}

/// The same with the gradient over the logits.
template <parallel_executor E, vocabulary::writable_array Logits, class Targets, vocabulary::writable_array Losses>
    requires(vocabulary::any_array<Targets> || std::integral<Targets>)
void cross_entropy_with_gradient(E&& executor, Logits&& logits, const Targets& targets, Losses&& losses,
                                 const cross_entropy_options& options = {}) {
    const detail::job_threads threads(executor);
    const detail::arguments_of arg{"cross_entropy_with_gradient"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              options.dlosses, "options.dlosses", arg(logits, "logits"), "logits", options, &threads);
}

}  // namespace SMX_ABI
}  // namespace smx
