// SPDX-License-Identifier: BSL-1.0

// Rows of which nothing is left, NaN and infinities under masks and in what is added, sinks.

#include "instruction_sets.hpp"
#include "masked_calls.hpp"
#include "reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

TEST(MaskedSpecial, ScaleOfZeroKeepsInfinities) {
    const std::vector<float> zeros(5);
    on_every_isa([&](smx::isa) {
        for (const double scale : {0.0, -0.0, 1e-60, -1e-60}) {
            for (const dtype type : {dtype::f32, dtype::f64, dtype::bf16}) {
                if (type == dtype::f64 && scale != 0) continue;  // only to float it is 0
                const std::vector<double> y =
                    masked_results(false, type, {1, inf, -inf, 2, 1e30}, {}, {.scale = scale, .bias = zeros});
                EXPECT_EQ(y, (scale < 0 ? std::vector<double>{0, 0, 1, 0, 0} : std::vector<double>{0, 1, 0, 0, 0}))
                    << scale;
                EXPECT_EQ(
                    masked_results(false, type, {1, -inf, 2, -3, 1e30}, {}, {.scale = std::abs(scale), .bias = zeros}),
                    (std::vector<double>{0.25, 0, 0.25, 0.25, 0.25}))
                    << scale;
            }
        }
    });
}

TEST(MaskedRows, SpecialValues) {
    const bool keep[] = {true, true, false, true}, all[] = {true, true, true, true};
    const float added[] = {0, 0, -std::numeric_limits<float>::infinity(), 0};
    const std::vector<double> zeros(4, 0.0), minus(4, -inf), nans(4, nan_value);
    const double n = nan_value;
    on_every_isa([&](smx::isa) {
        for (const dtype type : all_dtypes) {
            for (const bool in_place : {false, true}) {
                const auto check = [&](std::vector<double> logits, std::vector<double> safe, std::vector<double> log,
                                       std::vector<double> ieee, smx::masked_options options = {}) {
                    // The same mask to add, and as a bias.
                    for (const int form : {0, 1, 2}) {
                        options.bias = form == 2 ? smx::array_ref(added) : smx::array_ref();
                        options.special = smx::special_values::safe;
                        const smx::array_ref mask = form == 0   ? smx::array_ref(keep)
                                                    : form == 1 ? smx::array_ref(added)
                                                                : smx::array_ref(all);
                        SCOPED_TRACE(form);
                        expect_same(masked_results(false, type, logits, mask, options, {}, in_place), safe, "safe");
                        expect_same(masked_results(true, type, logits, mask, options, {}, in_place), log, "log");
                        options.special = smx::special_values::ieee;
                        expect_same(masked_results(false, type, logits, mask, options, {}, in_place), ieee, "ieee");
                    }
                };
                check({5, 5, n, -inf}, {0.5, 0.5, 0, 0}, masked_results(true, type, {5, 5, 0, -inf}, keep, {}),
                      {0.5, 0.5, 0, 0});
                check({5, 5, inf, -inf}, {0.5, 0.5, 0, 0}, masked_results(true, type, {5, 5, 0, -inf}, keep, {}),
                      {0.5, 0.5, 0, 0});
                check({-inf, -inf, 3, -inf}, zeros, minus, nans);
                check({1, n, 3, 4}, {n, n, 0, n}, {n, n, -inf, n}, {n, n, 0, n});
                check({n, 2, 3, n}, {n, n, 0, n}, {n, n, -inf, n}, {n, n, 0, n});
                check({inf, n, 3, -inf}, {n, n, 0, n}, {n, n, -inf, n}, {n, n, 0, n});
                check({inf, 1, n, -inf}, {1, 0, 0, 0}, {0, -inf, -inf, -inf}, nans);
                check({inf, 1, 7, inf}, {0.5, 0, 0, 0.5}, masked_results(true, type, {inf, 1, 7, inf}, keep, {}), nans);
                // The sink.
                check({0, 0, n, -inf}, {0.25, 0.25, 0, 0},
                      masked_results(true, type, {0, 0, 0, -inf}, keep, {.sink = std::log(2.0)}), {0.25, 0.25, 0, 0},
                      {.sink = std::log(2.0)});
                check({1, 2, 3, 4}, zeros, minus, zeros, {.sink = inf});
                check({inf, 2, 3, 4}, {0.5, 0, 0, 0}, masked_results(true, type, {inf, 2, 3, 4}, keep, {.sink = inf}),
                      nans, {.sink = inf});
                check({1, 2, 3, 4}, {n, n, 0, n}, {n, n, -inf, n}, {n, n, 0, n}, {.sink = nan_value});
                check({-inf, -inf, n, -inf}, zeros, minus, zeros, {.sink = 1.0});
                // A negative scale turns infinities round, and what is masked out stays that.
                check({-inf, 1, n, inf}, {1, 0, 0, 0}, {0, -inf, -inf, -inf}, nans, {.scale = -1});
            }
        }
    });
}

