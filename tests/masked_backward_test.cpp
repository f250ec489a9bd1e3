// SPDX-License-Identifier: BSL-1.0

// Gradients of masked_softmax and masked_log_softmax under every option: against finite differences of the functions themselves, and the
// factors of softcap and temperature against long double.

#include "array_of.hpp"
#include "instruction_sets.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"
#include "worst_error.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

using numbers = std::vector<double>;
using smx::masked_options;
using smx::detail::job_function;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t rows = 3, n = 7;

smx::tensor_view<const double, 2> in_rows(const numbers& v) { return {v.data(), {rows, n}}; }
smx::tensor_view<double, 2> in_rows(numbers& v) { return {v.data(), {rows, n}}; }

numbers forward(bool log, const numbers& x, const smx::array_ref& mask, const masked_options& o) {
    numbers out(x.size());
    if (log) smx::masked_log_softmax(in_rows(x), mask, in_rows(out), o);
    else smx::masked_softmax(in_rows(x), mask, in_rows(out), o);
    return out;
}
numbers backward(bool log, const numbers& x, const numbers& y, const numbers& dy, const masked_options& o) {
    numbers dx(y.size(), -77.0), inout = dy;
    if (log) smx::masked_log_softmax_backward(in_rows(x), in_rows(y), in_rows(dy), in_rows(dx), o);
    else smx::masked_softmax_backward(in_rows(x), in_rows(y), in_rows(dy), in_rows(dx), o);
    if (log) smx::masked_log_softmax_backward(in_rows(x), in_rows(y), in_rows(inout), in_rows(inout), o);
    else smx::masked_softmax_backward(in_rows(x), in_rows(y), in_rows(inout), in_rows(inout), o);
    EXPECT_EQ(inout, dx);
    if (o.softcap != 0) return dx;
    if (log) smx::masked_log_softmax_backward(in_rows(y), in_rows(dy), in_rows(inout), o);
    else smx::masked_softmax_backward(in_rows(y), in_rows(dy), in_rows(inout), o);
    EXPECT_EQ(inout, dx);
    return dx;
}

TEST(MaskedBackward, AgreesWithFiniteDifferencesUnderEveryOption) {
    const numbers x = make_row(family::normal_1, dtype::f64, rows * n, base_seed()),
                  bias = make_row(family::normal_1, dtype::f64, rows * n, 3);
    const numbers dy = make_row(family::normal_1, dtype::f64, rows * n, 4);
    bool keep_memory[rows * n];
    for (std::size_t i = 0; i < rows * n; ++i) keep_memory[i] = i % 3 != 1;
    const smx::tensor_view<const bool, 2> keep(keep_memory, {rows, n});
    const double temperatures[] = {0.5, 2, 1.25}, slopes[] = {0.25, 0.5, 1}, sinks[] = {0, -1, 2};
    const std::size_t lengths[] = {7, 4, 0};
    struct setting {
        const char* what;
        smx::array_ref mask;
        masked_options options;
        bool differs;  // from the gradient that knows of no option, but of y
    };
    const setting all[] = {
        {"none", {}, {}, false},
        {"scale", {}, {.scale = -1.5}, true},
        {"temperature", {}, {.scale = 1.5, .temperature = temperatures}, true},
        {"softcap", {}, {.scale = 2, .softcap = 1.5}, true},
        {"softcap and temperature", keep, {.softcap = 0.75, .temperature = temperatures}, true},
        {"causal", {}, {.causal = true, .causal_offset = 2}, false},
        {"lengths", {}, {.lengths = lengths}, false},
        {"truth values", keep, {}, false},
        {"added", in_rows(bias), {}, false},
        {"bias, slope, sink", keep, {.bias = in_rows(bias), .alibi_slope = slopes, .sink = sinks}, false}};
    for (const setting& s : all) {
        for (const bool log : {false, true}) {
            const numbers y = forward(log, x, s.mask, s.options), dx = backward(log, x, y, dy, s.options);
            for (std::size_t i = 0; i < dx.size(); ++i) {
                numbers up = x, down = x;
                up[i] += 1e-6;
                down[i] -= 1e-6;
                const numbers above = forward(log, up, s.mask, s.options),
                              below = forward(log, down, s.mask, s.options);
                double expected = 0;
                for (std::size_t j = 0; j < dx.size(); ++j)
                    if (std::isfinite(above[j])) expected += dy[j] * (above[j] - below[j]) / (up[i] - down[i]);
                EXPECT_NEAR(dx[i], expected, 2e-8) << s.what << (log ? " log " : " ") << i;
            }
            EXPECT_EQ(dx != backward(log, x, y, dy, {}), s.differs) << s.what;
        }
    }
}

