// SPDX-License-Identifier: BSL-1.0

// online_softmax against the row seen at once: random chunks, random trees of merges, every type.

#include "elements_of.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"
#include "subjects.hpp"
#include "worst_error.hpp"

#include <safe_softmax/isa.hpp>
#include <safe_softmax/online_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace softmax_test;

namespace {

static_assert(std::is_trivially_copyable_v<smx::online_softmax<float>> &&
              sizeof(smx::online_softmax<float>) == (alignof(smx::online_state) == 8 ? 80 : 76));  // i686: 4
static_assert(std::is_trivially_copyable_v<smx::online_state> && std::is_standard_layout_v<smx::online_state>);

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
bool same_state(const smx::online_softmax<T>& a, const smx::online_softmax<T>& b) {
    return same_bits(a.state(), b.state());
}

/// The row in chunks of up to `longest`, each a state of its own; some are empty.
template <class T>
std::vector<smx::online_softmax<T>> chunks_of(std::span<const T> row, std::size_t longest,
                                              const smx::online_options& options, generator& random) {
    std::vector<smx::online_softmax<T>> chunks{smx::online_softmax<T>(options)};
    for (std::size_t i = 0; i < row.size();) {
        const std::size_t n = std::min(random.below(longest + 1), row.size() - i);
        chunks.emplace_back(options);
        chunks.back().push(row.subspan(i, n));
        i += n;
    }
    return chunks;
}

/// Merged in a random tree.
template <class T>
smx::online_softmax<T> merged_at_random(std::vector<smx::online_softmax<T>> states, generator& random) {
    while (states.size() > 1) {
        const std::size_t a = random.below(states.size());
        std::swap(states[a], states.back());
        const smx::online_softmax<T> taken = states.back();
        states.pop_back();
        const std::size_t b = random.below(states.size());
        if (random.below(2) == 0) states[b].merge(taken);
        else states[b] = merged(taken, states[b]);
    }
    return states.front();
}

template <class T>
class OnlineSoftmax : public testing::Test {};
using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(OnlineSoftmax, types);

TYPED_TEST(OnlineSoftmax, RandomTreesOfMergesStayWithinTheBounds) {
    using T = TypeParam;
    constexpr dtype type = type_of<T>;
    generator random(base_seed() + 17);
    worst_error worst[4];
    const char* const names[] = {"logsumexp", "probabilities", "log_probabilities", "weights"};
    for (const family kind : all_families) {
        for (const double scale : {1.0, 0.1, -1.0, -3e-5, 0.0, 41.7, 1e7}) {
            for (const std::size_t n : {1u, 2u, 3u, 61u, 700u, 5003u}) {
                if (n == 5003 && scale != 1.0 && scale != 0.1) continue;
                const std::vector<double> row = make_row(kind, type, n, random.bits());
                const std::vector<T> logits = elements_of<T>(row);
                const reference exact(row, scale);
                const auto chunks = chunks_of<T>(logits, n < 1000 ? 40 : 3000, {.scale = scale}, random);
                const smx::online_softmax<T> whole = merged_at_random(chunks, random);
                ASSERT_TRUE(same_state(whole, merged_at_random(chunks, random)));

                std::size_t i = 0;
                const auto where = [&] {
                    return std::string(name_of(kind)) + ", n = " + std::to_string(n) +
                           ", scale = " + std::to_string(scale) + ", element " + std::to_string(i);
                };
                worst[0].take(
                    error_in_ulp(type, double(whole.logsumexp()), exact.logsumexp(), exact.logsumexp_magnitude()),
                    where);
                std::vector<T> p(n), log_p(n), w(n);
                whole.probabilities(logits, p);
                whole.log_probabilities(logits, log_p);
                whole.weights(logits, w);
                const long double top = exact.softmax(scale < 0 ? *std::min_element(row.begin(), row.end())
                                                                : *std::max_element(row.begin(), row.end()));
                for (; i < n; ++i) {
                    worst[1].take(error_in_ulp(function::softmax, type, type, double(p[i]), exact.softmax(row[i])),
                                  where);
                    worst[2].take(
                        error_in_ulp(function::log_softmax, type, type, double(log_p[i]), exact.log_softmax(row[i])),
                        where);
                    worst[3].take(
                        error_in_ulp(function::softmax, type, type, double(w[i]), exact.softmax(row[i]) / top), where);
                }
            }
        }
    }
    const function bound_of[] = {function::logsumexp, function::softmax, function::log_softmax, function::softmax};
    for (int f = 0; f < 4; ++f) {
        std::printf("%s of %s: %.3f ulp (%s)\n", names[f], name_of(type), worst[f].error, worst[f].where.c_str());
        EXPECT_LE(worst[f].error, documented_bound(bound_of[f], type)) << worst[f].where;
    }
}

TYPED_TEST(OnlineSoftmax, CutsAtBlocksGiveTheSameBits) {
    using T = TypeParam;
    constexpr std::size_t block = smx::online_softmax<T>::block;
    generator random(base_seed() + 18);
    for (const family kind :
         {family::normal_10, family::plus_1e3, family::ties, family::ascending, family::wide, family::extremes}) {
        for (const double scale : {1.0, -0.37}) {
            const std::size_t n = 9 * block + 77;
            const std::vector<T> logits = elements_of<T>(make_row(kind, type_of<T>, n, random.bits()));
            const std::span<const T> row(logits);
            smx::online_softmax<T> at_once({.scale = scale});
            at_once.push(logits);
            std::vector<T> expected(n), actual(n);
            at_once.probabilities(logits, expected);
            for (std::size_t ranks = 1; ranks <= 10; ++ranks) {
                std::vector<smx::online_softmax<T>> states;
                for (std::size_t r = 0; r < ranks; ++r) {
                    const std::size_t first = 10 * r / ranks * block,
                                      last = r + 1 == ranks ? n : 10 * (r + 1) / ranks * block;
                    states.emplace_back(smx::online_options{.scale = scale}).push(row.subspan(first, last - first));
                }
                const smx::online_softmax<T> whole = merged_at_random(states, random);
                ASSERT_TRUE(same_state(whole, at_once)) << ranks << " ranks, " << name_of(kind);
                whole.probabilities(row.first(block), std::span<T>(actual).first(block));
                whole.probabilities(row.subspan(block), std::span<T>(actual).subspan(block));
                ASSERT_TRUE(same_bits(actual, expected));
            }
        }
    }
}

TYPED_TEST(OnlineSoftmax, NothingSeenIsTheIdentity) {
    using T = TypeParam;
    smx::online_softmax<T> some, masked;
    some.push(elements_of<T>(std::vector<double>{3, 1, 3, -2}));
    masked.push(std::vector<T>(70, T(-infinity)));
    const smx::online_softmax<T> nothing;
    EXPECT_TRUE(nothing.empty() && masked.empty() && !some.empty());
    EXPECT_TRUE(same_state(nothing, masked));
    EXPECT_TRUE(same_state(merged(some, nothing), some));
    EXPECT_TRUE(same_state(merged(nothing, some), some));
    EXPECT_TRUE(same_state(merged(masked, some), some));
    const smx::online_softmax<T> before = some;
    EXPECT_EQ(some.push(std::vector<T>{}), 1);
    EXPECT_EQ(some.push(std::vector<T>(3, T(-infinity))), 1);
    EXPECT_TRUE(same_state(some, before));
    EXPECT_EQ(double(nothing.logsumexp()), -infinity);
    EXPECT_EQ(nothing.sum(), 0);
    EXPECT_EQ(nothing.inverse_sum(), 0);
    EXPECT_EQ(nothing.max(), -infinity);
}

struct special_case {
    std::vector<double> row;
    double scale, logsumexp, sum;
    std::vector<double> probabilities, logs, weights;
};

TYPED_TEST(OnlineSoftmax, SpecialRows) {
    using T = TypeParam;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double log_2 = double(T(std::log(2.0)));
    const special_case cases[] = {
        {{1, nan, infinity}, 1, nan, nan, {nan, nan, nan}, {nan, nan, nan}, {nan, nan, nan}},
        {{-infinity, -infinity}, 1, -infinity, 0, {0, 0}, {-infinity, -infinity}, {0, 0}},
        {{infinity, infinity}, -1, -infinity, 0, {0, 0}, {-infinity, -infinity}, {0, 0}},
        {{infinity, 2, infinity, -infinity},
         1,
         infinity,
         2,
         {.5, 0, .5, 0},
         {-log_2, -infinity, -log_2, -infinity},
         {1, 0, 1, 0}},
        {{-infinity, 2, 1e3, infinity},
         -2,
         infinity,
         1,
         {1, 0, 0, 0},
         {0, -infinity, -infinity, -infinity},
         {1, 0, 0, 0}},
        {{-infinity, 2}, 1, 2, 1, {0, 1}, {-infinity, 0}, {0, 1}},
        {{5}, 1, 5, 1, {1}, {0}, {1}},
    };
    const auto expect_same = [](const std::vector<T>& actual, const std::vector<double>& expected) {
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double a = double(actual[i]);
            EXPECT_TRUE(is_nan(a) ? is_nan(expected[i]) : a == expected[i]) << a << " is not " << expected[i];
        }
    };
    for (const smx::special_values special : {smx::special_values::safe, smx::special_values::ieee}) {
        for (const special_case& c : cases) {
            const std::vector<T> row = elements_of<T>(c.row);
            const smx::online_options options{.scale = c.scale, .special = special};
            // Each logit a state of its own, merged from the back.
            smx::online_softmax<T> s(options), at_once(options);
            for (std::size_t i = row.size(); i-- > 0;) {
                smx::online_softmax<T> one(options);
                one.push(std::span(row).subspan(i, 1));
                s.merge(one);
            }
            at_once.push(row);
            EXPECT_TRUE(same_state(s, at_once));
            const bool answer = std::isfinite(c.logsumexp) || special == smx::special_values::safe;
            std::vector<T> p(row.size());
            const auto or_nan = [&](std::vector<double> v) { return answer ? v : std::vector<double>(v.size(), nan); };
            s.probabilities(row, p);
            expect_same(p, or_nan(c.probabilities));
            s.log_probabilities(row, p);
            expect_same(p, or_nan(c.logs));
            s.weights(row, p);
            expect_same(p, or_nan(c.weights));
            expect_same({s.logsumexp(), T(s.sum())}, or_nan({c.logsumexp, c.sum}));
        }
        const smx::online_softmax<T> nothing({.special = special});
        EXPECT_EQ(double(nothing.logsumexp()), -infinity);
    }
}

