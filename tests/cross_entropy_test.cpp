// SPDX-License-Identifier: BSL-1.0

// Cross-entropy and its gradient: against long double, against finite differences, every option.

#include "array_of.hpp"
#include "caller_environment.hpp"
#include "cross_entropy_calls.hpp"
#include "cross_entropy_reference.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "rows.hpp"
#include "worst_error.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

using sizes = std::vector<std::size_t>;
using options = smx::cross_entropy_options;

/// Two rows of the same values: loss and gradient in any types.
void check(const loss_row& s, dtype logits_type, dtype soft_type, dtype losses_type, dtype gradient_type,
           worst_error& worst_loss, worst_error& worst_gradient) {
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
        const auto where = [&](double is, long double should_be, dtype out) {
            std::ostringstream text;
            text.precision(17);
            text << is << " not " << static_cast<double>(should_be) << " n " << n << " target " << s.target << " scale "
                 << s.scale << " smoothing " << s.smoothing << " z_loss " << s.z_loss << " "
                 << softmax_test::name_of(logits_type) << " to " << softmax_test::name_of(out);
            return text.str();
        };
        const auto where_loss = [&] { return where(loss[r], exact.loss, losses_type); };
        worst_loss.take(of_bound, where_loss);
        ASSERT_LE(of_bound, 1) << "loss is " << where_loss();
        for (std::size_t i = 0; i < n; ++i) {
            const double error = static_cast<double>(
                std::abs(g[r * n + i] - exact.gradient[i]) /
                allowed_error(gradient_type, compute, 5, exact.gradient[i], exact.gradient_size[i]));
            // A probability below the smallest normal number may come out as 0.
            if (std::abs(exact.gradient[i]) <
                std::ldexp(std::abs(s.scale * s.dloss) + 1, format_of(compute).min_exponent))
                continue;
            const auto where_gradient = [&] {
                return "[" + std::to_string(i) + "] " + where(g[r * n + i], exact.gradient[i], gradient_type);
            };
            worst_gradient.take(error, where_gradient);
            ASSERT_LE(error, 1) << "gradient " << where_gradient();
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
        for (double& p : s.soft) p = rounded_to(soft_type, p);
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

void print(const std::map<dtype, worst_error>& losses, const std::map<dtype, worst_error>& gradients) {
    for (const auto& [type, seen] : losses) std::printf("loss %.3f of the bound: %s\n", seen.error, seen.where.c_str());
    for (const auto& [type, seen] : gradients)
        std::printf("gradient %.3f of the bound: %s\n", seen.error, seen.where.c_str());
}

TEST(CrossEntropy, RightToTheDocumentedBoundInEveryMixtureOfTypes) {
    std::map<dtype, worst_error> worst_loss, worst_gradient;
    on_every_isa([&](smx::isa) {
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
                        check(s, logits_type, logits_type, losses_type, gradient_type, worst_loss[losses_type],
                              worst_gradient[gradient_type]);
                        if (HasFatalFailure()) return;
                    }
    });
    print(worst_loss, worst_gradient);
}

TEST(CrossEntropy, RightForEveryFamilyOfRows) {
    std::map<dtype, worst_error> worst_loss, worst_gradient;
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
                    check(s, type, type, type, type, worst_loss[type], worst_gradient[type]);
                    if (HasFatalFailure()) FAIL() << name_of(kind) << " seed " << seed;
                }
            }
        }
    }
    print(worst_loss, worst_gradient);
}

TEST(CrossEntropy, ConfidentRowsKeepTheirDigits) {
    for (const double lead : {10.0, 20.0, 30.0, 60.0, 80.0}) {
        for (const std::size_t n : sizes{2, 100, 7000}) {
            loss_row s;
            s.logits.assign(n, 0.0);
            s.target = n / 2;
            s.logits[s.target] = lead;
            worst_error worst_loss, worst_gradient;
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

}  // namespace
}  // namespace softmax_test
