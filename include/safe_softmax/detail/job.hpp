// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/options.hpp>

#include <cstddef>
#include <cstdint>

namespace smx {
namespace vocabulary {

// Calls with more than an input and an output, for which one kernel per type of arithmetic serves all element types: what
// work.hpp is to softmax, a job is to the rest of the family. Plain data again, that means the same in every object of a
// program.

/// One argument as a row sees it. Without initialisers: unoptimised, those would make a constructor that objects compiled for
/// different processors share.
struct operand {
    const void* data;     ///< its first element in this row; null: not given. Written to where it is an output
    std::ptrdiff_t step;  ///< bytes from one element of the row to the next
    scalar_type type;

    SMX_INLINE_VOCABULARY explicit operator bool() const noexcept { return data != nullptr; }
};

/// What a kernel is asked for.
enum class job_function {
    masked_softmax,
    masked_log_softmax,
    online_push,
    online_merge,
    online_read,
    online_probabilities,
    online_log_probabilities,
    online_weights,
    logaddexp,
    weighted_logsumexp,
    gumbel_softmax,
    filtered_softmax,
    sample,
    softmax_backward,  // masked_softmax_backward, too
    log_softmax_backward,
    masked_log_softmax_backward,
    cross_entropy  // and its gradient, as far as there are outputs for them
};

inline constexpr std::size_t max_operands = 8;

/// A loop over rows; strides in bytes from one iteration to the next, one for each operand.
struct job_loop {
    std::size_t extent;
    std::ptrdiff_t stride[max_operands];
};

/// A sum of losses as two doubles, since there may be many.
struct loss_total {
    double head, tail;
};

struct job {
    job_function function;
    std::size_t length;    ///< elements of a row
    std::size_t operands;  ///< how many of op[] are in use; each function names its own
    operand op[max_operands];
    job_loop loop[array_ref::max_rank];  ///< outermost first; a row is what is left inside
    std::size_t loops;
    std::size_t query_loop;  ///< the loop whose index is the row's place in a causal mask; `loops`: none, index 0
    double scale;
    special_values special;
    bool causal;
    std::ptrdiff_t causal_offset;
    double softcap;  ///< 0: none
    double label_smoothing;
    double z_loss;
    std::int64_t ignore_index;
    loss_total* total;  ///< where losses are added up; null: each row has its own
    double divisor;     ///< of the total, and so of every gradient: 1, or what a mean is taken over
    bool wide;          ///< the arithmetic is in double because an element is
};

}  // namespace vocabulary

}  // namespace smx
