// SPDX-License-Identifier: BSL-1.0

// Cross-entropy and its gradient in rows with NaN, infinities, masked and ignored classes, and numbers near the ends of the range.

#include "cross_entropy_calls.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void expect_row(const numbers& actual, const numbers& expected, double tolerance = 1e-15) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (is_nan(expected[i])) EXPECT_TRUE(is_nan(actual[i])) << i << " is " << actual[i];
        else EXPECT_NEAR(actual[i], expected[i], tolerance) << i;
    }
}

/// What one number may be off by, of 1.
template <class T>
constexpr double tolerance_of = sizeof(T) == 8                    ? 1e-15
                                : sizeof(T) == 4                  ? 5e-7
                                : std::is_same_v<T, smx::float16> ? 0x1p-11
                                                                  : 0x1p-8;

template <class T>
class CrossEntropyRows : public testing::Test {};
using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(CrossEntropyRows, types);

TYPED_TEST(CrossEntropyRows, IgnoredRowsHaveNoLossAndNoGradient) {
    using T = TypeParam;
    for (const double poison : {nan, inf, -inf, 1.0}) {
        const result r = fused<T>({poison, 1, poison}, -100, {.label_smoothing = 0.1, .z_loss = 1});
        EXPECT_TRUE(is_positive_zero(r.loss));
        for (const double g : r.gradient) EXPECT_TRUE(is_positive_zero(g));
    }
    const result r = fused<T>({1, 2, 3}, 1, {.ignore_index = 1});  // an index of its own
    EXPECT_EQ(r.loss, 0);
    EXPECT_EQ(r.gradient, numbers(3, 0.0));
    EXPECT_GT(fused<T>({1, 2, 3}, 2, {.ignore_index = 1}).loss, 0);
}

TYPED_TEST(CrossEntropyRows, MaskedClasses) {
    using T = TypeParam;
    constexpr double tolerance = tolerance_of<T>;
    // A masked class is none: probability 0, gradient 0.
    const result r = fused<T>({-inf, 0, 0}, 1);
    EXPECT_NEAR(r.loss, std::log(2.0), tolerance);
    expect_row(r.gradient, {0, -0.5, 0.5}, tolerance);
    const result target = fused<T>({-inf, 0, 0}, 0);
    EXPECT_EQ(target.loss, inf);
    expect_row(target.gradient, {0, 0.5, 0.5}, tolerance);
    const result smooth = fused<T>({-inf, 0, 0}, 1, {.label_smoothing = 0.3});
    EXPECT_EQ(smooth.loss, inf);
    expect_row(smooth.gradient, {0, 0.5 - 0.7 - 0.1, 0.5 - 0.1}, tolerance);
    const numbers soft{0, 0.25, 0.75};
    const result by_soft = fused<T>({-inf, 0, 0}, soft);
    EXPECT_NEAR(by_soft.loss, std::log(2.0), tolerance);
    expect_row(by_soft.gradient, {0, 0.25, -0.25}, tolerance);
    EXPECT_EQ(fused<T>({-inf, 0, 0}, numbers{0.1, 0.9, 0}).loss, inf);
    const std::vector<float> no_weight{0, 1, 1};
    EXPECT_NEAR(fused<T>({-inf, 0, 0}, 1, {.label_smoothing = 0.3, .class_weights = no_weight}).loss,
                0.7 * std::log(2.0) + 0.2 * std::log(2.0), tolerance);
    expect_row(fused<T>({inf, 0, 0}, 1, {.scale = -1}).gradient, {0, 0.5, -0.5}, tolerance);  // -inf once it is scaled
    // Far below, but not masked: the loss is finite and the gradient pulls.
    const result far = fused<T>({-5000, 0, 0}, 0);
    EXPECT_NEAR(far.loss, 5000 + std::log(2.0), 5000 * tolerance);
    expect_row(far.gradient, {-1, 0.5, 0.5}, tolerance);
}

