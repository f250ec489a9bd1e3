// SPDX-License-Identifier: BSL-1.0

// Softmax and LogSoftmax of ONNX, opset 13: along one axis, -1 without an attribute, negative ones counted from the back; all
// else is a batch. (Before opset 13 the input was flattened to two axes, at `axis`.) The operators' definition:
// https://onnx.ai/onnx/operators/onnx__Softmax.html

#include "rows_for_neighbours.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace neighbours {
namespace {

/// Softmax(input, axis): what a runtime would put around the library.
template <class T>
std::vector<T> run(const std::string& op, const std::vector<T>& in, const std::vector<std::size_t>& shape,
                   std::optional<std::ptrdiff_t> axis) {
    std::vector<T> out(in.size());
    const smx::const_dynamic_view x(in.data(), smx::format_of<T>, shape);
    const smx::dynamic_view y(out.data(), smx::format_of<T>, shape);
    const smx::softmax_options options{.axis = axis.value_or(-1)};
    if (op == "Softmax") smx::safe_softmax(x, y, options);
    else smx::log_softmax(x, y, options);
    return out;
}

struct example {
    std::string op;
    std::vector<std::size_t> shape;
    std::optional<std::ptrdiff_t> axis;
    std::vector<float> in, out;  // out to seven digits
};

TEST(Onnx, NumbersOfTheOperatorsExamples) {
    const example table[] = {
        {"Softmax", {1, 3}, {}, {-1, 0, 1}, {0.09003058f, 0.24472848f, 0.66524094f}},
        {"LogSoftmax", {1, 3}, {}, {-1, 0, 1}, {-2.4076059f, -1.4076059f, -0.40760595f}},
        {"Softmax",
         {2, 4},
         {},
         {0, 1, 2, 3, 10000, 10001, 10002, 10003},
         {0.0320586f, 0.08714432f, 0.23688284f, 0.6439143f, 0.0320586f, 0.08714432f, 0.23688284f, 0.6439143f}},
        {"LogSoftmax",
         {2, 4},
         {},
         {0, 1, 2, 3, 10000, 10001, 10002, 10003},
         {-3.4401897f, -2.4401897f, -1.4401897f, -0.44018969f, -3.4401897f, -2.4401897f, -1.4401897f, -0.44018969f}},
        {"Softmax", {2, 2}, 0, {0, 1, 1, 0}, {0.26894143f, 0.73105854f, 0.73105854f, 0.26894143f}},
        {"Softmax", {3}, 0, {5, 5, 5}, {0.33333334f, 0.33333334f, 0.33333334f}},
        {"Softmax", {1, 1}, {}, {-7}, {1}},
        {"LogSoftmax", {1, 1}, {}, {-7}, {0}},
    };
    for (const example& e : table) {
        const std::vector<float> out = run(e.op, e.in, e.shape, e.axis);
        for (std::size_t i = 0; i < out.size(); ++i)
            EXPECT_NEAR(out[i], e.out[i], 2e-7 * std::max(1.0f, std::abs(e.out[i]))) << e.op << ' ' << i;
    }
}

/// Every axis of shapes with 1 to 5 axes, in the four types that the operators have, against long double row by row.
template <class T>
void expect_definition(const std::string& op, const std::vector<std::size_t>& shape,
                       std::optional<std::ptrdiff_t> attribute) {
    const std::size_t axis = static_cast<std::size_t>(
        attribute.value_or(-1) < 0 ? attribute.value_or(-1) + static_cast<std::ptrdiff_t>(shape.size()) : *attribute);
    std::size_t count = 1, inner = 1;
    for (const std::size_t n : shape) count *= n;
    for (std::size_t d = axis + 1; d < shape.size(); ++d) inner *= shape[d];
    const std::vector<T> in = logits<T>(1, count, false);
    const std::vector<T> out = run(op, in, shape, attribute);
    const softmax_test::function f =
        op == "Softmax" ? softmax_test::function::softmax : softmax_test::function::log_softmax;
    for (std::size_t row = 0; row < count / shape[axis]; ++row) {
        const std::size_t first = row / inner * inner * shape[axis] + row % inner;
        std::vector<double> values;
        for (std::size_t i = 0; i < shape[axis]; ++i) values.push_back(to_double(in[first + i * inner]));
        const softmax_test::reference exact(values, 1);
        for (std::size_t i = 0; i < shape[axis]; ++i) {
            const double error = softmax_test::error_in_ulp(f, dtype_of<T>, dtype_of<T>,
                                                            to_double(out[first + i * inner]), exact.of(f, values[i]));
            ASSERT_LE(error, softmax_test::documented_bound(f, dtype_of<T>))
                << op << " axis " << axis << " row " << row << " element " << i;
        }
    }
}

TEST(Onnx, EveryAxisOfEveryShapeAndType) {
    const std::vector<std::vector<std::size_t>> shapes = {{7},           {3, 4},          {3, 4, 5},
                                                          {2, 1, 3, 33}, {2, 3, 1, 5, 4}, {1, 1000}};
    for (const std::string op : {"Softmax", "LogSoftmax"}) {
        for (const std::vector<std::size_t>& shape : shapes) {
            const std::ptrdiff_t rank = static_cast<std::ptrdiff_t>(shape.size());
            std::vector<std::optional<std::ptrdiff_t>> attributes = {std::nullopt};
            for (std::ptrdiff_t axis = -rank; axis < rank; ++axis) attributes.push_back(axis);
            for (const std::optional<std::ptrdiff_t>& axis : attributes) {
                expect_definition<float>(op, shape, axis);
                expect_definition<double>(op, shape, axis);
                expect_definition<smx::float16>(op, shape, axis);
                expect_definition<smx::bfloat16>(op, shape, axis);
            }
        }
    }
}

TEST(Onnx, AxesOutOfRangeAreRefused) {
    const std::vector<float> in(12);
    for (const std::ptrdiff_t axis : {-4, 3}) EXPECT_THROW(run("Softmax", in, {2, 3, 2}, axis), std::invalid_argument);
}

}  // namespace
}  // namespace neighbours
