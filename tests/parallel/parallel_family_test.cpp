// SPDX-License-Identifier: BSL-1.0

// Masks, gradients and losses on the threads of an executor give the bits of the calling thread alone: outputs byte for byte, what is not
// written included.

#include "executors.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace {

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<T> numbers(std::size_t n, unsigned seed, float spread = 5) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0, spread);
    std::vector<T> x(n);
    for (T& element : x) element = T(normal(engine));
    return x;
}

using bytes = std::vector<std::byte>;
template <class... Vectors>
bytes bytes_of(const Vectors&... vectors) {
    bytes all;
    const auto add = [&](const auto& v) {
        const auto* first = reinterpret_cast<const std::byte*>(v.data());
        all.insert(all.end(), first, first + v.size() * sizeof(v[0]));
    };
    (add(vectors), ...);
    return all;
}

/// call(executor...) gives what was written, with an executor or without. Shared: by all numbers of threads above one.
template <class Call>
void expect_same(const char* what, const Call& call, bool shared = true) {
    const bytes expected = call();
    for (const std::size_t threads : {1u, 2u, 3u, 64u}) {
        pretended_executor executor{threads, threads == 2 ? order::backward : order::shuffled};
        ASSERT_EQ(expected, call(executor)) << what << ", " << threads << " threads";
        EXPECT_EQ(executor.calls != 0, shared && threads > 1) << what << ", " << threads << " threads";
    }
    const thread_executor real{4};
    ASSERT_EQ(expected, call(real)) << what << ", real threads";
}

// ---- masks --------------------------------------------------------------------------------------------------------------

/// Logits of 3 batches, 5 heads, 37 queries, 70 keys.
constexpr std::array<std::size_t, 4> scores{3, 5, 37, 70};
constexpr std::size_t all_scores = 3 * 5 * 37 * 70;

template <class T>
class ParallelFamily : public testing::Test {};
using tested_types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(ParallelFamily, tested_types);

/// masked_softmax and masked_log_softmax, out of place and in place.
template <class T, class Mask>
void expect_same_masked(const char* what, const Mask& mask, smx::masked_options options,
                        std::array<std::ptrdiff_t, 4> strides = {5 * 37 * 70, 37 * 70, 70, 1}) {
    std::vector<T> in = numbers<T>(all_scores, 1);
    in[700] = T(nan);
    in[7000] = T(inf);
    for (std::size_t i = 14000; i < 14080; ++i) in[i] = T(-inf);
    const smx::tensor_view<const T, 4> from(in.data(), scores, strides);
    expect_same(what, [&](auto&... executor) {
        std::vector<T> out(all_scores, T(7.0f)), log = out, inout = in;
        smx::masked_softmax(executor..., from, mask, smx::tensor_view<T, 4>(out.data(), scores, strides), options);
        smx::masked_log_softmax(executor..., from, mask, smx::tensor_view<T, 4>(log.data(), scores, strides), options);
        const smx::tensor_view<T, 4> both(inout.data(), scores, strides);
        smx::masked_softmax(executor..., both, mask, both, options);
        return bytes_of(out, log, inout);
    });
}

