// SPDX-License-Identifier: BSL-1.0

// Cross-entropy and its gradient of batches: types of targets, layouts, bits, sums and means, what is refused.

#include "array_of.hpp"
#include "cross_entropy_calls.hpp"
#include "instruction_sets.hpp"
#include "refusals.hpp"
#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

using sizes = std::vector<std::size_t>;
using options = smx::cross_entropy_options;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

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
    // Not even the very same elements may be both.
    const std::string same =
        error_of([&] { smx::cross_entropy_with_gradient(x, targets, losses, g, {.dlosses = smx::array_ref(losses)}); });
    expect_mentions(same, {"losses", "overlaps options.dlosses"});
    EXPECT_EQ(same.find("without"), std::string::npos) << same;
    const std::string in_logits =
        error_of([&] { smx::cross_entropy(x, targets, smx::strided_span<float>(logits.data(), 3, 1)); });
    expect_mentions(in_logits, {"losses", "overlaps logits"});
    EXPECT_EQ(in_logits.find("without"), std::string::npos) << in_logits;
    const smx::tensor_view<const float, 2> soft(gradient.data(), {3, 4});
    expect_mentions(error_of([&] { smx::cross_entropy_with_gradient(x, soft, losses, g); }), {"dlogits"});
    EXPECT_EQ(logits, std::vector<float>(12, 1.0f));
    EXPECT_EQ(losses, std::vector<float>(3, 42.0f));
    EXPECT_EQ(gradient, std::vector<float>(12, 42.0f));
}

}  // namespace
}  // namespace softmax_test
