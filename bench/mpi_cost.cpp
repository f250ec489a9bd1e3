// SPDX-License-Identifier: BSL-1.0

// What the one reduction of mpi.hpp costs on up to 10,000 ranks: a simulation, message by message, on one machine.
//
//     mpi_cost [latency in us] [bandwidth in GB/s]
//
// Every rank has a clock. A message arrives `latency + bytes / bandwidth` after both sides were ready for it, and the states in
// it are then merged, for the time that a merge takes here (measured). Two ways in which MPI libraries reduce are simulated:
//
//   recursive doubling   exchange with the rank whose number differs in one bit, all rows each time; for short messages
//   ring                 1/ranks of the rows around the ring, twice; for long ones
//
// The merges are real: one row of 10,000 blocks of logits, spread over the ranks, is reduced in the order in which either way
// merges, and the state that each rank ends with is compared, bit by bit, with that of one rank.

#include <safe_softmax/online_softmax.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

namespace {

using state = smx::online_softmax<float>;
constexpr std::size_t row_blocks = 10000;
constexpr double state_bytes = 88, float_bytes = 4;

struct network {
    double latency, bandwidth, merge;  // seconds, bytes per second, seconds for each state
};

struct cost {
    double seconds = 0;
    std::size_t messages = 0;  // that the busiest rank sends
    double bytes = 0;          // that it sends
};

bool same_bits(const state& a, const state& b) {
    return std::memcmp(&a.state(), &b.state(), sizeof(smx::online_state)) == 0;
}

/// All pairs of a round of recursive doubling, in order: f(from, to, both ways).
template <class F>
void recursive_doubling(std::size_t ranks, const F& f) {
    std::size_t power = 1;
    while (2 * power <= ranks) power *= 2;
    const std::size_t extra = ranks - power;  // the first 2*extra ranks work in pairs
    const auto rank_of = [&](std::size_t i) { return i < extra ? 2 * i + 1 : i + extra; };
    for (std::size_t i = 0; i < extra; ++i) f(2 * i, 2 * i + 1, false);
    for (std::size_t bit = 1; bit < power; bit *= 2)
        for (std::size_t i = 0; i < power; ++i)
            if ((i & bit) == 0) f(rank_of(i), rank_of(i | bit), true);
    for (std::size_t i = 0; i < extra; ++i) f(2 * i + 1, 2 * i, false);
}

cost of_recursive_doubling(std::size_t ranks, double bytes, double rows, const network& n) {
    std::vector<double> clock(ranks, 0), sent(ranks, 0);
    std::vector<std::size_t> messages(ranks, 0);
    recursive_doubling(ranks, [&](std::size_t a, std::size_t b, bool both) {
        const double arrival = std::max(clock[a], clock[b]) + n.latency + bytes / n.bandwidth,
                     done = arrival + rows * n.merge;
        clock[b] = done;
        ++messages[a];
        sent[a] += bytes;
        if (!both) return;
        clock[a] = done;
        ++messages[b];
        sent[b] += bytes;
    });
    return {*std::max_element(clock.begin(), clock.end()), *std::max_element(messages.begin(), messages.end()),
            *std::max_element(sent.begin(), sent.end())};
}

cost of_ring(std::size_t ranks, double bytes, double rows, const network& n) {
    if (ranks == 1) return {};
    std::vector<double> clock(ranks, 0), next(ranks);
    const double share = bytes / static_cast<double>(ranks), merge = rows / static_cast<double>(ranks) * n.merge;
    for (std::size_t step = 0; step < 2 * (ranks - 1); ++step) {
        for (std::size_t r = 0; r < ranks; ++r) {
            const double sender = clock[r == 0 ? ranks - 1 : r - 1];
            next[r] = std::max(clock[r], sender) + n.latency + share / n.bandwidth + (step < ranks - 1 ? merge : 0);
        }
        clock.swap(next);
    }
    return {*std::max_element(clock.begin(), clock.end()), 2 * (ranks - 1), 2 * static_cast<double>(ranks - 1) * share};
}

std::vector<state> states_of_blocks() {
    std::mt19937 engine(1);
    std::vector<float> x(state::block);
    std::vector<state> all;
    for (std::size_t b = 0; b < row_blocks; ++b) {
        for (float& v : x) v = static_cast<float>(engine() % 65536) / 2048 - 16;
        all.emplace_back();
        all.back().push(x);
    }
    return all;
}

/// Whether every rank ends with the bits of `whole`, whichever way they are reduced.
bool all_ranks_agree(std::size_t ranks, const std::vector<state>& blocks, const state& whole) {
    std::vector<state> own(ranks);
    for (std::size_t b = 0; b < row_blocks; ++b) own[b * ranks / row_blocks].merge(blocks[b]);
    for (const std::size_t start :
         {std::size_t(0), ranks / 3, ranks - 1}) {  // the rank at which a part of the ring begins
        state around = own[start];
        for (std::size_t i = 1; i < ranks; ++i) around.merge(own[(start + i) % ranks]);
        if (!same_bits(around, whole)) return false;
    }
    recursive_doubling(ranks, [&](std::size_t a, std::size_t b, bool both) {
        if (both) {
            own[a].merge(own[b]);
            own[b] = own[a];
        } else if (b == a + 1) {
            own[b].merge(own[a]);
        } else {
            own[b] = own[a];
        }
    });
    return std::all_of(own.begin(), own.end(), [&](const state& s) { return same_bits(s, whole); });
}

double seconds_of_merge(const std::vector<state>& blocks) {
    double best = 1;
    for (int repeat = 0; repeat < 20; ++repeat) {
        state s;
        const auto start = std::chrono::steady_clock::now();
        for (const state& b : blocks) s.merge(b);
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
                                  static_cast<double>(blocks.size()));
    }
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<state> blocks = states_of_blocks();
    state whole;
    for (const state& b : blocks) whole.merge(b);
    const network ours{argc > 1 ? std::atof(argv[1]) * 1e-6 : 2e-6, argc > 2 ? std::atof(argv[2]) * 1e9 : 12.5e9,
                       seconds_of_merge(blocks)};
    network floats = ours;
    floats.merge = 0;
    std::printf("latency %.3g us, bandwidth %.3g GB/s, a merge %.0f ns\n\n", ours.latency * 1e6, ours.bandwidth * 1e-9,
                ours.merge * 1e9);
    std::puts(
        "| ranks | messages of a rank | bytes of a rank, each row | 1 row, us | three reductions | 4096 rows, us | "
        "three reductions | ring, 4096 rows, us | bits |");
    std::puts("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    bool good = true;
    for (const std::size_t ranks :
         std::initializer_list<std::size_t>{1, 2, 3, 4, 8, 16, 64, 100, 256, 1000, 1024, 4096, 10000}) {
        const auto doubling = [&](double rows) { return of_recursive_doubling(ranks, rows * state_bytes, rows, ours); };
        const auto three = [&](double rows) {
            return 3 * of_recursive_doubling(ranks, rows * float_bytes, rows, floats).seconds;
        };
        const bool agree = all_ranks_agree(ranks, blocks, whole);
        good = good && agree;
        std::printf("| %zu | %zu | %.0f | %.1f | %.1f | %.0f | %.0f | %.0f | %s |\n", ranks, doubling(1).messages,
                    doubling(1).bytes, doubling(1).seconds * 1e6, three(1) * 1e6, doubling(4096).seconds * 1e6,
                    three(4096) * 1e6, of_ring(ranks, 4096 * state_bytes, 4096, ours).seconds * 1e6,
                    agree ? "same" : "OTHER");
    }
    return good ? 0 : 1;
}
