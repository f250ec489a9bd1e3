// SPDX-License-Identifier: BSL-1.0
#include "rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace softmax_test {

std::uint64_t generator::bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double generator::uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
}

// Marsaglia's polar method.
double generator::normal() {
    for (;;) {
        const double u = uniform(-1, 1), v = uniform(-1, 1), s = u * u + v * v;
        if (s > 0 && s < 1) return u * std::sqrt(-2 * std::log(s) / s);
    }
}

std::size_t generator::below(std::size_t n) { return static_cast<std::size_t>(bits() % n); }

const char* name_of(family kind) {
    switch (kind) {
        case family::normal_1: return "N(0,1)";
        case family::normal_3: return "N(0,3)";
        case family::normal_10: return "N(0,10)";
        case family::uniform_80: return "U(-80,80)";
        case family::wide: return "wide";
        case family::tail: return "tail";
        case family::peaked: return "peaked";
        case family::ties: return "ties";
        case family::equal: return "equal";
        case family::ascending: return "ascending";
        case family::plus_200: return "200+N(0,3)";
        case family::minus_200: return "-200+N(0,3)";
        case family::plus_1e3: return "1e3+N(0,10)";
        case family::minus_1e3: return "-1e3+N(0,10)";
        case family::plus_5e4: return "5e4+N(0,10)";
        case family::minus_5e4: return "-5e4+N(0,10)";
        case family::plus_1e30: return "1e30*(1+N(0,1)/64)";
        case family::minus_1e30: return "-1e30*(1+N(0,1)/64)";
        case family::subnormal: return "subnormal";
        case family::extremes: return "extremes";
    }
    throw std::logic_error("softmax_test: unknown family");
}

namespace {

double any_logit(family kind, dtype type, generator& random, std::size_t i, std::size_t n) {
    const double largest = largest_finite(type);
    switch (kind) {
        case family::normal_1: return random.normal();
        case family::normal_3: return 3 * random.normal();
        case family::normal_10: return 10 * random.normal();
        case family::uniform_80: return random.uniform(-80, 80);
        case family::wide: return type == dtype::f64 ? random.uniform(-370, 370) : random.uniform(-52, 52);
        case family::tail: return type == dtype::f64 ? random.uniform(-746, -690) : random.uniform(-105, -80);
        case family::peaked: return 2 * random.normal();
        case family::ties: return static_cast<double>(random.below(4)) * 1.5 - 2;
        case family::equal: return 2.75;
        case family::ascending: return 90 * static_cast<double>(i) / static_cast<double>(n);
        case family::plus_200: return 200 + 3 * random.normal();
        case family::minus_200: return -200 + 3 * random.normal();
        case family::plus_1e3: return 1e3 + 10 * random.normal();
        case family::minus_1e3: return -1e3 + 10 * random.normal();
        case family::plus_5e4: return 5e4 + 10 * random.normal();
        case family::minus_5e4: return -5e4 + 10 * random.normal();
        case family::plus_1e30: return 1e30 * (1 + random.normal() / 64);
        case family::minus_1e30: return -1e30 * (1 + random.normal() / 64);
        case family::subnormal: return smallest_subnormal(type) * std::rint(random.uniform(-100, 100));
        case family::extremes: {
            const double choices[] = {largest, -largest, largest / 2, -largest / 2, 1, -1, 0, -0.0};
            return choices[random.below(8)];
        }
    }
    throw std::logic_error("softmax_test: unknown family");
}

}  // namespace

std::vector<double> make_row(family kind, dtype type, std::size_t n, std::uint64_t seed) {
    generator random(seed ^ static_cast<std::uint64_t>(kind) << 56 ^ static_cast<std::uint64_t>(n) << 8);
    std::vector<double> row(n);
    for (std::size_t i = 0; i < n; ++i) row[i] = any_logit(kind, type, random, i, n);
    if (n != 0 && kind == family::peaked) row[random.below(n)] += random.uniform(5, 100);
    if (n != 0 && kind == family::tail) row[random.below(n)] = random.uniform(-1, 1);

    const double largest = largest_finite(type);
    for (double& logit : row) {
        logit = rounded_to(type, std::clamp(logit, -largest, largest));
    }
    return row;
}

std::uint64_t base_seed() {
    static const std::uint64_t seed = [] {
        const char* text = std::getenv("SMX_TEST_SEED");
        const std::uint64_t chosen = text != nullptr ? std::strtoull(text, nullptr, 0) : 20260801u;
        std::printf("seed: SMX_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
        return chosen;
    }();
    return seed;
}

}  // namespace softmax_test
