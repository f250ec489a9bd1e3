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

/// How many elements of a row are looked at: the rest is masked out by its length or by causality. For the rows of a run (for_each_run).
class kept_of_rows {
public:
    SMX_ALWAYS_INLINE kept_of_rows(const job& j, const operand* first_row) noexcept
        : lengths_(first_row[masked::lengths]), stride_(lengths_ ? run_stride(j, masked::lengths) : 0),
          row_length_(j.length), causal_offset_(j.causal_offset), causal_(j.causal) {}

    /// Of row i, whose place in a causal mask is `query`.
    SMX_ALWAYS_INLINE std::size_t operator()(std::size_t i, std::size_t query) const noexcept {
        std::size_t kept = row_length_;
        if (lengths_) {
            const void* const own = moved(lengths_.data, static_cast<std::ptrdiff_t>(i) * stride_);
            const auto length = number_at<std::size_t>(own, lengths_.type);
            if (length < kept) kept = length;
        }
        if (causal_) {
            const std::ptrdiff_t q = static_cast<std::ptrdiff_t>(query), last = static_cast<std::ptrdiff_t>(kept) - 1;
            if (causal_offset_ < -q) kept = 0;
            else if (causal_offset_ < last - q) kept = static_cast<std::size_t>(q + causal_offset_ + 1);
        }
        return kept;
    }

private:
    const operand lengths_;
    const std::ptrdiff_t stride_;
    const std::size_t row_length_;
    const std::ptrdiff_t causal_offset_;
    const bool causal_;
};
SMX_ALWAYS_INLINE std::size_t kept_of_row(const job& j, const operand* op, std::size_t query) noexcept {
    return kept_of_rows(j, op)(0, query);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
