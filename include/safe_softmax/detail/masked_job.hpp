// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job_rows.hpp>
#include <safe_softmax/detail/special.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The operands of masked_softmax and masked_log_softmax. mask is a truth value (or a byte) for each element, or a number to
/// add; from `lengths` on there is one element for each row.
struct masked {
    enum operands : std::size_t { in, out, mask, bias, lengths, slope, sink, temperature };
};

/// The sink of a row; -inf: it has none.
SMX_ALWAYS_INLINE double sink_at(const operand& o) noexcept {
    return o ? number_at<double>(o.data, o.type) : minus_infinity<double>();
}

/// How many elements of a row are looked at: the rest is masked out by its length or by causality.
SMX_ALWAYS_INLINE std::size_t kept_of_row(const job& j, const operand* op, std::size_t query) noexcept {
    std::size_t kept = j.length;
    if (op[masked::lengths]) {
        const std::size_t length = number_at<std::size_t>(op[masked::lengths].data, op[masked::lengths].type);
        if (length < kept) kept = length;
    }
    if (j.causal) {
        const std::ptrdiff_t q = static_cast<std::ptrdiff_t>(query), last = static_cast<std::ptrdiff_t>(kept) - 1;
        if (j.causal_offset < -q) kept = 0;
        else if (j.causal_offset < last - q) kept = static_cast<std::size_t>(q + j.causal_offset + 1);
    }
    return kept;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
