// SPDX-License-Identifier: BSL-1.0

// All functions behind macros that other headers leave.

#include <gtest/gtest.h>

#include "hostile_macros.hpp"

#include <safe_softmax/safe_softmax.hpp>

namespace softmax_test {
namespace {

TEST(Interface, WorksAmongHostileMacros) {
    float row[3] = {1000, 1001, 1002};
    smx::safe_softmax(row);
    EXPECT_FLOAT_EQ(row[0] + row[1] + row[2], 1);
    smx::log_softmax(row);
    smx::naive_softmax(row);
    EXPECT_GT(smx::logsumexp(row), 0);
    const bool mask[3] = {true, false, true};
    smx::masked_softmax(row, mask, row);
    EXPECT_EQ(row[1], 0);
    smx::online_softmax<float> state;
    state.push(row);
    EXPECT_GT(state.logsumexp(), 0);
    const int target[1] = {0};
    const float logits[1][3] = {{1, 2, 3}};
    float losses[1];
    smx::cross_entropy(smx::tensor_view<const float, 2>(&logits[0][0], {1, 3}), target, losses);
    EXPECT_GT(losses[0], 0);
}

}  // namespace
}  // namespace softmax_test
