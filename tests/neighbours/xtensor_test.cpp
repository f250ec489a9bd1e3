// SPDX-License-Identifier: BSL-1.0

// xtensor's containers, adaptors, views and expressions, of static and of dynamic rank: the bits of the same rows in plain
// memory.

#include "rows_for_neighbours.hpp"

#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/xtensor.hpp>

#include <xtensor/xbuilder.hpp>
#include <xtensor/xmanipulation.hpp>
#include <xtensor/xmath.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace neighbours {
namespace {

constexpr std::size_t rows = 21, length = 50;
using shape = std::array<std::size_t, 2>;

template <class A, class T>
A filled(const std::vector<T>& x, bool transposed = false) {
    const std::size_t r_extent = transposed ? length : rows, i_extent = transposed ? rows : length;
    A a(typename A::shape_type{r_extent, i_extent});
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < length; ++i) (transposed ? a(i, r) : a(r, i)) = x[r * length + i];
    return a;
}

template <class Out, class A>
void expect_array(const std::vector<Out>& expected, const A& a, const std::string& what, bool transposed = false) {
    expect_rows(
        expected, rows, [&](std::size_t r, std::size_t i) -> Out { return transposed ? a(i, r) : a(r, i); }, what);
}

template <class In, class Out>
void expect_containers(const std::string& what) {
    using T = typename In::value_type;
    using U = typename Out::value_type;
    const std::vector<T> x = logits<T>(rows, length);
    for (const bool transposed : {false, true}) {
        const In in = filled<In>(x, transposed);
        Out out(typename Out::shape_type{in.shape()[0], in.shape()[1]});
        const smx::softmax_options options{.axis = transposed ? 0 : 1};
        smx::safe_softmax(in, out, options);
        expect_array(of_rows<U>(function::softmax, x, rows), out, what, transposed);
        smx::log_softmax(in, out, options);
        expect_array(of_rows<U>(function::log_softmax, x, rows), out, what, transposed);
        xt::xtensor<U, 1> sums(std::array<std::size_t, 1>{rows});
        smx::logsumexp(in, sums, options);
        expect_rows(
            of_rows<U>(function::logsumexp, x, rows), rows, [&](std::size_t r, std::size_t) { return sums(r); }, what);
        xt::xarray<U> dynamic_sums(std::vector<std::size_t>{rows});
        smx::logsumexp(in, dynamic_sums, options);
        EXPECT_EQ(0, std::memcmp(dynamic_sums.data(), sums.data(), rows * sizeof(U))) << what;
        if constexpr (std::is_same_v<T, U>) {
            In in_place = in;
            smx::safe_softmax(in_place, options);
            expect_array(of_rows<U>(function::softmax, x, rows), in_place, what, transposed);
        }
    }
}

TEST(Xtensor, ContainersOfStaticAndDynamicRank) {
    using xt::layout_type;
    expect_containers<xt::xtensor<float, 2>, xt::xtensor<float, 2>>("xtensor");
    expect_containers<xt::xtensor<float, 2, layout_type::column_major>, xt::xtensor<float, 2>>("column-major xtensor");
    expect_containers<xt::xtensor<double, 2, layout_type::dynamic>, xt::xtensor<float, 2, layout_type::column_major>>(
        "dynamic layout");
    expect_containers<xt::xarray<float>, xt::xarray<float>>("xarray");
    expect_containers<xt::xarray<double, layout_type::column_major>, xt::xarray<double>>("column-major xarray");
    expect_containers<xt::xtensor<float, 2>, xt::xarray<double>>("xtensor to xarray");
    expect_containers<xt::xarray<float>, xt::xtensor<float, 2>>("xarray to xtensor");

    const std::vector<float> x = logits<float>(rows, length);
    xt::xtensor_fixed<float, xt::xshape<rows, length>> fixed, out;
    std::copy(x.begin(), x.end(), fixed.begin());
    smx::safe_softmax(fixed, out, {.axis = 1});
    expect_array(of_rows<float>(function::softmax, x, rows), out, "xtensor_fixed");
}