TYPED_TEST(OnlineSoftmax, EveryLevelGivesTheSameBits) {
    using T = TypeParam;
    generator random(base_seed() + 19);
    for (const family kind : {family::normal_3, family::plus_5e4, family::wide, family::ties}) {
        const std::vector<T> logits = elements_of<T>(make_row(kind, type_of<T>, 3001, random.bits()));
        std::vector<smx::online_state> states;
        std::vector<std::vector<T>> results;
        on_every_fused_isa([&](smx::isa) {
            smx::online_softmax<T> s({.scale = 1.3});
            for (std::size_t i = 0; i < logits.size(); i += 100)
                s.push(std::span(logits).subspan(i, std::min<std::size_t>(100, logits.size() - i)));
            std::vector<T> r(3 * logits.size());
            s.probabilities(logits, std::span(r).first(3001));
            s.log_probabilities(logits, std::span(r).subspan(3001, 3001));
            s.weights(logits, std::span(r).last(3001));
            r.push_back(s.logsumexp());
            states.push_back(s.state());
            results.push_back(r);
        });
        for (std::size_t l = 1; l < states.size(); ++l) {
            EXPECT_TRUE(same_bits(states[l], states[0]));
            EXPECT_TRUE(same_bits(results[l], results[0]));
        }
    }
}

