// SPDX-License-Identifier: BSL-1.0

// What run-time dispatch costs: less than 10 ns a call, and at most 5 % from 64 elements up, against the same loop compiled for
// AVX-512 (NEON64), whose table the tests compile with as much optimisation. Rounds alternate and the fastest counts; a disturbed machine gets more of them, for up to ten seconds a length.

#include "cost.hpp"

#include <safe_softmax/isa.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

/// Nanoseconds a call.
double time_of(void (*loop)(const float*, float*, std::size_t, std::size_t), const std::vector<float>& in,
               std::vector<float>& out) {
    const std::size_t calls = 20000 / (in.size() + 20) + 10;
    const clock_type::time_point begin = clock_type::now();
    loop(in.data(), out.data(), in.size(), calls);
    return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / static_cast<double>(calls);
}

bool cheap(std::size_t n) {
    std::vector<float> in(n), out(n);
    for (std::size_t i = 0; i < n; ++i) in[i] = static_cast<float>(i * 2654435761u % 1000) / 100;
    double direct = 1e9, dispatched = 1e9;
    bool good = false;
    const clock_type::time_point begin = clock_type::now();
    for (int round = 0; round < 200 || (!good && clock_type::now() - begin < std::chrono::seconds(10)); ++round) {
        const double d = time_of(direct_loop, in, out), c = time_of(dispatched_loop, in, out);
        direct = d < direct ? d : direct;
        dispatched = c < dispatched ? c : dispatched;
        good = dispatched - direct < 10 && (n < 64 || dispatched <= 1.05 * direct);
    }
    std::printf("%zu elements: %.1f ns, by dispatch %.1f ns%s\n", n, direct, dispatched, good ? "" : ": TOO SLOW");
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
