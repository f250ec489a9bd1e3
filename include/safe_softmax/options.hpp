// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// What the functions have in common: the axis, the scale, and what special rows give.

#include <safe_softmax/config.hpp>

#include <cstddef>

namespace smx {

/// What rows without a proper answer give; `x` below is the logit times the scale.
///
/// | row                 | safe                                   | ieee    |
/// | ------------------- | -------------------------------------- | ------- |
/// | all -inf            | all +0 (log_softmax: all -inf)         | all NaN |
/// | +inf k times        | 1/k there, +0 elsewhere (log: -log k, -inf) | all NaN |
///
/// `ieee` is what torch.softmax, jax.nn.softmax and scipy.special.softmax return. A NaN in the row makes the whole row
/// NaN in both.
enum class special_values {
    safe,  ///< zeros, and a probability for +inf
    ieee   ///< NaN
};

/// What becomes of the losses of the rows: each is a result of its own, or their mean or sum is the one result.
enum class loss_reduction { none, mean, sum };

/// How a softmax is taken; an aggregate: `{.axis = 1, .scale = 0.125}`.
struct softmax_options {
    std::ptrdiff_t axis = -1;  ///< the axis along which a row runs; negative counts from the back, as in NumPy
    /// The logits are multiplied by it: 1/temperature, 1/sqrt(d_k); -1 gives softmin. 0 makes finite rows uniform and
    /// leaves infinite logits what they are. A temperature for each row: masked_options::temperature, without a mask.
    double scale = 1.0;
    special_values special = special_values::safe;  ///< what rows without a proper answer give
};

}  // namespace smx
