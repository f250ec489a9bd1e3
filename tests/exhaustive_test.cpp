// SPDX-License-Identifier: BSL-1.0

// exp and log1p of the kernels on every float that can reach them, through rows of two: softmax{x, 0} is
// e^x / (1 + e^x) and 1 / (1 + e^x), log_softmax{0, x} is -log1p(e^x) and x - log1p(e^x). Minutes; not in the default run.

#include "element_types.hpp"
#include "reference.hpp"
#include "subjects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace softmax_test {
namespace {

constexpr std::size_t rows = 8192;

struct worst {
    double error = -1;
    float x = 0;
};

/// Rows {x, other} in batches; the exact results in double, good to a billionth of an ulp of float.
class batch {
public:
    using results = std::pair<double, double>;

    batch(function f, float other, results (*exact)(double)) : f_(f), other_(other), exact_of_(exact) {}

    void add(float x) {
        logits_.push_back(x);
        logits_.push_back(other_);
        const auto [first, second] = exact_of_(static_cast<double>(x));
        exact_.push_back(first);
        exact_.push_back(second);
        if (logits_.size() == 2 * rows) flush();
    }

    void flush() {
        const std::size_t n = logits_.size();
        std::vector<float> first(n), result(n);
        const std::span<const subject* const> subjects = runnable_subjects();
        worst_.resize(subjects.size());
        for (std::size_t s = 0; s < subjects.size(); ++s) {
            std::vector<float>& to = s == 0 ? first : result;
            view in{dtype::f32, logits_.data(), view_kind::tensor, 2, {n / 2, 2}, {2, 1}};
            view out = in;
            out.data = to.data();
            subjects[s]->out_of_place(f_, in, out, {});
            if (s != 0 && std::memcmp(first.data(), result.data(), n * sizeof(float)) == 0 &&
                worst_[0].error >= worst_[s].error) {
                worst_[s] = worst_[0];
                continue;
            }
            for (std::size_t i = 0; i < n; ++i) {
                const double error = error_in_float_ulp(to[i], exact_[i]);
                if (error > worst_[s].error) worst_[s] = {error, logits_[i / 2 * 2]};
            }
        }
        logits_.clear();
        exact_.clear();
    }

    void finish() {
        flush();
        const std::span<const subject* const> subjects = runnable_subjects();
        for (std::size_t s = 0; s < subjects.size(); ++s) {
            std::printf("%s of {x, %g}, %s: worst %.4f ulp at x = %a\n", name_of(f_), static_cast<double>(other_),
                        subjects[s]->name, worst_[s].error, static_cast<double>(worst_[s].x));
            EXPECT_LE(worst_[s].error, documented_bound(f_, dtype::f32)) << subjects[s]->name << " x = " << worst_[s].x;
        }
    }

private:
    double error_in_float_ulp(float actual, double exact) const {
        if (f_ == function::softmax && std::bit_cast<std::uint32_t>(actual) == 0 && exact < 0x1p-126) return 0;
        if (is_nan(static_cast<double>(actual))) return HUGE_VAL;
        const double power = std::bit_cast<double>(std::bit_cast<std::uint64_t>(exact) & 0x7ff0000000000000u);
        return std::abs(static_cast<double>(actual) - exact) * 0x1p23 / std::max(power, 0x1p-126);
    }

    function f_;
    float other_;
    results (*exact_of_)(double);
    std::vector<float> logits_;
    std::vector<double> exact_;
    std::vector<worst> worst_;
};

/// Every float from `first` to `last`, both of one sign, by ascending magnitude; below 2^-32, where e^x is 1 to float's
/// last bit and beyond, every 1009th.
template <class Visit>
void every_float(float first, float last, const Visit& visit) {
    const std::uint32_t end = std::bit_cast<std::uint32_t>(last);
    std::uint32_t bits = std::bit_cast<std::uint32_t>(first);
    while (bits <= end) {
        visit(std::bit_cast<float>(bits));
        bits += std::abs(std::bit_cast<float>(bits)) < 0x1p-32f ? 1009 : 1;
    }
}

std::pair<double, double> softmax_beside_zero(double x) {
    const double e = std::exp(-std::abs(x));
    return x < 0 ? std::pair{e / (1 + e), 1 / (1 + e)} : std::pair{1 / (1 + e), e / (1 + e)};
}

std::pair<double, double> log_softmax_beside_zero(double x) {
    const double l = std::log1p(std::exp(x));
    return {x - l, -l};
}

// The most negative arguments that exp sees with nothing subtracted: the maximum is above -256.
std::pair<double, double> softmax_beside_minus_250(double x) {
    const double e = std::exp(x + 250);
    return {e / (1 + e), 1 / (1 + e)};
}

TEST(Exhaustive, SoftmaxOfEveryNegativeFloatAndZero) {
    batch all(function::softmax, 0, softmax_beside_zero);
    every_float(-0.0f, -256.0f, [&](float x) { all.add(x); });
    all.finish();
}

TEST(Exhaustive, SoftmaxOfEveryPositiveFloatAndZero) {
    batch all(function::softmax, 0, softmax_beside_zero);
    every_float(0.0f, 256.0f, [&](float x) { all.add(x); });
    all.finish();
}

TEST(Exhaustive, SoftmaxOfEveryFloatBelowMinus250) {
    batch all(function::softmax, -250, softmax_beside_minus_250);
    every_float(-250.0f, -360.0f, [&](float x) { all.add(x); });
    all.finish();
}

TEST(Exhaustive, LogSoftmaxOfEveryNegativeFloatAndZero) {
    batch all(function::log_softmax, 0, log_softmax_beside_zero);
    every_float(-0.0f, -110.0f, [&](float x) { all.add(x); });
    all.finish();
}

// The bound is that of detail/exp.hpp: against the common factor, in units of 2^-24.
TEST(Exhaustive, ExpOfEveryNegativeFloat) {
    for (const subject* s : runnable_subjects()) {
        if (s->exp_terms == nullptr) continue;
        worst found;
        std::vector<float> x, terms(rows);
        const auto flush = [&] {
            const std::size_t n = x.size();
            x.resize(rows, -1.0f);
            s->exp_terms(x.data(), terms.data(), rows);
            for (std::size_t i = 0; i < n; ++i) {
                const double exact = std::exp(static_cast<double>(x[i])) * 0x1.d5818dcfba487p60;
                const double error = std::abs(static_cast<double>(terms[i]) / exact - 1) * 0x1p24;
                if (error > found.error) found = {error, x[i]};
            }
            x.clear();
        };
        every_float(-0.0f, -129.0f, [&](float value) {
            x.push_back(value);
            if (x.size() == rows) flush();
        });
        flush();
        std::printf("exp, %s: worst %.4f * 2^-24 at x = %a\n", s->name, found.error, static_cast<double>(found.x));
        EXPECT_LE(found.error, s->fused ? 1.80 : 2.11) << s->name << " x = " << found.x;
    }
}

}  // namespace
}  // namespace softmax_test