// What the header says of everything else that goes into a row.
TEST(MaskedBackward, GradientsOfBiasAddedMaskAndSinkFollow) {
    const numbers x = make_row(family::normal_1, dtype::f64, rows * n, base_seed()),
                  bias = make_row(family::normal_1, dtype::f64, rows * n, 3),
                  dy = make_row(family::normal_1, dtype::f64, rows * n, 4);
    const double temperatures[] = {0.5, 2, 1.25}, sinks[] = {0, -1, 2};
    const auto difference = [&](const numbers& above, const numbers& below, std::size_t row) {
        double d = 0;
        for (std::size_t i = row * n; i < (row + 1) * n; ++i) d += dy[i] * (above[i] - below[i]) / 2e-6;
        return d;
    };
    for (const double softcap : {0.0, 1.5}) {
        for (const bool log : {false, true}) {
            const masked_options o{.scale = 1.5, .softcap = softcap, .sink = sinks, .temperature = temperatures};
            const auto of = [&](const numbers& added, bool as_mask, const auto& sink) {
                masked_options with = o;
                with.sink = sink;
                if (!as_mask) with.bias = in_rows(added);
                return forward(log, x, as_mask ? smx::array_ref(in_rows(added)) : smx::array_ref(), with);
            };
            const numbers y = of(bias, false, sinks), dz = backward(log, x, y, dy, {});
            for (std::size_t i = 0; i < x.size(); ++i) {
                for (const bool as_mask : {false, true}) {
                    numbers up = bias, down = bias;
                    up[i] += 1e-6;
                    down[i] -= 1e-6;
                    EXPECT_NEAR(dz[i], difference(of(up, as_mask, sinks), of(down, as_mask, sinks), i / n), 1e-8)
                        << softcap << (log ? " log " : " ") << i;
                }
            }
            for (std::size_t row = 0; row < rows; ++row) {
                double rest = 1, sum = 0;
                for (std::size_t i = row * n; i < (row + 1) * n; ++i) {
                    rest -= log ? std::exp(y[i]) : y[i];
                    sum += log ? dy[i] : y[i] * dy[i];
                }
                double up[rows], down[rows];
                for (std::size_t r = 0; r < rows; ++r) {
                    up[r] = sinks[r] + 1e-6;
                    down[r] = sinks[r] - 1e-6;
                }
                EXPECT_NEAR(-rest * sum, difference(of(bias, false, up), of(bias, false, down), row), 1e-8)
                    << "sink of row " << row << (log ? ", log" : "");
            }
        }
    }
}

TEST(MaskedBackward, NothingBeyondLengthAndDiagonalMatters) {
    const numbers x = make_row(family::normal_1, dtype::f64, rows * n, base_seed());
    numbers dy = make_row(family::normal_1, dtype::f64, rows * n, 4);
    const std::size_t lengths[] = {6, 0, 1};
    for (const masked_options& o :
         {masked_options{.lengths = lengths}, masked_options{.causal = true, .causal_offset = -1}}) {
        for (const bool log : {false, true}) {
            numbers y = forward(log, x, {}, o);
            const numbers dx = backward(log, x, y, dy, o);
            numbers poisoned_dy = dy;
            for (std::size_t i = 0; i < y.size(); ++i) {
                const std::size_t kept = o.causal ? i / n : lengths[i / n];
                if (i % n < kept) continue;
                EXPECT_TRUE(is_positive_zero(dx[i])) << i;
                y[i] = poisoned_dy[i] = nan;
            }
            EXPECT_EQ(backward(log, x, y, poisoned_dy, o), dx);
        }
    }
}

