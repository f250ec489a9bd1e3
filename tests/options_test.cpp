// SPDX-License-Identifier: BSL-1.0

// Each option changes what it says: every expectation here fails when the option is ignored.

#include "memory.hpp"
#include "reference.hpp"
#include "subjects.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace softmax_test {
namespace {

std::vector<double> apply(const subject& s, function f, dtype type, bool in_place, const std::vector<double>& logits,
                          std::vector<std::size_t> extents, const smx::softmax_options& options) {
    const guarded_memory from(tensor_view(type, extents)), to(tensor_view(type, extents));
    store_all(from.elements(), logits);
    if (in_place) s.in_place(f, from.elements(), options);
    else s.out_of_place(f, from.elements(), to.elements(), options);
    return load_all(in_place ? from.elements() : to.elements());
}

class Options : public testing::TestWithParam<dtype> {
protected:
    template <class Check>
    void everywhere(const Check& check) {
        for (const subject* s : runnable_subjects()) {
            for (const bool in_place : {false, true}) check(*s, GetParam(), in_place);
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Type, Options, testing::ValuesIn(all_dtypes),
                         [](const auto& type) { return std::string(name_of(type.param)); });

constexpr double inf = std::numeric_limits<double>::infinity();

TEST_P(Options, AxisChoosesTheDirection) {
    everywhere([](const subject& s, dtype type, bool in_place) {
        const std::vector<double> logits = {0, 0, -inf, 0};  // 2 x 2
        const std::vector<double> rows = {0.5, 0.5, 0, 1}, columns = {1, 0.5, 0, 0.5};
        for (const std::ptrdiff_t axis : {1, -1}) {
            EXPECT_EQ(apply(s, function::softmax, type, in_place, logits, {2, 2}, {.axis = axis}), rows) << s.name;
        }
        for (const std::ptrdiff_t axis : {0, -2}) {
            EXPECT_EQ(apply(s, function::softmax, type, in_place, logits, {2, 2}, {.axis = axis}), columns) << s.name;
        }
        EXPECT_EQ(apply(s, function::softmax, type, in_place, logits, {2, 2}, {}), rows) << s.name;
        const std::vector<double> log_columns =
            apply(s, function::log_softmax, type, in_place, logits, {2, 2}, {.axis = 0});
        EXPECT_EQ(log_columns[0], 0) << s.name;
        EXPECT_EQ(log_columns[2], -inf) << s.name;
    });
}

TEST_P(Options, ScaleMultipliesTheLogits) {
    everywhere([](const subject& s, dtype type, bool in_place) {
        const std::vector<double> logits = {0, 1, 3};
        for (const double scale : {2.0, 0.5, -1.0, 0.0}) {
            const reference exact(logits, scale);
            for (const function f : {function::softmax, function::log_softmax}) {
                const std::vector<double> result = apply(s, f, type, in_place, logits, {3}, {.scale = scale});
                for (std::size_t i = 0; i < 3; ++i) {
                    EXPECT_LE(error_in_ulp(f, type, type, result[i], exact.of(f, logits[i])), documented_bound(f, type))
                        << s.name << " " << name_of(f) << " scale " << scale << " [" << i << "]";
                }
            }
        }
    });
}

TEST_P(Options, ScaleMultipliesTheLogitsOfLogsumexp) {
    for (const subject* s : runnable_subjects()) {
        const std::vector<double> logits = {0, 1, 3};
        for (const double scale : {2.0, -1.0, 0.0}) {
            const guarded_memory from(span_view(GetParam(), 3));
            store_all(from.elements(), logits);
            std::byte result[8];
            s->returned_logsumexp(from.elements(), result, {.scale = scale});
            const reference exact(logits, scale);
            EXPECT_LE(
                error_in_ulp(GetParam(), load(GetParam(), result, 0), exact.logsumexp(), exact.logsumexp_magnitude()),
                documented_bound(function::logsumexp, GetParam()))
                << s->name << " scale " << scale;
        }
    }
}

TEST_P(Options, ScaleIsNotRoundedToTheElementType) {
    // 1/3 rounded to float, times 240, makes exp(-80) wrong by 40 ulp; rounded to float16, times 20, by more than one.
    everywhere([](const subject& s, dtype type, bool in_place) {
        const std::vector<double> logits = {0, type == dtype::f16 ? 20.0 : 240.0};
        const double scale = 1.0 / 3;
        const reference exact(logits, scale);
        const std::vector<double> result = apply(s, function::softmax, type, in_place, logits, {2}, {.scale = scale});
        EXPECT_LE(error_in_ulp(function::softmax, type, type, result[0], exact.softmax(0)),
                  documented_bound(function::softmax, type))
            << s.name;
    });
}

TEST_P(Options, SpecialChoosesWhatARowWithoutAnAnswerGives) {
    everywhere([](const subject& s, dtype type, bool in_place) {
        for (const std::vector<double>& logits : {std::vector<double>{-inf, -inf}, {inf, 0}}) {
            for (const function f : {function::softmax, function::log_softmax}) {
                const auto safe = apply(s, f, type, in_place, logits, {2}, {.special = smx::special_values::safe});
                const auto ieee = apply(s, f, type, in_place, logits, {2}, {.special = smx::special_values::ieee});
                const auto by_default = apply(s, f, type, in_place, logits, {2}, {});
                EXPECT_EQ(by_default, safe) << s.name;
                for (std::size_t i = 0; i < 2; ++i) {
                    EXPECT_FALSE(is_nan(safe[i])) << s.name;
                    EXPECT_TRUE(is_nan(ieee[i])) << s.name;
                }
            }
        }
    });
}

}  // namespace
}  // namespace softmax_test
