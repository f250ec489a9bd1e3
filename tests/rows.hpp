// SPDX-License-Identifier: BSL-1.0
#pragma once

// Logits to test with: the same on every machine, given a family, a seed and a length.

#include "element_types.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace softmax_test {

/// SplitMix64 (Steele, Lea, Flood 2014).
class generator {
public:
    explicit generator(std::uint64_t seed) : state_(seed) {}
    std::uint64_t bits();
    double uniform(double low, double high);
    double normal();
    std::size_t below(std::size_t n);

private:
    std::uint64_t state_;
};

enum class family {
    normal_1,
    normal_3,
    normal_10,
    uniform_80,
    wide,    // covers the whole range of exp in the compute type
    tail,    // everything but one element near the smallest probability that must not vanish
    peaked,  // one element far above the rest
    ties,    // few distinct values, the maximum several times
    equal,
    ascending,  // the maximum moves at every element
    plus_200,
    minus_200,
    plus_1e3,
    minus_1e3,
    plus_5e4,
    minus_5e4,
    plus_1e30,
    minus_1e30,
    subnormal,
    extremes,  // among them the largest finite numbers of both signs
};

inline constexpr family all_families[] = {
    family::normal_1,  family::normal_3,  family::normal_10,  family::uniform_80, family::wide,
    family::tail,      family::peaked,    family::ties,       family::equal,      family::ascending,
    family::plus_200,  family::minus_200, family::plus_1e3,   family::minus_1e3,  family::plus_5e4,
    family::minus_5e4, family::plus_1e30, family::minus_1e30, family::subnormal,  family::extremes,
};

const char* name_of(family kind);

/// n logits, each rounded to `type` and finite in it.
std::vector<double> make_row(family kind, dtype type, std::size_t n, std::uint64_t seed);

/// The seed that random tests start from: SMX_TEST_SEED in the environment, else a fixed one. Printed once.
std::uint64_t base_seed();

}  // namespace softmax_test
