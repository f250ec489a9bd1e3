// SPDX-License-Identifier: BSL-1.0

// The gradients of softmax and log_softmax: against long double, against finite differences, special values, layouts, bits.

#include "array_of.hpp"
#include "backward_reference.hpp"
#include "caller_environment.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"
#include "worst_error.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace softmax_test {
namespace {

using numbers = std::vector<double>;
using sizes = std::vector<std::size_t>;
using smx::detail::job_function;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

constexpr job_function all_functions[] = {job_function::softmax_backward, job_function::log_softmax_backward,
                                          job_function::masked_log_softmax_backward};

const char* name_of(job_function f) {
    return f == job_function::softmax_backward       ? "softmax_backward"
           : f == job_function::log_softmax_backward ? "log_softmax_backward"
                                                     : "masked_log_softmax_backward";
}

void call(job_function f, const view& y, const view& dy, const view& dx, const smx::softmax_options& options = {}) {
    const caller_environment environment;
    smx::detail::run_backward(name_of(f), f, array_of(y), array_of(dy), array_of(dx), "dx", options);
}

numbers rounded_to(dtype type, numbers values) {
    for (double& v : values) v = rounded_to(type, v);
    return values;
}

/// Probabilities, or their logarithms, in the type that is asked for.
numbers make_y(job_function f, dtype type, const numbers& logits) {
    numbers y(logits.size());
    if (f == job_function::softmax_backward) smx::safe_softmax(logits, y);
    else smx::log_softmax(logits, y);
    return rounded_to(type, y);
}

numbers make_dy(dtype type, std::size_t n, std::uint64_t seed, double size = 1) {
    generator random(seed);
    numbers dy(n);
    for (double& d : dy) d = size * random.normal();
    return rounded_to(type, dy);
}

/// One row: y and dy in, dx out.
numbers gradient(job_function f, dtype y_type, dtype dy_type, dtype dx_type, const numbers& y, const numbers& dy,
                 const smx::softmax_options& options = {}) {
    const guarded_memory from_y(span_view(y_type, y.size())), from_dy(span_view(dy_type, y.size())),
        to(span_view(dx_type, y.size()));
    store_all(from_y.elements(), y);
    store_all(from_dy.elements(), dy);
    call(f, from_y.elements(), from_dy.elements(), to.elements(), options);
    EXPECT_EQ(to.damage(), "");
    return load_all(to.elements());
}
numbers gradient(job_function f, const numbers& y, const numbers& dy, const smx::softmax_options& options = {}) {
    return gradient(f, dtype::f64, dtype::f64, dtype::f64, y, dy, options);
}

void check_row(job_function f, dtype y_type, dtype dy_type, dtype dx_type, const numbers& y, const numbers& dy,
               double scale, worst_error& worst) {
    const numbers dx = gradient(f, y_type, dy_type, dx_type, y, dy, {.scale = scale});
    const exact_gradient exact(f, y, dy, scale);
    const bool wide = y_type == dtype::f64 || dy_type == dtype::f64 || dx_type == dtype::f64;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const long double error = std::abs(static_cast<long double>(dx[i]) - exact.at(i));
        const double of_bound = static_cast<double>(error / exact.bound(i, dx_type, wide));
        const auto where = [&] {
            std::ostringstream text;
            text.precision(17);
            text << name_of(f) << " " << softmax_test::name_of(y_type) << " " << softmax_test::name_of(dy_type)
                 << " to " << softmax_test::name_of(dx_type) << " n " << y.size() << " scale " << scale << " element "
                 << i << " y " << y[i] << " dy " << dy[i] << " is " << dx[i] << " not "
                 << static_cast<double>(exact.at(i));
            return text.str();
        };
        worst.take(of_bound, where);
        ASSERT_LE(of_bound, 1) << where();
    }
}

TEST(Backward, RightToTheDocumentedBoundInEveryMixtureOfTypes) {
    std::map<std::pair<job_function, dtype>, worst_error> worst;
    on_every_isa([&](smx::isa) {
        for (const job_function f : all_functions)
            for (const dtype y_type : all_dtypes)
                for (const dtype dy_type : all_dtypes)
                    for (const dtype dx_type : all_dtypes)
                        for (const std::size_t n : sizes{1, 2, 7, 8, 9, 31, 32, 33, 100, 1000, 5003}) {
                            const double size = dx_type == dtype::f16 ? 1e3 : 1;  // away from the subnormal numbers
                            const numbers y =
                                make_y(f, y_type, make_row(family::normal_3, dtype::f32, n, base_seed() + n));
                            const numbers dy = make_dy(dy_type, n, base_seed() + 7 * n, size);
                            check_row(f, y_type, dy_type, dx_type, y, dy, n % 2 == 0 ? 1.0 : -0.3, worst[{f, dx_type}]);
                            if (HasFatalFailure()) return;
                        }
    });
    for (const auto& [of, seen] : worst) std::printf("%.3f of the bound: %s\n", seen.error, seen.where.c_str());
}

