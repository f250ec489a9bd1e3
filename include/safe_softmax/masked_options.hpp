// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// How masked logits come about.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/options.hpp>

#include <cstddef>

namespace smx {

/// How the logits of masked_softmax come about, and which of them take part; an aggregate: `{.scale = 0.125, .causal = true}`.
///
///     logit = cap*tanh(in*scale / cap)  [in*scale without softcap]  + bias  + slope*(key - query)  + mask
///
/// `key` is the index along the axis, `query` the index along the last axis other than it (0 for a single row) plus
/// causal_offset. Nothing is rounded in between, except for softcap (see masked_softmax).
///
/// Arrays are broadcast as in NumPy. `bias` is aligned with the logits at their last axis. The others have one element for each
/// row: the extents of the logits without the axis, or with 1 there; a single number serves all rows.
struct masked_options {
    std::ptrdiff_t axis = -1;                       ///< the axis along which a row runs; negative counts from the back
    double scale = 1.0;                             ///< the logits are multiplied by it: 1/sqrt(d_k)
    special_values special = special_values::safe;  ///< what rows without a proper answer give
    bool causal = false;                            ///< a row keeps the columns up to its own index plus causal_offset
    std::ptrdiff_t causal_offset = 0;  ///< number of keys minus number of queries, where queries are the last ones
    array_ref lengths{};      ///< integers from 0 to the length of a row: a row keeps that many columns from the front
    double softcap = 0;       ///< 0 (none), or the largest magnitude that a logit can reach
    array_ref bias{};         ///< floating; -inf masks out
    array_ref alibi_slope{};  ///< floating; one for each row, or head
    array_ref sink{};  ///< floating: a further logit (not scaled) in the denominator of its row; 0 gives "softmax1"
    array_ref temperature{};  ///< floating, positive: the scale of a row is divided by it; works without any mask, too:
                              ///< `masked_softmax(logits, out, {.temperature = one_for_each_row})`
};

}  // namespace smx