TEST(OnlineState, IsWhatItsDocumentationSays) {
    generator random(base_seed() + 20);
    for (const double scale : {1.0, -0.25, 3.0}) {
        const std::vector<double> row = make_row(family::normal_10, dtype::f64, 4000, random.bits());
        smx::online_softmax<double> s({.scale = scale});
        for (std::size_t i = 0; i < row.size(); i += 50) s.push(std::span(row).subspan(i, 50));
        const smx::online_state& state = s.state();
        long double sum =
            static_cast<long double>(state.count) * std::exp(static_cast<long double>(std::abs(scale) * state.max));
        for (int i = 0; i < 5; ++i)
            sum += std::ldexp(static_cast<long double>(state.rest[i]), static_cast<int>(24 * (state.rest_top - i)));
        long double expected = 0;
        for (const double x : row) expected += std::exp(static_cast<long double>(scale) * x);
        EXPECT_NEAR(static_cast<double>(sum / expected), 1.0, 1e-14);
        const double top =
            scale < 0 ? -*std::min_element(row.begin(), row.end()) : *std::max_element(row.begin(), row.end());
        EXPECT_EQ(state.max, top);
        EXPECT_EQ(s.max(), top * std::abs(scale));
        const smx::online_softmax<double> again(state, s.options());
        EXPECT_EQ(again.logsumexp(), s.logsumexp());
    }
}