TEST(MaskedBackward, TakesTheAxisItIsGiven) {
    const numbers x = make_row(family::normal_1, dtype::f64, rows * n, base_seed()),
                  dy = make_row(family::normal_1, dtype::f64, rows * n, 4);
    const auto turned = [](const numbers& v) {
        numbers t(v.size());
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t i = 0; i < n; ++i) t[i * rows + r] = v[r * n + i];
        return t;
    };
    const auto columns = [](auto& v) {
        return smx::tensor_view<std::remove_reference_t<decltype(v[0])>, 2>(v.data(), {n, rows});
    };
    const std::size_t lengths[] = {7, 4, 0};
    const masked_options o{.axis = 0, .lengths = lengths, .softcap = 2}, along_rows{.lengths = lengths, .softcap = 2};
    for (const bool log : {false, true}) {
        const numbers y = forward(log, x, {}, along_rows), expected = backward(log, x, y, dy, along_rows);
        const numbers xt = turned(x), yt = turned(y), dyt = turned(dy);
        numbers dx(rows * n);
        if (log) smx::masked_log_softmax_backward(columns(xt), columns(yt), columns(dyt), columns(dx), o);
        else smx::masked_softmax_backward(columns(xt), columns(yt), columns(dyt), columns(dx), o);
        EXPECT_EQ(dx, turned(expected));
    }
}

TEST(MaskedBackward, FactorsAreRightInEveryType) {
    on_every_isa([](smx::isa level) {
        for (const bool log : {false, true}) {
            for (const dtype type : all_dtypes) {
                worst_error worst;
                for (const std::size_t length : {1u, 5u, 16u, 33u, 1000u, 9001u}) {
                    // Away from subnormal numbers: the gradients of probabilities are scaled up.
                    const double softcap = 3, scale = type == dtype::f16 ? 2 : 1, t = 0.8,
                                 size = type == dtype::f16 && !log ? 1e3 : 1;
                    const view layout = tensor_view(type, {length});
                    const guarded_memory x(layout), y(layout), dy(layout), dx(layout);
                    store_all(x.elements(), make_row(family::normal_3, type, length, base_seed() + length));
                    const numbers logits = load_all(x.elements());
                    numbers exact_y(length), arriving = make_row(family::normal_1, type, length, 5);
                    smx::masked_log_softmax(logits, exact_y, {.scale = scale, .softcap = softcap, .temperature = t});
                    if (!log)
                        for (double& p : exact_y) p = std::exp(p);
                    for (double& d : arriving) d *= size;
                    store_all(y.elements(), exact_y);
                    store_all(dy.elements(), arriving);
                    smx::detail::run_masked_backward(
                        "masked_softmax_backward",
                        log ? job_function::masked_log_softmax_backward : job_function::softmax_backward,
                        array_of(x.elements()), array_of(y.elements()), array_of(dy.elements()),
                        array_of(dx.elements()), "dx",
                        masked_options{.scale = scale, .softcap = softcap, .temperature = t});
                    EXPECT_EQ(dx.damage(), "");
                    const numbers ys = load_all(y.elements()), ds = load_all(dy.elements()),
                                  result = load_all(dx.elements());
                    long double sum = 0, magnitude = 0;
                    for (std::size_t i = 0; i < length; ++i) {
                        const long double part =
                            log ? static_cast<long double>(ds[i]) : static_cast<long double>(ys[i]) * ds[i];
                        sum += part;
                        magnitude += std::abs(part);
                    }
                    for (std::size_t i = 0; i < length; ++i) {
                        const long double a = logits[i] * static_cast<long double>(scale / t) / softcap,
                                          c = std::cosh(a);
                        const long double by = static_cast<long double>(scale / t) / (c * c);
                        const long double p =
                            log ? std::exp(static_cast<long double>(ys[i])) : static_cast<long double>(ys[i]);
                        const long double exact = log ? by * (ds[i] - p * sum) : by * p * (ds[i] - sum);
                        const bool wide = type == dtype::f64;
                        const long double larger =
                            log ? by * std::max(std::abs(static_cast<long double>(ds[i])), p * std::abs(sum))
                                : std::abs(exact);
                        long double allowed = by * p * magnitude *
                                              (wide ? static_cast<long double>(length) * 0x1p-64L
                                                    : (static_cast<long double>(length) / 32 + 6) * 0x1p-53L);
                        allowed += wide ? 4 * ulp(type, larger) + (2 * std::abs(a) + 8) * 0x1p-53L * std::abs(exact)
                                        : 0.51L * ulp(type, exact) + 0x1p-35L * std::abs(exact) +
                                              (log ? 0x1p-36L * by * p * std::abs(sum) : 0);
                        const double of_bound = static_cast<double>(std::abs(result[i] - exact) / allowed);
                        worst.take(of_bound, [&] {
                            return std::to_string(length) + " elements, the one at " + std::to_string(i);
                        });
                        ASSERT_LE(of_bound, 1)
                            << softmax_test::name_of(type) << " log " << log << " n " << length << " element " << i
                            << " is " << result[i] << " not " << static_cast<double>(exact);
                    }
                }
                std::printf("%s %s%s: %.3f of the bound (%s)\n", smx::name_of(level), softmax_test::name_of(type),
                            log ? " log" : "", worst.error, worst.where.c_str());
            }
        }
    });
}

