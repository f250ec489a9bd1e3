// SPDX-License-Identifier: BSL-1.0

// Cross-entropy and its gradient: against long double, against finite differences, every option, special values, layouts, bits.

#include "array_of.hpp"
#include "caller_environment.hpp"
#include "cross_entropy_reference.hpp"
#include "elements_of.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace softmax_test {
namespace {

using numbers = std::vector<double>;
using sizes = std::vector<std::size_t>;
using options = smx::cross_entropy_options;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

numbers rounded_to(dtype type, numbers values) {
    for (double& v : values) {
        double memory = 0;
        store(type, &memory, 0, v);
        v = load(type, &memory, 0);
    }
    return values;
}

struct result {
    double loss;
    numbers gradient;
};

void expect_same(const numbers& a, const numbers& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i])));
}

/// One row in elements of T through the fused function, and through the others, which have to give the same. Targets: a class index, or
/// soft ones in a std::vector<T>.
template <class T, class Targets>
result fused_in(const std::vector<T>& logits, const Targets& targets, const options& o) {
    const T nothing(-77.0f);
    std::vector<T> loss(1, nothing), same = loss, gradient(logits.size(), nothing), back = gradient, inout = logits;
    smx::cross_entropy_with_gradient(logits, targets, loss, gradient, o);
    smx::cross_entropy(logits, targets, same, o);
    expect_same(numbers_of(loss), numbers_of(same));
    if (!o.dlosses) {
        smx::cross_entropy_backward(logits, targets, 1.0, back, o);
        expect_same(numbers_of(gradient), numbers_of(back));
    }
    smx::cross_entropy_with_gradient(inout, targets, same, o);
    expect_same(numbers_of(gradient), numbers_of(inout));
    expect_same(numbers_of(loss), numbers_of(same));
    expect_same(numbers_of(loss), {number(smx::cross_entropy(logits, targets, o))});
    return {number(loss[0]), numbers_of(gradient)};
}
template <class T = double>
std::vector<T> elements(const numbers& values) {
    std::vector<T> all;
    for (const double x : values) all.push_back(T(x));
    return all;
}
template <class T = double>
result fused(const numbers& logits, int target, const options& o = {}) {
    return fused_in<T>(elements_of<T>(logits), target, o);
}
template <class T = double>
result fused(const numbers& logits, const numbers& targets, const options& o = {}) {
    return fused_in<T>(elements_of<T>(logits), elements_of<T>(targets), o);
}