// Further from the row's maximum than numbers of double are: as from infinity.
TEST(MaskedRows, SinksBeyondTheRangeOfTheDifference) {
    constexpr double large = 1.7e308;
    on_every_isa([&](smx::isa) {
        const std::vector<double> up(3, large), down(3, -large);
        expect_same(masked_results(false, dtype::f64, down, {}, {.sink = large}), {0, 0, 0}, "above");
        expect_same(masked_results(true, dtype::f64, down, {}, {.sink = large}), {-inf, -inf, -inf}, "log, above");
        expect_same(masked_results(false, dtype::f64, up, {}, {.sink = -large}),
                    masked_results(false, dtype::f64, up, {}, {}), "below");
        expect_same(masked_results(true, dtype::f64, up, {}, {.sink = -large}),
                    masked_results(true, dtype::f64, up, {}, {}), "log, below");
        // Logits beyond the range of their type, by the scale or a temperature: the sink is nothing to them, or everything.
        for (const dtype type : all_dtypes) {
            for (const double scale : {1e30, 1e280}) {
                std::vector<double> row(20, 0.0);
                row[5] = type == dtype::f64 ? 1e300 : 30000;
                std::vector<double> one(20, 0.0);
                one[5] = 1;
                for (const double sink : {0.5, -3000.0, 3000.0}) {
                    expect_same(masked_results(false, type, row, {}, {.scale = scale, .sink = sink}), one, "one");
                    EXPECT_EQ(masked_results(true, type, row, {}, {.scale = scale, .sink = sink})[5], 0) << sink;
                    std::vector<double> below(20, -row[5]);
                    expect_same(masked_results(false, type, below, {}, {.scale = scale, .sink = sink}),
                                std::vector<double>(20, 0.0), "none");
                }
            }
        }
    });
}

// An infinity is not shared with finite elements, however large the scale makes them.
TEST(MaskedRows, FiniteElementsAreNoInfinities) {
    const bool keep[] = {true, true, true, false};
    on_every_isa([&](smx::isa) {
        for (const dtype type : all_dtypes) {
            const double large = type == dtype::f64 ? 1e308 : 60000;
            for (const double scale : {1e30, 1e306}) {
                const std::vector<double> row{large, inf, -large, inf};
                expect_same(masked_results(false, type, row, keep, {.scale = scale}), {0, 1, 0, 0}, "masked");
                expect_same(masked_results(false, type, row, {}, {.scale = scale, .lengths = 3}), {0, 1, 0, 0},
                            "length");
                expect_same(masked_results(true, type, row, keep, {.scale = scale}), {-inf, 0, -inf, -inf}, "log");
            }
        }
    });
}

