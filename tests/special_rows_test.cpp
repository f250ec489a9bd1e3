// SPDX-License-Identifier: BSL-1.0

// Rows with NaN and infinities, line by line as documented, in both modes, for all pairs of types, rows of 1 to 70
// elements and every position of the special element.

#include "memory.hpp"
#include "reference.hpp"
#include "rows.hpp"
#include "subjects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t longest = 70;

/// What an element must be: `value` within the documented bound; NaN, infinities and zeros exactly, zeros of either
/// sign only where log_softmax is 0.
struct expectation {
    function f;
    dtype in, out;
    bool certain;  // a 1 has to be exactly that

    std::string mismatch(double actual, long double value) const {
        bool good = false;
        if (is_nan(static_cast<double>(value))) good = is_nan(actual);
        else if (f == function::softmax && value == 0) good = is_positive_zero(actual);
        else if (std::isinf(value)) good = static_cast<long double>(actual) == value;
        else if (value == 0 || (value == 1 && certain)) good = static_cast<long double>(actual) == value;
        else good = error_in_ulp(f, in, out, actual, value) <= documented_bound(f, out);
        return good ? "" : std::to_string(actual) + " instead of " + std::to_string(value);
    }
};

using special_case = std::tuple<dtype, dtype>;

class SpecialRows : public testing::TestWithParam<special_case> {
protected:
    dtype in() const { return std::get<0>(GetParam()); }
    dtype out() const { return std::get<1>(GetParam()); }

    bool certain_ = true;

    /// Runs all functions on the row, plainly and with every sign flipped and scale -1, and compares.
    void expect(const std::vector<double>& logits, smx::special_values special, const std::vector<long double>& softmax,
                const std::vector<long double>& log_softmax, double logsumexp, long double magnitude = 0) {
        magnitude = std::max(magnitude, static_cast<long double>(std::abs(logsumexp)));
        std::vector<double> flipped = logits;
        for (double& x : flipped) x = -x;
        expect_scaled(logits, {.scale = 1, .special = special}, softmax, log_softmax, logsumexp, magnitude);
        expect_scaled(flipped, {.scale = -1, .special = special}, softmax, log_softmax, logsumexp, magnitude);
    }

private:
    void expect_scaled(const std::vector<double>& logits, const smx::softmax_options& options,
                       const std::vector<long double>& softmax, const std::vector<long double>& log_softmax,
                       double logsumexp, long double magnitude) {
        const std::size_t n = logits.size();
        alignas(64) std::byte from[longest * 8], to[longest * 8];
        view source = span_view(in(), n), result = span_view(out(), n);
        source.data = from;
        result.data = to;
        store_all(source, logits);
        for (const subject* s : runnable_subjects(in(), out())) {
            for (const function f : {function::softmax, function::log_softmax}) {
                const std::vector<long double>& expected = f == function::softmax ? softmax : log_softmax;
                s->out_of_place(f, source, result, options);
                for (std::size_t i = 0; i < n; ++i) {
                    const std::string wrong = expectation{f, in(), out(), certain_}.mismatch(
                        load(out(), to, static_cast<std::ptrdiff_t>(i)), expected[i]);
                    if (!wrong.empty()) report(*s, f, options, logits, i, wrong);
                }
            }
            check_logsumexp(*s, source, options, logits, logsumexp, magnitude);
        }
    }

    void check_logsumexp(const subject& s, view source, const smx::softmax_options& options,
                         const std::vector<double>& logits, double expected, long double magnitude) {
        constexpr function f = function::logsumexp;
        std::byte reduced[8];
        view result = tensor_view(out(), {1});
        result.data = reduced;
        source.kind = view_kind::tensor;
        s.out_of_place(f, source, result, options);
        const double actual = load(out(), reduced, 0);
        bool good = false;
        if (is_nan(expected)) good = is_nan(actual);
        else if (std::isinf(expected)) good = actual == expected;
        else good = error_in_ulp(out(), actual, expected, magnitude) <= documented_bound(f, out());
        if (!good) report(s, f, options, logits, 0, std::to_string(actual));
    }