TEST(OnlineState, AShareTooSmallForTheSumOfDoublesIsKept) {
    // 1 + 1e-20 is 1 in double; the logarithm of the sum is 1e-20 all the same.
    smx::online_softmax<double> s;
    for (const double x : {0.0, std::log(1e-20), -800.0}) s.push(std::span(&x, 1));
    EXPECT_NEAR(s.logsumexp() / 1e-20, 1, 1e-12);
    for (int i = 0; i < 1000; ++i) s.push(std::vector<double>(1, std::log(1e-20)));
    EXPECT_NEAR(s.logsumexp() / 1.001e-17, 1, 1e-12);
}

TEST(OnlineState, AMillionPushesLoseNothing) {
    smx::online_softmax<float> s;
    const float x[] = {0.0f, -1.0f};
    for (int i = 0; i < 1000000; ++i) s.push(std::span(x + i % 2, 1));
    EXPECT_NEAR(s.logsumexp(), std::log(500000 * (1 + std::exp(-1.0))), 1e-6);
    EXPECT_NEAR(s.sum(), 500000 * (1 + std::exp(-1.0)), 0.05);
}

TEST(OnlineFactors, AreExponentialsOfDifferencesOfMaxima) {
    smx::online_softmax<double> s;
    const auto push = [&](double x) { return s.push(std::span(&x, 1)); };
    EXPECT_EQ(push(-3), 0);  // nothing seen before
    EXPECT_EQ(push(-5), 1);
    EXPECT_DOUBLE_EQ(push(2.5), std::exp(-5.5));
    EXPECT_DOUBLE_EQ(push(100.125), std::exp(-97.625));
    EXPECT_EQ(push(3000), 0);
    EXPECT_DOUBLE_EQ(push(3000.5), std::exp(-0.5));
    EXPECT_EQ(push(infinity), 0);
    EXPECT_EQ(push(infinity), 1);
    EXPECT_TRUE(is_nan(push(std::numeric_limits<double>::quiet_NaN())));
    EXPECT_TRUE(is_nan(push(0)));

    smx::online_softmax<float> a({.scale = 0.5}), b({.scale = 0.5});
    a.push(std::vector<float>{1, 7});
    b.push(std::vector<float>{4});
    smx::online_softmax<float> both = merged(b, a);
    EXPECT_EQ(a.rescale_to(both), 1);
    EXPECT_FLOAT_EQ(b.rescale_to(both), std::exp(-1.5f));
    EXPECT_FLOAT_EQ(b.merge(a), std::exp(-1.5f));
    EXPECT_TRUE(same_state(b, both));
    both.merge(both);
    EXPECT_FLOAT_EQ(both.sum(), 2 * b.sum());
}

