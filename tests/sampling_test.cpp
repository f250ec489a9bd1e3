// SPDX-License-Identifier: BSL-1.0

// top_k, top_p, min_p and sample: against a sorted reference, and safe_softmax with everything else masked out.

#include "elements_of.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"

#include <safe_softmax/isa.hpp>
#include <safe_softmax/sampling.hpp>
#include <safe_softmax/softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace softmax_test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// Places of the logits by falling scaled value, the lower index first.
std::vector<std::size_t> by_rank(const std::vector<double>& row, double scale) {
    std::vector<std::size_t> order(row.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scale < 0 ? row[a] < row[b] : row[a] > row[b]; });
    return order;
}

/// safe_softmax of the first `count` in rank, the others masked out.
template <class T>
std::vector<T> softmax_of_first(const std::vector<double>& row, const std::vector<std::size_t>& order,
                                std::size_t count, double scale) {
    std::vector<double> masked(row.size(), scale < 0 ? infinity : -infinity);
    for (std::size_t i = 0; i < count; ++i) masked[order[i]] = row[order[i]];
    std::vector<T> result = elements_of<T>(masked);
    smx::safe_softmax(result, {.scale = scale});
    return result;
}

template <class T>
class Sampling : public testing::Test {};
using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(Sampling, types);

constexpr family some_families[] = {family::normal_3, family::ties,      family::plus_1e3,
                                    family::extremes, family::subnormal, family::equal};

TYPED_TEST(Sampling, TopKIsTheSoftmaxOfTheKLargest) {
    using T = TypeParam;
    generator random(base_seed() + 31);
    for (const family kind : some_families) {
        for (const double scale : {1.0, -0.7, 0.01}) {
            for (const std::size_t n : {1u, 2u, 40u, 1000u, 9001u}) {
                const std::vector<double> row = make_row(kind, type_of<T>, n, random.bits());
                const std::vector<T> logits = elements_of<T>(row);
                const std::vector<std::size_t> order = by_rank(row, scale);
                for (const std::size_t k :
                     {std::size_t(1), std::size_t(2), std::size_t(17), n / 2, n - 1, n, n + 5, std::size_t(0)}) {
                    std::vector<T> out(n), in_place = logits;
                    smx::top_k_softmax(logits, out, k, {.scale = scale});
                    const std::vector<T> expected = softmax_of_first<T>(row, order, k == 0 ? n : std::min(k, n), scale);
                    ASSERT_TRUE(same_bits(out, expected))
                        << name_of(kind) << " n = " << n << " k = " << k << " scale = " << scale;
                    smx::filtered_softmax(in_place, in_place, {.scale = scale, .top_k = k});
                    ASSERT_TRUE(same_bits(in_place, expected));
                }
            }
        }
    }
}

TYPED_TEST(Sampling, TopPIsTheSmallestSetThatReachesP) {
    using T = TypeParam;
    generator random(base_seed() + 32);
    for (const family kind : some_families) {
        for (const double scale : {1.0, -0.7}) {
            for (const std::size_t n : {1u, 2u, 40u, 1000u, 9001u}) {
                const std::vector<double> row = make_row(kind, type_of<T>, n, random.bits());
                const std::vector<T> logits = elements_of<T>(row);
                const std::vector<std::size_t> order = by_rank(row, scale);
                const reference exact(row, scale);
                for (const double p : {0.0, 1e-3, 0.3, 0.9, 0.999, 1.0}) {
                    std::vector<T> out(n);
                    smx::top_p_softmax(logits, out, p, {.scale = scale});
                    // The set is one of the first in rank; the reference's share of it reaches p, and does not without its last.
                    std::size_t count = 0;
                    long double share = 0, without_last = 0;
                    constexpr double slack = std::is_same_v<T, double> ? 1e-14 : 1e-6;
                    for (const std::size_t i : order) {
                        if (share >= p + slack && count != 0) break;
                        without_last = share;
                        share += exact.softmax(row[i]);
                        ++count;
                    }
                    bool found = false;
                    for (std::size_t c = count; c > 0 && !found; --c) {
                        found = same_bits(out, softmax_of_first<T>(row, order, c, scale));
                        if (c < count) without_last -= exact.softmax(row[order[c - 1]]);
                        if (without_last < p - slack && !found && c < count) break;
                    }
                    if (p == 1) found = same_bits(out, softmax_of_first<T>(row, order, n, scale));
                    ASSERT_TRUE(found) << name_of(kind) << " n = " << n << " p = " << p << " scale = " << scale
                                       << " about " << count;
                }
            }
        }
    }
}

