// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "subject.hpp"

#include <safe_softmax/masked_softmax.hpp>

namespace softmax_test {

/// masked_softmax, or masked_log_softmax, of views of any types; without a mask where `mask` is nothing.
void masked_call(bool log, const view& in, const smx::array_ref& mask, const view& out,
                 const smx::masked_options& options);

}  // namespace softmax_test
