// SPDX-License-Identifier: BSL-1.0
#include "family_calls.hpp"

#include <safe_softmax/backward.hpp>
#include <safe_softmax/logaddexp.hpp>

#include <vector>

namespace softmax_test {
namespace {

template <class T>
smx::strided_span<T> row_of_type(const view& v, std::size_t first, std::size_t n) {
    return {static_cast<T*>(v.data) + static_cast<std::ptrdiff_t>(first) * v.strides[0], n, v.strides[0]};
}

template <class T>
void run_online(const view& row, std::span<const std::size_t> chunks, std::span<const std::uint8_t> choices,
                const smx::online_options& options, const online_results& to) {
    std::vector<smx::online_softmax<T>> parts;
    std::size_t first = 0;
    for (const std::size_t n : chunks) {
        parts.emplace_back(options).push(row_of_type<const T>(row, first, n));
        first += n;
    }
    parts.emplace_back(options);  // one that has seen nothing
    for (std::size_t i = 0; parts.size() > 1; ++i) {
        const std::size_t a = choices.empty() ? 0 : choices[i % choices.size()] % parts.size();
        smx::online_softmax<T> taken = parts[a];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(a));
        parts[i % parts.size()].merge(taken);
    }
    *static_cast<T*>(to.logsumexp.data) = parts[0].logsumexp();
    first = 0;
    for (const std::size_t n : chunks) {
        const auto in = row_of_type<const T>(row, first, n);
        parts[0].probabilities(in, row_of_type<T>(to.probabilities, first, n));
        parts[0].log_probabilities(in, row_of_type<T>(to.log_probabilities, first, n));
        parts[0].weights(in, row_of_type<T>(to.weights, first, n));
        first += n;
    }
}

}  // namespace

void call_masked(bool log, const smx::array_ref& in, const smx::array_ref& mask, const smx::array_ref& out,
                 const smx::masked_options& options) {
    using smx::vocabulary::job_function;
    smx::detail::run_masked(log ? "masked_log_softmax" : "masked_softmax",
                            log ? job_function::masked_log_softmax : job_function::masked_softmax, in, mask, out,
                            options);
}

void call_backward(smx::vocabulary::job_function f, const smx::array_ref& y, const smx::array_ref& dy,
                   const smx::array_ref& dx, const smx::softmax_options& options) {
    smx::detail::run_backward("softmax_backward", f, y, dy, dx, "dx", options);
}

void call_cross_entropy(const smx::array_ref& logits, const smx::array_ref& targets, const smx::array_ref& losses,
                        const smx::array_ref& gradient, const smx::cross_entropy_options& options) {
    smx::detail::run_cross_entropy("cross_entropy", logits, targets, losses,
                                   gradient ? options.dlosses : smx::array_ref(), "options.dlosses", gradient,
                                   "dlogits", options);
}

void call_online(const view& row, std::span<const std::size_t> chunks, std::span<const std::uint8_t> choices,
                 const smx::online_options& options, const online_results& to) {
    switch (row.type) {
        case dtype::f32: return run_online<float>(row, chunks, choices, options, to);
        case dtype::f64: return run_online<double>(row, chunks, choices, options, to);
        case dtype::f16: return run_online<smx::float16>(row, chunks, choices, options, to);
        case dtype::bf16: return run_online<smx::bfloat16>(row, chunks, choices, options, to);
    }
}

void call_filtered(const smx::array_ref& in, const smx::array_ref& out, const smx::sampling_options& options) {
    smx::detail::run_sampling("filtered_softmax", smx::vocabulary::job_function::filtered_softmax, in, out,
                              smx::array_ref(), options, 0);
}

std::uint64_t call_sample(const smx::array_ref& in, double u, const smx::sampling_options& options) {
    std::uint64_t index[1];
    smx::detail::run_sampling("sample", smx::vocabulary::job_function::sample, in, smx::array_ref(index),
                              smx::array_ref(u), options, 0);
    return index[0];
}

void call_gumbel(const smx::array_ref& in, const smx::array_ref& out, std::uint64_t seed,
                 const smx::gumbel_options& options) {
    smx::detail::run_gumbel("gumbel_softmax", in, out, smx::vocabulary::gumbel_call{seed, options.hard}, options);
}

void call_weighted(const smx::array_ref& in, const smx::array_ref& out, const smx::array_ref& sign,
                   const smx::weighted_options& options) {
    smx::detail::run_weighted("weighted_logsumexp", in, out, sign, options);
}

void call_logaddexp(const smx::array_ref& in, const smx::array_ref& other, const smx::array_ref& out) {
    smx::detail::run_logaddexp(in, other, out);
}

}  // namespace softmax_test