TEST(Filters, ApplyInOrder) {
    const std::vector<double> row{0, 3, 2, 1, 2.5, -1, 2};
    const std::vector<std::size_t> order = by_rank(row, 1);
    std::vector<double> out(row.size());
    const auto count_of = [&](const smx::sampling_options& options) {
        smx::filtered_softmax(row, out, options);
        const std::size_t n =
            static_cast<std::size_t>(std::count_if(out.begin(), out.end(), [](double p) { return p > 0; }));
        EXPECT_TRUE(same_bits(out, softmax_of_first<double>(row, order, n, options.scale)));
        return n;
    };
    EXPECT_EQ(count_of({.top_p = 0.75}), 3u);              // 0.40 + 0.24 + 0.15 = 0.79
    EXPECT_EQ(count_of({.top_k = 3, .top_p = 0.75}), 2u);  // of the three, two have 0.81
    EXPECT_EQ(count_of({.min_p = 0.3}), 4u);               // exp(-1) is 0.37
    EXPECT_EQ(count_of({.top_k = 3, .min_p = 0.3}), 3u);   // the tie's first
    EXPECT_EQ(out[2] > 0 && out[6] == 0, true);
    EXPECT_EQ(count_of({.top_p = 0.3, .min_p = 0.3}), 1u);
    EXPECT_EQ(count_of({.scale = 10, .min_p = 0.3}), 1u);
    EXPECT_EQ(count_of({.min_p = 1}), 1u);
}

TEST(Filters, TakeAnyAxisTypeAndStride) {
    generator random(base_seed() + 33);
    std::vector<float> x(6 * 50);
    for (float& v : x) v = static_cast<float>(3 * random.normal());
    std::vector<smx::bfloat16> out(x.size());
    smx::top_k_softmax(smx::tensor_view<const float, 2>(x.data(), {50, 6}),
                       smx::tensor_view<smx::bfloat16, 2>(out.data(), {50, 6}), 7, {.axis = 0});
    for (std::size_t c = 0; c < 6; ++c) {
        std::vector<smx::bfloat16> column(50);
        smx::top_k_softmax(smx::strided_span<const float>(x.data() + c, 50, 6), column, 7);
        int kept = 0;
        for (std::size_t r = 0; r < 50; ++r) {
            EXPECT_EQ(column[r].bits(), out[r * 6 + c].bits());
            kept += column[r].bits() != 0;
        }
        EXPECT_EQ(kept, 7);
    }
}

