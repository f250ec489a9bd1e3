// SPDX-License-Identifier: BSL-1.0

// What run-time dispatch costs: less than 10 ns a call, and at most 5 % from 64 elements up, against the same loop compiled for
// AVX-512 (NEON64) as the table is. Median of rows at each of the places in a cache line where allocators put them and of stacks all over
// a page: where what a call keeps on the stack has the same place in its page as a row out of line, it takes twice as long, called either
// way. Rounds alternate and the fastest of each place counts; a disturbed machine gets more of them, for up to four seconds a length.

#include "cost.hpp"

#include <safe_softmax/isa.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::size_t row_places = 4, row_step = 4, stack_places = 16, stack_step = 256;  // elements, bytes
constexpr std::size_t places = row_places * stack_places;

using loop = void (*)(const float*, float*, std::size_t, std::size_t);

/// Nanoseconds a call, with the stack so many steps further down.
double time_of(loop l, const float* in, float* out, std::size_t n, std::size_t steps) {
    [[maybe_unused]] volatile char room[stack_step];
    room[0] = 0;
    if (steps > 0) {
        const double time = time_of(l, in, out, n, steps - 1);
        room[1] = 0;
        return time;
    }
    const std::size_t calls = 20000 / (n + 20) / row_places + 10;
    const clock_type::time_point begin = clock_type::now();
    l(in, out, n, calls);
    return std::chrono::duration<double, std::nano>(clock_type::now() - begin).count() / static_cast<double>(calls);
}

bool cheap(std::size_t n) {
    std::vector<float> in(n + row_places * row_step), out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i * 2654435761u % 1000) / 100;
    double direct[places], dispatched[places];
    std::fill_n(direct, places, 1e9);
    std::fill_n(dispatched, places, 1e9);
    const auto median = [](const double(&t)[places]) {
        double sorted[places];
        std::copy_n(t, places, sorted);
        std::nth_element(sorted, sorted + places / 2, sorted + places);
        return sorted[places / 2];
    };
    bool good = false;
    const clock_type::time_point begin = clock_type::now();
    for (int round = 0; round < 20 || (!good && clock_type::now() - begin < std::chrono::seconds(4)); ++round) {
        for (std::size_t p = 0; p < places; ++p) {
            const float* const x = in.data() + p % row_places * row_step;
            float* const y = out.data() + p % row_places * row_step;
            direct[p] = std::min(direct[p], time_of(direct_loop, x, y, n, p / row_places));
            dispatched[p] = std::min(dispatched[p], time_of(dispatched_loop, x, y, n, p / row_places));
        }
        good = median(dispatched) - median(direct) < 10 && (n < 64 || median(dispatched) <= 1.05 * median(direct));
    }
    std::printf("%zu elements: %.1f ns, by dispatch %.1f ns%s\n", n, median(direct), median(dispatched),
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