/// Two rows of the same values: loss and gradient in any types.
void check(const loss_row& s, dtype logits_type, dtype soft_type, dtype losses_type, dtype gradient_type,
           double& worst_loss, double& worst_gradient) {
    const std::size_t n = s.logits.size();
    const guarded_memory logits(tensor_view(logits_type, {2, n})), soft(tensor_view(soft_type, {2, n})),
        losses(tensor_view(losses_type, {2})), gradient(tensor_view(gradient_type, {2, n}));
    numbers twice = s.logits, soft_twice = s.soft;
    twice.insert(twice.end(), s.logits.begin(), s.logits.end());
    soft_twice.insert(soft_twice.end(), s.soft.begin(), s.soft.end());
    store_all(logits.elements(), twice);
    if (!s.soft.empty()) store_all(soft.elements(), soft_twice);
    const std::vector<std::int16_t> targets(2, static_cast<std::int16_t>(s.target));
    const std::vector<float> weights(s.weights.begin(), s.weights.end());
    options o{.scale = s.scale, .label_smoothing = s.smoothing, .z_loss = s.z_loss, .dlosses = s.dloss};
    if (!s.weights.empty()) o.class_weights = weights;
    {
        const caller_environment environment;
        smx::detail::run_cross_entropy("cross_entropy_with_gradient", array_of(logits.elements()),
                                       s.soft.empty() ? smx::array_ref(targets) : array_of(soft.elements()),
                                       array_of(losses.elements()), o.dlosses, "options.dlosses",
                                       array_of(gradient.elements()), "dlogits", o);
    }
    const exact_loss exact(s);
    const numbers loss = load_all(losses.elements()), g = load_all(gradient.elements());
    const bool wide = logits_type == dtype::f64 || losses_type == dtype::f64 || gradient_type == dtype::f64 ||
                      (!s.soft.empty() && soft_type == dtype::f64);
    const dtype compute = wide ? dtype::f64 : dtype::f32;
    const auto in_range = [](dtype type, long double x) {
        const long double overflow = std::ldexp(1.0L, format_of(type).max_exponent + 1);
        return std::clamp(x, -overflow, overflow);
    };
    for (std::size_t r = 0; r < 2; ++r) {
        const double of_bound =
            static_cast<double>(std::abs(in_range(losses_type, loss[r]) - in_range(losses_type, exact.loss)) /
                                allowed_error(losses_type, compute, 3, exact.loss, exact.loss_size));
        worst_loss = std::max(worst_loss, of_bound);
        ASSERT_LE(of_bound, 1) << "loss is " << loss[r] << " not " << static_cast<double>(exact.loss) << " n " << n
                               << " scale " << s.scale << " " << softmax_test::name_of(logits_type) << " to "
                               << softmax_test::name_of(losses_type);
        for (std::size_t i = 0; i < n; ++i) {
            const double error = static_cast<double>(
                std::abs(g[r * n + i] - exact.gradient[i]) /
                allowed_error(gradient_type, compute, 5, exact.gradient[i], exact.gradient_size[i]));
            // A probability below the smallest normal number may come out as 0.
            if (std::abs(exact.gradient[i]) <
                std::ldexp(std::abs(s.scale * s.dloss) + 1, format_of(compute).min_exponent))
                continue;
            worst_gradient = std::max(worst_gradient, error);
            ASSERT_LE(error, 1) << "gradient " << i << " is " << g[r * n + i] << " not "
                                << static_cast<double>(exact.gradient[i]) << " n " << n << " target " << s.target
                                << " scale " << s.scale << " " << softmax_test::name_of(logits_type) << " to "
                                << softmax_test::name_of(gradient_type);
        }
    }
}

loss_row make_setting(std::size_t n, family kind, dtype type, std::uint64_t seed, bool soft, dtype soft_type) {
    generator random(seed);
    loss_row s;
    s.logits = make_row(kind, type, n, seed);
    s.target = random.below(n);
    if (soft) {
        for (std::size_t i = 0; i < n; ++i) s.soft.push_back(random.uniform(0, 2.0 / static_cast<double>(n)));
        s.soft = rounded_to(soft_type, s.soft);
    }
    return s;
}

void vary(loss_row& s, std::size_t round) {
    generator random(round);
    if (round % 2 == 1) s.smoothing = 0.1;
    if (round % 3 == 1)
        for (std::size_t i = 0; i < s.logits.size(); ++i) s.weights.push_back(static_cast<float>(random.uniform(0, 2)));
    if (round % 4 == 2) s.z_loss = 0.01;
    if (round % 5 == 3) s.scale = -0.37;
    s.dloss = round % 2 == 0 ? 1 : 0.125;
}

TEST(CrossEntropy, RightToTheDocumentedBoundInEveryMixtureOfTypes) {
    on_every_isa([](smx::isa level) {
        double worst_loss = 0, worst_gradient = 0;
        std::size_t round = 0;
        for (const dtype logits_type : all_dtypes)
            for (const dtype losses_type : all_dtypes)
                for (const dtype gradient_type : all_dtypes)
                    for (const std::size_t n : sizes{1, 2, 9, 33, 1000, 5003}) {
                        const bool soft = ++round % 3 == 0;
                        loss_row s =
                            make_setting(n, family::normal_3, logits_type, base_seed() + round, soft, logits_type);
                        vary(s, round);
                        // Away from the subnormal numbers of float16.
                        if (gradient_type == dtype::f16) s.dloss *= 1e4;
                        check(s, logits_type, logits_type, losses_type, gradient_type, worst_loss, worst_gradient);
                        if (HasFatalFailure()) return;
                    }
        std::printf("%s: loss %.3f, gradient %.3f of the bound\n", smx::name_of(level), worst_loss, worst_gradient);
    });
}