TEST(Xtensor, Adaptors) {
    const std::vector<float> x = logits<float>(rows, length), expected = of_rows<float>(function::softmax, x, rows);
    std::vector<float> memory(x.size());
    const auto in = xt::adapt(x, shape{rows, length});
    smx::safe_softmax(in, xt::adapt(memory.data(), memory.size(), xt::no_ownership(), shape{rows, length}),
                      {.axis = 1});
    expect_rows(expected, rows, [&](std::size_t r, std::size_t i) { return memory[r * length + i]; }, "xt::adapt");
    std::fill(memory.begin(), memory.end(), 7.0f);
    auto dynamic = xt::adapt(memory, std::vector<std::size_t>{rows, length});
    smx::safe_softmax(in, dynamic, {.axis = 1});
    expect_rows(
        expected, rows, [&](std::size_t r, std::size_t i) { return memory[r * length + i]; },
        "xt::adapt of dynamic rank");
}

TEST(Xtensor, Views) {
    const std::vector<float> x = logits<float>(rows, length), expected = of_rows<float>(function::softmax, x, rows);
    const xt::xtensor<float, 2> a = filled<xt::xtensor<float, 2>>(x);
    xt::xtensor<float, 2> out(shape{rows, length});
    for (std::size_t r = 0; r < rows; ++r) smx::safe_softmax(xt::view(a, r, xt::all()), xt::view(out, r, xt::all()));
    expect_array(expected, out, "rows");
    const xt::xarray<float> t = filled<xt::xarray<float>>(x, true);
    xt::xarray<float> out_t(t.shape());
    for (std::size_t r = 0; r < rows; ++r) smx::safe_softmax(xt::view(t, xt::all(), r), xt::view(out_t, xt::all(), r));
    expect_array(expected, out_t, "columns of an xarray", true);

    xt::xtensor<float, 2> large(shape{2 * rows, 3 * length + 1});
    large.fill(7);
    auto spread = xt::view(large, xt::range(0, 2 * rows, 2), xt::range(1, 3 * length + 1, 3));
    smx::safe_softmax(a, spread, {.axis = 1});
    expect_array(expected, spread, "every third column of every second row");
    spread = xt::ones<float>({rows, length}) * 7;
    EXPECT_TRUE(xt::all(xt::equal(large, 7.0f)));

    using xt::placeholders::_;
    smx::safe_softmax(xt::view(a, xt::range(_, _, -1), xt::range(_, _, -1)), out, {.axis = 1});
    expect_array(of_rows<float>(function::softmax, backwards(x), rows), out, "backwards");
    smx::safe_softmax(xt::strided_view(a, {xt::range(_, _, -1), xt::range(_, _, -1)}), out, {.axis = 1});
    expect_array(of_rows<float>(function::softmax, backwards(x), rows), out, "strided_view, backwards");
    smx::safe_softmax(xt::transpose(t), out, {.axis = 1});
    expect_array(expected, out, "transpose");

    // Extents of 1 have stride 0 in xtensor.
    xt::xtensor<float, 3> thin(std::array<std::size_t, 3>{rows, 1, length}), thin_out = thin;
    std::copy(x.begin(), x.end(), thin.begin());
    smx::safe_softmax(thin, thin_out, {.axis = 2});
    expect_rows(
        expected, rows, [&](std::size_t r, std::size_t i) { return thin_out(r, 0, i); }, "an axis of one element");
}

