// SPDX-License-Identifier: BSL-1.0

// The reference itself, against 30-digit values computed with mpmath 1.3 at 200 bits.

#include "reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace softmax_test {
namespace {

struct known_row {
    std::vector<double> logits;
    double scale;
    std::size_t index;
    long double softmax, log_softmax, logsumexp;
};

const known_row known_rows[] = {
    {{20, 0}, 1, 0, 0.9999999979388463818097964L, -2.061153620314380703238983e-9L, 20.00000000206115362031438L},
    {{20, 0}, 1, 1, 2.061153618190203581430862e-9L, -20.00000000206115362031438L, 20.00000000206115362031438L},
    {{1.5, -700.25, 3.1e-5},
     1,
     1,
     1.400787291928285213464254e-305L,
     -701.951418933245655747118L,
     1.701418933245655747117974L},
    {{0.1, 700.7, 0.3},
     0.7,
     0,
     1.03109857109226727898305e-213L,
     -490.4200000000000007155387L,
     490.4900000000000007149836L},
    {{1e30, 1.0000000000000003e+30},
     3e-15,
     0,
     0.3006036617940409178792347L,
     -1.201962620120555641484784L,
     3000000000000001.100302242L},
    {{-745.13, 0},
     1,
     0,
     2.478293280882727884448809e-324L,
     -745.1299999999999954525265L,
     2.478293280882727884448809e-324L},
    {{1e308, -1e308, 1e308},
     1e-306,
     1,
     6.919482633683633845348145e-88L,
     -200.693147180559953085706L,
     100.6931471805599491975616L},
    {{-2.1, 0.3, 0.3}, -1, 2, 0.0767861826310252117290489L, -2.566730568673440186221048L, 2.266730568673440197323278L},
    {{-0.6931471805599453, -0.6931471805599453},
     1,
     0,
     0.5L,
     -0.6931471805599453094172321L,
     2.319046813846299615494855e-17L},
};

TEST(Reference, AgreesWithHighPrecisionValuesToAHundredthOfAnUlpOfDouble) {
    for (const known_row& row : known_rows) {
        const reference exact(row.logits, row.scale);
        const double logit = row.logits[row.index];
        constexpr double tolerance = 0.01;
        const auto distance = [](long double a, long double b, long double magnitude) {
            return static_cast<double>(std::abs(a - b) / ulp(dtype::f64, magnitude));
        };
        EXPECT_LE(distance(exact.softmax(logit), row.softmax, row.softmax), tolerance) << row.softmax;
        EXPECT_LE(distance(exact.log_softmax(logit), row.log_softmax, row.log_softmax), tolerance) << row.log_softmax;
        EXPECT_LE(distance(exact.logsumexp(), row.logsumexp, exact.logsumexp_magnitude()), tolerance) << row.logsumexp;
    }
}

TEST(Reference, SumOfManyTermsLosesNothing) {
    constexpr std::size_t n = 1u << 20;
    const std::vector<double> logits(n, 0.1);
    const reference exact(logits, 1);
    EXPECT_EQ(exact.softmax(0.1), std::ldexp(1.0L, -20));

    std::vector<double> tail(n, -40);  // each term is lost beside 1, the million together is not
    tail[17] = 0;
    const long double rest = static_cast<long double>(n - 1) * std::exp(-40.0L);
    EXPECT_NEAR(static_cast<double>(reference(tail, 1).log_softmax(0) / -std::log1p(rest)), 1, 1e-18);
}

TEST(Ulp, IsTheSpacingOfTheFormat) {
    EXPECT_EQ(ulp(dtype::f32, 1), 0x1p-23L);
    EXPECT_EQ(ulp(dtype::f32, 1 - 0x1p-60L), 0x1p-24L);
    EXPECT_EQ(ulp(dtype::f32, 0), 0x1p-149L);
    EXPECT_EQ(ulp(dtype::f32, 1e-300L), 0x1p-149L);
    EXPECT_EQ(ulp(dtype::f32, 1e300L), 0x1p104L);
    EXPECT_EQ(ulp(dtype::f64, -3), 0x1p-51L);
    EXPECT_EQ(ulp(dtype::f16, 0x1p-15L), 0x1p-24L);
    EXPECT_EQ(ulp(dtype::bf16, 1.99L), 0x1p-7L);
}

TEST(Error, CountsUlpsOfTheExactResult) {
    EXPECT_EQ(error_in_ulp(dtype::f32, 1 + 0x1p-22, 1, 1), 2);
    EXPECT_EQ(error_in_ulp(dtype::f16, HUGE_VAL, 65519, 65519), 17.0 / 32);
    EXPECT_EQ(error_in_ulp(dtype::f16, -HUGE_VAL, -1e9L, -1e9L), 0);
    EXPECT_EQ(error_in_ulp(dtype::f32, std::nan(""), 1, 1), HUGE_VAL);
}

TEST(Error, ProbabilityBelowTheSmallestNormalMayBePositiveZeroOnly) {
    constexpr function f = function::softmax;
    EXPECT_EQ(error_in_ulp(f, dtype::f32, dtype::f32, 0, 0x1.fp-127L), 0);
    EXPECT_EQ(error_in_ulp(f, dtype::f32, dtype::f32, 0x1.fp-127, 0x1.fp-127L), 0);
    EXPECT_EQ(error_in_ulp(f, dtype::f32, dtype::f32, -0.0, 0x1.fp-127L), HUGE_VAL);
    EXPECT_GT(error_in_ulp(f, dtype::f32, dtype::f32, 0x1p-127, 0x1.fp-127L), 1e6);
    EXPECT_GT(error_in_ulp(f, dtype::f32, dtype::f32, 0, 0x1p-126L), 1e6);
    EXPECT_GT(error_in_ulp(f, dtype::f64, dtype::f32, 0, 0x1p-130L), 1e3);  // computed in double
}

}  // namespace
}  // namespace softmax_test
