// SPDX-License-Identifier: BSL-1.0

// The gradients of the transformer in examples/gpt against finite differences, group of parameters by group.

#include "gpt/network.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

using gpt::index;

constexpr gpt::shape shape{.layers = 2, .heads = 3, .width = 12, .context = 9};
constexpr index sequences = 3;

struct sample_batch {
    std::vector<unsigned char> tokens, targets;
};

sample_batch batch_of(index length) {
    std::mt19937_64 random(7);
    sample_batch result;
    for (index i = 0; i < sequences * length; ++i) {
        result.tokens.push_back(static_cast<unsigned char>(random() % 5 * 50));
        result.targets.push_back(static_cast<unsigned char>(random() % 256));
    }
    return result;
}

/// No zeros, no ones: nothing that an error could hide behind.
template <class Real>
gpt::numbers<Real> parameters(const gpt::parameter_layout& layout) {
    gpt::numbers<Real> values = layout.first_values<double>(3).cast<Real>();
    std::mt19937_64 random(5);
    for (Real& x : values) x += static_cast<Real>(0.4 * (static_cast<double>(random() >> 11) * 0x1p-53 - 0.5));
    return values;
}

/// Loss times weight, in double throughout, and its gradient.
struct evaluation {
    explicit evaluation(index l) : length(l), batch(batch_of(l)) {}

    double loss() { return weight * net.loss(batch.tokens, batch.targets, length); }
    void differentiate() {
        gradient.setZero();
        net.loss_and_gradient(batch.tokens, batch.targets, length, weight);
    }

    index length;
    sample_batch batch;
    double weight = 0.125;
    gpt::parameter_layout layout{shape};
    gpt::numbers<double> values = parameters<double>(layout), gradient = gpt::numbers<double>::Zero(layout.size());
    gpt::network<double> net{shape, values.data(), gradient.data()};
};

TEST(TinyGptGradients, AgreeWithFiniteDifferencesInEveryGroup) {
    constexpr double step = 1e-4;
    constexpr std::size_t most = 60;  // of a group, those of the largest gradients and others drawn
    for (const index length : {index(9), index(6)}) {
        evaluation e(length);
        e.differentiate();
        for (const gpt::parameter_group& g : e.layout.groups()) {
            std::vector<index> chosen(static_cast<std::size_t>(g.size()));
            std::iota(chosen.begin(), chosen.end(), g.offset);
            std::shuffle(chosen.begin(), chosen.end(), std::mt19937_64(11));
            std::stable_sort(chosen.begin() + static_cast<std::ptrdiff_t>(std::min(chosen.size(), most / 2)),
                             chosen.end(),
                             [&](index a, index b) { return std::fabs(e.gradient(a)) > std::fabs(e.gradient(b)); });
            chosen.resize(std::min(chosen.size(), most));

            const double largest = e.gradient.segment(g.offset, g.size()).cwiseAbs().maxCoeff();
            EXPECT_GT(largest, 1e-3) << g.name << " has no gradient";
            double worst = 0;
            for (const index i : chosen) {
                const double before = e.values(i);
                const auto loss_at = [&](double x) {
                    e.values(i) = x;
                    return e.loss();
                };
                // Five points: the error is of the order of step^4.
                const double difference = (8 * (loss_at(before + step) - loss_at(before - step)) -
                                           (loss_at(before + 2 * step) - loss_at(before - 2 * step))) /
                                          (12 * step);
                e.values(i) = before;
                worst = std::fmax(worst, std::fabs(difference - e.gradient(i)) / largest);
            }
            std::printf("%-36s %3zu checked, worst difference %.1e of the largest\n", g.name.c_str(), chosen.size(),
                        worst);
            EXPECT_LE(worst, 2e-8) << g.name << ", length " << length;
        }
    }
}

/// As far as two gradients point apart, of 0 to 1.
template <class Score>
double distance_from_double() {
    evaluation exact(9);
    exact.differentiate();
    const gpt::numbers<float> values = parameters<double>(exact.layout).cast<float>();
    gpt::numbers<float> gradient = gpt::numbers<float>::Zero(exact.layout.size());
    gpt::network<float, Score> net(shape, values.data(), gradient.data());
    net.loss_and_gradient(exact.batch.tokens, exact.batch.targets, exact.length, exact.weight);
    return (gradient.cast<double>() - exact.gradient).norm() / exact.gradient.norm();
}

TEST(TinyGptGradients, InLowerPrecisionAreCloseToThoseInDouble) {
    EXPECT_LE(distance_from_double<float>(), 1e-6);
    const double in_float16 = distance_from_double<smx::float16>(), in_bfloat16 = distance_from_double<smx::bfloat16>();
    std::printf("scores in float16: %.1e, in bfloat16: %.1e\n", in_float16, in_bfloat16);
    EXPECT_LE(in_float16, 2e-3);
    EXPECT_LE(in_bfloat16, 1e-2);
    EXPECT_GT(in_float16, 1e-6);  // they are held in 16 bits, indeed
}

TEST(TinyGptGradients, APositionDependsOnNoneAfterIt) {
    evaluation e(9);
    const gpt::matrix<double> before = e.net.forward(e.batch.tokens, 9);
    e.batch.tokens[5] ^= 0x55;
    const gpt::matrix<double> after = e.net.forward(e.batch.tokens, 9);
    for (index r = 0; r < before.rows(); ++r) {
        const bool may_differ = r >= 5 && r < 9;  // that position and those after it, of the first sequence
        EXPECT_EQ((before.row(r) - after.row(r)).cwiseAbs().maxCoeff() != 0, may_differ) << r;
    }
}

}  // namespace