TYPED_TEST(ParallelFamily, Masks) {
    using T = TypeParam;
    std::mt19937 engine(2);
    std::vector<std::uint8_t> keep(37 * 70);
    for (std::uint8_t& k : keep) k = engine() % 3 != 0;
    const smx::tensor_view<const std::uint8_t, 2> mask(keep.data(), {37, 70});
    const std::vector<T> added = numbers<T>(5 * 70, 3), bias = numbers<T>(3 * 5 * 37 * 70, 4);
    const std::vector<float> slopes{0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f}, sinks = numbers<float>(5 * 37, 5),
                                                                             temperatures(37, 0.7f);
    const std::vector<int> lengths{70, 0, 33};
    const smx::array_ref slope(smx::tensor_view<const float, 2>(slopes.data(), {5, 1})),
        length(smx::tensor_view<const int, 3>(lengths.data(), {3, 1, 1}));
    const smx::array_ref sink(smx::tensor_view<const float, 2>(sinks.data(), {5, 37}));

    expect_same_masked<T>("bool", mask, {.scale = 0.3});
    expect_same_masked<T>("added", smx::tensor_view<const T, 3>(added.data(), {5, 1, 70}), {});
    const std::uint8_t all[] = {1};
    const smx::tensor_view<const std::uint8_t, 1> every(all, {1});
    expect_same_masked<T>("causal", every, {.causal = true});
    expect_same_masked<T>("causal, offset", every, {.causal = true, .causal_offset = 33});
    expect_same_masked<T>("causal, offset below 0", mask, {.causal = true, .causal_offset = -20});
    expect_same_masked<T>("lengths", every, {.causal = true, .causal_offset = 20, .lengths = length});
    expect_same_masked<T>("ALiBi", mask, {.scale = 0.7, .causal_offset = 33, .alibi_slope = slope});
    expect_same_masked<T>("sink", every, {.scale = 0.7, .sink = sink});
    expect_same_masked<T>("temperature", every, {.temperature = smx::array_ref(temperatures)});
    expect_same_masked<T>("softcap, bias", mask,
                          {.softcap = 5, .bias = smx::array_ref(smx::tensor_view<const T, 4>(bias.data(), scores))});
    expect_same_masked<T>("ieee", mask, {.special = smx::special_values::ieee});
    expect_same_masked<T>("keys first", every, {.causal = true, .causal_offset = 3}, {5 * 37 * 70, 37 * 70, 1, 37});
    expect_same_masked<T>("along the queries", every, {.axis = 2, .scale = -0.3, .causal = true});
    expect_same_masked<T>("along the batch", mask, {.axis = 0, .scale = 2});
}

// ---- gradients ----------------------------------------------------------------------------------------------------------

TYPED_TEST(ParallelFamily, Gradients) {
    using T = TypeParam;
    const std::vector<float> temperatures(37, 0.7f);
    const std::vector<T> x = numbers<T>(all_scores, 1), dy = numbers<T>(all_scores, 2, 1);
    const auto view = [](auto& v) {
        return smx::tensor_view<std::remove_reference_t<decltype(v[0])>, 4>(v.data(), scores);
    };
    for (const std::ptrdiff_t axis : {-1, 2, 0}) {
        std::vector<T> p(all_scores), log(all_scores), masked(all_scores), masked_log(all_scores);
        const smx::masked_options causal{.axis = axis,
                                         .scale = 0.5,
                                         .causal = true,
                                         .causal_offset = 10,
                                         .softcap = 20,
                                         .temperature = axis == -1 ? smx::array_ref(temperatures) : smx::array_ref()};
        smx::safe_softmax(view(x), view(p), {.axis = axis});
        smx::log_softmax(view(x), view(log), {.axis = axis});
        smx::masked_softmax(view(x), view(masked), causal);
        smx::masked_log_softmax(view(x), view(masked_log), causal);
        expect_same("gradients", [&](auto&... executor) {
            std::vector<T> a(all_scores), b(all_scores), c = dy, d = dy;
            smx::softmax_backward(executor..., view(p), view(dy), view(a), {.axis = axis});
            smx::log_softmax_backward(executor..., view(log), view(dy), view(b), {.axis = axis, .scale = 3});
            smx::softmax_backward(executor..., view(p), view(c), {.axis = axis});
            smx::log_softmax_backward(executor..., view(log), view(d), {.axis = axis});
            return bytes_of(a, b, c, d);
        });
        smx::masked_options plain = causal;
        plain.softcap = 0;
        expect_same("masked gradients", [&](auto&... executor) {
            std::vector<T> a(all_scores), b(all_scores), c(all_scores), d(all_scores), e = dy, f = dy;
            smx::masked_softmax_backward(executor..., view(x), view(masked), view(dy), view(a), causal);
            smx::masked_log_softmax_backward(executor..., view(x), view(masked_log), view(dy), view(b), causal);
            smx::masked_softmax_backward(executor..., view(masked), view(dy), view(c), plain);
            smx::masked_log_softmax_backward(executor..., view(masked_log), view(dy), view(d), plain);
            smx::masked_softmax_backward(executor..., view(masked), view(e), plain);
            smx::masked_log_softmax_backward(executor..., view(masked_log), view(f), plain);
            return bytes_of(a, b, c, d, e, f);
        });
    }
}

