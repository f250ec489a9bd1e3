// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job_rows.hpp>
#include <safe_softmax/detail/special.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The operands of cross_entropy and its gradient. targets has one integer for each row, or a number for each element; weights
/// one number for each element of a row; losses and dlosses one for each row. Without dlosses they are 1.
struct cross_entropy_of {
    enum operands : std::size_t { logits, targets, losses, dlogits, weights, dlosses };
};

/// Whether a class index stands for "no class". Values beyond the range of 64 signed bits come as negative ones.
SMX_ALWAYS_INLINE bool is_ignored(const job& j, scalar_type type, std::int64_t target) noexcept {
    const bool has_sign = type >= scalar_type::int8;
    return target == j.ignore_index && (has_sign || target >= 0);
}

/// Adds a number to the head; what that rounds away goes to the tail (Knuth's sum).
SMX_ALWAYS_INLINE void add_to(vocabulary::loss_total& total, double x) noexcept {
    const double sum = fence(total.head + x), seen = fence(sum - total.head);
    const double lost = fence(fence(total.head - fence(sum - seen)) + fence(x - seen));
    total.head = sum;
    if (is_finite(sum)) total.tail = fence(total.tail + lost);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