/// One call for all rows, and one for each row's kept elements with a scale of its own, give the same bits; +0 elsewhere.
void check_rows_by_themselves(job_function f, dtype type, dtype dy_type, std::size_t length,
                              const masked_options& options, const std::string& what) {
    constexpr std::size_t count = 5;
    const std::vector<std::size_t> extents{count, length};
    const guarded_memory y(tensor_view(type, extents)), dy(tensor_view(dy_type, extents)),
        dx(tensor_view(type, extents)), alone(tensor_view(type, extents));
    numbers p = make_row(family::normal_3, dtype::f64, count * length, base_seed() + length);
    for (double& e : p) e = f == job_function::softmax_backward ? std::exp(e) / 256 : e - 6;
    store_all(y.elements(), p);
    store_all(dy.elements(), make_row(family::normal_1, dtype::f64, count * length, 5));
    smx::detail::run_masked_backward("masked_softmax_backward", f, {}, array_of(y.elements()), array_of(dy.elements()),
                                     array_of(dx.elements()), "dx", options);
    const auto number_of = [](const smx::array_ref& all, std::size_t r) {
        return all ? static_cast<const double*>(all.data())[r] : 1.0;
    };
    for (std::size_t r = 0; r < count; ++r) {
        std::size_t kept = length;
        if (options.lengths) kept = static_cast<const std::size_t*>(options.lengths.data())[r];
        if (options.causal) kept = std::min(kept, r + static_cast<std::size_t>(options.causal_offset) + 1);
        const auto first = [&](const guarded_memory& m, std::size_t elements) {
            view row = row_of(m.elements(), 1, {r, 0});
            row.extents[0] = elements;
            return row;
        };
        smx::detail::run_backward("softmax_backward", f, array_of(first(y, kept)), array_of(first(dy, kept)),
                                  array_of(first(alone, kept)), "dx",
                                  smx::softmax_options{.scale = options.scale / number_of(options.temperature, r)});
        std::vector<std::uint64_t> expected = load_all_bits(first(alone, kept));
        expected.resize(length);
        EXPECT_EQ(load_all_bits(first(dx, length)), expected) << what << " length " << length << " row " << r;
    }
    EXPECT_EQ(dx.damage(), "");
}

