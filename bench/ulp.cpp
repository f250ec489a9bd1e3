// SPDX-License-Identifier: BSL-1.0
// The largest error of softmax in float over the spread of the logits, for this library, the three loops, the peers, and for a
// softmax that is exact but for its subtraction of the maximum: `bench_ulp` prints results/ulp.csv.
#include "competitor.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace bench {

std::vector<competitor>& competitors() {
    static std::vector<competitor> all;
    return all;
}

namespace {

constexpr std::size_t rows = 64, length = 1000;

/// exp(x - max) over its sum, in long double, where `difference` says what x - max is.
template <class F>
void in_long_double(const float* x, long double* y, const F& difference) {
    const float max = *std::max_element(x, x + length);
    long double sum = 0;
    for (std::size_t i = 0; i < length; ++i) sum += y[i] = std::exp(difference(x[i], max));
    for (std::size_t i = 0; i < length; ++i) y[i] /= sum;
}

long double exact(float x, float max) { return static_cast<long double>(x) - max; }
long double rounded(float x, float max) { return x - max; }

/// The largest distance in units of the last place of what is expected. Probabilities below the smallest normal number, which
/// hardly anybody has, do not count.
class largest_error {
public:
    void add(long double actual, long double expected) {
        if (expected < static_cast<long double>((std::numeric_limits<float>::min)())) return;
        const double distance =
            static_cast<double>(std::abs(actual - expected) / std::ldexp(1.0L, std::ilogb(expected) - 23));
        if (std::isnan(distance)) largest_ = std::numeric_limits<double>::infinity();
        else largest_ = std::max(largest_, distance);
    }
    double value() const { return largest_; }

private:
    double largest_ = 0;
};

}  // namespace
}  // namespace bench

int main() {
    using namespace bench;
    const std::size_t size = rows * length;
    std::vector<float> in(size), out(size);
    std::vector<long double> expected(size), row(length);
    std::vector<std::pair<std::string, call>> calls;
    for (const competitor& c : competitors()) {
        const problem<float> p{function::softmax, rows, length, 1, length, in.data(), out.data()};
        if (const auto prepare_it = std::get<0>(c.types); prepare_it != nullptr)
            calls.emplace_back(c.name, prepare_it(p));
    }
    std::erase_if(calls, [](const auto& c) { return !c.second; });
    std::sort(calls.begin(), calls.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

    std::printf("spread,what,ulp\n");
    std::mt19937_64 engine(1);  // draws of its own, the same with every standard library
    for (int step = 0; step <= 48; ++step) {
        const double spread = std::pow(10.0, step / 12.0);
        for (float& x : in) x = static_cast<float>(spread * (std::ldexp(static_cast<double>(engine() >> 11), -52) - 1));
        largest_error subtraction;
        for (std::size_t r = 0; r < size; r += length) {
            in_long_double(&in[r], &expected[r], exact);
            in_long_double(&in[r], row.data(), rounded);
            for (std::size_t i = 0; i < length; ++i) subtraction.add(row[i], expected[r + i]);
        }
        std::printf("%.5g,subtraction,%.4g\n", spread, subtraction.value());
        for (const auto& [name, softmax] : calls) {
            softmax();
            largest_error error;
            for (std::size_t i = 0; i < size; ++i) error.add(static_cast<long double>(out[i]), expected[i]);
            std::printf("%.5g,%s,%.4g\n", spread, name.c_str(), error.value());
        }
    }
    return 0;
}