TYPED_TEST(Sampling, FiltersOfSpecialRows) {
    using T = TypeParam;
    const auto run = [](const std::vector<double>& logits, const smx::sampling_options& options) {
        std::vector<T> row = elements_of<T>(logits);
        smx::filtered_softmax(row, row, options);
        std::vector<double> result;
        for (const T p : row) {
            if constexpr (sizeof(T) == 2) result.push_back(static_cast<double>(static_cast<float>(p)));
            else result.push_back(static_cast<double>(p));
        }
        return result;
    };
    const smx::special_values ieee = smx::special_values::ieee;
    for (const smx::sampling_options& o : {smx::sampling_options{.top_k = 2}, smx::sampling_options{.top_p = 0.5},
                                           smx::sampling_options{.min_p = 0.5}}) {
        for (const double p : run({9, 1, nan_value, 2, infinity}, o)) EXPECT_TRUE(is_nan(p));
        for (const double p : run({9, 1, nan_value, 2}, o)) EXPECT_TRUE(is_nan(p));
        for (const double p : run({9, nan_value}, o)) EXPECT_TRUE(is_nan(p));
        for (const double p : run({-infinity, -infinity}, o)) EXPECT_TRUE(is_positive_zero(p));
        smx::sampling_options strict = o;
        strict.special = ieee;
        for (const double p : run({-infinity, -infinity, -infinity}, strict)) EXPECT_TRUE(is_nan(p));
        for (const double p : run({1, infinity, -infinity}, strict)) EXPECT_TRUE(is_nan(p));
    }
    EXPECT_EQ(run({1, infinity, infinity, -infinity, infinity}, {.top_k = 2}), (std::vector<double>{0, .5, .5, 0, 0}));
    EXPECT_EQ(run({1, infinity, infinity, -infinity, infinity}, {.top_p = 0.5}),
              (std::vector<double>{0, .5, .5, 0, 0}));
    EXPECT_EQ(run({1, -infinity, infinity, 3}, {.scale = -2, .top_k = 3}), (std::vector<double>{0, 1, 0, 0}));
    EXPECT_EQ(run({-infinity, 5, -infinity}, {.top_k = 2}), (std::vector<double>{0, 1, 0}));
}

// ---- sample ----------------------------------------------------------------------------------------------------------

TYPED_TEST(Sampling, SampleFollowsTheRunningSum) {
    using T = TypeParam;
    generator random(base_seed() + 34);
    for (const family kind : {family::normal_3, family::ties, family::plus_1e3, family::peaked, family::wide}) {
        for (const std::size_t n : {1u, 3u, 100u, 20000u}) {
            const std::vector<double> row = make_row(kind, type_of<T>, n, random.bits());
            const std::vector<T> logits = elements_of<T>(row);
            const reference exact(row, 0.9);
            std::vector<long double> running(n);
            long double sum = 0;
            for (std::size_t i = 0; i < n; ++i) running[i] = sum += exact.softmax(row[i]);
            constexpr long double slack = std::is_same_v<T, double> ? 1e-14L : 1e-6L;
            for (int repeat = 0; repeat < 40; ++repeat) {
                const double u = repeat == 0 ? 0 : repeat == 1 ? 0x1.fffffffffffffp-1 : random.uniform(0, 1);
                const std::size_t i = smx::sample(logits, u, {.scale = 0.9});
                ASSERT_LT(i, n);
                EXPECT_GT(exact.softmax(row[i]), 0);
                EXPECT_GE(running[i], u - slack) << name_of(kind) << " u = " << u;
                EXPECT_LE(i == 0 ? 0 : running[i - 1], u + slack) << name_of(kind) << " u = " << u;
            }
        }
    }
}

TEST(Sample, NeverTakesWhatHasNoProbability) {
    const double none = -infinity;
    const std::vector<float> row{float(none), -200, 0, float(none), 1, float(none), -300, float(none)};
    EXPECT_EQ(smx::sample(row, 0.0), 2u);
    EXPECT_EQ(smx::sample(row, 0x1.fffffffffffffp-1), 4u);
    EXPECT_EQ(smx::sample(row, 0.26), 2u);
    EXPECT_EQ(smx::sample(row, 0.27), 4u);
    EXPECT_EQ(smx::sample(row, 0.0, {.top_k = 1}), 4u);
    EXPECT_EQ(smx::sample(row, 0.999, {.scale = -1}), 7u);
    EXPECT_EQ(smx::sample(row, 0.0, {.scale = -1}), 0u);
    EXPECT_EQ(smx::sample(row, 0.25, {.scale = -1}), 3u);  // the second of four
    EXPECT_EQ(smx::sample(row, 0.5, {.scale = -1, .special = smx::special_values::ieee}), smx::no_index);
    EXPECT_EQ(smx::sample(std::vector<float>(5, float(none)), 0.5), smx::no_index);
    EXPECT_EQ(smx::sample(std::vector<float>{1, float(nan_value)}, 0.5), smx::no_index);
    EXPECT_EQ(smx::sample(std::vector<float>{}, 0.5), smx::no_index);
}