TEST(CrossEntropy, RightForEveryFamilyOfRows) {
    double worst_loss = 0, worst_gradient = 0;
    for (const family kind : all_families) {
        for (const dtype type : {dtype::f32, dtype::f64}) {
            for (const std::size_t n : sizes{2, 10, 100, 3000}) {
                for (std::uint64_t seed = 0; seed < 12; ++seed) {
                    loss_row s = make_setting(n, kind, type, base_seed() + seed, false, type);
                    if (kind == family::extremes && type == dtype::f64 && seed % 2 == 1)
                        continue;  // sums beyond double
                    if (seed % 2 == 1) s.smoothing = 0.25;
                    if (seed % 3 == 0)
                        for (std::size_t i = 0; i < n; ++i)
                            if (s.logits[i] > s.logits[s.target]) s.target = i;  // right, often confidently
                    check(s, type, type, type, type, worst_loss, worst_gradient);
                    if (HasFatalFailure()) FAIL() << name_of(kind) << " seed " << seed;
                }
            }
        }
    }
    std::printf("loss %.3f, gradient %.3f of the bound\n", worst_loss, worst_gradient);
}

TEST(CrossEntropy, ConfidentRowsKeepTheirDigits) {
    for (const double lead : {10.0, 20.0, 30.0, 60.0, 80.0}) {
        for (const std::size_t n : sizes{2, 100, 7000}) {
            loss_row s;
            s.logits.assign(n, 0.0);
            s.target = n / 2;
            s.logits[s.target] = lead;
            double worst_loss = 0, worst_gradient = 0;
            for (const dtype type : {dtype::f32, dtype::f64, dtype::bf16})
                check(s, type, type, type, type, worst_loss, worst_gradient);
            const result r = fused(s.logits, static_cast<int>(s.target));
            EXPECT_GT(r.loss, 0);
            EXPECT_LT(r.gradient[s.target], 0);
            EXPECT_NEAR(r.gradient[s.target] / -static_cast<double>(n - 1) / std::exp(-lead), 1,
                        static_cast<double>(n) * std::exp(-lead) + 1e-14);
        }
    }
    float loss[1], gradient[2];
    const float logits[] = {20, 0};
    smx::cross_entropy_with_gradient(logits, 0, loss, gradient);
    EXPECT_EQ(loss[0], 2.0611536e-9f);
    EXPECT_EQ(gradient[0], -2.0611536e-9f);
    EXPECT_EQ(gradient[1], 2.0611536e-9f);
}

TEST(CrossEntropy, AgreesWithFiniteDifferencesUnderEveryOption) {
    const std::size_t n = 9;
    const numbers logits = make_row(family::normal_1, dtype::f64, n, base_seed());
    numbers weights, soft;
    generator random(base_seed());
    for (std::size_t i = 0; i < n; ++i) {
        weights.push_back(random.uniform(0.1, 3));
        soft.push_back(random.uniform(0, 0.3));
    }
    std::vector<options> all{{},
                             {.scale = 0.6},
                             {.scale = -2},
                             {.label_smoothing = 0.3},
                             {.class_weights = weights},
                             {.z_loss = 0.2},
                             {.dlosses = 2.5},
                             {.label_smoothing = 0.2, .class_weights = weights, .z_loss = 0.1}};
    for (std::size_t k = 0; k < all.size(); ++k) {
        for (const bool is_soft : {false, true}) {
            const auto at = [&](const numbers& x) { return is_soft ? fused(x, soft, all[k]) : fused(x, 4, all[k]); };
            const result here = at(logits);
            for (std::size_t i = 0; i < n; ++i) {
                numbers up = logits, down = logits;
                up[i] += 1e-6;
                down[i] -= 1e-6;
                const double expected = (at(up).loss - at(down).loss) / (up[i] - down[i]) * (k == 6 ? 2.5 : 1);
                EXPECT_NEAR(here.gradient[i], expected, 2e-8) << "options " << k << (is_soft ? " soft " : " ") << i;
            }
            if (k != 0) {
                const result plain = is_soft ? fused(logits, soft) : fused(logits, 4);
                EXPECT_NE(plain.gradient, here.gradient) << k;  // the option is not ignored
                if (k != 6) {
                    EXPECT_NE(plain.loss, here.loss) << k;
                }
            }
        }
    }
}

