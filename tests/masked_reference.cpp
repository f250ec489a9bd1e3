// SPDX-License-Identifier: BSL-1.0
#include "masked_reference.hpp"

#include <cmath>
#include <limits>

namespace softmax_test {
namespace {

// Pairs of long doubles: logits need more digits than one has, see reference.hpp.
struct pair {
    long double high = 0, low = 0;
};

pair sum(long double a, long double b) {
    const long double s = a + b, v = s - a;
    return {s, (a - (s - v)) + (b - v)};
}

pair sum(pair a, pair b) {
    const pair s = sum(a.high, b.high);
    return sum(s.high, s.low + (a.low + b.low));
}

pair product(double a, double b) {
    // Halves of 26 bits: every partial product is exact in a long double of 64 bits.
    const double scale = 0x1p27 + 1;
    const auto half = [&](double x) -> long double {  // that of a number near the largest of double is above it
        if (std::abs(x) < 0x1p990) return x * scale - (x * scale - x);
        const double small = std::ldexp(x, -60);
        return std::ldexp(static_cast<long double>(small * scale - (small * scale - small)), 60);
    };
    const long double ah = half(a), bh = half(b), al = a - ah, bl = b - bh;
    return sum(sum(ah * bl, al * bh), sum(ah * bh, al * bl));
}

pair logit(const masked_logit& l, const masked_row& row) {
    pair z = product(l.x, row.scale);
    if (row.softcap != 0) {
        const long double cap = row.softcap;
        z = {cap * std::tanh((z.high + z.low) / cap), 0};
    }
    z = sum(z, product(l.slope, l.distance));
    z = sum(z, {l.bias, 0});
    return sum(z, {l.added, 0});
}

}  // namespace

std::vector<long double> masked_softmax_of(const masked_row& row, bool log) {
    const long double nothing = log ? -std::numeric_limits<long double>::infinity() : 0;
    std::vector<pair> z(row.logits.size());
    std::optional<std::size_t> top;
    for (std::size_t i = 0; i < z.size(); ++i) {
        if (!row.logits[i].kept || std::isinf(row.logits[i].bias) || std::isinf(row.logits[i].added)) continue;
        z[i] = logit(row.logits[i], row);
        if (!top || z[i].high > z[*top].high || (z[i].high == z[*top].high && z[i].low > z[*top].low)) top = i;
    }
    const auto used = [&](std::size_t i) {
        return row.logits[i].kept && !std::isinf(row.logits[i].bias) && !std::isinf(row.logits[i].added);
    };
    // The largest of all, the sink included: nothing below overflows.
    const bool sink_is_top = row.sink && *row.sink > z[*top].high;
    const pair most = sink_is_top ? pair{*row.sink, 0} : z[*top];
    const auto below = [&](std::size_t i) {
        const pair d = sum(z[i], {-most.high, -most.low});
        return d.high + d.low;
    };
    long double rest = 0, lost = 0;
    const auto take = [&](long double term) {
        const pair s = sum(rest, term);
        rest = s.high;
        lost += s.low;
    };
    for (std::size_t i = 0; i < z.size(); ++i)
        if (used(i) && (sink_is_top || i != *top)) take(std::exp(below(i)));
    if (row.sink && !sink_is_top) {
        const pair d = sum({*row.sink, 0}, {-most.high, -most.low});
        take(std::exp(d.high + d.low));
    }
    rest += lost;
    std::vector<long double> result(z.size(), nothing);
    for (std::size_t i = 0; i < z.size(); ++i) {
        if (!used(i)) continue;
        result[i] = log ? below(i) - std::log1p(rest) : std::exp(below(i)) / (1 + rest);
    }
    return result;
}

}  // namespace softmax_test
