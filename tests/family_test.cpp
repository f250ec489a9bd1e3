// SPDX-License-Identifier: BSL-1.0

// softmin, logaddexp, weighted_logsumexp and gumbel_softmax.

#include "elements_of.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"
#include "worst_error.hpp"

#include <safe_softmax/gumbel_softmax.hpp>
#include <safe_softmax/logaddexp.hpp>
#include <safe_softmax/softmin.hpp>
#include <safe_softmax/weighted_logsumexp.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace softmax_test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

bool same_number(double a, double b) { return is_nan(a) ? is_nan(b) : a == b; }

template <class T>
class Family : public testing::Test {};
using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(Family, types);

TYPED_TEST(Family, SoftminIsTheSoftmaxOfNegatedLogits) {
    using T = TypeParam;
    const std::vector<T> logits = elements_of<T>(make_row(family::normal_3, type_of<T>, 77, base_seed()));
    std::vector<T> expected(77), actual(77), in_place = logits;
    smx::safe_softmax(logits, expected, {.scale = -0.5});
    smx::softmin(logits, actual, {.scale = 0.5});
    smx::softmin(in_place, {.scale = 0.5});
    EXPECT_TRUE(same_bits(actual, expected));
    EXPECT_TRUE(same_bits(in_place, expected));
    expect_error([&] { smx::softmin(logits, actual, {.axis = 3}); }, {"softmin", "options.axis", "3"});
    expect_error([&] { smx::softmin(logits, actual, {.scale = infinity}); }, {"softmin", "options.scale is inf"});
    expect_error([&] { smx::softmin(logits, actual, {.scale = -infinity}); }, {"softmin", "options.scale is -inf"});
    std::vector<T> special = elements_of<T>(std::vector<double>{1, -infinity, 2});
    smx::softmin(special);
    EXPECT_EQ(double(special[1]), 1);
    special[1] = T(-infinity);
    smx::softmin(special, {.special = smx::special_values::ieee});
    EXPECT_TRUE(is_nan(double(special[1])));
}

// ---- logaddexp --------------------------------------------------------------------------------------------------------

TYPED_TEST(Family, LogaddexpIsWithinItsBound) {
    using T = TypeParam;
    generator random(base_seed() + 41);
    worst_error worst;
    std::vector<T> a, b;
    for (int i = 0; i < 20000; ++i) {
        const double spread = std::exp(random.uniform(-20, i % 3 == 0 ? 9 : 3)),
                     at = i % 2 == 0 ? 0 : random.uniform(-1000, 1000);
        a.push_back(T(at + spread * random.normal()));
        b.push_back(T(at + spread * random.normal()));
    }
    for (const double x : {0.0, 1e300, -1e300, 3e38, -3e38, 6e4, 1e-310, 0x1p-149}) {
        for (const double y : {0.0, -0.0, 1e300, -1e300, 3e38, -6e4, -1e-310}) {
            if (std::isinf(double(T(x))) || std::isinf(double(T(y)))) continue;
            a.push_back(T(x));
            b.push_back(T(y));
        }
    }
    std::vector<T> out(a.size());
    smx::logaddexp(a, b, out);
    for (std::size_t i = 0; i < a.size(); ++i) {
        const long double x = double(a[i]), y = double(b[i]);
        const long double exact = std::max(x, y) + std::log1p(std::exp(-std::abs(x - y)));
        const long double magnitude = std::max({std::abs(x), std::abs(y), std::abs(exact)});
        worst.take(error_in_ulp(type_of<T>, double(out[i]), exact, magnitude), [&] {
            return testing::PrintToString(double(a[i])) + " and " + testing::PrintToString(double(b[i]));
        });
        ASSERT_TRUE(same_number(double(smx::logaddexp(a[i], b[i])), double(out[i])));
        ASSERT_EQ(double(smx::logaddexp(b[i], a[i])), double(out[i]));
    }
    std::printf("logaddexp of %s: %.3f ulp (%s)\n", name_of(type_of<T>), worst.error, worst.where.c_str());
    EXPECT_LE(worst.error, (std::is_same_v<T, double> ? 2 : 0.51)) << worst.where;
}

