// SPDX-License-Identifier: BSL-1.0

// What is refused: std::invalid_argument, a text that names the function, the argument and both values, and an output
// that nobody has touched.

#include "refusals.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using softmax_test::error_of, softmax_test::expect_mentions;

constexpr float untouched = 42;

void expect_untouched(const std::vector<float>& memory) {
    EXPECT_EQ(memory, std::vector<float>(memory.size(), untouched));
}

/// check(name, function) for the functions that map a row to a row.
template <class Check>
void for_each_elementwise(const Check& check) {
    check("safe_softmax", [](const auto&... arguments) { smx::safe_softmax(arguments...); });
    check("log_softmax", [](const auto&... arguments) { smx::log_softmax(arguments...); });
}

TEST(Errors, LengthsThatDiffer) {
    const std::vector<float> in(37);
    std::vector<float> memory(41, untouched);
    for_each_elementwise([&](const char* name, const auto& f) {
        const std::string text = error_of([&] { f(in, std::span<float>(memory), smx::softmax_options{}); });
        expect_mentions(text, {name, "out", "37", "41"});
        const smx::strided_span<const float> few(in.data(), 13, 2);
        const smx::strided_span<float> more(memory.data(), 14, 2);
        expect_mentions(error_of([&] { f(few, more, smx::softmax_options{}); }), {name, "out", "13", "14"});
    });
    expect_mentions(error_of([&] { smx::naive_softmax(in, memory); }), {"naive_softmax", "out", "37", "41"});
    expect_untouched(memory);
}

TEST(Errors, ExtentsThatDiffer) {
    const std::vector<float> logits(3 * 5 * 7);
    std::vector<float> memory(3 * 6 * 7, untouched);
    const smx::tensor_view<const float, 3> in(logits.data(), {3, 5, 7});
    for_each_elementwise([&](const char* name, const auto& f) {
        for (const std::ptrdiff_t axis : {0, 1, 2}) {
            const smx::tensor_view<float, 3> out(memory.data(), {3, 6, 7});
            const std::string text = error_of([&] { f(in, out, smx::softmax_options{.axis = axis}); });
            expect_mentions(text, {name, "out", "5", "6"});
        }
    });
    expect_untouched(memory);
}

TEST(Errors, ExtentsOfTheReducedTensorThatDiffer) {
    const std::vector<float> logits(13 * 17);
    std::vector<float> memory(13 * 17, untouched);
    const smx::tensor_view<const float, 2> in(logits.data(), {13, 17});
    const smx::tensor_view<float, 1> wrong(memory.data(), {17});
    expect_mentions(error_of([&] { smx::logsumexp(in, wrong, {.axis = 1}); }), {"logsumexp", "out", "13", "17"});
    const smx::tensor_view<float, 2> not_reduced(memory.data(), {13, 17});
    expect_mentions(error_of([&] { smx::logsumexp(in, not_reduced, {.axis = 0}); }), {"logsumexp", "out", "13", "1"});
    expect_untouched(memory);
}

TEST(Errors, AxisOutOfRange) {
    const std::vector<float> logits(6);
    std::vector<float> memory(6, untouched);
    const smx::tensor_view<const float, 2> in(logits.data(), {2, 3});
    const smx::tensor_view<float, 2> out(memory.data(), {2, 3});
    for (const std::ptrdiff_t axis : {std::ptrdiff_t{2}, std::ptrdiff_t{-3}, std::numeric_limits<std::ptrdiff_t>::max(),
                                      std::numeric_limits<std::ptrdiff_t>::min()}) {
        const smx::softmax_options options{.axis = axis};
        for_each_elementwise([&](const char* name, const auto& f) {
            expect_mentions(error_of([&] { f(in, out, options); }), {name, "axis", std::to_string(axis), "2"});
            expect_mentions(error_of([&] { f(out, options); }), {name, "axis", std::to_string(axis), "2"});
            expect_mentions(error_of([&] { f(logits, std::span<float>(memory), options); }),
                            {name, "axis", std::to_string(axis), "1"});
        });
        const smx::tensor_view<float, 1> reduced(memory.data(), {2});
        expect_mentions(error_of([&] { smx::logsumexp(in, reduced, options); }),
                        {"logsumexp", "axis", std::to_string(axis)});
        expect_mentions(error_of([&] { (void)smx::logsumexp(logits, options); }),
                        {"logsumexp", "axis", std::to_string(axis)});
    }
    expect_untouched(memory);
}

TEST(Errors, ScaleThatIsNotFinite) {
    const std::vector<float> logits(6);
    std::vector<float> memory(6, untouched);
    constexpr double inf = std::numeric_limits<double>::infinity();
    for (const double scale : {inf, -inf, std::numeric_limits<double>::quiet_NaN()}) {
        const smx::softmax_options options{.scale = scale};
        const std::string value = scale == inf ? "inf" : scale == -inf ? "-inf" : "nan";
        for_each_elementwise([&](const char* name, const auto& f) {
            expect_mentions(error_of([&] { f(logits, std::span<float>(memory), options); }), {name, "scale", value});
            expect_mentions(error_of([&] { f(std::span<float>(memory), options); }), {name, "scale", value});
        });
        expect_mentions(error_of([&] { (void)smx::logsumexp(logits, options); }), {"logsumexp", "scale", value});
    }
    expect_untouched(memory);
}