// As torch.nn.functional.cross_entropy(reduction='none') defines them: weights count for smoothing and for soft targets, too.
TEST(CrossEntropy, WeightsAndSmoothingAsInPyTorch) {
    const numbers logits{1, 2, 3}, weights{0.5, 2, 4}, soft{0.2, 0.3, 0.5};
    const double lse = 3 + std::log1p(std::exp(-1.0) + std::exp(-2.0));
    const double nll[] = {lse - 1, lse - 2, lse - 3};
    const double by_class = 0.9 * 2 * nll[1] + 0.1 / 3 * (0.5 * nll[0] + 2 * nll[1] + 4 * nll[2]);
    EXPECT_NEAR(fused(logits, 1, {.label_smoothing = 0.1, .class_weights = weights}).loss, by_class, 1e-14);
    double by_soft = 0;
    for (std::size_t i = 0; i < 3; ++i) by_soft += weights[i] * (soft[i] * 0.9 + 0.1 / 3) * nll[i];
    EXPECT_NEAR(fused(logits, soft, {.label_smoothing = 0.1, .class_weights = weights}).loss, by_soft, 1e-14);
    EXPECT_NEAR(fused(logits, 1, {.z_loss = 0.5}).loss, nll[1] + 0.5 * lse * lse, 1e-14);
}

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

template <class Target>
void check_target_type() {
    const std::vector<float> logits{1, 2, 3, 4, 0, -1};
    const std::vector<Target> targets{Target(1), Target(0)};
    std::vector<float> losses(2);
    smx::cross_entropy(smx::tensor_view<const float, 2>(logits.data(), {2, 3}), targets, losses);
    std::vector<float> one(1);
    smx::cross_entropy(std::vector<float>{1, 2, 3}, 1, one);
    EXPECT_EQ(losses[0], one[0]);
    smx::cross_entropy(std::vector<float>{4, 0, -1}, 0, one);
    EXPECT_EQ(losses[1], one[0]);
}

TEST(CrossEntropy, TargetsOfEveryIntegerType) {
    check_target_type<signed char>();
    check_target_type<unsigned char>();
    check_target_type<short>();
    check_target_type<unsigned short>();
    check_target_type<int>();
    check_target_type<unsigned>();
    check_target_type<long>();
    check_target_type<unsigned long long>();
    const std::vector<std::uint64_t> wrapped{static_cast<std::uint64_t>(-100)};  // not the ignored one
    std::vector<float> loss(1);
    EXPECT_THROW(smx::cross_entropy(std::vector<float>{1, 2, 3}, wrapped, loss), std::invalid_argument);
}

struct bits {
    std::vector<std::uint64_t> losses, gradient;
    bool operator==(const bits&) const = default;
};

/// A batch with the classes along `axis` of any layout.
bits bits_of(view logits_layout, view gradient_layout, std::size_t rows, std::ptrdiff_t axis, const numbers& logits,
             const std::vector<int>& targets, const std::vector<double>& dlosses, const options& given, bool in_place) {
    const guarded_memory from(logits_layout, 1), to(gradient_layout), losses(tensor_view(dtype::f32, {rows}));
    store_all(from.elements(), logits);
    options o = given;
    o.axis = axis;
    o.dlosses = dlosses;
    const view& out = in_place ? from.elements() : to.elements();
    smx::detail::run_cross_entropy("cross_entropy_with_gradient", array_of(from.elements()), targets,
                                   array_of(losses.elements()), o.dlosses, "options.dlosses", array_of(out), "dlogits",
                                   o);
    EXPECT_EQ(from.damage() + to.damage() + losses.damage(), "");
    return {load_all_bits(losses.elements()), load_all_bits(out)};
}