TYPED_TEST(Family, LogaddexpOfSpecialValuesIsThatOfNumPy) {
    using T = TypeParam;
    const auto f = [](double a, double b) { return double(smx::logaddexp(T(a), T(b))); };
    EXPECT_EQ(f(-infinity, -infinity), -infinity);
    EXPECT_EQ(f(-infinity, 3), 3);
    EXPECT_EQ(f(3, -infinity), 3);
    EXPECT_EQ(f(infinity, 3), infinity);
    EXPECT_EQ(f(-infinity, infinity), infinity);
    EXPECT_EQ(f(infinity, infinity), infinity);
    for (const double x : {0.0, infinity, -infinity, nan_value})
        EXPECT_TRUE(is_nan(f(x, nan_value)) && is_nan(f(nan_value, x)));
}

TEST(Logaddexp, TakesViews) {
    const std::vector<float> a{1, 2, 3, 4, 5, 6}, row{0, 10, -10};
    std::vector<double> out(6);
    smx::logaddexp(smx::tensor_view<const float, 2>(a.data(), {2, 3}), row,
                   smx::tensor_view<double, 2>(out.data(), {2, 3}));
    for (std::size_t i = 0; i < 6; ++i)
        EXPECT_NEAR(out[i], std::log(std::exp(double(a[i])) + std::exp(double(row[i % 3]))), 1e-14);
    std::vector<float> x = a, y = a;
    smx::logaddexp(x, smx::strided_span<const float>(a.data() + 5, 6, -1), x);
    smx::logaddexp(smx::strided_span<const float>(a.data() + 5, 6, -1), y, y);
    EXPECT_EQ(x, y);
    expect_error([&] { smx::logaddexp(a, row, x); }, {"logaddexp", "other", "3", "6"});
    expect_error([&] { smx::logaddexp(a, a, std::span(x).first(5)); }, {"logaddexp", "out", "5", "6"});
    expect_error([&] { smx::logaddexp(std::span(x).first(3), row, std::span(x).subspan(1, 3)); },
                 {"logaddexp", "overlaps"});
    EXPECT_EQ(x, y);
}

// ---- weighted_logsumexp -------------------------------------------------------------------------------------------------

TYPED_TEST(Family, WeightedLogsumexpIsWithinItsBound) {
    using T = TypeParam;
    generator random(base_seed() + 42);
    worst_error worst;
    for (const family kind : {family::normal_1, family::normal_10, family::plus_200, family::minus_1e3, family::ties,
                              family::peaked, family::wide}) {
        for (const double scale : {1.0, -0.3}) {
            for (const std::size_t n : {1u, 2u, 30u, 500u}) {
                const std::vector<T> logits = elements_of<T>(make_row(kind, type_of<T>, n, random.bits()));
                std::vector<double> weights(n);
                for (double& w : weights)
                    w = random.below(7) == 0 ? 0 : std::exp(2 * random.normal()) * (random.below(4) == 0 ? -1 : 1);
                long double max = -infinity, sum = 0, size = 0;
                const auto z = [&](std::size_t i) {
                    return static_cast<long double>(double(logits[i])) * static_cast<long double>(scale);
                };
                for (std::size_t i = 0; i < n; ++i)
                    if (weights[i] != 0) max = std::max(max, z(i));
                // The logarithm in extended range: relative to the maximum, and what is exactly 1 left out.
                long double ones = 0, rest = 0;
                for (std::size_t i = 0; i < n; ++i) {
                    if (weights[i] == 0) continue;
                    (z(i) == max ? ones : rest) += weights[i] * std::exp(z(i) - max);
                    size += std::abs(weights[i]) * std::exp(z(i) - max);
                }
                sum = ones + rest;
                const smx::signed_logarithm<T> actual =
                    smx::weighted_logsumexp(logits, {.scale = scale, .weights = weights});
                if (std::isinf(max)) {
                    EXPECT_EQ(double(actual.log), -infinity);
                    EXPECT_EQ(double(actual.sign), 0);
                    continue;
                }
                ASSERT_EQ(double(actual.sign), sum < 0 ? -1 : 1);
                if (size > 16 * std::abs(sum)) continue;
                const long double log = std::log(std::abs(sum)), exact = max + log;
                const double error = error_in_ulp(type_of<T>, double(actual.log), exact,
                                                  std::max({std::abs(max), std::abs(log), std::abs(exact)}));
                worst.take(error, [&] {
                    return std::string(name_of(kind)) + " of " + std::to_string(n) + ", scale " + std::to_string(scale);
                });
            }
        }
    }
    std::printf("weighted_logsumexp of %s: %.3f ulp (%s)\n", name_of(type_of<T>), worst.error, worst.where.c_str());
    EXPECT_LE(worst.error, type_of<T> == dtype::f32 ? 0.51 : documented_bound(function::logsumexp, type_of<T>))
        << worst.where;
}

