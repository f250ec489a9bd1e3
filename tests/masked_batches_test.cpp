// SPDX-License-Identifier: BSL-1.0

// Batches of many axes: every row is what it is alone, bit for bit, whatever is broadcast along which axis.

#include "instruction_sets.hpp"
#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <type_traits>
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

/// Rows with lengths, temperatures and sinks of their own, among them such as no loop for many rows takes: the bits of the same call with
/// a mask that hides nothing, which goes another way.
template <class T>
void check_own_numbers(bool log, bool in_place, bool temperatures, bool sinks, std::size_t rows, std::size_t keys) {
    const auto from_double = [](double x) {
        if constexpr (std::is_same_v<T, double>) return x;
        else return T(static_cast<float>(x));
    };
    constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const std::array<std::size_t, 2> extents{rows, keys};
    generator random(keys + rows);
    std::vector<T> in(rows * keys), out(in.size()), expected(in.size());
    for (T& x : in) x = from_double(3 * random.normal());
    std::vector<double> temperature(rows), sink(rows);
    std::vector<std::uint32_t> lengths(rows);
    for (std::size_t r = 0; r < rows; ++r) {
        T* const x = in.data() + r * keys;
        temperature[r] = 0.5 + 0.25 * static_cast<double>(random.below(8));
        sink[r] = 4 * random.normal();
        lengths[r] = static_cast<std::uint32_t>(keys - random.below(temperatures || sinks ? keys / 4 + 1 : keys + 1));
        // What is not as usual comes alone and together.
        switch (random.below(30)) {
            case 0: temperature[r] = 1e-12; break;
            case 1: temperature[r] = 1e12; break;
            case 2: sink[r] = -inf; break;
            case 3: sink[r] = inf; break;
            case 4: sink[r] = nan; break;
            case 5: sink[r] = 60; break;
            case 6: sink[r] = -3000; break;
            case 7: sink[r] = 3000; break;
            case 8: x[random.below(keys)] = from_double(nan); break;
            case 9: x[random.below(keys)] = from_double(inf); break;
            case 10: std::fill_n(x, keys, from_double(-inf)); break;
            case 11: std::fill_n(x, keys, from_double(30000)); break;
            case 12: lengths[r] = static_cast<std::uint32_t>(random.below(3)); break;
            default: break;
        }
    }
    smx::masked_options o{.scale = 0.75, .causal = true, .causal_offset = static_cast<std::ptrdiff_t>(keys) - 9};
    o.lengths = smx::tensor_view<const std::uint32_t, 1>(lengths.data(), {rows});
    if (temperatures) o.temperature = smx::tensor_view<const double, 1>(temperature.data(), {rows});
    if (sinks) o.sink = smx::tensor_view<const double, 1>(sink.data(), {rows});
    const smx::tensor_view<T, 2> x(in.data(), extents), y(out.data(), extents), z(expected.data(), extents);
    const auto call = [&](const auto& to, const auto&... mask) {
        if (log) smx::masked_log_softmax(x, mask..., to, o);
        else smx::masked_softmax(x, mask..., to, o);
    };
    const std::uint8_t keep = 1;
    call(z, smx::tensor_view<const std::uint8_t, 2>(&keep, extents, {0, 0}));
    call(in_place ? x : y);
    const std::vector<T>& results = in_place ? in : out;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t k = 0; k < keys; ++k)
            ASSERT_EQ(std::memcmp(&results[r * keys + k], &expected[r * keys + k], sizeof(T)), 0)
                << rows << "x" << keys << " row " << r << " element " << k << " log " << log << " in place " << in_place
                << " temperature " << (temperatures ? temperature[r] : 0) << " sink " << (sinks ? sink[r] : 0);
}

TEST(MaskedBatches, RowsWithNumbersOfTheirOwn) {
    struct shape {
        std::size_t rows, keys;
    };
    on_every_isa([](smx::isa) {
        for (const shape s :
             {shape{150, 3}, shape{150, 16}, shape{150, 33}, shape{70, 47}, shape{200, 64}, shape{70, 127},
              shape{150, 130}, shape{90, 500}, shape{20, 2100}, shape{5, 9000}, shape{5, 17000}, shape{4, 70000}})
            for (const bool log : {false, true})
                for (const bool in_place : {false, true})
                    for (const int own : {0, 1, 2, 3}) {
                        if ((s.keys > 65536 && own != 3) || (s.keys > 200 && own == 0)) continue;
                        const bool temperatures = own % 2 != 0, sinks = own / 2 != 0;
                        check_own_numbers<float>(log, in_place, temperatures, sinks, s.rows, s.keys);
                        check_own_numbers<double>(log, in_place, temperatures, sinks, s.rows, s.keys);
                        check_own_numbers<smx::float16>(log, in_place, temperatures, sinks, s.rows, s.keys);
                        check_own_numbers<smx::bfloat16>(log, in_place, temperatures, sinks, s.rows, s.keys);
                    }
    });
}