TEST(CrossEntropy, SameBitsOnEveryPathAxisStrideBatchAndInstructionSet) {
    constexpr std::size_t rows = 6;
    for (const dtype type : all_dtypes) {
        for (const std::size_t n : sizes{1, 5, 16, 63, 1000, 9001}) {
            const std::vector<float> weights(n, 1.5f);
            for (const options& o :
                 {options{.scale = 0.7}, options{.label_smoothing = 0.1, .class_weights = weights, .z_loss = 0.01}}) {
                numbers logits, dlosses;
                std::vector<int> targets;
                bits expected;
                smx::set_active_isa(fused_isas().empty() ? all_isas().front() : fused_isas().front());
                for (std::size_t r = 0; r < rows; ++r) {
                    const numbers row = make_row(family::normal_3, type, n, base_seed() + r);
                    logits.insert(logits.end(), row.begin(), row.end());
                    targets.push_back(r == 3 ? -100 : static_cast<int>((7 * r + 2) % n));
                    dlosses.push_back(1.0 + static_cast<double>(r));
                    const bits one = bits_of(tensor_view(type, {1, n}), tensor_view(type, {1, n}), 1, 1, row,
                                             {targets.back()}, {dlosses.back()}, o, false);
                    expected.losses.push_back(one.losses[0]);
                    expected.gradient.insert(expected.gradient.end(), one.gradient.begin(), one.gradient.end());
                }
                const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(n), count = rows;
                const view batch = tensor_view(type, {rows, n}), columns = tensor_view(type, {rows, n}, {1, count}),
                           spread = tensor_view(type, {rows, n}, {3 * length, 3}),
                           back = tensor_view(type, {rows, n}, {length, -1});
                on_every_fused_isa([&](smx::isa level) {
                    const auto what = std::string(smx::name_of(level)) + " " + softmax_test::name_of(type) + " n " +
                                      std::to_string(n);
                    EXPECT_EQ(bits_of(batch, batch, rows, -1, logits, targets, dlosses, o, false), expected) << what;
                    EXPECT_EQ(bits_of(batch, batch, rows, -1, logits, targets, dlosses, o, true), expected) << what;
                    EXPECT_EQ(bits_of(columns, batch, rows, 1, logits, targets, dlosses, o, false), expected) << what;
                    EXPECT_EQ(bits_of(spread, columns, rows, 1, logits, targets, dlosses, o, true), expected) << what;
                    EXPECT_EQ(bits_of(batch, back, rows, 1, logits, targets, dlosses, o, false), expected) << what;
                });
            }
        }
    }
}

TEST(CrossEntropy, ClassesAlongTheMiddleAxis) {
    constexpr std::size_t n = 2, k = 5, m = 3;
    const numbers logits = make_row(family::normal_3, dtype::f64, n * k * m, base_seed());
    const std::vector<long> targets{0, 1, 2, 3, 4, -7};
    const numbers dlosses{1, 2, 3, 4, 5, 6};
    numbers losses(n * m), gradient(n * k * m), losses_kept(n * m);
    const smx::tensor_view<const double, 3> x(logits.data(), {n, k, m});
    const smx::tensor_view<double, 3> g(gradient.data(), {n, k, m});
    const smx::tensor_view<const long, 2> t(targets.data(), {n, m});
    const smx::tensor_view<const long, 3> t_kept(targets.data(), {n, std::size_t(1), m});
    const smx::tensor_view<double, 2> l(losses.data(), {n, m});
    const smx::tensor_view<double, 3> l_kept(losses_kept.data(), {n, std::size_t(1), m});
    const smx::tensor_view<const double, 2> d(dlosses.data(), {n, m});
    smx::cross_entropy_with_gradient(x, t, l, g, {.axis = 1, .ignore_index = -7, .dlosses = d});
    smx::cross_entropy(x, t_kept, l_kept, {.axis = -2, .ignore_index = -7});
    EXPECT_EQ(losses, losses_kept);
    for (std::size_t a = 0; a < n; ++a)
        for (std::size_t b = 0; b < m; ++b) {
            numbers row(k), of_row(k);
            for (std::size_t c = 0; c < k; ++c) row[c] = x(a, c, b), of_row[c] = g(a, c, b);
            const result r =
                fused(row, static_cast<int>(targets[a * m + b]), {.ignore_index = -7, .dlosses = dlosses[a * m + b]});
            EXPECT_EQ(r.loss, l(a, b));
            EXPECT_EQ(r.gradient, of_row);
        }
}

TEST(CrossEntropy, BatchWithoutRowsOrClasses) {
    numbers losses(2, 7.0), nothing;
    const smx::tensor_view<double, 2> empty(losses.data(), {2, 0});
    smx::cross_entropy_with_gradient(empty, empty, losses, empty);
    EXPECT_EQ(losses, numbers(2, 0.0));
    losses.assign(2, 7.0);
    smx::cross_entropy(empty, std::vector<int>{-100, -100}, losses);
    EXPECT_EQ(losses, numbers(2, 0.0));
    const smx::tensor_view<double, 2> none(losses.data(), {0, 3});
    smx::cross_entropy(none, std::vector<int>{}, nothing);
}