/// The factors of states whose maxima are any numbers are exponentials to one ulp.
template <class T>
void check_factors() {
    generator random(base_seed() + 77);
    worst_error worst;
    for (int i = 0; i < 20000; ++i) {
        const double scale = i % 3 == 0 ? 0.3 : 1;
        const T low[] = {T(30 * random.normal())}, high[] = {T(double(low[0]) + std::abs(20 * random.normal()))};
        smx::online_softmax<T> state({.scale = scale});
        state.push(low);
        const auto factor = state.push(high);
        const long double z = static_cast<long double>(scale) *
                              (static_cast<long double>(double(low[0])) - static_cast<long double>(double(high[0])));
        constexpr dtype type = std::is_same_v<decltype(factor), const double> ? dtype::f64 : dtype::f32;
        const long double exact = std::exp(z);
        if (exact < std::numeric_limits<float>::min()) continue;
        worst.take(error_in_ulp(type, double(factor), exact, exact), [&] {
            return testing::PrintToString(double(low[0])) + " to " + testing::PrintToString(double(high[0])) +
                   ", scale " + std::to_string(scale);
        });
    }
    std::printf("factors: %.3f ulp (%s)\n", worst.error, worst.where.c_str());
    EXPECT_LE(worst.error, 1) << worst.where;
}
TEST(OnlineFactors, AreRightToOneUlp) {
    check_factors<float>();
    check_factors<double>();
    check_factors<smx::float16>();
    check_factors<smx::bfloat16>();
}

TEST(OnlineChunks, MayBeOfOtherTypesAndStepped) {
    const std::vector<smx::bfloat16> half = elements_of<smx::bfloat16>(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
    const std::vector<float> single{1, 2, 3, 4, 5, 6, 7, 8};
    smx::online_softmax<float> a, b;
    smx::online_softmax<double> c, d;
    a.push(half);
    b.push(smx::strided_span<const float>(single.data() + 7, 8, -1));
    EXPECT_TRUE(same_state(a, b) || a.logsumexp() == b.logsumexp());
    c.push(single);
    d.push(std::vector<double>(single.begin(), single.end()));
    EXPECT_TRUE(same_state(c, d));
    smx::online_softmax<float> e;
    e.push(smx::strided_span<const float>(single.data(), 4, 2));
    EXPECT_NEAR(e.logsumexp(), std::log(std::exp(1.0) + std::exp(3.0) + std::exp(5.0) + std::exp(7.0)), 1e-6);

    std::vector<smx::float16> out(16, smx::float16(42));
    a.probabilities(half, smx::strided_span<smx::float16>(out.data(), 8, 2));
    std::vector<double> expected(8);
    c.probabilities(single, expected);
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(double(out[2 * i]), expected[i], 5e-4 * expected[i] + 1e-7);
        EXPECT_EQ(double(out[2 * i + 1]), 42);
    }
}

TEST(OnlineChunks, MayBeOverwritten) {
    const std::vector<float> logits = elements_of<float>(make_row(family::normal_3, dtype::f32, 5000, 7));
    smx::online_softmax<float> s;
    s.push(logits);
    std::vector<float> apart(5000), in_place = logits;
    s.probabilities(logits, apart);
    s.probabilities(in_place, in_place);
    EXPECT_TRUE(same_bits(apart, in_place));
}

