// SPDX-License-Identifier: BSL-1.0

// Every result within the documented number of ulps of the real one, for every length, input family, scale and pair of
// types. Each test prints the worst error it saw and the row that gave it.

#include "accuracy.hpp"
#include "memory.hpp"
#include "reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace softmax_test {
namespace {

const double scales[] = {1,      0.125, 0.11180339887498948 /* 1/sqrt(80) */, 0.7, 3, -1, 0, 1e-30, 1e30, -0.3,
                         1e-300, 1e300};
constexpr std::size_t scale_count = sizeof scales / sizeof scales[0];

class Accuracy : public testing::TestWithParam<dtype> {
protected:
    void TearDown() override {
        report.print();
        EXPECT_EQ(report.violations(), "");
    }
    void measure(family kind, std::size_t n, double scale) {
        report.measure({kind, GetParam(), n, base_seed(), scale}, all_dtypes);
    }

    accuracy_report report;
};

INSTANTIATE_TEST_SUITE_P(Input, Accuracy, testing::ValuesIn(all_dtypes),
                         [](const auto& input) { return std::string(name_of(input.param)); });

TEST_P(Accuracy, RowsOfUpTo40ElementsAtEveryScale) {
    for (std::size_t n = 0; n <= 40; ++n) {
        for (const family kind : all_families) {
            for (const double scale : scales) measure(kind, n, scale);
        }
    }
}

TEST_P(Accuracy, RowsOf41To300Elements) {
    for (std::size_t n = 41; n <= 300; ++n) {
        for (const family kind : all_families) {
            measure(kind, n, 1);
            measure(kind, n, scales[1 + (n + static_cast<std::size_t>(kind)) % (scale_count - 1)]);
        }
    }
}

TEST_P(Accuracy, LongRows) {
    for (const std::size_t n : {1000u, 4096u, 32000u}) {
        for (const family kind : all_families) {
            measure(kind, n, 1);
            measure(kind, n, scales[1 + (n + static_cast<std::size_t>(kind)) % (scale_count - 1)]);
        }
    }
    for (const family kind :
         {family::normal_3, family::normal_10, family::uniform_80, family::ties, family::plus_1e3}) {
        measure(kind, 128256, 1);
    }
    measure(family::normal_10, 128256, 0.125);
}

// The type of the input is the type of the output here: a row takes seconds in long double.
class LargeRowAccuracy : public Accuracy {
protected:
    void measure(family kind, std::size_t n, double scale) {
        const dtype outputs[] = {GetParam()};
        report.measure({kind, GetParam(), n, base_seed(), scale}, outputs);
    }
};

INSTANTIATE_TEST_SUITE_P(Input, LargeRowAccuracy, testing::ValuesIn(all_dtypes),
                         [](const auto& input) { return std::string(name_of(input.param)); });

TEST_P(LargeRowAccuracy, AMillionElements) {
    measure(family::normal_3, 1u << 20, 1);
    measure(family::uniform_80, 1u << 20, 0.7);
    measure(family::equal, 1u << 20, 1);
}

TEST_P(LargeRowAccuracy, MillionsOfElements) {
    measure(family::normal_3, 5u << 20, 1);  // its sum has segments of twice the usual length
}

TEST(LogSoftmax, OfTheWinnerIsNotRoundedToZero) {
    for (const subject* s : runnable_subjects()) {
        const float logits[] = {20, 0};
        float result[] = {7, 7};
        view in = span_view(dtype::f32, 2), out = in;
        in.data = const_cast<float*>(logits);
        out.data = result;
        s->out_of_place(function::log_softmax, in, out, {});
        EXPECT_LE(error_in_ulp(dtype::f32, static_cast<double>(result[0]), -2.061153620314380703e-9L, 2e-9L), 3)
            << s->name;
    }
}

}  // namespace
}  // namespace softmax_test
