// SPDX-License-Identifier: BSL-1.0
#include "reference.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

static_assert(LDBL_MANT_DIG >= 64 && LDBL_MAX_EXP >= 16384, "the reference needs a long double beyond double");

namespace softmax_test {
namespace {

struct halves {
    long double high, low;
};

// Veltkamp's splitting: both halves have at most half of the digits, their sum is exact.
halves split(long double a) {
    constexpr long double factor = static_cast<long double>(1ull << ((LDBL_MANT_DIG + 1) / 2)) + 1;
    const long double scaled = factor * a;
    const long double high = scaled - (scaled - a);
    return {high, a - high};
}

// Knuth's sum: high + low is exactly a + b.
halves two_sum(long double a, long double b) {
    const long double sum = a + b;
    const long double rounded = sum - a;
    return {sum, (a - (sum - rounded)) + (b - rounded)};
}

}  // namespace

reference::pair reference::product(double a, double b) {
    const long double high = static_cast<long double>(a) * static_cast<long double>(b);
    const halves x = split(static_cast<long double>(a));
    const halves y = split(static_cast<long double>(b));
    return {high, ((x.high * y.high - high) + x.high * y.low + x.low * y.high) + x.low * y.low};
}

reference::pair reference::below_max(double logit) const {
    const pair z = product(logit, scale_);
    const halves difference = two_sum(z.high, -max_.high);
    const halves sum = two_sum(difference.high, difference.low + (z.low - max_.low));
    return {sum.high, sum.low};
}

reference::reference(std::span<const double> logits, double scale, std::span<const std::size_t> counts)
    : scale_(scale) {
    if (logits.empty()) {
        max_ = {-std::numeric_limits<long double>::infinity(), 0};
        log_sum_exp_ = 0;
        return;
    }
    const auto [lowest, highest] = std::minmax_element(logits.begin(), logits.end());
    max_ = product(scale < 0 ? *lowest : *highest, scale);

    long double at_max = 0, rest = 0, lost = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const pair z = below_max(logits[i]);
        const long double count = counts.empty() ? 1 : static_cast<long double>(counts[i]);
        if (z.high == 0 && z.low == 0) {
            at_max += count;
            continue;
        }
        const long double term = count * std::exp(z.high) * (1 + z.low);
        const long double sum = rest + term;
        lost += std::abs(rest) >= std::abs(term) ? (rest - sum) + term : (term - sum) + rest;
        rest = sum;
    }
    rest += lost;
    sum_exp_ = at_max + rest;
    log_sum_exp_ = std::log(at_max) + std::log1p(rest / at_max);
}

long double reference::softmax(double logit) const {
    const pair z = below_max(logit);
    return std::exp(z.high) * (1 + z.low) / sum_exp_;
}

long double reference::log_softmax(double logit) const {
    const pair z = below_max(logit);
    return z.high + (z.low - log_sum_exp_);
}

long double reference::of(function f, double logit) const {
    return f == function::softmax ? softmax(logit) : log_softmax(logit);
}

long double reference::logsumexp() const { return max_.high + (max_.low + log_sum_exp_); }

long double reference::logsumexp_magnitude() const {
    return std::max({std::abs(max_.high), std::abs(log_sum_exp_), std::abs(logsumexp())});
}

long double ulp(dtype type, long double value) {
    const binary_format format = format_of(type);
    int exponent = format.min_exponent;
    if (value != 0) exponent = std::clamp(std::ilogb(value), format.min_exponent, format.max_exponent);
    return std::ldexp(1.0L, exponent - format.digits + 1);
}

double error_in_ulp(dtype out, double actual, long double expected, long double magnitude) {
    if (is_nan(actual)) return std::numeric_limits<double>::infinity();
    if (static_cast<long double>(actual) == expected) return 0;  // infinities too
    const long double overflow = std::ldexp(1.0L, format_of(out).max_exponent + 1);
    const long double a = std::clamp(static_cast<long double>(actual), -overflow, overflow);
    const long double e = std::clamp(expected, -overflow, overflow);
    const double distance = static_cast<double>(std::abs(a - e) / ulp(out, magnitude));
    return is_nan(distance) ? std::numeric_limits<double>::infinity() : distance;
}

double error_in_ulp(function f, dtype in, dtype out, double actual, long double expected) {
    if (f == function::softmax) {
        if (std::signbit(actual)) return std::numeric_limits<double>::infinity();
        const int smallest_normal = format_of(compute_type(in, out)).min_exponent;
        if (actual == 0 && expected < std::ldexp(1.0L, smallest_normal)) return 0;
    }
    return error_in_ulp(out, actual, expected, expected);
}

double documented_bound(function f, dtype out) {
    if (out == dtype::f16 || out == dtype::bf16) return 0.52;
    return f == function::softmax ? 5 : 3;
}

}  // namespace softmax_test