// ---- losses -------------------------------------------------------------------------------------------------------------

/// Of rows by classes, along either axis; the middle one of three axes where there are blocks.
template <class T>
void expect_same_losses(std::size_t blocks, std::size_t rows, std::size_t classes, std::ptrdiff_t axis, bool shared) {
    const std::size_t all = blocks * rows * classes;
    const std::array<std::size_t, 3> extents =
        axis == 1 ? std::array{blocks, classes, rows} : std::array{blocks, rows, classes};
    const std::array<std::size_t, 2> each{blocks, rows};
    const std::vector<T> logits = numbers<T>(all, 1);
    std::vector<int> index(blocks * rows);
    for (std::size_t r = 0; r < index.size(); ++r) index[r] = r % 11 == 0 ? -100 : static_cast<int>(r * 7 % classes);
    std::vector<T> soft(all);
    const std::vector<float> weights = [&] {
        std::vector<float> w = numbers<float>(classes, 3, 1);
        for (float& x : w) x = std::abs(x);
        return w;
    }();
    const auto view = [&](auto& v) {
        return smx::tensor_view<std::remove_reference_t<decltype(v[0])>, 3>(v.data(), extents);
    };
    smx::safe_softmax(view(logits), view(soft), {.axis = axis});
    const smx::tensor_view<const int, 2> indices(index.data(), each);
    for (const smx::loss_reduction reduction :
         {smx::loss_reduction::none, smx::loss_reduction::sum, smx::loss_reduction::mean}) {
        const bool none = reduction == smx::loss_reduction::none;
        smx::cross_entropy_options options{.axis = axis, .scale = 0.9, .reduction = reduction};
        smx::cross_entropy_options more = options;
        more.label_smoothing = 0.1;
        more.class_weights = smx::array_ref(weights);
        more.z_loss = 1e-4;
        expect_same(
            "losses",
            [&](auto&... executor) {
                std::vector<float> a(none ? blocks * rows : 1, 7.0f), b = a, c = a, d = a;
                std::vector<T> gradient(all), other(all), inout = logits;
                const auto losses = [&](std::vector<float>& v) {
                    return smx::tensor_view<float, 2>(v.data(), none ? each : std::array<std::size_t, 2>{1, 1});
                };
                smx::cross_entropy(executor..., view(logits), indices, losses(a), options);
                EXPECT_LT(std::abs(a.back()) + std::abs(b.back()) + std::abs(c.back()), 1e9f);
                smx::cross_entropy(executor..., view(logits), view(soft), losses(b), more);
                smx::cross_entropy_with_gradient(executor..., view(logits), indices, losses(c), view(gradient), more);
                smx::cross_entropy_backward(executor..., view(logits), indices, 0.5, view(other), options);
                smx::cross_entropy_with_gradient(executor..., view(inout), indices, losses(d), options);
                return bytes_of(a, b, c, d, gradient, other, inout);
            },
            shared);
    }
}

TYPED_TEST(ParallelFamily, Losses) {
    expect_same_losses<TypeParam>(1, 151, 401, -1, true);
    expect_same_losses<TypeParam>(3, 700, 33, -1, true);  // more rows than are added up at a time
    expect_same_losses<TypeParam>(2, 130, 301, 1, true);
}

// ---- what is not shared, and errors -------------------------------------------------------------------------------------

TEST(ParallelFamilyCalls, SmallWorkAndSingleRowsStayOnTheCallingThread) {
    pretended_executor executor{8};
    std::vector<float> x = numbers<float>(40000, 1), y(x.size());
    const smx::masked_options causal{.causal = true};
    smx::masked_softmax(executor, smx::tensor_view<const float, 2>(x.data(), {100, 100}),
                        smx::tensor_view<float, 2>(y.data(), {100, 100}), causal);
    smx::masked_softmax(executor, x, y, causal);
    smx::softmax_backward(executor, x, x, y);
    float loss[1];
    smx::cross_entropy(executor, x, 7, loss);
    EXPECT_EQ(executor.calls, 0u);
    smx::masked_softmax(executor, smx::tensor_view<const float, 2>(x.data(), {200, 200}),
                        smx::tensor_view<float, 2>(y.data(), {200, 200}), causal);
    EXPECT_EQ(executor.calls, 1u);
    EXPECT_EQ(executor.tasks_seen, 4u) << "8192 elements each";
}

