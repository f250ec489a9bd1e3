// SPDX-License-Identifier: BSL-1.0

// What objects of users contain of the functions that hand a job to the kernels; only its symbols are looked at.

#include <safe_softmax/safe_softmax.hpp>

void call_the_family(const float* x, float* out, const bool* mask) {
    const smx::strided_span<const float> row(x, 3, 1);
    const smx::strided_span<float> result(out, 3, 1), one(out, 1, 1);
    smx::masked_softmax(row, smx::strided_span<const bool>(mask, 3, 1), result, {.scale = 0.5, .causal = true});
    smx::softmax_backward(row, result);
    smx::log_softmax_backward(row, row, result);
    smx::cross_entropy(row, 1, one, {.label_smoothing = 0.1});
    smx::online_softmax<float> state;
    state.push(row);
    state.probabilities(row, result);
    out[0] = state.logsumexp();
    out[1] = smx::logaddexp(out[0], out[1]);
    smx::softmin(row, result);
}
