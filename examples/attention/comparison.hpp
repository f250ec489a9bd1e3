// SPDX-License-Identifier: BSL-1.0
// How far the variants are from each other and from a reference in double.
#pragma once

#include "variants.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace attention {

/// The last place of T at x.
template <class T>
double ulp_at(double x) {
    using limits = std::numeric_limits<T>;
    constexpr int smallest = limits::min_exponent - 1;
    const int exponent = x == 0 ? smallest : std::max(std::ilogb(x), smallest);
    return std::ldexp(1.0, exponent - (limits::digits - 1));
}

/// Softmax of the first `keys` scores, as they are held, in double.
template <class T>
std::vector<double> reference_probabilities(std::span<const T> scores, std::size_t keys) {
    std::vector<double> p(keys);
    for (std::size_t j = 0; j < keys; ++j) p[j] = value_of(scores[j]) * scale;
    const double row_max = *std::max_element(p.begin(), p.end());
    double sum_exp = 0;
    for (double& x : p) sum_exp += x = std::exp(x - row_max);
    for (double& x : p) x /= sum_exp;
    return p;
}

/// What attention puts out for a query, and sum_j p_j |value_j|: where terms cancel, the errors of the terms remain, so this is
/// what ulps of the output are taken at. Without negative values it is the output itself.
struct reference_output {
    output<double> y, magnitude;
};

inline reference_output reference(const heads& of, std::size_t h, std::span<const double> p) {
    reference_output result{};
    for (std::size_t j = 0; j < p.size(); ++j) {
        for (std::size_t d = 0; d < width; ++d) {
            const double v = static_cast<double>(of.value(h, j)[d]);
            result.y[d] += p[j] * v;
            result.magnitude[d] += p[j] * std::fabs(v);
        }
    }
    return result;
}

/// Of one head.
struct comparison {
    double largest_logit = -std::numeric_limits<double>::infinity();
    std::size_t rows = 0, textbook_nan_rows = 0, safe_nan_rows = 0;
    double probability_ulp = 0;  ///< safe against the reference, in ulp of the probability as T has it
    double output_ulp = 0;       ///< the same of the output with these probabilities, in ulp of T
    double blockwise_ulp = 0;    ///< in blocks against at once, probabilities in Sum, in ulp of Sum
};

template <class T>
bool has_nan(std::span<const T> row) {
    return std::any_of(row.begin(), row.end(), [](T x) { return std::isnan(value_of(x)); });
}

/// @tparam T    type of scores and probabilities
/// @tparam Sum  type in which blocks are summed up
template <class T, class Sum>
std::vector<comparison> compare(const heads& of, bool causal) {
    const std::size_t n = of.length();
    const std::vector<T> held = scores<T>(of);
    const std::vector<T> textbook = textbook_probabilities(held, of, causal);
    const std::vector<T> safe = safe_probabilities<T>(held, of, causal);
    const std::vector<Sum> wide = safe_probabilities<Sum>(held, of, causal);

    std::vector<comparison> result(of.count());
    for (std::size_t h = 0; h < of.count(); ++h) {
        comparison& c = result[h];
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t begin = (h * n + i) * n, keys = causal ? i + 1 : n;
            const std::span<const T> row = std::span(held).subspan(begin, n), p = std::span(safe).subspan(begin, n);
            const std::vector<double> exact = reference_probabilities(row, keys);
            const reference_output expected = reference(of, h, exact);

            ++c.rows;
            c.textbook_nan_rows += has_nan(std::span<const T>(textbook).subspan(begin, n)) ? 1 : 0;
            c.safe_nan_rows += has_nan(p) ? 1 : 0;
            for (std::size_t j = 0; j < n; ++j) {
                const double y = j < keys ? exact[j] : 0;  // what is hidden has a probability of exactly 0
                c.probability_ulp = std::fmax(c.probability_ulp, std::fabs(value_of(p[j]) - y) / ulp_at<T>(y));
                if (j < keys) c.largest_logit = std::fmax(c.largest_logit, value_of(row[j]) * scale);
            }
            const output<Sum> y = weighted_values<Sum>(of, h, p.first(keys));
            const output<Sum> at_once = weighted_values<Sum>(of, h, std::span<const Sum>(wide).subspan(begin, keys));
            const output<Sum> in_blocks = blockwise<Sum>(of, h, row.first(keys));
            for (std::size_t d = 0; d < width; ++d) {
                const double own = ulp_at<T>(expected.magnitude[d]), sums = ulp_at<Sum>(expected.magnitude[d]);
                c.output_ulp = std::fmax(c.output_ulp, std::fabs(value_of(y[d]) - expected.y[d]) / own);
                c.blockwise_ulp =
                    std::fmax(c.blockwise_ulp, std::fabs(value_of(in_blocks[d]) - value_of(at_once[d])) / sums);
            }
        }
    }
    return result;
}

}  // namespace attention
