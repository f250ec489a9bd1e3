// SPDX-License-Identifier: BSL-1.0
#pragma once

// The functions of masks, training, streaming and sampling as one instruction set compiled them, for arrays whose types are known at run
// time. Instrumented; its judge is not.

#include "../subject.hpp"

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/gumbel_softmax.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/online_softmax.hpp>
#include <safe_softmax/sampling.hpp>
#include <safe_softmax/weighted_logsumexp.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace softmax_test {

void call_masked(bool log, const smx::array_ref& in, const smx::array_ref& mask, const smx::array_ref& out,
                 const smx::masked_options& options);

void call_backward(smx::vocabulary::job_function f, const smx::array_ref& y, const smx::array_ref& dy,
                   const smx::array_ref& dx, const smx::softmax_options& options);

/// losses or gradient may be missing.
void call_cross_entropy(const smx::array_ref& logits, const smx::array_ref& targets, const smx::array_ref& losses,
                        const smx::array_ref& gradient, const smx::cross_entropy_options& options);

struct online_results {
    view probabilities, log_probabilities, weights;  // as the row
    view logsumexp;                                  // one element
};
/// A row in chunks of these lengths, merged in an order that `choices` says, in online_softmax of the row's type.
void call_online(const view& row, std::span<const std::size_t> chunks, std::span<const std::uint8_t> choices,
                 const smx::online_options& options, const online_results& to);

void call_filtered(const smx::array_ref& in, const smx::array_ref& out, const smx::sampling_options& options);
/// Of one row.
std::uint64_t call_sample(const smx::array_ref& in, double u, const smx::sampling_options& options);

void call_gumbel(const smx::array_ref& in, const smx::array_ref& out, std::uint64_t seed,
                 const smx::gumbel_options& options);

/// sign may be missing.
void call_weighted(const smx::array_ref& in, const smx::array_ref& out, const smx::array_ref& sign,
                   const smx::weighted_options& options);

void call_logaddexp(const smx::array_ref& in, const smx::array_ref& other, const smx::array_ref& out);

}  // namespace softmax_test
