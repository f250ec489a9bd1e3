// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_job.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// The operands of the backward functions; lengths are where kept_of_row finds them. From there on there is one element for each row.
struct backward_of {
    enum operands : std::size_t { y, dy, dx, logits, lengths, temperature };
};
static_assert(std::size_t(backward_of::lengths) == std::size_t(masked::lengths));

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