/// A batch of rows through cross_entropy_with_gradient.
struct batch_result {
    numbers losses, gradient;
};
template <class Targets>
batch_result of_batch(const numbers& logits, std::size_t rows, const Targets& targets, const options& o) {
    const std::size_t n = rows == 0 ? 3 : logits.size() / rows;
    batch_result r{numbers(o.reduction == smx::loss_reduction::none ? rows : 1, -77.0), numbers(logits.size(), -77.0)};
    const smx::tensor_view<const double, 2> x(logits.data(), {rows, n});
    const smx::tensor_view<double, 2> g(r.gradient.data(), {rows, n});
    smx::cross_entropy_with_gradient(x, targets, r.losses, g, o);
    numbers alone(r.losses.size(), -77.0), back(r.gradient.size(), -77.0);
    smx::cross_entropy(x, targets, alone, o);
    EXPECT_EQ(alone, r.losses);
    options without = o;
    without.dlosses = {};
    if (!o.dlosses) {
        smx::cross_entropy_backward(x, targets, 1.0, smx::tensor_view<double, 2>(back.data(), {rows, n}), without);
        EXPECT_EQ(back, r.gradient);
    }
    return r;
}

TEST(CrossEntropy, ClassWeightsIn16BitsCountAsTheirValues) {
    const std::vector<float> logits{1, -2, 0.5f, 3, 0}, weights{0.5f, 2, 0.25f, 3, 1};
    const auto gradient_with = [&](const smx::array_ref& w) {
        std::vector<float> loss(1), gradient(5);
        smx::cross_entropy_with_gradient(logits, 2, loss, gradient, {.label_smoothing = 0.1, .class_weights = w});
        gradient.push_back(loss[0]);
        return gradient;
    };
    const std::vector<float> expected = gradient_with(weights);
    const auto check = [&]<class T>(T) {
        std::vector<T> same;
        for (const float w : weights) same.push_back(T(w));
        EXPECT_EQ(gradient_with(same), expected);
    };
    check(smx::float16(0.0f));
    check(smx::bfloat16(0.0f));
    EXPECT_NE(gradient_with({}), expected);
}