TEST(Errors, ZeroStrideInTheOutput) {
    const std::vector<float> logits(15);
    std::vector<float> memory(15, untouched);
    const smx::tensor_view<const float, 2> in(logits.data(), {3, 5});
    for_each_elementwise([&](const char* name, const auto& f) {
        const smx::strided_span<float> one(memory.data(), 15, 0);
        expect_mentions(error_of([&] { f(logits, one, smx::softmax_options{}); }), {name, "out", "stride", "0", "15"});
        expect_mentions(error_of([&] { f(one, smx::softmax_options{}); }), {name, "stride", "0", "15"});
        for (const std::ptrdiff_t axis : {0, 1}) {
            const smx::tensor_view<float, 2> rows(memory.data(), {3, 5}, {0, 1}),
                columns(memory.data(), {3, 5}, {5, 0});
            expect_mentions(error_of([&] { f(in, rows, smx::softmax_options{.axis = axis}); }),
                            {name, "out", "stride", "0", "3"});
            expect_mentions(error_of([&] { f(in, columns, smx::softmax_options{.axis = axis}); }),
                            {name, "out", "stride", "0", "5"});
            expect_mentions(error_of([&] { f(rows, smx::softmax_options{.axis = axis}); }), {name, "stride", "0", "3"});
        }
    });
    const smx::tensor_view<float, 1> reduced(memory.data(), {3}, {0});
    expect_mentions(error_of([&] { smx::logsumexp(in, reduced, {.axis = 1}); }),
                    {"logsumexp", "out", "stride", "0", "3"});
    expect_untouched(memory);
}

TEST(Errors, ExtentsWhoseProductOverflows) {
    float one = untouched;
    constexpr std::size_t big = std::size_t{1} << (5 * sizeof(std::size_t));
    const smx::tensor_view<float, 3> view(&one, {big, big, std::size_t{2}}),
        strided(&one, {big, big, std::size_t{2}}, {1, 1, 1});
    const smx::tensor_view<const float, 3> in(view);
    for_each_elementwise([&](const char* name, const auto& f) {
        for (const std::ptrdiff_t axis : {0, 1, 2}) {
            const smx::softmax_options options{.axis = axis};
            expect_mentions(error_of([&] { f(in, view, options); }), {name, std::to_string(big)});
            expect_mentions(error_of([&] { f(view, options); }), {name, std::to_string(big)});
            expect_mentions(error_of([&] { f(strided, options); }), {name, std::to_string(big)});
        }
    });
    const smx::tensor_view<float, 2> reduced(&one, {big, big});
    expect_mentions(error_of([&] { smx::logsumexp(in, reduced, {}); }), {"logsumexp", std::to_string(big)});
    EXPECT_EQ(one, untouched);
}

TEST(Errors, ExtentsWhoseProductOverflowsInTheFamily) {
    float one = untouched;
    constexpr std::size_t big = std::size_t{1} << (5 * sizeof(std::size_t));
    const smx::tensor_view<float, 3> out(&one, {big, big, std::size_t{2}});
    const smx::tensor_view<const float, 3> in(&one, {big, big, std::size_t{2}}, {0, 0, 0});
    const smx::tensor_view<float, 2> losses(&one, {big, big});
    const std::string size = std::to_string(big);
    expect_mentions(error_of([&] { smx::masked_softmax(in, out, {.causal = true}); }), {"masked_softmax", size});
    expect_mentions(error_of([&] { smx::masked_softmax(in, in, out); }), {"masked_softmax", size});
    expect_mentions(error_of([&] { smx::softmax_backward(in, in, out); }), {"softmax_backward", size});
    expect_mentions(error_of([&] { smx::log_softmax_backward(in, out); }), {"log_softmax_backward", size});
    expect_mentions(error_of([&] { smx::cross_entropy(in, in, losses); }), {"cross_entropy", size});
    expect_mentions(error_of([&] { smx::softmin(in, out); }), {"softmin", size});
    expect_mentions(error_of([&] { smx::logaddexp(in, in, out); }), {"logaddexp", size});
    EXPECT_EQ(one, untouched);
}

TEST(Errors, ABadOptionIsAnErrorEvenWithoutElements) {
    const std::vector<float> in;
    std::vector<float> out;
    EXPECT_THROW(smx::safe_softmax(in, out, {.axis = 1}), std::invalid_argument);
    EXPECT_THROW(smx::log_softmax(in, out, {.scale = std::numeric_limits<double>::infinity()}), std::invalid_argument);
    EXPECT_THROW((void)smx::logsumexp(in, {.axis = -2}), std::invalid_argument);
}

}  // namespace
