// SPDX-License-Identifier: BSL-1.0

// Batches of many axes: every row is what it is alone, bit for bit, whatever is broadcast along which axis.

#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

namespace softmax_test {
namespace {

constexpr std::size_t batches = 2, groups = 3, heads = 2, queries = 4;

/// Rank 5, keys along `axis`: the last one, or the one before it.
template <class T>
void check_batch(bool log, bool in_place, std::size_t axis, std::size_t keys) {
    std::array<std::size_t, 5> extents{batches, groups, heads, queries, keys};
    if (axis == 3) std::swap(extents[3], extents[4]);
    const std::size_t size = batches * groups * heads * queries * keys;
    generator random(keys + axis);
    std::vector<T> in(size), out(size), bias(heads * keys);
    for (T& x : in) x = T(static_cast<float>(random.normal()));
    for (T& x : bias) x = T(static_cast<float>(random.normal()));
    std::vector<std::uint8_t> keep(groups * keys);
    for (std::uint8_t& k : keep) k = random.below(4) != 0;
    std::vector<std::uint16_t> lengths(batches);
    for (std::uint16_t& n : lengths) n = static_cast<std::uint16_t>(random.below(keys + 1));
    std::vector<double> sinks(heads);
    for (double& s : sinks) s = random.normal();

    const std::vector<T> logits = in;
    const smx::tensor_view<T, 5> x(in.data(), extents), y(in_place ? in.data() : out.data(), extents);
    const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(keys);
    // By strides of zero; and by extents of one and missing axes.
    std::array<std::ptrdiff_t, 5> strides{0, length, 0, 0, 1};
    if (axis == 3) std::swap(strides[3], strides[4]);
    const smx::tensor_view<const bool, 5> mask(reinterpret_cast<const bool*>(keep.data()), extents, strides);
    std::array<std::size_t, 3> bias_extents{heads, 1, keys};
    if (axis == 3) std::swap(bias_extents[1], bias_extents[2]);
    smx::masked_options o{
        .axis = static_cast<std::ptrdiff_t>(axis), .scale = 0.5, .causal = true, .causal_offset = length - 3};
    o.bias = smx::tensor_view<const T, 3>(bias.data(), bias_extents);
    o.lengths = smx::tensor_view<const std::uint16_t, 4>(lengths.data(), {batches, 1, 1, 1});
    o.sink = smx::tensor_view<const double, 2>(sinks.data(), {heads, 1});
    if (log) smx::masked_log_softmax(x, mask, y, o);
    else smx::masked_softmax(x, mask, y, o);

    std::vector<T> row(keys), expected(keys);
    for (std::size_t b = 0; b < batches; ++b)
        for (std::size_t g = 0; g < groups; ++g)
            for (std::size_t h = 0; h < heads; ++h)
                for (std::size_t q = 0; q < queries; ++q) {
                    const auto at = [&](std::size_t k) {
                        const std::size_t plane = ((b * groups + g) * heads + h) * queries * keys;
                        return plane + (axis == 4 ? q * keys + k : k * queries + q);
                    };
                    for (std::size_t k = 0; k < keys; ++k) row[k] = logits[at(k)];
                    smx::masked_options one{
                        .scale = 0.5, .causal = true, .causal_offset = length - 3 + static_cast<std::ptrdiff_t>(q)};
                    one.bias = std::span<const T>(bias.data() + h * keys, keys);
                    one.lengths = static_cast<int>(lengths[b]);
                    one.sink = sinks[h];
                    const std::span<const bool> kept(reinterpret_cast<const bool*>(keep.data()) + g * keys, keys);
                    if (log) smx::masked_log_softmax(row, kept, expected, one);
                    else smx::masked_softmax(row, kept, expected, one);
                    for (std::size_t k = 0; k < keys; ++k)
                        ASSERT_EQ(std::memcmp(y.data() + at(k), &expected[k], sizeof(T)), 0)
                            << b << g << h << q << " key " << k << " axis " << axis << " log " << log;
                }
}

TEST(MaskedBatches, EveryRowIsWhatItIsAlone) {
    for (const bool log : {false, true})
        for (const bool in_place : {false, true})
            for (const std::size_t axis : {std::size_t(3), std::size_t(4)})
                for (const std::size_t keys : {std::size_t(5), std::size_t(16), std::size_t(70), std::size_t(300)}) {
                    check_batch<float>(log, in_place, axis, keys);
                    check_batch<double>(log, in_place, axis, keys);
                    check_batch<smx::float16>(log, in_place, axis, keys);
                    check_batch<smx::bfloat16>(log, in_place, axis, keys);
                }
}

TEST(MaskedBatches, RanksUpToEight) {
    const std::array<std::size_t, 8> extents{1, 2, 1, 2, 1, 2, 3, 4};
    std::vector<float> in(96), out(96), plain(96);
    generator random(8);
    for (float& x : in) x = static_cast<float>(random.normal());
    smx::masked_softmax(smx::tensor_view<const float, 8>(in.data(), extents),
                        smx::tensor_view<float, 8>(out.data(), extents), {.lengths = 4});
    smx::safe_softmax(smx::tensor_view<const float, 8>(in.data(), extents),
                      smx::tensor_view<float, 8>(plain.data(), extents));
    EXPECT_EQ(out, plain);
    const bool keep[] = {true, false, true, true};
    smx::masked_softmax(smx::tensor_view<const float, 8>(in.data(), extents), keep,
                        smx::tensor_view<float, 8>(out.data(), extents));
    for (std::size_t i = 0; i < 96; ++i) EXPECT_EQ(out[i] == 0, i % 4 == 1);
}

}  // namespace
}  // namespace softmax_test
