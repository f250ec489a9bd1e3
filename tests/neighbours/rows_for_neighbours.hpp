// SPDX-License-Identifier: BSL-1.0
#pragma once

// Rows that every neighbour's arrays are filled with, what the library gives for them in plain memory, and how far a
// neighbour's own softmax is from that.

#include "../reference.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace neighbours {

inline constexpr double inf = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Any element as a double, and back.
template <class T>
double to_double(T x) {
    return static_cast<double>(smx::vocabulary::bit_cast<smx::vocabulary::storage_t<T>>(x));
}
template <class T>
T from_double(double x) {
    using S = smx::vocabulary::storage_t<T>;
    if constexpr (sizeof(S) == 2) return smx::vocabulary::bit_cast<T>(S(static_cast<float>(x)));
    else return static_cast<T>(x);
}

/// rows x length, row-major: ordinary logits, and, as far as there are rows, a NaN, all -inf, +inf twice, -inf among others, large ones.
template <class T>
std::vector<T> logits(std::size_t rows, std::size_t length, bool special = true) {
    std::mt19937 engine(11);
    std::vector<T> x(rows * length);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < length; ++i) {
            double value = static_cast<double>(engine() % 8001) / 400 - 10;
            if (special && r % 7 == 2 && i == length / 2) value = nan;
            if (special && r % 7 == 3) value = -inf;
            if (special && r % 7 == 4 && (i == 0 || i == length - 1)) value = inf;
            if (special && r % 7 == 5 && i % 2 == 0) value = -inf;
            if (special && r % 7 == 6) value = sizeof(T) == 2 ? value * 1000 : value * 1e30;
            x[r * length + i] = from_double<T>(value);
        }
    }
    return x;
}

/// All rows from the last to the first, each from its end: what negative strides in both axes show.
template <class T>
std::vector<T> backwards(std::vector<T> x) {
    std::reverse(x.begin(), x.end());
    return x;
}

enum class function { softmax, log_softmax, logsumexp };

/// What the library gives for row-major rows along axis 1, itself checked against long double.
template <class Out, class In>
std::vector<Out> of_rows(function f, const std::vector<In>& in, std::size_t rows,
                         const smx::softmax_options& options = {}) {
    const std::size_t length = in.size() / rows;
    std::vector<Out> out(f == function::logsumexp ? rows : in.size());
    const smx::tensor_view<const In, 2> x(in.data(), {rows, length});
    smx::softmax_options o = options;
    o.axis = 1;
    if (f == function::logsumexp) smx::logsumexp(x, out, o);
    else if (f == function::softmax) smx::safe_softmax(x, smx::tensor_view<Out, 2>(out.data(), {rows, length}), o);
    else smx::log_softmax(x, smx::tensor_view<Out, 2>(out.data(), {rows, length}), o);
    return out;
}

template <class T>
bool same_bits(const T& a, const T& b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// at(r, i) of what was written against the expected rows, bit for bit; NaN is like any other NaN.
template <class Out, class At>
void expect_rows(const std::vector<Out>& expected, std::size_t rows, const At& at, const std::string& what) {
    const std::size_t length = expected.size() / rows;
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < length; ++i) {
            const Out actual = at(r, i), want = expected[r * length + i];
            const bool both_nan = std::isnan(to_double(actual)) && std::isnan(to_double(want));
            if (!both_nan && !same_bits(actual, want) && wrong++ == 0)
                ADD_FAILURE() << what << ": row " << r << ", element " << i << " is " << to_double(actual)
                              << " instead of " << to_double(want);
        }
    }
    EXPECT_EQ(wrong, 0u) << what;
}

template <class T>
constexpr softmax_test::dtype dtype_of =
    smx::format_of<T> == smx::element_format::binary64   ? softmax_test::dtype::f64
    : smx::format_of<T> == smx::element_format::binary32 ? softmax_test::dtype::f32
    : smx::format_of<T> == smx::element_format::binary16 ? softmax_test::dtype::f16
                                                         : softmax_test::dtype::bf16;

/// The largest error of each, in ulp of the exact value, over rows of finite logits.
struct errors {
    double own = 0, theirs = 0;
};

/// own(r, i) and theirs(r, i) of finite rows against long double.
template <class Out, class In, class Own, class Theirs>
errors compare(softmax_test::function f, const std::vector<In>& in, std::size_t rows, const Own& own,
               const Theirs& theirs) {
    const std::size_t length = in.size() / rows;
    errors worst;
    for (std::size_t r = 0; r < rows; ++r) {
        std::vector<double> row(length);
        for (std::size_t i = 0; i < length; ++i) row[i] = to_double(in[r * length + i]);
        const softmax_test::reference exact(row, 1);
        for (std::size_t i = 0; i < length; ++i) {
            const auto error = [&](double actual) {
                return softmax_test::error_in_ulp(f, dtype_of<In>, dtype_of<Out>, actual, exact.of(f, row[i]));
            };
            worst.own = std::max(worst.own, error(to_double(own(r, i))));
            worst.theirs = std::max(worst.theirs, error(to_double(theirs(r, i))));
        }
    }
    return worst;
}

/// Ours within the documented bound; theirs within `their_bound`, which shows that the same thing was computed; both printed.
inline void expect_within(const errors& e, softmax_test::function f, softmax_test::dtype out, double their_bound,
                          const std::string& what) {
    std::printf("%-48s %9.3f ulp, theirs %9.3g ulp\n", what.c_str(), e.own, e.theirs);
    EXPECT_LE(e.own, softmax_test::documented_bound(f, out)) << what;
    EXPECT_LE(e.theirs, their_bound) << what;
}

}  // namespace neighbours