/// Rows with truth values next to each other, which eight rows at a time are for, among them such as are not: the bits of the same call with
/// truth values apart, which goes another way.
template <class T>
void check_truth_values(bool in_place, bool ends, std::size_t rows, std::size_t keys) {
    const auto from_double = [](double x) {
        if constexpr (std::is_same_v<T, double>) return x;
        else return T(static_cast<float>(x));
    };
    constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const std::array<std::size_t, 2> extents{rows, keys};
    generator random(keys * 2 + ends);
    std::vector<T> in(rows * keys), out(in.size()), expected(in.size());
    for (T& x : in) x = from_double(3 * random.normal());
    std::vector<std::uint8_t> keep(in.size()), apart(2 * in.size(), 1);
    for (std::uint8_t& k : keep) k = static_cast<std::uint8_t>(random.below(4));
    std::vector<std::uint32_t> lengths(rows);
    for (std::size_t r = 0; r < rows; ++r) {
        T* const x = in.data() + r * keys;
        std::uint8_t* const k = keep.data() + r * keys;
        const std::size_t at = random.below(keys);
        lengths[r] = static_cast<std::uint32_t>(random.below(keys + 1));
        switch (random.below(40)) {
            case 0: x[at] = from_double(nan), k[at] = 1; break;
            case 1: x[at] = from_double(inf), k[at] = 1; break;
            case 2: std::fill_n(k, keys, std::uint8_t(0)); break;
            case 3: std::fill_n(x, keys, from_double(-inf)); break;
            case 4: std::fill_n(x, keys, from_double(30000)); break;
            case 5: std::fill_n(k, keys, std::uint8_t(0)), k[at] = 200; break;
            default: break;
        }
        x[random.below(keys)] = from_double(-inf);
        for (std::size_t i = 0; i < keys; ++i)
            if (k[i] == 0 && random.below(3) == 0) x[i] = from_double(random.below(2) == 0 ? nan : inf);
    }
    for (std::size_t i = 0; i < keep.size(); ++i) apart[2 * i] = keep[i];
    smx::masked_options o{.scale = 0.75};
    if (ends) {
        o.causal = true;
        o.causal_offset = static_cast<std::ptrdiff_t>(keys) - 9;
        o.lengths = smx::tensor_view<const std::uint32_t, 1>(lengths.data(), {rows});
    }
    const smx::tensor_view<T, 2> x(in.data(), extents), y(out.data(), extents), z(expected.data(), extents);
    const auto step = static_cast<std::ptrdiff_t>(2 * keys);
    smx::masked_softmax(x, smx::tensor_view<const std::uint8_t, 2>(apart.data(), extents, {step, 2}), z, o);
    smx::masked_softmax(x, smx::tensor_view<const std::uint8_t, 2>(keep.data(), extents), in_place ? x : y, o);
    const std::vector<T>& results = in_place ? in : out;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < keys; ++i)
            ASSERT_EQ(std::memcmp(&results[r * keys + i], &expected[r * keys + i], sizeof(T)), 0)
                << rows << "x" << keys << " row " << r << " element " << i << " in place " << in_place << " ends "
                << ends;
}

TEST(MaskedBatches, RowsWithTruthValues) {
    on_every_isa([](smx::isa) {
        for (const std::size_t keys : {12u, 16u, 17u, 31u, 33u, 64u, 65u, 100u, 127u, 128u, 129u})
            for (const bool in_place : {false, true})
                for (const bool ends : {false, true}) {
                    check_truth_values<float>(in_place, ends, 91, keys);
                    check_truth_values<double>(in_place, ends, 91, keys);
                    check_truth_values<smx::float16>(in_place, ends, 91, keys);
                    check_truth_values<smx::bfloat16>(in_place, ends, 91, keys);
                }
    });
}

// One temperature for all rows is the scale divided by it, whatever else there is: rows have the bits they have with as many of the same.
TEST(MaskedBatches, OneTemperatureForAllRows) {
    constexpr std::size_t rows = 7, keys = 70;
    generator random(3);
    std::vector<float> in(rows * keys), bias(in.size()), one(in.size()), each(in.size());
    for (float& x : in) x = static_cast<float>(3 * random.normal());
    for (float& x : bias) x = static_cast<float>(random.normal());
    const std::array<std::size_t, 2> extents{rows, keys};
    const smx::tensor_view<const float, 2> x(in.data(), extents), b(bias.data(), extents);
    for (const double t : {1.0, 0.7, 3.0, 1e-9, 1e9})
        for (const double cap : {0.0, 5.0})
            for (const bool biased : {false, true})
                for (const bool log : {false, true}) {
                    const std::vector<double> temperature(rows, t);
                    smx::masked_options o{.scale = -1.3, .softcap = cap, .sink = 0.25};
                    if (biased) o.bias = b;
                    const auto call = [&](std::vector<float>& out, const smx::array_ref& of_rows) {
                        o.temperature = of_rows;
                        const smx::tensor_view<float, 2> y(out.data(), extents);
                        if (log) smx::masked_log_softmax(x, y, o);
                        else smx::masked_softmax(x, y, o);
                    };
                    call(one, t);
                    call(each, smx::tensor_view<const double, 1>(temperature.data(), {rows}));
                    EXPECT_EQ(std::memcmp(one.data(), each.data(), one.size() * sizeof(float)), 0)
                        << t << " " << cap << " " << biased << " " << log;
                    std::vector<float> scaled(in.size());
                    o.scale /= t;
                    call(scaled, {});
                    EXPECT_EQ(std::memcmp(one.data(), scaled.data(), one.size() * sizeof(float)), 0) << t << " " << cap;
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