    static void report(const subject& s, function f, const smx::softmax_options& options,
                       const std::vector<double>& logits, std::size_t index, const std::string& wrong) {
        ADD_FAILURE() << s.name << " " << name_of(f)
                      << (options.special == smx::special_values::ieee ? " ieee" : " safe") << ", scale "
                      << options.scale << ", [" << index << "] of " << testing::PrintToString(logits) << ": " << wrong;
    }
};

INSTANTIATE_TEST_SUITE_P(Types, SpecialRows,
                         testing::Combine(testing::ValuesIn(all_dtypes), testing::ValuesIn(all_dtypes)),
                         [](const auto& types) {
                             return std::string(name_of(std::get<0>(types.param))) + "_to_" +
                                    name_of(std::get<1>(types.param));
                         });

constexpr smx::special_values both_modes[] = {smx::special_values::safe, smx::special_values::ieee};

std::vector<double> finite_row(dtype type, std::size_t n) { return make_row(family::normal_3, type, n, base_seed()); }

TEST_P(SpecialRows, ANaNAnywhereMakesEverythingNaN) {
    for (std::size_t n = 1; n <= longest; ++n) {
        const std::vector<long double> all_nan(n, std::numeric_limits<long double>::quiet_NaN());
        for (std::size_t position = 0; position < n; ++position) {
            for (const double sign : {1.0, -1.0}) {
                std::vector<double> row = finite_row(in(), n);
                row[position] = std::copysign(nan_value, sign);
                for (const auto mode : both_modes) expect(row, mode, all_nan, all_nan, nan_value);
            }
        }
    }
}

TEST_P(SpecialRows, ANaNAmongInfinitiesStillMakesEverythingNaN) {
    for (std::size_t n = 2; n <= longest; ++n) {
        const std::vector<long double> all_nan(n, std::numeric_limits<long double>::quiet_NaN());
        for (std::size_t position = 0; position < n; ++position) {
            for (const double other : {inf, -inf}) {
                std::vector<double> row(n, other);
                row[position] = nan_value;
                for (const auto mode : both_modes) expect(row, mode, all_nan, all_nan, nan_value);
                row = finite_row(in(), n);
                row[position] = nan_value;
                row[(position + n / 2) % n] = position == (position + n / 2) % n ? nan_value : other;
                for (const auto mode : both_modes) expect(row, mode, all_nan, all_nan, nan_value);
            }
        }
    }
}

TEST_P(SpecialRows, AllMaskedRowIsZero) {
    for (std::size_t n = 1; n <= longest; ++n) {
        const std::vector<double> row(n, -inf);
        const std::vector<long double> zero(n, 0), masked(n, -std::numeric_limits<long double>::infinity());
        expect(row, smx::special_values::safe, zero, masked, -inf);
    }
}

TEST_P(SpecialRows, AllMaskedRowIsNaNInIeeeMode) {
    for (std::size_t n = 1; n <= longest; ++n) {
        const std::vector<long double> all_nan(n, std::numeric_limits<long double>::quiet_NaN());
        expect(std::vector<double>(n, -inf), smx::special_values::ieee, all_nan, all_nan, nan_value);
    }
}

TEST_P(SpecialRows, PositiveInfinitiesShareTheProbability) {
    for (std::size_t n = 1; n <= longest; ++n) {
        for (std::size_t position = 0; position < n; ++position) {
            for (const std::size_t k : {std::size_t{1}, std::size_t{2}, std::size_t{3}, n}) {
                if (k > n) continue;
                std::vector<double> row = finite_row(in(), n);
                if (n > 2 && k < n) row[(position + n - 1) % n] = -inf;
                std::vector<long double> softmax(n, 0), log_softmax(n, -std::numeric_limits<long double>::infinity());
                for (std::size_t j = 0; j < k; ++j) {
                    const std::size_t at = (position + j) % n;
                    row[at] = inf;
                    softmax[at] = 1 / static_cast<long double>(k);
                    log_softmax[at] = -std::log(static_cast<long double>(k));
                }
                expect(row, smx::special_values::safe, softmax, log_softmax, inf);
                const std::vector<long double> all_nan(n, std::numeric_limits<long double>::quiet_NaN());
                expect(row, smx::special_values::ieee, all_nan, all_nan, nan_value);
            }
        }
    }
}

