// SPDX-License-Identifier: BSL-1.0

// Tensors of PyTorch: every type, dim and stride; against torch.softmax and torch.log_softmax over a table of shapes, special
// rows included; gradients; what is refused. Python's gradcheck: torch_gradcheck.py.

#include "rows_for_neighbours.hpp"

#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/torch.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace neighbours {
namespace {

constexpr std::size_t rows = 21, length = 50;
const at::ScalarType types[] = {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16};

template <class T>
at::ScalarType type_of() {
    return c10::CppTypeToScalarType<T>::value;
}

/// Row-major rows as a tensor of its own.
template <class T>
at::Tensor filled(std::vector<T> x, std::vector<std::int64_t> shape) {
    return at::from_blob(x.data(), shape, type_of<T>()).clone();
}

template <class Out>
void expect_tensor(const std::vector<Out>& expected, const at::Tensor& t, const std::string& what) {
    const at::Tensor plain = t.contiguous();
    const Out* const p = plain.data_ptr<Out>();
    const std::size_t n = expected.size() / rows;
    expect_rows(expected, rows, [&](std::size_t r, std::size_t i) { return p[r * n + i]; }, what);
}

template <class In, class Out>
void expect_types() {
    const std::vector<In> x = logits<In>(rows, length);
    const std::vector<Out> softmax = of_rows<Out>(function::softmax, x, rows),
                           log_softmax = of_rows<Out>(function::log_softmax, x, rows),
                           sums = of_rows<Out>(function::logsumexp, x, rows);
    const at::Tensor in = filled(x, {3, 7, length});
    const at::Tensor out = at::empty({3, 7, length}, type_of<Out>());
    smx::safe_softmax(in, out, {.axis = 2});
    expect_tensor(softmax, out, "into a tensor");
    const smx::torch_options options{.dtype = type_of<Out>()};
    expect_tensor(softmax, smx::torch_softmax(in, -1, options), "torch_softmax");
    expect_tensor(log_softmax, smx::torch_log_softmax(in, 2, options), "torch_log_softmax");
    expect_tensor(sums, smx::torch_logsumexp(in, 2, false, options), "torch_logsumexp");
    // Any dim and stride: transposed, every second place of something larger, permuted, channels last.
    expect_tensor(softmax, smx::torch_softmax(in.permute({2, 0, 1}), 0, options).permute({1, 2, 0}), "permuted");
    const at::Tensor large = at::zeros({3, 15, 2 * static_cast<std::int64_t>(length) + 1}, type_of<In>());
    const at::Tensor slice = large.slice(1, 1, 15, 2).slice(2, 1, 2 * static_cast<std::int64_t>(length) + 1, 2);
    slice.copy_(in);
    expect_tensor(softmax, smx::torch_softmax(slice, 2, options), "sliced");
    const at::Tensor large_out = at::full({3, 15, 2 * static_cast<std::int64_t>(length) + 1}, 7, type_of<Out>());
    const at::Tensor slice_out = large_out.slice(1, 1, 15, 2).slice(2, 1, 2 * static_cast<std::int64_t>(length) + 1, 2);
    smx::safe_softmax(in, slice_out, {.axis = -1});
    expect_tensor(softmax, slice_out, "into a slice");
    slice_out.fill_(7);
    EXPECT_TRUE((large_out == 7).all().item<bool>()) << "something beside the slice was written";
    const at::Tensor channels_last = in.view({3, 7, 5, 10}).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor of_channels = smx::torch_softmax(channels_last, 1, options);
    EXPECT_TRUE(of_channels.equal(smx::torch_softmax(channels_last.contiguous(), 1, options)) ||
                of_channels.isnan().any().item<bool>());
    EXPECT_TRUE(of_channels.is_contiguous(at::MemoryFormat::ChannelsLast));
    // Stride 0.
    const at::Tensor expanded = in.select(0, 0).select(0, 0).expand({4, length});
    const at::Tensor same = smx::torch_softmax(expanded, 1, options);
    EXPECT_TRUE(same[3].equal(smx::torch_softmax(in.select(0, 0).select(0, 0), 0, options)));
    if constexpr (std::is_same_v<In, Out>) {
        const at::Tensor in_place = in.clone();
        smx::safe_softmax(in_place);
        expect_tensor(softmax, in_place, "in place");
    }
}

TEST(Torch, EveryTypeDimAndStride) {
    expect_types<float, float>();
    expect_types<double, double>();
    expect_types<at::Half, at::Half>();
    expect_types<at::BFloat16, at::BFloat16>();
    expect_types<at::BFloat16, float>();
    expect_types<float, double>();
}

/// Distance of what torch.softmax gives from ours, in ulp of the result's type at the larger of both.
double distance(const at::Tensor& ours, const at::Tensor& theirs) {
    const at::Tensor a = ours.to(at::kDouble).contiguous().view(-1), b = theirs.to(at::kDouble).contiguous().view(-1);
    const softmax_test::dtype type = ours.scalar_type() == at::kDouble  ? softmax_test::dtype::f64
                                     : ours.scalar_type() == at::kFloat ? softmax_test::dtype::f32
                                     : ours.scalar_type() == at::kHalf  ? softmax_test::dtype::f16
                                                                        : softmax_test::dtype::bf16;
    double worst = 0;
    for (std::int64_t i = 0; i < a.numel(); ++i) {
        const double x = a.data_ptr<double>()[i], y = b.data_ptr<double>()[i];
        if (std::isnan(x) || std::isnan(y) || std::isinf(x) || std::isinf(y)) {
            EXPECT_TRUE((std::isnan(x) && std::isnan(y)) || x == y) << "element " << i << ": " << x << ", torch: " << y;
            continue;
        }
        worst = std::max(
            worst, std::abs(x - y) / static_cast<double>(softmax_test::ulp(type, std::max(std::abs(x), std::abs(y)))));
    }
    return worst;
}

/// PyTorch 1.13 has no softmax of half on the CPU: there, that of float, rounded.
at::Tensor their(bool log, const at::Tensor& x, std::int64_t dim) {
    const at::Tensor in = x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
    return (log ? at::log_softmax(in, dim) : at::softmax(in, dim)).to(x.scalar_type());
}

TEST(Torch, AgainstTorchSoftmaxOverATableOfShapes) {
    const std::vector<std::vector<std::int64_t>> shapes = {
        {},        {0},          {1},          {5},          {1, 1},        {10, 5},         {5, 10},   {0, 3},
        {3, 0},    {2, 3, 4},    {4, 1, 6},    {2, 3, 4, 5}, {2, 3, 1, 1},  {2, 2, 2, 2, 2}, {32, 100}, {3, 1000},
        {1, 4096}, {128, 8, 16}, {8, 16, 128}, {1, 70000},   {2, 1, 3, 33}, {7, 257}};
    at::manual_seed(3);
    for (const at::ScalarType type : types) {
        double worst = 0, worst_log = 0;
        for (const std::vector<std::int64_t>& shape : shapes) {
            const at::Tensor x = (at::randn(shape, at::kDouble) * 3).to(type);
            const std::int64_t rank = std::max<std::int64_t>(x.dim(), 1);
            for (std::int64_t dim = -rank; dim < rank; ++dim) {
                const at::Tensor p = smx::torch_softmax(x, dim), l = smx::torch_log_softmax(x, dim);
                ASSERT_EQ(p.sizes(), x.sizes());
                worst = std::max(worst, distance(p, their(false, x, dim)));
                // log_softmax of torch loses the digits near 0 that ours has: compared above 1/8.
                const at::Tensor theirs = their(true, x, dim), far = theirs < -0.125;
                worst_log = std::max(worst_log, distance(l.masked_fill(~far, 0), theirs.masked_fill(~far, 0)));
                if (x.numel() != 0) {
                    const at::Tensor sums = smx::torch_logsumexp(x, dim),
                                     expected = at::logsumexp(x.to(at::kDouble), dim);
                    EXPECT_EQ(sums.sizes(), expected.sizes());
                    EXPECT_TRUE(at::allclose(sums.to(at::kDouble), expected,
                                             type == at::kBFloat16 ? 4e-3
                                             : type == at::kHalf   ? 5e-4
                                                                   : 1e-6,
                                             1e-6));
                }
            }
        }
        std::printf("%-9s largest distance: softmax %.3g ulp, log_softmax %.3g ulp\n", c10::toString(type), worst,
                    worst_log);
        // Theirs: the subtraction of the maximum rounds. In 16 bits both round once, from float; but not the log_softmax of bfloat16 of
        // PyTorch 1.13, which rounds in between.
        const bool narrow = type == at::kHalf || type == at::kBFloat16;
        EXPECT_LE(worst, narrow ? 1 : 100);
        EXPECT_LE(worst_log, type == at::kHalf ? 1 : type == at::kBFloat16 ? 8 : 100);
    }
}

TEST(Torch, ErrorsOfBothAgainstLongDouble) {
    const std::vector<float> x = logits<float>(rows, length, false);
    const at::Tensor in = filled(x, {rows, length}), own = smx::torch_softmax(in, 1), theirs = at::softmax(in, 1);
    const auto at_of = [](const at::Tensor& t) {
        return [p = t.data_ptr<float>()](std::size_t r, std::size_t i) { return p[r * length + i]; };
    };
    using softmax_test::dtype;
    using f = softmax_test::function;
    expect_within(compare<float>(f::softmax, x, rows, at_of(own), at_of(theirs)), f::softmax, dtype::f32, 100,
                  "softmax, float, N = 50");
    const at::Tensor log_own = smx::torch_log_softmax(in, 1), log_theirs = at::log_softmax(in, 1);
    expect_within(compare<float>(f::log_softmax, x, rows, at_of(log_own), at_of(log_theirs)), f::log_softmax,
                  dtype::f32, 1e6, "log_softmax, float, N = 50");
    const at::Tensor confident = at::tensor({20.0f, 0.0f});
    EXPECT_EQ(smx::torch_log_softmax(confident, 0)[0].item<float>(), -2.0611536e-9f);
}

TEST(Torch, SpecialRowsAreThoseOfTorchWithIeee) {
    const std::vector<float> x = logits<float>(rows, length);
    for (const at::ScalarType type : types) {
        const at::Tensor in = filled(x, {rows, length}).to(type);
        const smx::torch_options ieee{.special = smx::special_values::ieee};
        const at::Tensor own = smx::torch_softmax(in, 1, ieee), theirs = their(false, in, 1);
        EXPECT_TRUE(own.isnan().equal(theirs.isnan())) << c10::toString(type);
        const at::Tensor log_own = smx::torch_log_softmax(in, 1, ieee), log_theirs = their(true, in, 1);
        EXPECT_TRUE(log_own.isnan().equal(log_theirs.isnan())) << c10::toString(type);
        EXPECT_TRUE(log_own.isinf().equal(log_theirs.isinf())) << c10::toString(type);
        // And without, where torch gives NaN: zeros for what is all -inf, shares for +inf.
        const at::Tensor safe = smx::torch_softmax(in, 1);
        EXPECT_TRUE((safe[3] == 0).all().item<bool>());
        EXPECT_EQ(safe[4][0].item<double>(), 0.5);
        EXPECT_TRUE(safe[2].isnan().all().item<bool>());
    }
}

TEST(Torch, Gradients) {
    at::manual_seed(4);
    for (const std::int64_t dim : {0, 1, 2}) {
        for (const bool log : {false, true}) {
            const at::Tensor x = at::randn({4, 5, 6}), weight = at::randn({4, 5, 6});
            const at::Tensor a = x.clone().set_requires_grad(true), b = x.clone().set_requires_grad(true);
            ((log ? smx::torch_log_softmax(a, dim) : smx::torch_softmax(a, dim)) * weight).sum().backward();
            ((log ? at::log_softmax(b, dim) : at::softmax(b, dim)) * weight).sum().backward();
            EXPECT_TRUE(at::allclose(a.grad(), b.grad(), 1e-4, 1e-6));
        }
        const at::Tensor c = at::randn({4, 5, 6}).set_requires_grad(true),
                         d = c.detach().clone().set_requires_grad(true);
        smx::torch_logsumexp(c, dim).square().sum().backward();
        at::logsumexp(d, dim).square().sum().backward();
        EXPECT_TRUE(at::allclose(c.grad(), d.grad(), 1e-4, 1e-6));
    }
    // A row of which nothing is left: torch's gradient is NaN, ours 0.
    const at::Tensor masked = at::full({1, 3}, -inf).set_requires_grad(true);
    smx::torch_softmax(masked, 1).sum().backward();
    EXPECT_TRUE((masked.grad() == 0).all().item<bool>());
}

TEST(Torch, OnItsThreads) {
    at::set_num_threads(3);
    const at::Tensor x = at::randn({40, 5000}), huge = at::randn({1, 300000});
    const at::Tensor a = smx::torch_softmax(x, 1), b = smx::torch_softmax(huge, 1);
    at::set_num_threads(1);
    EXPECT_TRUE(a.equal(smx::torch_softmax(x, 1)));
    EXPECT_TRUE(b.equal(smx::torch_softmax(huge, 1)));
}

// Attention's weights and a loss, beside what PyTorch makes of the same.
TEST(Torch, TheFamilyTakesTensors) {
    at::manual_seed(3);
    const at::Tensor scores = 3 * at::randn({2, 4, 9, 33}), bias = at::randn({4, 1, 33}),
                     weights = at::empty_like(scores);
    const at::Tensor keep = at::rand({2, 1, 9, 33}) > 0.3;
    smx::masked_softmax(scores, keep, weights, {.scale = 0.25, .bias = smx::as_array(bias)});
    const at::Tensor expected = at::softmax((scores * 0.25 + bias).masked_fill(keep.logical_not(), -INFINITY), -1);
    EXPECT_LT((weights - expected).abs().max().item<double>(), 1e-6);
    EXPECT_EQ(weights.masked_select(keep.logical_not().expand_as(weights)).abs().sum().item<double>(), 0);
    at::Tensor logarithms = at::empty_like(scores);
    smx::masked_log_softmax(smx::torch_executor{}, scores, keep, logarithms);
    EXPECT_LT((logarithms.exp() - at::softmax(scores.masked_fill(keep.logical_not(), -INFINITY), -1))
                  .abs()
                  .max()
                  .item<double>(),
              1e-6);

    const at::Tensor logits = scores.reshape({72, 33}), targets = at::randint(33, {72}, at::kLong);
    const at::Tensor losses = at::empty({72}), gradient = at::empty_like(logits);
    smx::cross_entropy_with_gradient(logits, targets, losses, gradient);
    const at::Tensor same = at::cross_entropy_loss(logits, targets, {}, at::Reduction::None);
    EXPECT_LT((losses - same).abs().max().item<double>(), 1e-5);
    EXPECT_LT((gradient - (at::softmax(logits, -1) - at::one_hot(targets, 33))).abs().max().item<double>(), 1e-6);
    for (const at::ScalarType type : {at::kByte, at::kChar, at::kShort, at::kInt}) {
        at::Tensor again = at::empty({72});
        smx::cross_entropy(logits, targets.to(type), again);
        EXPECT_TRUE(again.equal(losses)) << c10::toString(type);
    }
    const at::Tensor us = at::rand({72}), best = logits.argmax(-1);
    for (const at::ScalarType type : {at::kByte, at::kShort, at::kInt, at::kLong}) {
        const at::Tensor indices = at::empty({72}, type);
        smx::sample(logits, us, indices, {.top_k = 1});
        EXPECT_TRUE(indices.to(at::kLong).equal(best)) << c10::toString(type);
    }
    EXPECT_EQ(smx::sample(logits[5], 0.5, {.top_k = 1}), static_cast<std::size_t>(best[5].item<std::int64_t>()));
    EXPECT_THROW(smx::sample(logits, us, at::empty({72})), std::invalid_argument);
    EXPECT_THROW(smx::sample(logits, us, at::empty({72}, at::kBool)), std::invalid_argument);
    EXPECT_THROW(smx::sample(logits, 0.5), std::invalid_argument);
    EXPECT_THROW(smx::masked_softmax(scores, at::ones({33}, at::kComplexFloat), weights), std::invalid_argument);
    EXPECT_THROW(smx::masked_softmax(scores, at::Tensor(), weights), std::invalid_argument);
    EXPECT_THROW(smx::masked_softmax(scores, keep.to(at::kInt), weights), std::invalid_argument);
}

TEST(Torch, WhatIsRefusedAndWhy) {
    const at::Tensor x = at::zeros({2, 3}), out = at::full({2, 3}, 7);
    const auto error = [&](const at::Tensor& in, const at::Tensor& to) -> std::string {
        try {
            smx::safe_softmax(in, to);
        } catch (const std::invalid_argument& e) {
            return e.what();
        }
        return "nothing was refused";
    };
    const at::Tensor o = at::full({2, 3}, 7.0f);
    EXPECT_EQ(error(at::Tensor(), o), "smx::safe_softmax: in is an undefined tensor");
    EXPECT_EQ(error(x.to(at::kInt), o),
              "smx::safe_softmax: in has elements of type Int, but float, double, half and bfloat16 are allowed");
    EXPECT_EQ(error(x, out.to(at::kLong)),
              "smx::safe_softmax: out has elements of type Long, but float, double, half and bfloat16 are allowed");
    EXPECT_EQ(error(x.to_sparse(), o), "smx::safe_softmax: in has a layout without strides (sparse or the like)");
    EXPECT_EQ(error(at::empty({2, 3}, at::TensorOptions().device(at::kMeta)), o),
              "smx::safe_softmax: in is on device meta, but has to be on cpu");
    EXPECT_EQ(error(x, o.t()), "smx::safe_softmax: extent 0 of out is 3, but that of in is 2");
    EXPECT_EQ(
        error(x, o[0].expand({2, 3})),
        "smx::safe_softmax: out has stride 0 in axis 0, which has 2 elements: they would all be written to one place");
    EXPECT_TRUE((o == 7).all().item<bool>());
    for (const std::int64_t dim : {-3, 2}) {
        EXPECT_THROW(smx::torch_softmax(x, dim), std::invalid_argument);
        EXPECT_THROW(smx::torch_logsumexp(x, dim), std::invalid_argument);
    }
}

}  // namespace
}  // namespace neighbours