TEST(CrossEntropy, SumsAndMeansAreThoseOfTheRows) {
    constexpr std::size_t rows = 6, n = 5;
    const numbers logits = make_row(family::normal_3, dtype::f64, rows * n, base_seed());
    const std::vector<int> targets{0, 4, -100, 2, 2, -100};
    numbers soft_memory = make_row(family::normal_1, dtype::f64, rows * n, base_seed() + 1);
    for (double& q : soft_memory) q = std::abs(q);
    const smx::tensor_view<const double, 2> soft(soft_memory.data(), {rows, n});
    const std::vector<float> weights{0.5f, 2, 0.25f, 3, 1};
    const double of_weights = 0.5 + 1 + 0.25 + 0.25;
    using smx::loss_reduction;
    for (const options& o : {options{}, options{.class_weights = weights},
                             options{.label_smoothing = 0.2, .class_weights = weights, .z_loss = 0.01}}) {
        const auto check = [&](const auto& t, double divisor) {
            const batch_result each = of_batch(logits, rows, t, o);
            double sum = 0;
            for (const double l : each.losses) sum += l;
            for (const bool mean : {false, true}) {
                options reduced = o;
                reduced.reduction = mean ? loss_reduction::mean : loss_reduction::sum;
                const double d = mean ? divisor : 1;
                const batch_result one = of_batch(logits, rows, t, reduced);
                EXPECT_NEAR(one.losses[0] / (sum / d), 1, 1e-15);
                for (std::size_t i = 0; i < one.gradient.size(); ++i)
                    EXPECT_NEAR(one.gradient[i], each.gradient[i] / d, 1e-15) << i;
                reduced.dlosses = 8.0;
                const batch_result arrived = of_batch(logits, rows, t, reduced);
                EXPECT_EQ(arrived.losses, one.losses);
                for (std::size_t i = 0; i < one.gradient.size(); ++i)
                    EXPECT_EQ(arrived.gradient[i], 8 * one.gradient[i]) << i;
            }
        };
        check(targets, o.class_weights ? of_weights : 4);
        check(soft, rows);
    }
    // Nothing to take a mean of.
    const batch_result ignored =
        of_batch(logits, rows, std::vector<int>(rows, -100), {.reduction = loss_reduction::mean});
    EXPECT_EQ(ignored.losses[0], 0);
    EXPECT_EQ(ignored.gradient, numbers(rows * n, 0.0));
    const numbers no_weight(n, 0.0);
    EXPECT_EQ(of_batch(logits, rows, targets, {.class_weights = no_weight, .reduction = loss_reduction::mean}).gradient,
              numbers(rows * n, 0.0));
    EXPECT_EQ(of_batch({}, 0, std::vector<int>{}, {.reduction = loss_reduction::mean}).losses[0], 0);
    EXPECT_EQ(of_batch({}, 0, std::vector<int>{}, {.reduction = loss_reduction::sum}).losses[0], 0);
    const numbers with_nan{nan, 1, 1, 1};
    double loss[1] = {0};
    smx::cross_entropy(smx::tensor_view<const double, 2>(with_nan.data(), {2, 2}), std::vector<int>{0, 0}, loss,
                       {.reduction = loss_reduction::sum});
    EXPECT_TRUE(is_nan(loss[0]));
    const numbers no_weights(2, 0.0);
    numbers gradient(4, 7.0);
    smx::cross_entropy_with_gradient(smx::tensor_view<const double, 2>(with_nan.data(), {2, 2}), std::vector<int>{0, 0},
                                     loss, smx::tensor_view<double, 2>(gradient.data(), {2, 2}),
                                     {.class_weights = no_weights, .reduction = loss_reduction::mean});
    EXPECT_EQ(loss[0], 0);
    EXPECT_TRUE(is_nan(gradient[0]) && is_nan(gradient[1]));
    EXPECT_TRUE(is_positive_zero(gradient[2]) && is_positive_zero(gradient[3]));
    EXPECT_EQ(of_batch({-inf, 1, 1, 1}, 2, std::vector<int>{0, 0}, {.reduction = loss_reduction::mean}).losses[0], inf);
}

TEST(CrossEntropy, AMeanOfManyRowsLosesNoDigits) {
    // 1e-9 beside losses of 1e9: sums in float, or of rows that are rounded to it, would lose all of it.
    constexpr std::size_t rows = 3001;
    std::vector<float> logits;
    for (std::size_t r = 0; r < rows; ++r) {
        const float lead = r % 3 == 0 ? -3e7f : 20.0f;
        logits.insert(logits.end(), {lead, 0.0f});
    }
    long double expected = 0;
    for (std::size_t r = 0; r < rows; ++r) expected += r % 3 == 0 ? 3e7L : std::log1p(std::exp(-20.0L));
    float mean[1];
    double sum[1];
    const std::vector<int> targets(rows, 0);
    const smx::tensor_view<const float, 2> x(logits.data(), {rows, std::size_t(2)});
    smx::cross_entropy(x, targets, mean, {.reduction = smx::loss_reduction::mean});
    EXPECT_EQ(mean[0], static_cast<float>(expected / rows));
    smx::cross_entropy(x, targets, sum, {.reduction = smx::loss_reduction::sum});
    EXPECT_EQ(sum[0], static_cast<double>(expected));
}