TEST_P(SpecialRows, AMaskedElementIsExactlyZeroAndTheOthersADistribution) {
    certain_ = false;
    for (std::size_t n = 2; n <= longest; ++n) {
        for (std::size_t position = 0; position < n; ++position) {
            for (const bool alone : {false, true}) {  // masked alone, or all masked but one
                std::vector<double> row = finite_row(in(), n), kept;
                for (std::size_t i = 0; i < n; ++i) {
                    if ((i == position) != alone) row[i] = -inf;
                    else kept.push_back(row[i]);
                }
                const reference exact(kept, 1);
                std::vector<long double> softmax(n, 0), log_softmax(n, -std::numeric_limits<long double>::infinity());
                for (std::size_t i = 0; i < n; ++i) {
                    if (std::isinf(row[i])) continue;
                    softmax[i] = exact.softmax(row[i]);
                    log_softmax[i] = exact.log_softmax(row[i]);
                }
                const double logsumexp = static_cast<double>(exact.logsumexp());
                for (const auto mode : both_modes)
                    expect(row, mode, softmax, log_softmax, logsumexp, exact.logsumexp_magnitude());
            }
        }
    }
}

TEST_P(SpecialRows, OneFiniteElementIsCertain) {
    for (const double x : {0.0, -0.0, 1.0, 1.5, 0.3125, -7.25, 20.0, -87.0, -300.0, largest_finite(in()),
                           -largest_finite(in()), smallest_subnormal(in())}) {
        for (const auto mode : both_modes) {
            expect({x}, mode, {1}, {0}, rounded_to(out(), x));
        }
    }
}

TEST_P(SpecialRows, LargestFiniteNumbersOfBothSigns) {
    certain_ = false;
    const double largest = largest_finite(in());
    for (std::size_t n = 2; n <= longest; ++n) {
        for (std::size_t position = 0; position < n; ++position) {
            std::vector<double> row(n, -largest);
            row[position] = largest;
            std::vector<long double> softmax(n, 0), log_softmax(n, -2 * static_cast<long double>(largest));
            softmax[position] = 1;
            log_softmax[position] = 0;
            if (2 * largest > largest_finite(out())) {
                for (long double& y : log_softmax) y = y == 0 ? 0 : -std::numeric_limits<long double>::infinity();
            }
            for (const auto mode : both_modes) expect(row, mode, softmax, log_softmax, rounded_to(out(), largest));
        }
    }
}

TEST(EmptyRow, LogsumexpIsMinusInfinity) {
    for (const subject* s : runnable_subjects()) {
        for (const dtype type : all_dtypes) {
            for (const auto mode : both_modes) {
                std::byte result[8] = {};
                s->returned_logsumexp(span_view(type, 0), result, {.special = mode});
                EXPECT_EQ(load(type, result, 0), -inf) << s->name << " " << name_of(type);
            }
        }
    }
}

TEST(SpecialTensor, LogsumexpOfEachRowIsItsOwn) {
    const std::vector<double> rows = {-inf, -inf, -inf, /**/ 1, nan_value, 2, /**/ inf, 0, -inf, /**/ -inf, 5, -inf};
    for (const subject* s : runnable_subjects()) {
        for (const dtype type : all_dtypes) {
            for (const std::size_t axis : {0u, 1u}) {
                const guarded_memory in(axis == 1 ? tensor_view(type, {4, 3}) : tensor_view(type, {3, 4}, {1, 3}));
                const guarded_memory out(tensor_view(type, {4}));
                std::vector<double> arranged = rows;
                if (axis == 0) {
                    for (std::size_t i = 0; i < 12; ++i) arranged[i] = rows[i % 4 * 3 + i / 4];
                }
                store_all(in.elements(), arranged);
                s->out_of_place(function::logsumexp, in.elements(), out.elements(),
                                {.axis = static_cast<std::ptrdiff_t>(axis)});
                const std::vector<double> result = load_all(out.elements());
                EXPECT_EQ(result[0], -inf) << s->name;
                EXPECT_TRUE(is_nan(result[1])) << s->name;
                EXPECT_EQ(result[2], inf) << s->name;
                EXPECT_EQ(result[3], 5) << s->name;
            }
        }
    }
}

}  // namespace
}  // namespace softmax_test