TEST(Backward, DigitsSurviveCancellation) {
    // All dy but one are nearly the same large number: dy - sum is small.
    for (const job_function f : all_functions) {
        for (const dtype type : {dtype::f32, dtype::f64}) {
            const std::size_t n = 1000;
            numbers dy = make_dy(type, n, base_seed(), 1e-3);
            for (double& d : dy) d += 1e4;
            worst_error worst;
            check_row(f, type, type, type, make_y(f, type, make_row(family::normal_3, dtype::f32, n, 5)),
                      rounded_to(type, dy), 1, worst);
        }
    }
}

TEST(Backward, AgreesWithFiniteDifferences) {
    const std::size_t n = 11;
    const numbers logits = make_row(family::normal_1, dtype::f64, n, base_seed());
    const numbers dy = make_dy(dtype::f64, n, base_seed() + 1);
    constexpr double scale = 0.7, step = 1e-6;
    for (const job_function f : all_functions) {
        const auto forward = [&](const numbers& x) {
            numbers out(n);
            if (f == job_function::softmax_backward) smx::safe_softmax(x, out, {.scale = scale});
            else smx::log_softmax(x, out, {.scale = scale});
            return out;
        };
        const numbers dx = gradient(f, forward(logits), dy, {.scale = scale});
        for (std::size_t i = 0; i < n; ++i) {
            numbers up = logits, down = logits;
            up[i] += step;
            down[i] -= step;
            const numbers above = forward(up), below = forward(down);
            double expected = 0;
            for (std::size_t j = 0; j < n; ++j) expected += dy[j] * (above[j] - below[j]) / (up[i] - down[i]);
            EXPECT_NEAR(dx[i], expected, 1e-8) << name_of(f) << " " << i;
        }
    }
}

TEST(Backward, PublicFunctionsInAllTheirForms) {
    const numbers logits = make_row(family::normal_1, dtype::f64, 6, base_seed());
    const numbers dy = make_dy(dtype::f64, 6, base_seed());
    const auto both = [&](job_function f, const auto& out_of_place, const auto& in_place) {
        const numbers y = make_y(f, dtype::f64, logits);
        const numbers expected = gradient(f, y, dy, {.scale = 3});
        numbers dx(6), inout = dy, over_y = y;
        out_of_place(y, dy, dx);
        in_place(y, inout);
        out_of_place(over_y, dy, over_y);
        EXPECT_EQ(dx, expected);
        EXPECT_EQ(inout, expected);
        EXPECT_EQ(over_y, expected);
        EXPECT_NE(expected, gradient(f, y, dy));
    };
    const smx::softmax_options by_3{.scale = 3};
    both(
        job_function::softmax_backward,
        [&](const numbers& y, const numbers& d, numbers& dx) { smx::softmax_backward(y, d, dx, by_3); },
        [&](const numbers& y, numbers& d) { smx::softmax_backward(y, d, by_3); });
    const smx::masked_options masked_by_3{.scale = 3};
    both(
        job_function::softmax_backward,
        [&](const numbers& y, const numbers& d, numbers& dx) { smx::masked_softmax_backward(y, d, dx, masked_by_3); },
        [&](const numbers& y, numbers& d) { smx::masked_softmax_backward(y, d, masked_by_3); });
    both(
        job_function::log_softmax_backward,
        [&](const numbers& y, const numbers& d, numbers& dx) { smx::log_softmax_backward(y, d, dx, by_3); },
        [&](const numbers& y, numbers& d) { smx::log_softmax_backward(y, d, by_3); });
    both(
        job_function::masked_log_softmax_backward,
        [&](const numbers& y, const numbers& d, numbers& dx) {
            smx::masked_log_softmax_backward(y, d, dx, masked_by_3);
        },
        [&](const numbers& y, numbers& d) { smx::masked_log_softmax_backward(y, d, masked_by_3); });
}