// What a sink far below leaves of a certain element's logarithm, down to the smallest number.
TEST(MaskedRows, SinksFarBelow) {
    on_every_isa([&](smx::isa) {
        for (const double sink :
             {-600.0, -699.5, -700.5, -705.0, -708.3, -708.39, -708.4, -709.0, -720.5, -744.0, -746.0}) {
            const long double expected = -std::exp(static_cast<long double>(sink));
            const double actual = masked_results(true, dtype::f64, {0}, {}, {.sink = sink})[0];
            EXPECT_LE(error_in_ulp(function::log_softmax, dtype::f64, dtype::f64, actual, expected), 3) << sink;
            EXPECT_TRUE(std::signbit(actual) || expected > -0x1p-1074L) << sink;
        }
        for (const double sink : {-80.0, -87.5, -90.0, -100.0, -104.5}) {
            const long double expected = -std::exp(static_cast<long double>(sink));
            const double actual = masked_results(true, dtype::f32, {0}, {}, {.sink = sink})[0];
            EXPECT_LE(error_in_ulp(function::log_softmax, dtype::f32, dtype::f32, actual, expected), 3) << sink;
        }
    });
}

TEST(MaskedRows, InfinitiesAndNaNInNumbersThatAreAdded) {
    on_every_isa([](smx::isa) {
        const auto check = [&]<class T>(T) {
            const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
            for (const double cap : {0.0, 30.0}) {
                for (const bool log : {false, true}) {
                    SCOPED_TRACE(std::to_string(cap) + (log ? ", log" : ""));
                    using row = std::vector<T>;
                    const auto of = [&](const row& x, const auto& mask, const smx::masked_options& given) {
                        smx::masked_options options = given;
                        options.softcap = cap;
                        row y(x.size());
                        if (log) smx::masked_log_softmax(x, mask, y, options);
                        else smx::masked_softmax(x, mask, y, options);
                        return y;
                    };
                    // What stands where `what` is 0 is left out, 1: gets everything, 2: is NaN.
                    const auto expect = [&](const row& y, const std::vector<int>& what) {
                        const T nothing = log ? -infinity : T(0);
                        for (std::size_t i = 0; i < y.size(); ++i) {
                            if (what[i] == 0) EXPECT_EQ(y[i], nothing) << i;
                            else if (what[i] == 1) EXPECT_EQ(y[i], log ? T(0) : T(1)) << i;
                            else if (what[i] == 2) EXPECT_TRUE(std::isnan(y[i])) << i;
                            else EXPECT_TRUE(y[i] > nothing && y[i] < (log ? T(0) : T(1))) << i << ": " << y[i];
                        }
                    };
                    const row x{1, 2, 3, 4}, zeros(4);
                    const bool keep[] = {true, false, true, true};
                    for (const T hidden : {nan, infinity, -infinity}) {
                        const row bias{0, hidden, 0, 0};
                        expect(of(x, std::span<const bool>(keep), {.bias = bias}), {3, 0, 3, 3});
                        const row minus{0, -infinity, 0, 0};
                        expect(of(x, minus, {.bias = bias}), {3, 0, 3, 3});
                        expect(of(x, bias, {.bias = minus}), {3, 0, 3, 3});
                        expect(of({1, hidden, 3, 4}, minus, {}), {3, 0, 3, 3});
                        expect(of({1, hidden, 3, 4}, minus, {.bias = zeros}), {3, 0, 3, 3});
                    }
                    const row up{0, infinity, 0, 0};
                    expect(of(x, up, {}), {0, 1, 0, 0});
                    expect(of(x, zeros, {.bias = up}), {0, 1, 0, 0});
                    expect(of({1, 2, nan, 4}, up, {}), {2, 2, 2, 2});
                    if (cap == 0) {
                        expect(of({1, -infinity, 3, 4}, up, {}), {3, 0, 3, 3});
                        expect(of({1, -infinity, 3, 4}, up, {.bias = zeros}), {3, 0, 3, 3});
                    }
                    expect(of({1, nan, 3, 4}, std::span<const bool>(keep), {.sink = infinity}), {0, 0, 0, 0});
                    expect(of({1, 2, nan, 4}, std::span<const bool>(keep), {.sink = infinity}), {2, 0, 2, 2});
                    expect(of({1, 2, nan, 4}, zeros, {.sink = infinity}), {2, 2, 2, 2});
                    // A NaN in rows of every length and at every place, by way of pairs.
                    for (std::size_t n = 1; n < 36; ++n) {
                        for (std::size_t at = 0; at < n; at += 1 + at / 3) {
                            row long_row(n), large(n, T(3e7)), small(n);
                            for (std::size_t i = 0; i < n; ++i) long_row[i] = static_cast<T>(i * 7 % 11) * T(0.37);
                            long_row[at] = nan;
                            const std::vector<int> all(n, 2);
                            expect(of(long_row, small, {.scale = 0.3}), all);
                            expect(of(long_row, large, {.alibi_slope = 0.1}), all);
                            expect(of(long_row, large, {.bias = small}), all);
                        }
                    }
                }
            }
        };
        check(float());
        check(double());
    });
}

