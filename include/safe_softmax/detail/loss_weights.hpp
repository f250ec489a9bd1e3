// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/cross_entropy_job.hpp>
#include <safe_softmax/detail/special.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// How a row's loss is made of its log-probabilities, -sum_j a_j*log p_j:
///
///     class index t    a_j = (1 - eps)*w_j*[j == t] + eps/K*w_j
///     soft targets     a_j = w_j*((1 - eps)*q_j + eps/K)
class loss_weights {
public:
    SMX_ALWAYS_INLINE loss_weights(const job& j, const operand* op) noexcept
        : op_(op), soft(is_floating(op[cross_entropy_of::targets].type)), kept(fence(1 - j.label_smoothing)),
          spread(j.length == 0 ? 0 : fence(j.label_smoothing / static_cast<double>(j.length))),
          target(soft
                     ? 0
                     : number_at<std::size_t>(op[cross_entropy_of::targets].data, op[cross_entropy_of::targets].type)) {
    }

    SMX_ALWAYS_INLINE double class_weight(std::size_t i) const noexcept {
        const operand& w = op_[cross_entropy_of::weights];
        return w ? number_at<double>(moved(w.data, static_cast<std::ptrdiff_t>(i) * w.step), w.type) : 1;
    }
    /// a_i.
    SMX_NOINLINE double of(std::size_t i) const noexcept {
        const double w = class_weight(i);
        if (!soft) return i == target ? fma(kept, w, rounded(spread * w)) : rounded(spread * w);
        const operand& q = op_[cross_entropy_of::targets];
        return rounded(
            fma(number_at<double>(moved(q.data, static_cast<std::ptrdiff_t>(i) * q.step), q.type), kept, spread) * w);
    }

private:
    const operand* op_;

public:
    bool soft;
    double kept, spread;  ///< 1 - eps, eps/K
    std::size_t target;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
