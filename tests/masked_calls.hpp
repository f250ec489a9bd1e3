// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "subject.hpp"

#include <safe_softmax/masked_softmax.hpp>

#include <cstddef>
#include <vector>

namespace softmax_test {

/// masked_softmax, or masked_log_softmax, of views of any types; without a mask where `mask` is nothing.
void masked_call(bool log, const view& in, const smx::array_ref& mask, const view& out,
                 const smx::masked_options& options);

/// The same of logits in an array of these extents (none: one row).
std::vector<double> masked_results(bool log, dtype type, const std::vector<double>& logits, const smx::array_ref& mask,
                                   const smx::masked_options& options, std::vector<std::size_t> extents = {},
                                   bool in_place = false);

/// The same numbers; NaN is equal to NaN.
void expect_same(const std::vector<double>& actual, const std::vector<double>& expected, const char* what);

}  // namespace softmax_test