TEST(MaskedBackward, RowsHaveTheBitsOfWhatTheyKeep) {
    on_every_isa([](smx::isa level) {
        for (const std::size_t length : {1u, 7u, 33u, 100u, 1000u, 5003u}) {
            const std::size_t lengths[] = {length, 0, 1, length / 2, length - length / 7};
            const double temperatures[] = {0.8, 1, 3, 0.37, 16};
            const masked_options all[] = {{.scale = 0.3, .lengths = lengths},
                                          {.causal = true, .causal_offset = static_cast<std::ptrdiff_t>(length / 3)},
                                          {.temperature = temperatures},
                                          {.scale = -1.5, .lengths = lengths, .temperature = temperatures}};
            for (std::size_t o = 0; o < std::size(all); ++o)
                for (const dtype type : all_dtypes)
                    for (const dtype dy_type : {type, dtype::f32})
                        for (const job_function f :
                             {job_function::softmax_backward, job_function::masked_log_softmax_backward})
                            check_rows_by_themselves(f, type, dy_type, length, all[o],
                                                     std::string(smx::name_of(level)) + " options " +
                                                         std::to_string(o) + " " + softmax_test::name_of(type) + ", " +
                                                         softmax_test::name_of(dy_type));
        }
    });
}

TEST(MaskedBackward, SoftcapsOfInfinitiesAndNan) {
    on_every_isa([](smx::isa) {
        const numbers x{inf, -inf, nan, 1, nan}, y{0.25, 0.25, 0.25, 0.25, 0}, dy{1, 2, 3, 4, 5};
        numbers dx(5);
        smx::masked_softmax_backward(x, y, dy, dx, {.softcap = 2});
        EXPECT_TRUE(dx[0] == 0 && dx[1] == 0 && is_nan(dx[2]) && dx[4] == 0);
        const double factor = 1 / std::cosh(0.5) / std::cosh(0.5);
        EXPECT_NEAR(dx[3], factor * 0.25 * (4 - 2.5), 1e-15);
        // An infinite gradient arrives, and a NaN beside it stays one.
        const numbers infinite{1, 2, 3, inf, 5};
        smx::masked_softmax_backward(numbers{1, -inf, nan, 1, 1}, y, infinite, dx, {.softcap = 2});
        EXPECT_TRUE(dx[0] == -inf && dx[1] == 0 && is_nan(dx[2]) && dx[3] == inf && dx[4] == 0);
        const numbers log_y(4, std::log(0.25)), log_dy{1, 2, inf, 4};
        numbers log_dx(4);
        smx::masked_log_softmax_backward(numbers{1, nan, 1, 1}, log_y, log_dy, log_dx, {.softcap = 2});
        EXPECT_TRUE(log_dx[0] == -inf && is_nan(log_dx[1]) && log_dx[2] == inf && log_dx[3] == -inf);
    });
}

TEST(MaskedBackward, RefusesWithFunctionArgumentAndValues) {
    const numbers y(6, 0.25), dy(6, 1.0), x(6, 1.0);
    numbers dx(6, 42.0);
    const auto text = [&](const masked_options& o) {
        return error_of([&] { smx::masked_softmax_backward(y, dy, dx, o); });
    };
    const std::string f = "smx::masked_softmax_backward: ";
    EXPECT_EQ(text({.softcap = 2}), f + "options.softcap is 2, which takes the logits, too: before y");
    EXPECT_EQ(text({.softcap = -2}), f + "options.softcap is -2, but it must be 0 or a positive number");
    EXPECT_EQ(text({.lengths = 7}), f + "options.lengths has 7 at place 0, but 0 to 6 is allowed");
    EXPECT_EQ(text({.temperature = 0.0}),
              f + "options.temperature has 0 at place 0, but it must be positive and finite");
    const numbers few(5, 1.0);
    EXPECT_EQ(error_of([&] { smx::masked_softmax_backward(few, y, dy, dx, {.softcap = 2}); }),
              f + "extent 0 of in is 5, but that of y is 6");
    numbers shared(12, 0.25);
    const std::span<double> all(shared);
    EXPECT_NE(error_of([&] {
                  smx::masked_softmax_backward(all.subspan(1, 6), y, dy, all.subspan(0, 6), {.softcap = 2});
              }).find(") overlaps in ("),
              std::string::npos);
    EXPECT_EQ(dx, numbers(6, 42.0));
}

}  // namespace
}  // namespace softmax_test