TEST(CrossEntropy, RefusesWithFunctionArgumentAndValues) {
    std::vector<float> logits(12, 1.0f), losses(3, 42.0f), gradient(12, 42.0f);
    const std::vector<float> weights(4, 1.0f), few(3, 1.0f);
    const std::vector<int> targets{0, 3, 1}, wrong{0, 1, 4}, two{0, 1};
    const smx::tensor_view<float, 2> x(logits.data(), {3, 4}), g(gradient.data(), {3, 4});
    const auto both = [&](const auto& t, const options& o) {
        return error_of([&] { smx::cross_entropy_with_gradient(x, t, losses, g, o); });
    };
    expect_mentions(both(wrong, {}), {"cross_entropy_with_gradient", "targets", "4 in row 2", "4 classes"});
    expect_mentions(both(std::vector<int>{0, -1, 1}, {}), {"targets", "-1 in row 1", "4 classes"});
    expect_mentions(both(std::vector<std::uint64_t>{~std::uint64_t(0), 1, 1}, {}), {"18446744073709551615 in row 0"});
    expect_mentions(error_of([&] { smx::cross_entropy(x, two, losses); }),
                    {"smx::cross_entropy: extent 0 of targets is 2", "3 is needed"});
    expect_mentions(both(5, {}), {"targets has rank 0", "logits has 2"});
    expect_mentions(both(targets, {.label_smoothing = 1.5}), {"options.label_smoothing is 1.5", "0 to 1"});
    expect_mentions(both(targets, {.label_smoothing = nan}), {"options.label_smoothing is nan"});
    expect_mentions(both(targets, {.z_loss = inf}), {"options.z_loss is inf"});
    expect_mentions(both(targets, {.scale = nan}), {"options.scale is nan"});
    expect_mentions(both(targets, {.axis = 2}), {"options.axis is 2", "logits has rank 2"});
    expect_mentions(both(targets, {.class_weights = few}), {"options.class_weights", "is 3", "is 4"});
    expect_mentions(both(targets, {.class_weights = 1.0}), {"options.class_weights has rank 0"});
    const std::vector<float> bad{1, nan, 1, 1};
    const std::vector<double> bad_double{1, 1, 1, -inf};
    expect_mentions(both(targets, {.class_weights = bad}), {"options.class_weights", "not finite"});
    expect_mentions(both(targets, {.class_weights = bad_double}), {"options.class_weights", "not finite"});
    expect_mentions(both(targets, {.class_weights = smx::strided_span<const float>(bad.data() + 3, 4, -1)}),
                    {"options.class_weights", "not finite"});
    expect_mentions(both(targets, {.dlosses = weights}), {"options.dlosses", "is 4", "is 3"});
    expect_mentions(both(targets, {.dlosses = two}), {"options.dlosses must have floating elements"});
    std::vector<float> short_losses(2, 42.0f);
    expect_mentions(error_of([&] { smx::cross_entropy(x, targets, short_losses); }),
                    {"extent 0 of losses is 2", "3 is needed"});
    expect_mentions(error_of([&] { smx::cross_entropy_backward(x, targets, 1.0, g, {.dlosses = 1.0}); }),
                    {"cross_entropy_backward", "options.dlosses"});
    const smx::tensor_view<float, 2> shifted(logits.data() + 1, {2, 4}), first(logits.data(), {2, 4});
    expect_mentions(error_of([&] { smx::cross_entropy_backward(first, two, 1.0, shifted); }),
                    {"cross_entropy_backward", "dlogits", "overlaps logits"});
    expect_mentions(both(targets, {.reduction = smx::loss_reduction::mean}),
                    {"extent 0 of losses is 3", "1 is needed"});
    const std::vector<float> per_row(3, 1.0f);
    std::vector<float> one_loss(1, 42.0f);
    expect_mentions(error_of([&] {
                        smx::cross_entropy_with_gradient(x, targets, one_loss, g,
                                                         {.dlosses = per_row, .reduction = smx::loss_reduction::sum});
                    }),
                    {"extent 0 of options.dlosses is 3", "1 is needed"});
    EXPECT_EQ(one_loss[0], 42.0f);
    const smx::strided_span<float> within(gradient.data(), 3, 1);
    expect_mentions(error_of([&] { smx::cross_entropy_with_gradient(x, targets, within, g); }),
                    {"dlogits", "overlaps losses"});
    const smx::tensor_view<const float, 2> soft(gradient.data(), {3, 4});
    expect_mentions(error_of([&] { smx::cross_entropy_with_gradient(x, soft, losses, g); }), {"dlogits"});
    EXPECT_EQ(logits, std::vector<float>(12, 1.0f));
    EXPECT_EQ(losses, std::vector<float>(3, 42.0f));
    EXPECT_EQ(gradient, std::vector<float>(12, 42.0f));
}

}  // namespace
}  // namespace softmax_test
