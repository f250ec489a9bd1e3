// SPDX-License-Identifier: BSL-1.0

// Eigen's arrays, matrices, maps, references, blocks, tensors and expressions: the bits of the same rows in plain memory.

#include "rows_for_neighbours.hpp"

#include <safe_softmax/eigen.hpp>
#include <safe_softmax/eigen_tensor.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace neighbours {
namespace {

using Eigen::Dynamic;
using Eigen::Index;
constexpr std::size_t rows = 21, length = 50;
constexpr Index R = rows, L = length;

template <class T, int Order>
using matrix = Eigen::Matrix<T, Dynamic, Dynamic, Order>;
template <class T, int Order>
using array = Eigen::Array<T, Dynamic, Dynamic, Order>;

/// Row-major rows as an object of Eigen's, transposed where the axis is 0.
template <class M, class T>
M filled(const std::vector<T>& x, bool transposed = false) {
    M m(transposed ? L : R, transposed ? R : L);
    for (Index r = 0; r < R; ++r)
        for (Index i = 0; i < L; ++i) (transposed ? m(i, r) : m(r, i)) = x[static_cast<std::size_t>(r * L + i)];
    return m;
}

template <class Out, class M>
void expect_matrix(const std::vector<Out>& expected, const M& m, const std::string& what, bool transposed = false) {
    expect_rows(
        expected, rows,
        [&](std::size_t r, std::size_t i) { return transposed ? m(Index(i), Index(r)) : m(Index(r), Index(i)); }, what);
}

template <class In, class Out, int InOrder, int OutOrder>
void expect_same() {
    const std::vector<In> x = logits<In>(rows, length);
    const std::vector<Out> softmax = of_rows<Out>(function::softmax, x, rows),
                           log_softmax = of_rows<Out>(function::log_softmax, x, rows),
                           sums = of_rows<Out>(function::logsumexp, x, rows);
    for (const bool transposed : {false, true}) {
        const auto in = filled<matrix<In, InOrder>>(x, transposed);
        array<Out, OutOrder> out(in.rows(), in.cols());
        const smx::softmax_options options{.axis = transposed ? 0 : 1};
        smx::safe_softmax(in, out, options);
        expect_matrix(softmax, out, "matrix to array", transposed);
        smx::log_softmax(in.array(), out.matrix(), options);
        expect_matrix(log_softmax, out, "array() to matrix()", transposed);
        Eigen::Matrix<Out, Dynamic, 1> column(R);
        smx::logsumexp(in, column, options);
        expect_rows(sums, rows, [&](std::size_t r, std::size_t) { return column(Index(r)); }, "logsumexp");
        smx::softmax_options other = options;
        other.axis = 1 - other.axis;
        smx::safe_softmax(in.transpose(), out.transpose(), other);
        expect_matrix(softmax, out, "transpose()", transposed);
    }
}

TEST(Eigen, EveryTypeAndOrder) {
    using Eigen::ColMajor;
    using Eigen::RowMajor;
    expect_same<float, float, ColMajor, ColMajor>();
    expect_same<float, float, RowMajor, ColMajor>();
    expect_same<double, double, ColMajor, RowMajor>();
    expect_same<double, float, RowMajor, RowMajor>();
    expect_same<float, Eigen::half, ColMajor, RowMajor>();
    expect_same<Eigen::half, Eigen::half, ColMajor, ColMajor>();
    expect_same<Eigen::bfloat16, float, RowMajor, ColMajor>();
    expect_same<Eigen::bfloat16, Eigen::bfloat16, RowMajor, RowMajor>();
}

TEST(Eigen, BlocksRowsColumnsAndInPlace) {
    const std::vector<float> x = logits<float>(rows, length), expected = of_rows<float>(function::softmax, x, rows);
    Eigen::ArrayXXf large(R + 5, L + 7);
    large.setConstant(7);
    large.block(2, 3, R, L) = filled<Eigen::ArrayXXf>(x);
    smx::safe_softmax(large.block(2, 3, R, L), {.axis = 1});
    expect_matrix(expected, large.block(2, 3, R, L), "block in place");
    large.block(2, 3, R, L).setConstant(7);
    EXPECT_TRUE((large == 7).all()) << "something around the block was written";

    const Eigen::MatrixXf m = filled<Eigen::MatrixXf>(x);
    Eigen::MatrixXf out(R, L);
    for (Index r = 0; r < R; ++r) smx::safe_softmax(m.row(r), out.row(r));
    expect_matrix(expected, out, "rows");
    const Eigen::MatrixXf t = m.transpose();
    Eigen::MatrixXf out_t(L, R);
    for (Index r = 0; r < R; ++r) smx::safe_softmax(t.col(r), out_t.col(r));
    expect_matrix(expected, out_t, "columns", true);
    EXPECT_TRUE(same_bits(smx::logsumexp(m.row(0)), of_rows<float>(function::logsumexp, x, rows)[0]));

    Eigen::VectorXf v = m.row(1), w(L);
    smx::safe_softmax(v.head(20), w.segment(7, 20));
    const Eigen::VectorXf head = v.head(20);
    std::vector<float> plain(20);
    smx::safe_softmax(std::span<const float>(head.data(), 20), plain);
    for (Index i = 0; i < 20; ++i) EXPECT_EQ(w(7 + i), plain[static_cast<std::size_t>(i)]);
    Eigen::Matrix3f square = Eigen::Matrix3f::Random();
    const Eigen::Vector3f diagonal = square.diagonal();
    Eigen::Vector3f of_diagonal;
    smx::safe_softmax(diagonal, of_diagonal);
    smx::safe_softmax(square.diagonal());
    EXPECT_TRUE(square.diagonal() == of_diagonal);
}

template <class A, class B>
void through_bases(const Eigen::MatrixBase<A>& in, const Eigen::MatrixBase<B>& out) {
    smx::safe_softmax(in, const_cast<Eigen::MatrixBase<B>&>(out), {.axis = 1});  // as Eigen's documentation has it
}
void through_references(const Eigen::Ref<const Eigen::MatrixXf>& in, Eigen::Ref<Eigen::MatrixXf> out) {
    smx::safe_softmax(in, out, {.axis = 1});
}

TEST(Eigen, MapsReferencesAndBases) {
    const std::vector<float> x = logits<float>(rows, length), expected = of_rows<float>(function::softmax, x, rows);
    const Eigen::MatrixXf m = filled<Eigen::MatrixXf>(x);
    Eigen::MatrixXf out(R, L);
    through_bases(m, out);
    expect_matrix(expected, out, "MatrixBase");
    out.setZero();
    through_references(m, out);
    expect_matrix(expected, out, "Ref");
    Eigen::MatrixXf large(2 * R, 2 * L);
    through_references(m, large.bottomRightCorner(R, L));
    expect_matrix(expected, large.bottomRightCorner(R, L), "Ref of a corner");

    using any_stride = Eigen::Stride<Dynamic, Dynamic>;
    using map = Eigen::Map<const Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>, 0, any_stride>;
    smx::safe_softmax(map(x.data(), R, L, any_stride(L, 1)), out, {.axis = 1});
    expect_matrix(expected, out, "Map of row-major memory");
    // Backwards, both axes.
    smx::safe_softmax(map(x.data() + x.size() - 1, R, L, any_stride(-L, -1)), out, {.axis = 1});
    expect_matrix(of_rows<float>(function::softmax, backwards(x), rows), out, "Map with negative strides");
    // One row, seen R times.
    smx::safe_softmax(map(x.data(), R, L, any_stride(0, 1)), out, {.axis = 1});
    expect_rows(
        expected, rows,
        [&](std::size_t r, std::size_t i) { return r == 0 ? out(R - 1, Index(i)) : expected[r * length + i]; },
        "Map with stride 0");
    Eigen::Map<Eigen::VectorXf, 0, Eigen::InnerStride<>> nowhere(out.data(), L, Eigen::InnerStride<>(0));
    EXPECT_THROW(smx::safe_softmax(m.row(0), nowhere), std::invalid_argument);
}

TEST(Eigen, Expressions) {
    const std::vector<float> x = logits<float>(rows, length);
    Eigen::ArrayXXf a = filled<Eigen::ArrayXXf>(x), out(R, L);
    const Eigen::ArrayXXf b = Eigen::ArrayXXf::Random(R, L);
    std::vector<float> sum(x.size());
    for (Index r = 0; r < R; ++r)
        for (Index i = 0; i < L; ++i) sum[static_cast<std::size_t>(r * L + i)] = 2 * a(r, i) + b(r, i);
    const std::vector<float> expected = of_rows<float>(function::softmax, sum, rows),
                             log_expected = of_rows<float>(function::log_softmax, sum, rows);
    smx::safe_softmax(2 * a + b, out, {.axis = 1});
    expect_matrix(expected, out, "2*a + b");
    smx::log_softmax(2 * a + b, out, {.axis = 1});
    expect_matrix(log_expected, out, "log, 2*a + b");
    Eigen::VectorXf sums(R);
    smx::logsumexp(2 * a + b, sums, {.axis = 1});
    expect_rows(
        of_rows<float>(function::logsumexp, sum, rows), rows,
        [&](std::size_t r, std::size_t) { return sums(Index(r)); }, "logsumexp, 2*a + b");
    EXPECT_TRUE(same_bits(smx::logsumexp((2 * a + b).row(0)), sums(0)));
    smx::safe_softmax(2 * a + b, a, {.axis = 1});  // over one of its parts
    expect_matrix(expected, a, "a = 2*a + b");
    const Eigen::MatrixXf p = Eigen::MatrixXf::Random(R, 4), q = Eigen::MatrixXf::Random(4, L), product = p * q;
    Eigen::MatrixXf one(R, L), other(R, L);
    smx::safe_softmax(p * q, one, {.axis = 1});
    smx::safe_softmax(product, other, {.axis = 1});
    EXPECT_TRUE(one == other);
    const Eigen::MatrixXf reversed = product.rowwise().reverse();
    smx::safe_softmax(product.rowwise().reverse(), one, {.axis = 1});
    smx::safe_softmax(reversed, other, {.axis = 1});
    EXPECT_TRUE(one == other);
}

TEST(Eigen, WhatCannotBeWrittenToIsNoOutput) {
    static_assert(smx::writable_view<Eigen::MatrixXf&> && !smx::writable_view<const Eigen::MatrixXf&> &&
                  !smx::writable_view<Eigen::MatrixXf>);
    static_assert(smx::writable_view<decltype(std::declval<Eigen::MatrixXf&>().col(0))> &&
                  !smx::writable_view<decltype(std::declval<const Eigen::MatrixXf&>().col(0))>);
    static_assert(!smx::writable_view<Eigen::Ref<const Eigen::MatrixXf>&> &&
                  smx::writable_view<Eigen::Ref<Eigen::MatrixXf>>);
    static_assert(!smx::readable_view<Eigen::MatrixXi> && !smx::expression<Eigen::MatrixXi> &&
                  !smx::readable_view<Eigen::MatrixXcf>);
    static_assert(!smx::writable_view<decltype(std::declval<Eigen::MatrixXf&>().rowwise().reverse())>);
    static_assert(smx::vocabulary::rank_of<Eigen::RowVectorXf> == 1 && smx::vocabulary::rank_of<Eigen::MatrixXf> == 2);
    Eigen::MatrixXf a(2, 3), b(3, 2);
    a.setZero();
    b.setConstant(7);
    EXPECT_THROW(smx::safe_softmax(a, b), std::invalid_argument);
    EXPECT_TRUE((b.array() == 7).all());
}

TEST(Eigen, TheFamilyTakesThem) {
    const Eigen::ArrayXXf a = Eigen::ArrayXXf::Random(R, L);
    Eigen::ArrayXXf out(R, L), expected(R, L);
    Eigen::Array<bool, Dynamic, Dynamic> mask = a > 0;
    smx::masked_softmax(a, mask, out, {.axis = 1});
    const Eigen::ArrayXXf masked = mask.select(a, -std::numeric_limits<float>::infinity());
    smx::safe_softmax(masked, expected, {.axis = 1});
    EXPECT_TRUE((out - expected).abs().maxCoeff() <= 1e-6f);
    Eigen::VectorXi targets = Eigen::VectorXi::Constant(R, 3);
    Eigen::VectorXf losses(R);
    smx::cross_entropy(a, targets, losses, {.axis = 1});
    smx::log_softmax(a, expected, {.axis = 1});
    EXPECT_TRUE((losses.array() + expected.col(3)).abs().maxCoeff() <= 1e-6f);
}

template <class Out, class In, int Order>
void expect_tensor() {
    constexpr std::size_t n = rows * length;
    const std::vector<In> x = logits<In>(rows, length);
    const std::vector<Out> expected = of_rows<Out>(function::softmax, x, rows);
    Eigen::Tensor<In, 3, Order> in(3, L, 7);  // rows are along axis 1
    for (Index r = 0; r < R; ++r)
        for (Index i = 0; i < L; ++i) in(r / 7, i, r % 7) = x[static_cast<std::size_t>(r * L + i)];
    const auto at = [](const auto& t) {
        return [&t](std::size_t r, std::size_t i) { return t(Index(r) / 7, Index(i), Index(r) % 7); };
    };
    Eigen::Tensor<Out, 3, Order> out(3, L, 7);
    smx::safe_softmax(in, out, {.axis = 1});
    expect_rows(expected, rows, at(out), "Tensor");
    std::vector<Out> memory(n);
    Eigen::TensorMap<Eigen::Tensor<Out, 3, Order>> map(memory.data(), 3, L, 7);
    const Eigen::TensorMap<const Eigen::Tensor<In, 3, Order>> in_map(in.data(), 3, L, 7);
    smx::safe_softmax(in_map, map, {.axis = -2});
    expect_rows(expected, rows, at(map), "TensorMap");
    Eigen::TensorFixedSize<Out, Eigen::Sizes<3, 50, 7>, Order> fixed;
    smx::safe_softmax(in, fixed, {.axis = 1});
    expect_rows(expected, rows, at(fixed), "TensorFixedSize");
    Eigen::Tensor<Out, 2, Order> sums(3, 7);
    smx::logsumexp(in, sums, {.axis = 1});
    expect_rows(
        of_rows<Out>(function::logsumexp, x, rows), rows,
        [&](std::size_t r, std::size_t) { return sums(Index(r) / 7, Index(r) % 7); }, "logsumexp");
    if constexpr (std::is_same_v<In, float>) {
        smx::safe_softmax(in + in.constant(0), out, {.axis = 1});
        expect_rows(expected, rows, at(out), "tensor expression");
        smx::safe_softmax(in.shuffle(Eigen::array<Index, 3>{0, 2, 1}),
                          Eigen::TensorMap<Eigen::Tensor<Out, 3, Order>>(memory.data(), 3, 7, L));
        const Eigen::TensorMap<Eigen::Tensor<Out, 3, Order>> shuffled(memory.data(), 3, 7, L);
        expect_rows(
            expected, rows,
            [&](std::size_t r, std::size_t i) { return shuffled(Index(r) / 7, Index(r) % 7, Index(i)); }, "shuffled");
    }
}

TEST(Eigen, Tensors) {
    expect_tensor<float, float, Eigen::ColMajor>();
    expect_tensor<float, float, Eigen::RowMajor>();
    expect_tensor<double, double, Eigen::ColMajor>();
    expect_tensor<Eigen::bfloat16, float, Eigen::RowMajor>();
}

/// Eigen has no softmax, but this is how it is written with it.
template <class A>
A softmax_as_written(const A& a) {
    const A e = (a.colwise() - a.rowwise().maxCoeff()).exp();
    return e.colwise() / e.rowwise().sum();
}

TEST(Eigen, AgainstTheFormulaAsItIsWrittenWithEigen) {
    const std::vector<float> x = logits<float>(rows, length, false);
    const Eigen::ArrayXXf a = filled<Eigen::ArrayXXf>(x);
    Eigen::ArrayXXf own(R, L);
    smx::safe_softmax(a, own, {.axis = 1});
    const Eigen::ArrayXXf theirs = softmax_as_written(a);
    const auto at = [](const Eigen::ArrayXXf& t) {
        return [&t](std::size_t r, std::size_t i) { return t(Index(r), Index(i)); };
    };
    expect_within(compare<float>(softmax_test::function::softmax, x, rows, at(own), at(theirs)),
                  softmax_test::function::softmax, softmax_test::dtype::f32, 100, "softmax, float, N = 50");
}

}  // namespace
}  // namespace neighbours