TEST(WeightedLogsumexp, CancellationCostsNoMoreThanItMust) {
    // exp(1) - exp(1 - 1e-12): kappa is 2e12.
    const std::vector<double> logits{1, 1 - 1e-12}, weights{1, -1};
    const long double difference = static_cast<long double>(logits[0]) - static_cast<long double>(logits[1]);
    const long double exact = 1 + std::log(-std::expm1(-difference));
    const auto r = smx::weighted_logsumexp(logits, {.weights = weights});
    EXPECT_NEAR(r.log, static_cast<double>(exact), 2e12 * 0x1p-57);
    EXPECT_EQ(r.sign, 1);
    const std::vector<double> cancel{1, -1, -2.5, 2.5};
    const auto zero = smx::weighted_logsumexp(std::vector<double>{3, 3, 2, 2}, {.weights = cancel});
    EXPECT_EQ(zero.log, -infinity);
    EXPECT_EQ(zero.sign, 0);
    // Right near 0, as logsumexp: log(1 + 1e-20).
    EXPECT_NEAR(smx::weighted_logsumexp(std::vector<double>{0, std::log(1e-20)}, {}).log / 1e-20, 1, 1e-13);
    EXPECT_NEAR(smx::weighted_logsumexp(std::vector<double>{0, std::log(1e-20)}, {.weights = weights}).log / -1e-20, 1,
                1e-13);
}

TEST(WeightedLogsumexp, NoWeightIsTooLargeOrTooSmall) {
    const auto log_of = [](std::vector<double> a, std::vector<double> b, double scale = 1) {
        const auto r = smx::weighted_logsumexp(a, {.scale = scale, .weights = b});
        EXPECT_EQ(r.sign, 1);
        return r.log;
    };
    EXPECT_NEAR(log_of({-1400, 0}, {1e300, 1e-300}),
                std::log(2e-300 * 1) + std::log((1 + std::exp(-1400 + 600 * std::log(10.0))) / 2), 1e-12);
    EXPECT_NEAR(log_of({2000, 0}, {0x1p-1074, 1e308}), 2000 - 1074 * std::log(2.0), 1e-12);
    EXPECT_NEAR(log_of({1e300, -1e300}, {2, 1e308}), 1e300, 1e285);
    EXPECT_NEAR(log_of({4, 4}, {1e308, 1e308}), 4 + std::log(2.0) + 308 * std::log(10.0), 1e-12);
    EXPECT_NEAR(log_of({1, 2}, {3, 0}, -1), -1 + std::log(3.0), 1e-15);
}