TEST(ParallelFamilyCalls, FewClassesAreAddedUpByTheCallingThread) {
    pretended_executor executor{8};
    const std::vector<float> x = numbers<float>(300000, 1);
    const std::vector<int> targets(30000, 3);
    const smx::tensor_view<const float, 2> logits(x.data(), {30000, 10});
    float with[1], without[1];
    smx::cross_entropy(executor, logits, targets, with, {.reduction = smx::loss_reduction::mean});
    smx::cross_entropy(logits, targets, without, {.reduction = smx::loss_reduction::mean});
    EXPECT_EQ(executor.calls, 0u);
    EXPECT_EQ(with[0], without[0]);
}

TEST(ParallelFamilyCalls, CausalOffsetsBeyondEveryIndex) {
    constexpr std::ptrdiff_t most = (std::numeric_limits<std::ptrdiff_t>::max)();
    const std::vector<float> x = numbers<float>(40000, 1);
    const smx::tensor_view<const float, 2> in(x.data(), {200, 200});
    for (const std::ptrdiff_t offset : {most, -most, most / 4, std::ptrdiff_t(1) << 30, -(std::ptrdiff_t(1) << 30),
                                        (std::ptrdiff_t(1) << 22) - 70, -(std::ptrdiff_t(1) << 22) - 70}) {
        const smx::masked_options options{.causal = offset > 0, .causal_offset = offset, .alibi_slope = 0.3};
        std::vector<float> with(x.size()), without(x.size());
        pretended_executor executor{4, order::backward};
        smx::masked_softmax(executor, in, smx::tensor_view<float, 2>(with.data(), {200, 200}), options);
        smx::masked_softmax(in, smx::tensor_view<float, 2>(without.data(), {200, 200}), options);
        EXPECT_EQ(bytes_of(with), bytes_of(without)) << offset;
    }
}

TEST(ParallelFamilyCalls, NothingStartsBeforeTheChecks) {
    pretended_executor executor{4};
    const std::vector<float> x(40000);
    std::vector<float> out(39999, 7.0f);
    const smx::tensor_view<const float, 2> in(x.data(), {200, 200});
    const smx::tensor_view<float, 2> less(out.data(), {199, 200});
    std::vector<int> targets(200, 0);
    targets[150] = 200;
    EXPECT_THROW(smx::masked_softmax(executor, in, less, {.causal = true}), std::invalid_argument);
    EXPECT_THROW(smx::softmax_backward(executor, in, in, less), std::invalid_argument);
    EXPECT_THROW(smx::masked_log_softmax_backward(executor, in, in, less), std::invalid_argument);
    EXPECT_THROW(smx::cross_entropy(executor, in, targets, std::span<float>(out).first(200)), std::invalid_argument);
    EXPECT_EQ(executor.calls, 0u);
    EXPECT_EQ(std::count(out.begin(), out.end(), 7.0f), 39999);
}

TEST(ParallelFamilyCalls, WhatAnExecutorThrowsPassesThrough) {
    struct throwing {
        std::size_t concurrency() const { return 4; }
        void operator()(std::size_t, const smx::parallel_task& f) const {
            f(0);
            throw std::runtime_error("no threads today");
        }
    };
    const std::vector<float> x = numbers<float>(40000, 1);
    std::vector<float> y(x.size());
    EXPECT_THROW(smx::masked_softmax(throwing{}, smx::tensor_view<const float, 2>(x.data(), {200, 200}),
                                     smx::tensor_view<float, 2>(y.data(), {200, 200}), {.causal = true}),
                 std::runtime_error);
}

}  // namespace
