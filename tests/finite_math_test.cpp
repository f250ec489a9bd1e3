// SPDX-License-Identifier: BSL-1.0

// This file is compiled with -ffast-math, where a compiler may take every comparison for one of numbers: what is not a number, or not
// finite, is refused all the same, and told by functions whose results may be infinite.

#include "refusals.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#if !defined(__FAST_MATH__) && !defined(_MSC_VER)
#error "the build must compile this file with -ffast-math"
#endif

namespace softmax_test {
namespace {

template <class T, class Bits>
T opaque(Bits bits) {
    volatile Bits v = bits;
    return std::bit_cast<T>(Bits(v));
}
double nan() { return opaque<double>(std::uint64_t(0x7ff8000000000000)); }
double plus_infinity() { return opaque<double>(std::uint64_t(0x7ff0000000000000)); }
float minus_infinity() { return opaque<float>(std::uint32_t(0xff800000)); }

TEST(FiniteMath, OptionsThatAreNoNumbersAreRefused) {
    const std::vector<float> x{1, 2, 3};
    std::vector<float> out(3);
    float loss[1];
    const int target[] = {1};
    std::mt19937 engine;
    for (const double bad : {nan(), plus_infinity()}) {
        const double each[] = {bad};
        expect_error([&] { smx::safe_softmax(x, out, {.scale = bad}); }, {"safe_softmax", "options.scale"});
        expect_error([&] { smx::masked_softmax(x, out, {.scale = bad}); }, {"masked_softmax", "options.scale"});
        expect_error([&] { smx::masked_softmax(x, out, {.softcap = bad}); }, {"masked_softmax", "options.softcap"});
        expect_error([&] { smx::masked_softmax(x, out, {.alibi_slope = each}); }, {"options.alibi_slope"});
        expect_error([&] { smx::masked_softmax(x, out, {.temperature = each}); }, {"options.temperature"});
        expect_error([&] { smx::cross_entropy(x, target, loss, {.label_smoothing = bad}); },
                     {"options.label_smoothing"});
        expect_error([&] { smx::cross_entropy(x, target, loss, {.z_loss = bad}); }, {"options.z_loss"});
        expect_error([&] { smx::filtered_softmax(x, out, {.top_p = bad}); }, {"options.top_p"});
        expect_error([&] { smx::filtered_softmax(x, out, {.min_p = bad}); }, {"options.min_p"});
        expect_error([&] { smx::gumbel_softmax(x, out, engine, {.temperature = bad}); }, {"options.temperature"});
        expect_error([&] { smx::online_softmax<float>({.scale = bad}); }, {"options.scale"});
        std::vector<double> u{bad};
        std::vector<int> index(1);
        expect_error([&] { smx::sample(smx::tensor_view<const float, 2>(x.data(), {1, 3}), u, index); }, {"u has"});
    }
}

TEST(FiniteMath, InfiniteResultsAreInfinite) {
    std::vector<float> nothing(5, minus_infinity()), out(5, 7.0f);
    smx::safe_softmax(nothing, out);
    EXPECT_EQ(out, std::vector<float>(5));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(smx::logsumexp(nothing)), 0xff800000u);
    smx::online_softmax<float> row;
    row.push(nothing);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(row.logsumexp()), 0xff800000u);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(smx::logaddexp(nothing[0], nothing[1])), 0xff800000u);
    nothing[2] = 1;
    smx::log_softmax(nothing, out);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(std::bit_cast<std::uint32_t>(out[i]), i == 2 ? 0 : 0xff800000u) << i;
}

}  // namespace
}  // namespace softmax_test
