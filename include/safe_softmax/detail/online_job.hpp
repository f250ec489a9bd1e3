// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/online_state.hpp>
#include <safe_softmax/detail/job.hpp>

namespace smx {
namespace vocabulary {

/// Elements that an online_softmax takes at a time: what it adds to its state depends on these blocks alone.
inline constexpr std::size_t online_block = 2048;

/// The operands of the online functions. `call` is an online_call in memory, whatever its type says.
struct online {
    enum operands : std::size_t { in, out, call };
};

struct online_call {
    online_state* state;
    const online_state*
        other;  ///< online_merge: what is merged into state. online_read: the factor is exp(state - other)
    // Numbers of the arithmetic: the caller, who may round otherwise, does not have to.
    double factor;            ///< by which what is relative to the maximum before the call has to be multiplied
    double sum, inverse_sum;  ///< online_read: of exp(z - max); logsumexp is written to `out`, if there is one
    bool refused;             ///< a logit is larger than the maximum; nothing was written
};

}  // namespace vocabulary
}  // namespace smx