TEST(MaskedRows, AddedMasksOfMinusInfinityHideEverything) {
    const float added[] = {0, -std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 0};
    const smx::array_ref mask = added;
    on_every_isa([&](smx::isa) {
        for (const dtype type : all_dtypes) {
            for (const double hidden : {nan_value, inf, -inf, 1.0}) {
                expect_same(masked_results(false, type, {2, hidden, hidden, 2}, mask, {}), {0.5, 0, 0, 0.5}, "mask");
                expect_same(masked_results(false, type, {2, hidden, hidden, 2}, {}, {.bias = mask}), {0.5, 0, 0, 0.5},
                            "bias");
                expect_same(masked_results(true, type, {2, hidden, hidden, -inf}, mask, {}), {0, -inf, -inf, -inf},
                            "log");
            }
        }
    });
}

// Whose products with the scale, or whose sums, are beyond the arithmetic's range, all of them to the negative side.
TEST(MaskedRows, LargeNegativeLogitsAreNoMaskedOnes) {
    const float hidden = -std::numeric_limits<float>::infinity();
    const float added[] = {0, 0, hidden}, large[] = {-2e38f, -3e38f, hidden}, one[] = {0, hidden, hidden},
                none[] = {hidden, hidden, hidden};
    on_every_isa([&](smx::isa) {
        for (const dtype type : {dtype::f32, dtype::bf16, dtype::f64}) {
            expect_same(masked_results(false, type, {-0x1p126, -0x1p127, 1}, smx::array_ref(added), {.scale = 12}),
                        {1, 0, 0}, "scale");
            expect_same(masked_results(false, type, {-0x1.8p127, -0x1.8p127, 1}, smx::array_ref(large), {}), {1, 0, 0},
                        "sum");
            expect_same(masked_results(true, type, {-0x1p126, 1, 1}, smx::array_ref(one), {.scale = 12}),
                        {0, -inf, -inf}, "log");
            expect_same(masked_results(false, type, {-0x1p126, -0x1p127, 1}, smx::array_ref(none), {.scale = 12}),
                        {0, 0, 0}, "nothing");
        }
    });
}

TEST(MaskedRows, NothingBeyondLengthAndDiagonalMatters) {
    const std::vector<double> logits = {0, 0, 1, nan_value, inf, nan_value};  // 2 x 3
    const std::vector<double> first = {1, 0, 0, 0, 0, 0};
    on_every_isa([&](smx::isa) {
        for (const dtype type : all_dtypes) {
            const int lengths[] = {1, 0};
            expect_same(masked_results(false, type, logits, {}, {.lengths = lengths}, {2, 3}), first, "lengths");
            const std::vector<double> causal = {1, nan_value, nan_value, 0, 0, nan_value};
            expect_same(masked_results(false, type, causal, {}, {.causal = true}, {2, 3}), {1, 0, 0, 0.5, 0.5, 0},
                        "causal");
        }
    });
}

}  // namespace
}  // namespace softmax_test
