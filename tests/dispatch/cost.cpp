// SPDX-License-Identifier: BSL-1.0

// What run-time dispatch costs: less than 10 ns a call, and at most 5 % from 64 elements up, against the same loop compiled for
// AVX-512 (NEON64), whose table the tests compile with as much optimisation. Of rows at each of the places in a cache line where
// allocators put them, which differ by more than that. Rounds alternate and the fastest counts; a disturbed machine gets more of them,
// for up to two seconds a length.

#include "cost.hpp"

#include <safe_softmax/isa.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t places = 4, place_step = 4;  // 16 bytes

/// Nanoseconds a call.
double time_of(void (*loop)(const float*, float*, std::size_t, std::size_t), const float* in, float* out,
               std::size_t n) {
    const std::size_t calls = 20000 / (n + 20) / places + 10;
    const clock_type::time_point begin = clock_type::now();
    loop(in, out, n, calls);
    return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / static_cast<double>(calls);
}

bool cheap(std::size_t n) {
    std::vector<float> in(n + places * place_step), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i * 2654435761u % 1000) / 100;
    double direct[places], dispatched[places];
    std::fill_n(direct, places, 1e9);
    std::fill_n(dispatched, places, 1e9);
    const auto mean = [](const double(&t)[places]) { return std::accumulate(t, t + places, 0.0) / places; };
    bool good = false;
    const clock_type::time_point begin = clock_type::now();
    for (int round = 0; round < 200 || (!good && clock_type::now() - begin < std::chrono::seconds(2)); ++round) {
        for (std::size_t p = 0; p < places; ++p) {
            const float* const x = in.data() + p * place_step;
            float* const y = out.data() + p * place_step;
            direct[p] = std::min(direct[p], time_of(direct_loop, x, y, n));
            dispatched[p] = std::min(dispatched[p], time_of(dispatched_loop, x, y, n));
        }
        good = mean(dispatched) - mean(direct) < 10 && (n < 64 || mean(dispatched) <= 1.05 * mean(direct));
    }
    std::printf("%zu elements: %.1f ns, by dispatch %.1f ns%s\n", n, mean(direct), mean(dispatched),
                good ? "" : ": TOO SLOW");
    return good;
}

}  // namespace

int main() {
#if defined(__x86_64__)
    if (!smx::set_active_isa(smx::isa::avx512)) {
        std::puts("SKIPPED: this processor has no AVX-512");
        return 77;
    }
#endif
    bool good = true;
    for (const std::size_t n :
         {std::size_t(10), std::size_t(64), std::size_t(200), std::size_t(1000), std::size_t(5000)})
        good &= cheap(n);
    return good ? 0 : 1;
}