TYPED_TEST(Family, WeightedLogsumexpOfSpecialRows) {
    using T = TypeParam;
    const auto expect = [](std::vector<double> a, std::vector<double> b, double log, double sign,
                           smx::special_values special = smx::special_values::safe) {
        const std::vector<T> weights = elements_of<T>(b);
        const auto r = smx::weighted_logsumexp(elements_of<T>(a), {.special = special, .weights = weights});
        EXPECT_TRUE(same_number(number(r.log), log)) << number(r.log) << " is not " << log;
        EXPECT_TRUE(same_number(number(r.sign), sign)) << number(r.sign) << " is not " << sign;
    };
    expect({infinity, 2, nan_value}, {0, 1, 0}, 2, 1);  // a weight of 0 hides everything
    expect({infinity, 2}, {3, 1}, infinity, 1);
    expect({infinity, 2}, {-3, 1}, infinity, -1);
    expect({infinity, infinity}, {-3, 1}, nan_value, nan_value);
    expect({infinity, 2}, {3, 1}, nan_value, nan_value, smx::special_values::ieee);
    expect({1, nan_value}, {1, 1}, nan_value, nan_value);
    expect({1, 2}, {1, infinity}, nan_value, nan_value);
    expect({1, 2}, {1, nan_value}, nan_value, nan_value);
    expect({-infinity, -infinity}, {1, -1}, -infinity, 0);
    expect({-infinity, -infinity}, {1, -1}, nan_value, nan_value, smx::special_values::ieee);
    expect({-infinity, 4}, {1, 1}, 4, 1);
    expect({-infinity, 4}, {1, -1}, 4, -1);
    expect({1, 2}, {0, 0}, -infinity, 0, smx::special_values::ieee);
    expect({}, {}, -infinity, 0);
}

TEST(WeightedLogsumexp, BroadcastsAlongAnyAxis) {
    const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{1, -2, 0.5f};
    std::vector<double> rows(2), columns(3);
    std::vector<float> sign(2);
    smx::weighted_logsumexp(smx::tensor_view<const float, 2>(a.data(), {2, 3}), rows, sign, {.weights = b});
    for (std::size_t r = 0; r < 2; ++r) {
        const double sum =
            std::exp(double(a[3 * r])) - 2 * std::exp(double(a[3 * r + 1])) + 0.5 * std::exp(double(a[3 * r + 2]));
        EXPECT_NEAR(rows[r], std::log(std::abs(sum)), 1e-14 * 10);
        EXPECT_EQ(sign[r], sum < 0 ? -1 : 1);
    }
    smx::weighted_logsumexp(smx::tensor_view<const float, 2>(a.data(), {2, 3}), columns, {.axis = 0, .weights = b});
    for (std::size_t c = 0; c < 3; ++c)
        EXPECT_NEAR(columns[c],
                    std::log(std::abs(double(b[c])) * (std::exp(double(a[c])) + std::exp(double(a[c + 3])))), 1e-13);
    EXPECT_NEAR(smx::weighted_logsumexp(std::vector<float>{1, 2}, {.weights = -3.0}).log,
                std::log(3 * (std::exp(1.0) + std::exp(2.0))), 1e-6);

    std::vector<double> untouched(4, 42);
    const smx::tensor_view<const float, 2> in(a.data(), {2, 3});
    const std::vector<int> integers(3);
    expect_error([&] { smx::weighted_logsumexp(in, untouched, {.weights = b}); },
                 {"weighted_logsumexp", "out", "4", "2"});
    expect_error(
        [&] {
            smx::weighted_logsumexp(in, std::span(untouched).first(2), std::span(untouched).subspan(1, 2),
                                    {.weights = b});
        },
        {"weighted_logsumexp", "sign", "out", "overlaps"});
    expect_error([&] { smx::weighted_logsumexp(in, std::span(untouched).first(2), {.weights = sign}); },
                 {"weighted_logsumexp", "options.weights", "2", "3"});
    expect_error([&] { smx::weighted_logsumexp(in, std::span(untouched).first(2), {.weights = integers}); },
                 {"weighted_logsumexp", "options.weights", "floating"});
    EXPECT_EQ(untouched, std::vector<double>(4, 42));
}