TEST(Xtensor, Expressions) {
    const std::vector<float> x = logits<float>(rows, length, false);
    xt::xtensor<float, 2> a = filled<xt::xtensor<float, 2>>(x), out(shape{rows, length});
    const xt::xarray<float> b = filled<xt::xarray<float>>(x);
    std::vector<float> sum(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) sum[i] = 2 * x[i] + x[i];
    const std::vector<float> expected = of_rows<float>(function::softmax, sum, rows);
    smx::safe_softmax(2.0f * a + a, out, {.axis = 1});
    expect_array(expected, out, "2*a + a");
    out.fill(0);
    smx::safe_softmax(2.0f * b + a, out, {.axis = 1});
    expect_array(expected, out, "of dynamic rank");
    xt::xarray<float> sums(std::vector<std::size_t>{rows});
    smx::logsumexp(2.0f * a + b, sums, {.axis = 1});
    expect_rows(
        of_rows<float>(function::logsumexp, sum, rows), rows, [&](std::size_t r, std::size_t) { return sums(r); },
        "logsumexp");
    smx::log_softmax(2.0f * a + a, a, {.axis = 1});  // over its own part
    expect_array(of_rows<float>(function::log_softmax, sum, rows), a, "a = 2*a + a");

    const xt::xtensor<float, 1> row = xt::view(b, 0, xt::all());
    smx::safe_softmax(xt::broadcast(row, shape{rows, length}), out, {.axis = 1});
    const std::vector<float> first =
        of_rows<float>(function::softmax, std::vector<float>(x.begin(), x.begin() + length), 1);
    expect_rows(first, 1, [&](std::size_t, std::size_t i) { return out(rows - 1, i); }, "broadcast");
    smx::safe_softmax(xt::view(b, xt::keep(3, 0), xt::all()), xt::view(out, xt::range(0, 2), xt::all()), {.axis = 1});
    expect_rows(first, 1, [&](std::size_t, std::size_t i) { return out(1, i); }, "rows picked by index");
}

TEST(Xtensor, TheFamilyTakesArraysOfAnyRank) {
    const xt::xarray<float> in{{1, 2, 3, 4}, {4, 3, 2, 1}};
    const xt::xarray<bool> keep{{true, false, true, true}, {true, true, false, true}};
    const xt::xarray<float> bias{0.5f, 0, -0.5f, 1};
    xt::xarray<float> out = xt::zeros_like(in);
    smx::masked_softmax(in, keep, out, {.bias = smx::as_array(bias)});
    const xt::xtensor<float, 2> x = in;
    const xt::xtensor<bool, 2> k = keep;
    xt::xtensor<float, 2> expected = xt::zeros_like(x);
    const xt::xtensor<float, 1> b = bias;
    smx::masked_softmax(x, k, expected, {.bias = b});
    EXPECT_EQ(out, expected);
    EXPECT_EQ(out(0, 1), 0);
}

TEST(Xtensor, WhatDoesNotFitIsRefused) {
    xt::xtensor<float, 2> a(shape{2, 3}), b(shape{3, 2});
    xt::xarray<float> c(std::vector<std::size_t>{2, 3, 1});
    a.fill(0);
    b.fill(7);
    c.fill(7);
    EXPECT_THROW(smx::safe_softmax(a, b), std::invalid_argument);
    EXPECT_THROW(smx::safe_softmax(a, c), std::invalid_argument);
    EXPECT_TRUE(xt::all(xt::equal(b, 7.0f)) && xt::all(xt::equal(c, 7.0f)));
    static_assert(!smx::writable_view<const xt::xtensor<float, 2>&> && !smx::writable_view<xt::xtensor<float, 2>>);
    static_assert(!smx::dynamic_writable<const xt::xarray<float>&> && !smx::dynamic_writable<xt::xarray<float>>);
    static_assert(!smx::readable_view<xt::xtensor<int, 2>> && !smx::dynamic_readable<xt::xarray<int>>);
}

TEST(Xtensor, AgainstTheFormulaAsItIsWrittenWithXtensor) {
    const std::vector<float> x = logits<float>(rows, length, false);
    const xt::xtensor<float, 2> a = filled<xt::xtensor<float, 2>>(x);
    xt::xtensor<float, 2> own(shape{rows, length});
    smx::safe_softmax(a, own, {.axis = 1});
    const auto now = xt::keep_dims | xt::evaluation_strategy::immediate;
    const xt::xtensor<float, 2> largest = xt::amax(a, {1}, now), e = xt::exp(a - largest), sum = xt::sum(e, {1}, now),
                                theirs = e / sum;
    const auto at = [](const auto& t) { return [&t](std::size_t r, std::size_t i) { return t(r, i); }; };
    expect_within(compare<float>(softmax_test::function::softmax, x, rows, at(own), at(theirs)),
                  softmax_test::function::softmax, softmax_test::dtype::f32, 100, "softmax, float, N = 50");
}

}  // namespace
}  // namespace neighbours