TEST(OnlineErrors, NameFunctionArgumentAndValues) {
    using state = smx::online_softmax<float>;
    expect_mentions(error_of([] { state s({.scale = infinity}); }), {"online_softmax", "options.scale", "inf"});
    state s, other({.scale = 0.25}), third({.special = smx::special_values::ieee});
    s.push(std::vector<float>{1, 2});
    expect_mentions(error_of([&] { s.merge(other); }), {"online_softmax::merge", "options.scale", "0.25", "1"});
    expect_mentions(error_of([&] { s.merge(third); }), {"online_softmax::merge", "options.special"});
    expect_mentions(error_of([&] { s.rescale_to(other); }), {"online_softmax::rescale_to", "options.scale", "0.25"});

    std::vector<float> memory(10, 42);
    const std::vector<float> in{1, 2};
    expect_mentions(error_of([&] { s.probabilities(in, std::span(memory).first(3)); }),
                    {"online_softmax::probabilities", "out", "3", "2"});
    expect_mentions(
        error_of([&] { s.weights(std::span<const float>(memory).first(3), std::span(memory).subspan(1, 3)); }),
        {"online_softmax::weights", "overlaps"});
    expect_mentions(error_of([&] { s.log_probabilities(in, smx::strided_span<float>(memory.data(), 2, 0)); }),
                    {"online_softmax::log_probabilities", "out", "stride 0"});
    for (const float bad : {3.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        const std::vector<float> never_pushed{1, bad};
        expect_mentions(error_of([&] { s.probabilities(never_pushed, std::span(memory).first(2)); }),
                        {"online_softmax::probabilities", "in", "2"});
    }
    EXPECT_EQ(memory, std::vector<float>(10, 42));
}

// ---- the example in the documentation --------------------------------------------------------------------------------

struct attention {
    std::size_t keys, dim;
    std::vector<float> query, k, v;
    attention(std::size_t n, std::size_t d, std::uint64_t seed, double spread)
        : keys(n), dim(d), query(d), k(n * d), v(n * d) {
        generator random(seed);
        for (float& x : query) x = static_cast<float>(spread * random.normal());
        for (float& x : k) x = static_cast<float>(spread * random.normal());
        for (float& x : v) x = static_cast<float>(random.normal());
    }
    const float* key(std::size_t j) const { return k.data() + j * dim; }
    const float* value(std::size_t j) const { return v.data() + j * dim; }
    float dot(const std::vector<float>& a, const float* b) const {
        float s = 0;
        for (std::size_t d = 0; d < dim; ++d) s += a[d] * b[d];
        return s;
    }
    std::vector<double> at_once() const {
        std::vector<double> scores(keys), sum(dim);
        for (std::size_t j = 0; j < keys; ++j) scores[j] = dot(query, key(j));
        const reference exact(scores, 1 / std::sqrt(double(dim)));
        for (std::size_t j = 0; j < keys; ++j)
            for (std::size_t d = 0; d < dim; ++d)
                sum[d] += static_cast<double>(exact.softmax(scores[j])) * double(value(j)[d]);
        return sum;
    }
    smx::online_softmax<float> blockwise(std::size_t first, std::size_t last, std::size_t block,
                                         std::vector<float>& sum) const {
        smx::online_softmax<float> row({.scale = 1 / std::sqrt(double(dim))});
        std::vector<float> scores(block);
        sum.assign(dim, 0.0f);
        for (std::size_t j0 = first; j0 < last; j0 += block) {
            const std::size_t n = std::min(block, last - j0);
            const std::span<float> s(scores.data(), n);
            for (std::size_t j = 0; j < n; ++j) s[j] = dot(query, key(j0 + j));
            const float rescale = row.push(s);
            row.weights(s, s);  // exp(score - maximum), in place
            for (float& x : sum) x *= rescale;
            for (std::size_t j = 0; j < n; ++j)
                for (std::size_t d = 0; d < dim; ++d) sum[d] += s[j] * value(j0 + j)[d];
        }
        return row;
    }
};

TEST(OnlineAttention, IsThatOfTheWholeRow) {
    for (const double spread : {0.3, 1.0, 4.0}) {
        const attention a(700, 16, base_seed() + 21, spread);
        const std::vector<double> expected = a.at_once();
        for (const std::size_t block : {1u, 7u, 64u, 700u, 1000u}) {
            std::vector<float> sum;
            const smx::online_softmax<float> row = a.blockwise(0, a.keys, block, sum);
            for (std::size_t d = 0; d < a.dim; ++d) EXPECT_NEAR(sum[d] * row.inverse_sum(), expected[d], 5e-5) << block;

            std::vector<float> sum_a, sum_b;
            const smx::online_softmax<float> x = a.blockwise(0, 300, block, sum_a),
                                             y = a.blockwise(300, 700, block, sum_b);
            const smx::online_softmax<float> both = merged(x, y);
            for (std::size_t d = 0; d < a.dim; ++d) {
                const float together = sum_a[d] * x.rescale_to(both) + sum_b[d] * y.rescale_to(both);
                EXPECT_NEAR(together * both.inverse_sum(), expected[d], 5e-5);
            }
        }
    }
}

}  // namespace