TEST(Backward, MaskedOutElementsGiveZeroAndDoNotCount) {
    for (const dtype type : all_dtypes) {
        for (const double poison : {nan, inf, -inf, 5.0}) {
            const numbers y = rounded_to(type, {0.25, 0, 0.5, 0.25, 0}), dy{1, poison, 2, -1, poison};
            const numbers dx = gradient(job_function::softmax_backward, type, type, type, y, dy, {.scale = -2});
            EXPECT_EQ(dx, (numbers{0, 0, -1, 1, 0}));
            EXPECT_TRUE(is_positive_zero(dx[1]) && is_positive_zero(dx[4]));
            const numbers log_y{-inf, 0, -inf}, log_dy{poison, 3, poison};
            const numbers log_dx =
                gradient(job_function::masked_log_softmax_backward, type, type, type, log_y, log_dy, {.scale = -1});
            EXPECT_TRUE(is_positive_zero(log_dx[0]) && is_positive_zero(log_dx[2]));
            EXPECT_EQ(log_dx[1], 0);
        }
    }
}

TEST(Backward, ZeroRowHasZeroGradient) {
    for (const std::size_t n : sizes{1, 8, 40, 6000}) {
        numbers dy = make_dy(dtype::f64, n, 1);
        dy[n / 2] = nan;
        EXPECT_EQ(gradient(job_function::softmax_backward, numbers(n, 0.0), dy), numbers(n, 0.0));
        EXPECT_EQ(gradient(job_function::masked_log_softmax_backward, numbers(n, -inf), dy), numbers(n, 0.0));
    }
}

TEST(Backward, ProbabilityZeroPassesTheGradientOfALogarithmOn) {
    const numbers dx = gradient(job_function::log_softmax_backward, {-inf, 0, -inf}, {2, 3, nan}, {.scale = 10});
    EXPECT_EQ(dx[0], 20);
    EXPECT_TRUE(is_nan(dx[1]));  // 3 - 1 * (2 + 3 + NaN)
    EXPECT_TRUE(is_nan(dx[2]));
    EXPECT_EQ(gradient(job_function::log_softmax_backward, {-inf, 0}, {2, 3}), (numbers{2, -2}));
}

void expect_row(const numbers& actual, const numbers& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (is_nan(expected[i])) EXPECT_TRUE(is_nan(actual[i])) << i << " is " << actual[i];
        else EXPECT_EQ(actual[i], expected[i]) << i;
    }
}

TEST(Backward, NanGoesToWhereTheTableSays) {
    expect_row(gradient(job_function::softmax_backward, {0.5, 0.5, 0}, {nan, 1, 2}), {nan, nan, 0});
    expect_row(gradient(job_function::softmax_backward, {nan, nan, nan}, {1, 1, 2}), {nan, nan, nan});
    expect_row(gradient(job_function::log_softmax_backward, {nan, 0, -inf}, {1, 1, 2}), {nan, 1 - 4, 2});
    expect_row(gradient(job_function::masked_log_softmax_backward, {-1, -1, -inf}, {1, nan, nan}), {nan, nan, 0});
}

TEST(Backward, InfiniteGradientsGiveTheLimit) {
    for (const dtype type : all_dtypes) {
        const auto softmax = [&](const numbers& y, const numbers& dy, double scale = 1) {
            return gradient(job_function::softmax_backward, type, type, type, y, dy, {.scale = scale});
        };
        expect_row(softmax({0.5, 0.25, 0.25, 0}, {inf, 1, 2, 3}), {inf, -inf, -inf, 0});
        expect_row(softmax({0.5, 0.25, 0.25, 0}, {inf, 1, 2, 3}, -1), {-inf, inf, inf, 0});
        expect_row(softmax({0.5, 0.25, 0.25, 0}, {inf, 1, 2, 3}, 0), {0, 0, 0, 0});
        expect_row(softmax({0.5, 0.25, 0.25}, {-inf, inf, 2}), {-inf, inf, inf});
        expect_row(softmax({0.25, 0.25, 0.5}, {-inf, inf, 2}), {-inf, inf, 0});
        expect_row(softmax({0.5, 0.5, 0}, {inf, inf, 2}), {0, 0, 0});
        expect_row(softmax({1, 0}, {inf, -inf}), {0, 0});
        const auto logs = [&](const numbers& y, const numbers& dy) {
            return gradient(job_function::log_softmax_backward, type, type, type, y, dy, {});
        };
        expect_row(logs({0, -inf, -inf}, {inf, 4, inf}), {-inf, 4, inf});
        expect_row(logs({0, -inf}, {inf, 4}), {0, 4});
        expect_row(logs({-1, -1, -1}, {inf, -inf, 4}), {inf, -inf, 4});
    }
}

