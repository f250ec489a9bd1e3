// SPDX-License-Identifier: BSL-1.0

// This file is compiled with exceptions off: an error is the same text on stderr, and an abort.

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <vector>

#if defined(__cpp_exceptions)
#error "the build must compile this file with exceptions off"
#endif

namespace {

TEST(NoExceptionsDeathTest, ErrorsArePrintedAndAbort) {
    const std::vector<float> in(37);
    std::vector<float> out(41);
    EXPECT_EXIT(smx::safe_softmax(in, out), testing::KilledBySignal(SIGABRT), "safe_softmax.*out.*(37.*41|41.*37)");
    EXPECT_EXIT(smx::log_softmax(out, {.axis = 3}), testing::KilledBySignal(SIGABRT), "log_softmax.*axis.*3");
    EXPECT_EXIT((void)smx::logsumexp(in, {.axis = -5}), testing::KilledBySignal(SIGABRT), "logsumexp.*axis.*-5");
}

TEST(NoExceptions, ResultsAreTheUsualOnes) {
    std::vector<float> row = {1000, 1000};
    smx::safe_softmax(row);
    EXPECT_EQ(row, (std::vector<float>{0.5f, 0.5f}));
}

}  // namespace
