// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job.hpp>

namespace smx {
namespace vocabulary {

// The operands of the smaller functions.

struct logaddexp_of {
    enum operands : std::size_t { in, out, other };
};
struct weighted_sum {
    enum operands : std::size_t { in, out, weights, sign };
};

/// gumbel_softmax; `call` is a gumbel_call in memory, whatever its type says.
struct gumbel {
    enum operands : std::size_t { in, out, call };
};
struct gumbel_call {
    std::uint64_t seed;
    bool hard;
};

/// top_k_softmax and so on (out as in), sample (out for each row); `call` is a sampling_call in memory.
struct sampling {
    enum operands : std::size_t { in, out, u, call };
};
struct sampling_call {
    std::size_t top_k;  ///< 0: all
    double top_p, min_p;
    std::uint64_t seed;  ///< where u is not given
};

}  // namespace vocabulary
}  // namespace smx
