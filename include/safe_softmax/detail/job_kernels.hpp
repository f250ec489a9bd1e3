// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/backward_rows.hpp>
#include <safe_softmax/detail/cross_entropy_rows.hpp>
#include <safe_softmax/detail/family_rows.hpp>
#include <safe_softmax/detail/masked_rows.hpp>
#include <safe_softmax/detail/online_rows.hpp>
#include <safe_softmax/detail/sampling_rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// A job with backend B and arithmetic in T.
template <class B, class T>
void run_job_in(const job& j) noexcept {
    switch (j.function) {
        case vocabulary::job_function::masked_softmax:
        case vocabulary::job_function::masked_log_softmax: return masked_rows<B, T>::run(j);
        case vocabulary::job_function::online_push:
        case vocabulary::job_function::online_merge:
        case vocabulary::job_function::online_read:
        case vocabulary::job_function::online_probabilities:
        case vocabulary::job_function::online_log_probabilities:
        case vocabulary::job_function::online_weights: return online_rows<B, T>::run(j);
        case vocabulary::job_function::logaddexp:
        case vocabulary::job_function::weighted_logsumexp:
        case vocabulary::job_function::gumbel_softmax: return family_rows<B, double>::run(j);
        case vocabulary::job_function::filtered_softmax:
        case vocabulary::job_function::sample: return sampling_rows<B, T>::run(j);
        case vocabulary::job_function::softmax_backward:
        case vocabulary::job_function::log_softmax_backward:
        case vocabulary::job_function::masked_log_softmax_backward: return backward_rows<B, T>::run(j);
        case vocabulary::job_function::cross_entropy: return cross_entropy_rows<B, T>::run(j);
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