TEST(Sample, FiltersDecideWhatCanBeDrawn) {
    const std::vector<float> row{0, 3, 2, 1, 2.5, -1, 2};
    bool drawn[3][7] = {};
    for (int i = 0; i < 500; ++i) {
        const double u = i / 500.0;
        drawn[0][smx::sample(row, u, {.top_k = 3})] = true;
        drawn[1][smx::sample(row, u, {.top_p = 0.5})] = true;
        drawn[2][smx::sample(row, u, {.min_p = 0.3})] = true;
    }
    const bool expected[3][7] = {{false, true, true, false, true, false, false},
                                 {false, true, false, false, true, false, false},
                                 {false, true, true, false, true, false, true}};
    for (int f = 0; f < 3; ++f)
        for (int i = 0; i < 7; ++i) EXPECT_EQ(drawn[f][i], expected[f][i]) << f << " " << i;
}

TEST(Sample, OfBatchesIsThatOfRows) {
    generator random(base_seed() + 35);
    std::vector<float> x(3 * 4 * 50);
    for (float& v : x) v = static_cast<float>(3 * random.normal());
    std::vector<double> us(12);
    for (double& u : us) u = random.uniform(0, 1);
    std::vector<std::int16_t> indices(12);
    smx::sample(smx::tensor_view<const float, 3>(x.data(), {3, 4, 50}),
                smx::tensor_view<const double, 2>(us.data(), {3, 4}),
                smx::tensor_view<std::int16_t, 2>(indices.data(), {3, 4}), {.scale = 0.5, .top_k = 9});
    for (std::size_t r = 0; r < 12; ++r)
        EXPECT_EQ(static_cast<std::size_t>(indices[r]),
                  smx::sample(std::span(x).subspan(r * 50, 50), us[r], {.scale = 0.5, .top_k = 9}));
    std::vector<std::uint32_t> of_columns(4 * 50);
    smx::sample(smx::tensor_view<const float, 3>(x.data(), {3, 4, 50}), std::vector<double>{0.75},
                smx::tensor_view<std::uint32_t, 2>(of_columns.data(), {4, 50}), {.axis = 0});
    for (std::size_t c = 0; c < 200; ++c)
        EXPECT_EQ(of_columns[c], smx::sample(smx::strided_span<const float>(x.data() + c, 3, 200), 0.75));
    x[17] = float(nan_value);
    smx::sample(smx::tensor_view<const float, 2>(x.data(), {12, 50}), us, indices);
    EXPECT_EQ(indices[0], -1);
}

double chi_square(const std::vector<std::size_t>& counts, const std::vector<double>& logits, double scale) {
    const reference exact(logits, scale);
    double n = 0, sum = 0;
    for (const std::size_t c : counts) n += static_cast<double>(c);
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const double expected = n * static_cast<double>(exact.softmax(logits[i]));
        sum += (static_cast<double>(counts[i]) - expected) * (static_cast<double>(counts[i]) - expected) / expected;
    }
    return sum;
}

TEST(Sample, HasTheProbabilitiesOfTheSoftmax) {
    const std::vector<double> logits{0,   1,   2, -1,   0.5,
                                     1.5, 2.5, 0, -0.5, 1};  // 9 degrees of freedom: 27.9 in one of 1000
    std::mt19937 engine(12345);
    std::vector<std::size_t> counts(10);
    for (int i = 0; i < 20000; ++i) ++counts[smx::sample(logits, engine, {.scale = 0.8})];
    EXPECT_LT(chi_square(counts, logits, 0.8), 27.9);
    EXPECT_GT(chi_square(counts, logits, 1.0), 100);

    std::vector<float> batch;
    for (int r = 0; r < 20000; ++r) batch.insert(batch.end(), logits.begin(), logits.end());
    std::vector<std::uint8_t> indices(20000);
    std::mt19937_64 engine_64(1);
    smx::sample(smx::tensor_view<const float, 2>(batch.data(), {20000, 10}), engine_64, indices);
    counts.assign(10, 0);
    for (const std::uint8_t i : indices) ++counts[i];
    EXPECT_LT(chi_square(counts, logits, 1.0), 27.9);
}

