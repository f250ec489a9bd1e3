// SPDX-License-Identifier: BSL-1.0

// naive_softmax is the textbook formula, with every step rounded to the element type, and fails as that does.

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

template <class T>
bool is_nan(T value) {
    return std::bit_cast<std::uint64_t>(static_cast<double>(value)) << 1 > 0xffe0000000000000u;
}

template <class T>
std::vector<T> row(const std::vector<double>& values) {
    std::vector<T> result;
    for (const double value : values) result.push_back(static_cast<T>(value));
    return result;
}

template <class T>
std::vector<T> naive(const std::vector<T>& logits) {
    std::vector<T> result(logits.size(), static_cast<T>(-1.0));
    smx::naive_softmax(logits, result);
    return result;
}

template <class T>
class NaiveSoftmax : public testing::Test {};

using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(NaiveSoftmax, types, );

TYPED_TEST(NaiveSoftmax, IsRightForOrdinaryLogits) {
    constexpr int digits = std::numeric_limits<TypeParam>::digits;
    const std::vector<double> logits = {0.5, -1, 2, 0};
    const std::vector<TypeParam> result = naive(row<TypeParam>(logits));
    double sum = 0;
    for (const double x : logits) sum += std::exp(x);
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double expected = std::exp(logits[i]) / sum;
        EXPECT_NEAR(static_cast<double>(result[i]) / expected, 1, std::ldexp(1.0, 2 - digits)) << i;
    }
}

TYPED_TEST(NaiveSoftmax, OverflowsToNaN) {
    const double large = std::numeric_limits<TypeParam>::max_exponent >= 1024 ? 1000 : 100;
    const std::vector<TypeParam> result = naive(row<TypeParam>({large, large + 1, large + 2}));
    for (const TypeParam y : result) EXPECT_TRUE(is_nan(y));
}

TYPED_TEST(NaiveSoftmax, GivesNaNWhereTheDenominatorUnderflows) {
    const std::vector<TypeParam> result = naive(row<TypeParam>({-1000, -1000}));  // 0/0
    for (const TypeParam y : result) EXPECT_TRUE(is_nan(y));
}

TEST(NaiveSoftmaxOfFloat, ThousandsAreNaN) {
    for (const float y : naive<float>({1000, 1001, 1002})) EXPECT_TRUE(is_nan(y));
    const std::vector<float> mixed = naive<float>({1000, 0});  // inf/inf and 1/inf
    EXPECT_TRUE(is_nan(mixed[0]));
    EXPECT_EQ(mixed[1], 0);
}

TEST(NaiveSoftmaxOfFloat16, TwelveIsTooMuch) {
    for (const smx::float16 y : naive(row<smx::float16>({12, 12, 12}))) EXPECT_TRUE(is_nan(y));
    // exp(11) is finite in float16; the sum of two is not, and the quotient is 0.
    for (const smx::float16 y : naive(row<smx::float16>({11, 11}))) EXPECT_EQ(y.bits(), 0);
}

// The sum stops growing at 2^digits: adding 1 is lost there, and only there if each partial sum is rounded.
template <class T>
void expect_stuck_sum(std::size_t n, double sum) {
    const std::vector<T> result = naive(std::vector<T>(n, static_cast<T>(0.0)));
    for (const T y : result) ASSERT_EQ(static_cast<double>(y), 1 / sum);
}

TEST(NaiveSoftmaxOfFloat16, RoundsEachPartialSum) { expect_stuck_sum<smx::float16>(5000, 2048); }
TEST(NaiveSoftmaxOfBfloat16, RoundsEachPartialSum) { expect_stuck_sum<smx::bfloat16>(1000, 256); }

TEST(NaiveSoftmaxOfBfloat16, RoundsEachExponential) {
    const std::vector<smx::bfloat16> result = naive(row<smx::bfloat16>({0, 0.0078125}));
    // exp(2^-7) = 1.007843 becomes 1 + 2^-7, and 2 + 2^-7 is a tie that goes to 2; unrounded it would be above the tie.
    EXPECT_EQ(static_cast<float>(result[0]), 0.5f);
    EXPECT_EQ(static_cast<float>(result[1]), 0.50390625f);
}

}  // namespace