TEST(Backward, NothingOverflowsThatIsInRange) {
    constexpr double most = std::numeric_limits<double>::max();
    const auto near = [](const numbers& actual, const numbers& expected) {
        for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i] / expected[i], 1, 1e-15) << i;
    };
    // dy - sum is twice the largest number.
    near(gradient(job_function::softmax_backward, {0.5, 0.5}, {most, -most}), {most / 2, -most / 2});
    near(gradient(job_function::softmax_backward, {0.25, 0.75}, {most, -most}, {.scale = 0.5}),
         {most / 16 * 3, -most / 16 * 3});
    // The sum alone is beyond the range.
    near(gradient(job_function::log_softmax_backward, {std::log(0.25), std::log(0.25), std::log(0.5)},
                  {most, most, most}, {.scale = 0.5}),
         {most / 8, most / 8, -most / 4});
    expect_row(gradient(job_function::log_softmax_backward, {-inf, 0, 0}, {most, most, most}, {.scale = 0}), {0, 0, 0});
    near(gradient(job_function::softmax_backward, {0.5, 0.5}, {0x1p-1000, -0x1p-1000}, {.scale = 0x1p1023}),
         {0x1p22, -0x1p22});
    near(gradient(job_function::softmax_backward, dtype::f32, dtype::f32, dtype::f64, {0.5, 0.5},
                  {0x1.fffffep127, -0x1.fffffep127}),
         {0x1.fffffep126, -0x1.fffffep126});
}

/// Bits of a tensor whose rows are made of `y` and `dy`.
std::vector<std::uint64_t> bits_of(job_function f, dtype type, view y_layout, view dy_layout, view dx_layout,
                                   std::size_t axis, const numbers& y, const numbers& dy, std::size_t misalignment) {
    y_layout.type = dy_layout.type = dx_layout.type = type;
    const guarded_memory from_y(y_layout, misalignment), from_dy(dy_layout, misalignment / 2),
        to(dx_layout, misalignment);
    store_all(from_y.elements(), y);
    store_all(from_dy.elements(), dy);
    call(f, from_y.elements(), from_dy.elements(), to.elements(),
         {.axis = static_cast<std::ptrdiff_t>(axis), .scale = 1.3});
    EXPECT_EQ(to.damage(), "");
    return load_all_bits(to.elements());
}

TEST(Backward, SameBitsOnEveryPathAxisStrideBatchAndInstructionSet) {
    for (const job_function f : all_functions) {
        for (const dtype type : all_dtypes) {
            for (const std::size_t n : sizes{1, 3, 8, 33, 70, 1000, 4097}) {
                constexpr std::size_t rows = 71;
                numbers y, dy;
                std::vector<std::uint64_t> expected;
                smx::set_active_isa(fused_isas().empty() ? all_isas().front() : fused_isas().front());
                for (std::size_t r = 0; r < rows; ++r) {
                    const numbers one_y = make_y(f, type, make_row(family::normal_3, dtype::f32, n, base_seed() + r));
                    numbers one_dy = make_dy(type, n, base_seed() + r);
                    if (r == 70) one_dy[n / 2] = inf;  // a special row in its tile
                    y.insert(y.end(), one_y.begin(), one_y.end());
                    dy.insert(dy.end(), one_dy.begin(), one_dy.end());
                    const view row = tensor_view(type, {n});
                    const auto bits = bits_of(f, type, row, row, row, 0, one_y, one_dy, 0);
                    expected.insert(expected.end(), bits.begin(), bits.end());
                }
                // Row-major in the test's order: the axis is the last one, wherever its elements lie in memory.
                const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(n), count = rows;
                const view batch = tensor_view(type, {rows, n}), columns = tensor_view(type, {rows, n}, {1, count});
                const view apart = tensor_view(type, {rows, n}, {1, count + 5}),
                           spread = tensor_view(type, {rows, n}, {3 * length, 3});
                const view backwards = tensor_view(type, {rows, n}, {-length, 1});
                on_every_fused_isa([&](smx::isa level) {
                    for (const auto& [a, b, c] : {std::array{batch, batch, batch},
                                                  {columns, columns, columns},
                                                  {apart, columns, apart},
                                                  {columns, batch, spread},
                                                  {backwards, spread, batch}}) {
                        EXPECT_EQ(bits_of(f, type, a, b, c, 1, y, dy, n % 3), expected)
                            << name_of(f) << " " << softmax_test::name_of(type) << " n " << n << " "
                            << smx::name_of(level);
                    }
                });
            }
        }
    }
}

