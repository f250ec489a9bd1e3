// SPDX-License-Identifier: BSL-1.0
// The last layer of a large language model, its vocabulary spread over machines: each rank has the logits of some of the
// words, for all tokens, and no rank ever sees a whole row. Loss and gradient come from one reduction of 88 bytes for each
// token.
//
//     mpirun -n 4 mpi_vocab_parallel
//
// Prints the mean loss and a hash of all bits of losses and gradients: the same for every number of ranks. Exits with 0 if each
// rank also found its part in what it gets from the whole row.
#include <safe_softmax/mpi.hpp>
#include <safe_softmax/safe_softmax.hpp>

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t tokens = 16, words = 32000;

/// The same number on every machine for the same token and word: what the matrix product of a model would give.
float logit(std::size_t token, std::size_t word) {
    std::uint64_t x = token * 0x9e3779b97f4a7c15u + word * 0xbf58476d1ce4e5b9u + 1;
    x = (x ^ x >> 31) * 0x94d049bb133111ebu;
    return static_cast<float>(x >> 40) * 0x1p-20f - 8;  // from -8 to 8
}
std::size_t next_word(std::size_t token) { return (token * 7919 + 13) % words; }

/// Of the bits, and of where they stand, so that parts can be added up.
std::uint64_t hash(float value, std::size_t token, std::size_t word) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    std::uint64_t x = bits + token * 0x9e3779b97f4a7c15u + word * 0xc2b2ae3d27d4eb4fu;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int rank = 0, ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);

    const smx::row_part mine = smx::part_of_row(words, static_cast<std::size_t>(ranks), static_cast<std::size_t>(rank));
    std::vector<float> logits(tokens * mine.count), gradient(logits.size()), losses(tokens);
    std::vector<int> targets(tokens);
    for (std::size_t t = 0; t < tokens; ++t) {
        targets[t] = static_cast<int>(next_word(t));
        for (std::size_t w = 0; w < mine.count; ++w) logits[t * mine.count + w] = logit(t, mine.first + w);
    }

    const std::size_t extents[] = {tokens, mine.count};
    const smx::tensor_view<float, 2> in(logits.data(), extents), dlogits(gradient.data(), extents);
    smx::mpi_cross_entropy_with_gradient(in, targets, mine.first, losses, dlogits, MPI_COMM_WORLD,
                                         {.dloss = 1.0 / tokens});

    double mean = 0;
    std::uint64_t own = 0, all = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
        mean += losses[t] / double(tokens);
        if (rank == 0) own += hash(losses[t], t, words);
        for (std::size_t w = 0; w < mine.count; ++w) own += hash(gradient[t * mine.count + w], t, mine.first + w);
    }
    MPI_Reduce(&own, &all, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);

    // What no model of that size could do: the whole rows on every rank.
    std::vector<float> row(words), whole(words);
    int wrong = 0, wrong_anywhere = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t w = 0; w < words; ++w) row[w] = logit(t, w);
        float loss[1];
        smx::cross_entropy_with_gradient(row, targets[t], loss, whole, {.dlosses = 1.0 / tokens});
        if (!(std::abs(loss[0] - losses[t]) <= 4e-7f * loss[0])) ++wrong;
        for (std::size_t w = 0; w < mine.count; ++w) {
            const float expected = whole[mine.first + w], g = gradient[t * mine.count + w];
            if (!(std::abs(g - expected) <= 1e-6f * std::abs(expected))) ++wrong;
        }
    }
    MPI_Allreduce(&wrong, &wrong_anywhere, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) {
        std::printf("%zu tokens, %zu words on %d rank%s: mean loss %.9g, bits %016llx\n", tokens, words, ranks,
                    ranks == 1 ? "" : "s", mean, static_cast<unsigned long long>(all));
        std::printf("each rank has %zu to %zu words and sends %zu bytes for each token and message\n",
                    smx::part_of_row(words, static_cast<std::size_t>(ranks), static_cast<std::size_t>(ranks - 1)).count,
                    mine.count, sizeof(smx::vocabulary::mpi_row));
        if (wrong_anywhere != 0) std::printf("%d numbers are not those of whole rows\n", wrong_anywhere);
    }
    MPI_Finalize();
    return wrong_anywhere == 0 ? 0 : 1;
}