TYPED_TEST(CrossEntropyRows, RowsWithoutAFiniteMaximum) {
    using T = TypeParam;
    constexpr double tolerance = tolerance_of<T>;
    for (const double smoothing : {0.0, 0.1}) {
        const result none = fused<T>({-inf, -inf, -inf}, 1, {.label_smoothing = smoothing, .z_loss = smoothing});
        EXPECT_EQ(none.loss, inf);
        EXPECT_EQ(none.gradient, numbers(3, 0.0));
        const result with_nan = fused<T>({-inf, nan, 1}, 2, {.label_smoothing = smoothing});
        EXPECT_TRUE(is_nan(with_nan.loss));
        expect_row(with_nan.gradient, {nan, nan, nan}, tolerance);
    }
    const result tops = fused<T>({inf, 0, inf, -inf}, 2);
    EXPECT_NEAR(tops.loss, std::log(2.0), tolerance);
    expect_row(tops.gradient, {0.5, 0, -0.5, 0}, tolerance);
    EXPECT_EQ(fused<T>({inf, 0, inf, -inf}, 1).loss, inf);
    expect_row(fused<T>({inf, 0, inf, -inf}, 1).gradient, {0.5, -1, 0.5, 0}, tolerance);
    EXPECT_EQ(fused<T>({inf, 0}, 0, {.z_loss = 1}).loss, inf);
    for (const numbers& logits : {numbers{-inf, -inf}, numbers{inf, 0}}) {
        const result ieee = fused<T>(logits, 0, {.special = smx::special_values::ieee});
        EXPECT_TRUE(is_nan(ieee.loss));
        expect_row(ieee.gradient, {nan, nan}, tolerance);
    }
    EXPECT_EQ(fused<T>({3}, 0).loss, 0);
    EXPECT_EQ(fused<T>({3}, 0).gradient, numbers{0});
}

TEST(CrossEntropy, NoNanFromLargeNumbers) {
    constexpr double most = std::numeric_limits<double>::max();
    for (const double smoothing : {0.0, 0.5}) {
        for (const double z : {0.0, 1e300}) {
            for (const double dloss : {1.0, most, inf, -inf}) {
                for (const double scale : {1.0, 0.0, 1e300, -1e-300}) {
                    const result r =
                        fused({most, -most, 0, -inf, 1e300}, 1,
                              {.scale = scale, .label_smoothing = smoothing, .z_loss = z, .dlosses = dloss});
                    EXPECT_FALSE(is_nan(r.loss));
                    for (const double g : r.gradient)
                        EXPECT_FALSE(is_nan(g)) << smoothing << " " << z << " " << dloss << " " << scale;
                }
            }
        }
    }
    expect_row(fused({0, 0, -inf}, 0, {.dlosses = 4e300}).gradient, {-2e300, 2e300, 0});
    EXPECT_EQ(fused({0, 0, -inf}, 0, {.dlosses = inf}).gradient, (numbers{-inf, inf, 0}));
    const numbers poisoned = fused({0, 0, -inf}, 0, {.dlosses = nan}).gradient;
    EXPECT_TRUE(is_nan(poisoned[0]) && is_nan(poisoned[1]) && poisoned[2] == 0);
    float gradient[3];
    const float logits[] = {0, 0, -std::numeric_limits<float>::infinity()};
    smx::cross_entropy_backward(logits, 0, 1e30, gradient, {.scale = 1e20});  // beyond float
    EXPECT_EQ(gradient[0], -std::numeric_limits<float>::infinity());
    EXPECT_EQ(gradient[2], 0);
    smx::cross_entropy_backward(logits, 0, 1e-20, gradient, {.scale = 1e20});
    EXPECT_EQ(gradient[1], 0.5f);
    smx::cross_entropy_backward(logits, 0, 1e-30, gradient);
    EXPECT_EQ(gradient[1], 0.5e-30f);
}

}  // namespace
}  // namespace softmax_test