TEST(Backward, InPlaceOverEitherInputAndAxisOfTheMiddle) {
    for (const job_function f : all_functions) {
        for (const dtype type : all_dtypes) {
            const view shape = tensor_view(type, {3, 40, 9});
            const numbers y = make_y(f, type, make_row(family::normal_3, dtype::f32, 3 * 40 * 9, base_seed()));
            const numbers dy = make_dy(type, y.size(), base_seed());
            const guarded_memory from_y(shape), from_dy(shape), to(shape);
            store_all(from_y.elements(), y);
            store_all(from_dy.elements(), dy);
            call(f, from_y.elements(), from_dy.elements(), to.elements(), {.axis = 1});
            const auto expected = load_all_bits(to.elements());
            call(f, from_y.elements(), from_dy.elements(), from_dy.elements(), {.axis = -2});
            EXPECT_EQ(load_all_bits(from_dy.elements()), expected);
            store_all(from_dy.elements(), dy);
            call(f, from_y.elements(), from_dy.elements(), from_y.elements(), {.axis = 1});
            EXPECT_EQ(load_all_bits(from_y.elements()), expected);
            // Another axis, other numbers.
            store_all(from_y.elements(), y);
            call(f, from_y.elements(), from_dy.elements(), to.elements());
            EXPECT_NE(load_all_bits(to.elements()), expected);
        }
    }
}

TEST(Backward, EmptyTensorsAndRows) {
    std::vector<float> nothing, row(3, 7.0f);
    smx::softmax_backward(nothing, nothing, nothing);
    const smx::tensor_view<float, 2> empty_rows(row.data(), {3, 0});
    smx::log_softmax_backward(empty_rows, empty_rows, empty_rows);
    EXPECT_EQ(row, std::vector<float>(3, 7.0f));
}

TEST(Backward, RefusesWithFunctionArgumentAndValues) {
    std::vector<float> y(12, 0.25f), dy(12, 1.0f), dx(20, 42.0f);
    const smx::tensor_view<const float, 2> a(y.data(), {3, 4}), b(dy.data(), {3, 4}), wrong(dy.data(), {3, 3});
    const smx::tensor_view<float, 2> out(dx.data(), {3, 4}), large(dx.data(), {4, 4});
    expect_mentions(error_of([&] { smx::softmax_backward(a, wrong, out); }),
                    {"softmax_backward", "extent 1 of dy is 3", "y is 4"});
    expect_mentions(error_of([&] { smx::log_softmax_backward(a, b, large); }),
                    {"log_softmax_backward", "extent 0 of dx is 4", "y is 3"});
    expect_mentions(error_of([&] { smx::masked_softmax_backward(a, b, out, {.axis = 2}); }),
                    {"masked_softmax_backward", "options.axis is 2", "y has rank 2"});
    expect_mentions(error_of([&] { smx::masked_log_softmax_backward(a, b, out, {.scale = inf}); }),
                    {"masked_log_softmax_backward", "options.scale is inf"});
    const smx::tensor_view<float, 2> shifted(dy.data() + 1, {2, 4});
    const smx::tensor_view<const float, 2> a2(y.data(), {2, 4}), b2(dy.data(), {2, 4});
    expect_mentions(error_of([&] { smx::softmax_backward(a2, b2, shifted); }),
                    {"softmax_backward", "dx", "overlaps dy"});
    const smx::tensor_view<float, 2> over_y(y.data() + 1, {2, 4});
    expect_mentions(error_of([&] { smx::softmax_backward(a2, b2, over_y); }), {"softmax_backward", "dx", "overlaps y"});
    const smx::tensor_view<float, 2> flat(dx.data(), {3, 4}, {0, 1});
    expect_mentions(error_of([&] { smx::softmax_backward(a, b, flat); }),
                    {"softmax_backward", "dx has stride 0 in axis 0"});
    EXPECT_EQ(dx, std::vector<float>(20, 42.0f));
    EXPECT_EQ(dy, std::vector<float>(12, 1.0f));
    EXPECT_EQ(y, std::vector<float>(12, 0.25f));
}

}  // namespace
}  // namespace softmax_test