TEST(Sample, DrawsWhatIsDocumented) {
    const std::vector<float> row(1000, 0.0f);
    std::mt19937_64 wide(7), wide_after(7);
    const std::size_t index = smx::sample(row, wide);
    wide_after.discard(1);
    EXPECT_TRUE(wide == wide_after);
    std::mt19937_64 again(7);
    std::uint64_t z = again() + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    EXPECT_EQ(index, smx::sample(row, static_cast<double>(z >> 11) * 0x1p-53));
    std::mt19937 narrow(7), narrow_after(7);
    smx::sample(row, narrow);
    narrow_after.discard(2);
    EXPECT_TRUE(narrow == narrow_after);
    std::minstd_rand odd(7), odd_after(7);
    smx::sample(row, odd);
    odd_after.discard(3);
    EXPECT_TRUE(odd == odd_after);
}

TYPED_TEST(Sampling, EveryLevelGivesTheSameBits) {
    using T = TypeParam;
    generator random(base_seed() + 36);
    for (const family kind : {family::normal_3, family::plus_5e4, family::ties}) {
        const std::vector<T> logits = elements_of<T>(make_row(kind, type_of<T>, 5001, random.bits()));
        std::vector<std::vector<T>> results;
        std::vector<std::vector<std::size_t>> indices;
        on_every_fused_isa([&](smx::isa) {
            std::vector<T> out(5001);
            smx::filtered_softmax(logits, out, {.scale = 0.3, .top_k = 3000, .top_p = 0.8, .min_p = 0.01});
            results.push_back(out);
            indices.emplace_back();
            for (int i = 0; i < 50; ++i) indices.back().push_back(smx::sample(logits, i / 50.0, {.scale = 0.3}));
        });
        for (std::size_t l = 1; l < results.size(); ++l) {
            EXPECT_TRUE(same_bits(results[l], results[0]));
            EXPECT_EQ(indices[l], indices[0]);
        }
    }
}

TEST(SamplingErrors, NameFunctionArgumentAndValues) {
    const std::vector<float> in(300);
    std::vector<float> out(300, 42), shorter(299, 42);
    std::vector<std::uint8_t> index{42};
    expect_error([&] { smx::top_k_softmax(in, shorter, 3); }, {"top_k_softmax", "out", "299", "300"});
    expect_error([&] { smx::top_p_softmax(in, out, 1.5); }, {"top_p_softmax", "options.top_p", "1.5"});
    expect_error([&] { smx::filtered_softmax(in, out, {.min_p = -0.5}); },
                 {"filtered_softmax", "options.min_p", "-0.5"});
    expect_error([&] { smx::filtered_softmax(in, out, {.top_p = nan_value}); },
                 {"filtered_softmax", "options.top_p", "nan"});
    expect_error([&] { smx::filtered_softmax(in, out, {.axis = 1, .top_k = 1}); },
                 {"filtered_softmax", "options.axis", "1"});
    expect_error([&] { smx::filtered_softmax(in, out, {.scale = infinity}); },
                 {"filtered_softmax", "options.scale", "inf"});
    expect_error([&] { smx::sample(in, 1.0); }, {"sample", "u", "1", "less than 1"});
    expect_error([&] { smx::sample(in, -0.25); }, {"sample", "u", "-0.25"});
    expect_error([&] { smx::sample(in, std::vector<double>{0.5}, index); }, {"sample", "indices", "8", "300"});
    expect_error(
        [&] {
            smx::sample(smx::tensor_view<const float, 2>(in.data(), {3, 100}), std::vector<float>{0.5f, 0.5f, 2.0f},
                        index);
        },
        {"sample", "indices", "1", "3"});
    EXPECT_EQ(out, std::vector<float>(300, 42));
    EXPECT_EQ(index[0], 42);
}

}  // namespace