// ---- gumbel_softmax -------------------------------------------------------------------------------------------------------

std::uint64_t split_mix(std::uint64_t seed, std::uint64_t i) {
    std::uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
double gumbel(std::uint64_t seed, std::uint64_t i) {
    const double u = (static_cast<double>(split_mix(seed, i) >> 12) + 0.5) * 0x1p-52;
    return -std::log(-std::log(u));
}

TEST(GumbelSoftmax, IsWhatItsDocumentationSays) {
    generator random(base_seed() + 43);
    std::vector<double> logits(3 * 700);
    for (double& x : logits) x = random.normal();
    std::mt19937 engine(99), same(99), after(99);
    std::vector<double> out(logits.size());
    smx::gumbel_softmax(smx::tensor_view<const double, 3>(logits.data(), {3, 350, 2}),
                        smx::tensor_view<double, 3>(out.data(), {3, 350, 2}), engine, {.axis = 1, .temperature = 0.5});
    after.discard(2);
    EXPECT_TRUE(engine == after);
    const std::uint64_t high = same(), seed = high << 32 | same();
    for (std::size_t a = 0; a < 3; ++a) {
        for (std::size_t c = 0; c < 2; ++c) {
            std::vector<double> z(350);
            for (std::size_t b = 0; b < 350; ++b)
                z[b] = logits[(a * 350 + b) * 2 + c] + gumbel(seed, (a * 2 + c) * 350 + b);
            const reference exact(z, 2);
            double reach = 0;
            for (const double x : z) reach = std::max(reach, std::abs(2 * x));
            for (std::size_t b = 0; b < 350; ++b)
                EXPECT_NEAR(out[(a * 350 + b) * 2 + c] / static_cast<double>(exact.softmax(z[b])), 1,
                            (2 * reach + 8) * 0x1p-52);
        }
    }
}

TEST(GumbelSoftmax, TypesTemperatureAndHardnessMatter) {
    generator random(base_seed() + 44);
    const std::vector<float> logits = elements_of<float>(make_row(family::normal_1, dtype::f32, 5000, random.bits()));
    const auto run = [&]<class T>(T, const smx::gumbel_options& options) {
        std::mt19937_64 engine(5);
        std::vector<T> out(5000);
        smx::gumbel_softmax(logits, out, engine, options);
        return out;
    };
    const std::vector<float> soft = run(0.0f, {}), cold = run(0.0f, {.temperature = 0.1}),
                             hard = run(0.0f, {.hard = true});
    const std::size_t top = static_cast<std::size_t>(std::max_element(soft.begin(), soft.end()) - soft.begin());
    EXPECT_GT(cold[top], soft[top]);
    for (std::size_t i = 0; i < 5000; ++i) EXPECT_EQ(hard[i], i == top ? 1 : 0);
    const std::vector<smx::bfloat16> half = run(smx::bfloat16(0.0f), {});
    const std::vector<double> wide = run(0.0, {});
    for (std::size_t i = 0; i < 5000; ++i) {
        EXPECT_EQ(half[i].bits(), smx::bfloat16(wide[i]).bits());
        EXPECT_EQ(soft[i], static_cast<float>(wide[i]));
    }
    std::vector<float> in_place = logits;
    std::mt19937_64 engine(5);
    smx::gumbel_softmax(in_place, engine);
    EXPECT_TRUE(same_bits(in_place, soft));
    smx::gumbel_softmax(in_place, engine);
    EXPECT_FALSE(same_bits(in_place, soft));
}

TEST(GumbelSoftmax, HardResultsHaveTheProbabilitiesOfTheSoftmax) {
    const std::vector<double> logits{0, 1, 2, -1, 0.5, 1.5, 2.5, 0, -0.5, 1};
    std::vector<float> batch;
    for (int r = 0; r < 20000; ++r) batch.insert(batch.end(), logits.begin(), logits.end());
    std::mt19937_64 engine(2026);
    const smx::tensor_view<float, 2> view(batch.data(), {20000, 10});
    smx::gumbel_softmax(view, engine, {.temperature = 3, .hard = true});
    const reference exact(logits, 1);
    double chi_square = 0;
    for (std::size_t i = 0; i < 10; ++i) {
        double count = 0;
        for (std::size_t r = 0; r < 20000; ++r) count += double(batch[10 * r + i]);
        const double expected = 20000 * static_cast<double>(exact.softmax(logits[i]));
        chi_square += (count - expected) * (count - expected) / expected;
    }
    EXPECT_LT(chi_square, 27.9);  // one of 1000 with 9 degrees of freedom
}

TYPED_TEST(Family, GumbelSoftmaxOfSpecialRows) {
    using T = TypeParam;
    const auto run = [](const std::vector<double>& logits, const smx::gumbel_options& options) {
        std::vector<T> row = elements_of<T>(logits);
        std::mt19937_64 engine(1);
        smx::gumbel_softmax(row, engine, options);
        std::vector<double> result;
        for (const T p : row) result.push_back(number(p));
        return result;
    };
    constexpr double tolerance = sizeof(T) == 8 ? 1e-15 : sizeof(T) == 4 ? 1e-7 : 0x1p-9;
    const smx::special_values ieee = smx::special_values::ieee;
    for (const bool hard : {false, true}) {
        for (const double p : run({1, nan_value, infinity}, {.hard = hard})) EXPECT_TRUE(is_nan(p));
        for (const double p : run({-infinity, -infinity}, {.hard = hard})) EXPECT_TRUE(is_positive_zero(p));
        for (const double p : run({-infinity, -infinity}, {.hard = hard, .special = ieee})) EXPECT_TRUE(is_nan(p));
        for (const double p : run({1, infinity}, {.hard = hard, .special = ieee})) EXPECT_TRUE(is_nan(p));
        const std::vector<double> p = run({5, infinity, -infinity, infinity}, {.hard = hard});
        EXPECT_TRUE(is_positive_zero(p[0]) && is_positive_zero(p[2]));
        EXPECT_NEAR(p[1] + p[3], 1, tolerance);
    }
    EXPECT_EQ(run({-infinity, 5}, {}), (std::vector<double>{0, 1}));
}

TEST(GumbelSoftmax, Errors) {
    std::mt19937_64 engine(1);
    const std::vector<float> in(4);
    std::vector<float> out(4, 42), shorter(3, 42);
    expect_error([&] { smx::gumbel_softmax(in, out, engine, {.temperature = 0}); },
                 {"gumbel_softmax", "options.temperature", "0"});
    expect_error([&] { smx::gumbel_softmax(in, out, engine, {.temperature = -2}); },
                 {"gumbel_softmax", "options.temperature", "-2"});
    expect_error([&] { smx::gumbel_softmax(in, out, engine, {.axis = 1}); }, {"gumbel_softmax", "options.axis", "1"});
    expect_error([&] { smx::gumbel_softmax(in, shorter, engine); }, {"gumbel_softmax", "out", "3", "4"});
    EXPECT_EQ(out, std::vector<float>(4, 42));
}

TEST(FamilyLevels, GiveTheSameBits) {
    generator random(base_seed() + 45);
    const std::vector<double> a = make_row(family::normal_10, dtype::f64, 1000, random.bits()),
                              b = make_row(family::normal_1, dtype::f64, 1000, random.bits());
    std::vector<std::vector<double>> results;
    on_every_fused_isa([&](smx::isa) {
        std::vector<double> r(2000);
        std::mt19937_64 engine(3);
        smx::logaddexp(a, b, std::span(r).first(1000));
        smx::gumbel_softmax(a, std::span(r).last(1000), engine, {.temperature = 0.7});
        r.push_back(smx::weighted_logsumexp(a, {.weights = b}).log);
        results.push_back(r);
    });
    for (const std::vector<double>& r : results) EXPECT_TRUE(same_bits(r, results[0]));
}

}  // namespace
