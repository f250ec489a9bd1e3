// SPDX-License-Identifier: BSL-1.0

// No function allocates, whatever the path: counted in a program of its own, whose operator new counts.

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <span>
#include <vector>

namespace {

std::size_t allocations = 0;

void* counted(std::size_t bytes) {
    ++allocations;
    if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
    std::abort();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace {

template <class F>
std::size_t allocations_of(F f) {
    const std::size_t before = allocations;
    f();
    return allocations - before;
}

/// Rows of every kind: ordinary ones, one of -inf, one with +inf, one with a NaN.
template <class T>
std::vector<T> logits(std::size_t rows, std::size_t length) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0, 3);
    std::vector<T> x(rows * length);
    for (T& element : x) element = T(normal(engine));
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < length && rows > 3; ++i) x[i] = T(-inf);
    if (rows > 3 && length > 0) {
        x[length] = T(inf);
        x[2 * length] = T(std::numeric_limits<float>::quiet_NaN());
    }
    return x;
}

template <class T>
class Allocations : public testing::Test {};
using element_types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(Allocations, element_types, );

TYPED_TEST(Allocations, AreNone) {
    using T = TypeParam;
    for (const std::size_t rows : {1u, 5u, 64u}) {
        for (const std::size_t length : {1u, 10u, 100u, 5000u}) {
            const std::vector<T> x = logits<T>(rows, length);
            std::vector<T> out(x.size()), dx(x.size()), losses(rows), sums(rows);
            const std::vector<std::uint8_t> keep(x.size(), 1);
            const std::vector<std::size_t> targets(rows, length / 2), kept(rows, length - length / 3);
            const std::vector<double> per_row(rows, 0.75);
            std::vector<int> indices(rows);
            std::mt19937 engine(2);
            const smx::tensor_view<const T, 2> in(x.data(), {rows, length});
            const smx::tensor_view<T, 2> to(out.data(), {rows, length}), gradient(dx.data(), {rows, length});
            const smx::tensor_view<const std::uint8_t, 2> mask(keep.data(), {rows, length});
            const smx::masked_options all{.lengths = kept,
                                          .softcap = 20,
                                          .bias = in,
                                          .alibi_slope = per_row,
                                          .sink = per_row,
                                          .temperature = per_row};
            EXPECT_EQ(0u, allocations_of([&] {
                          for (const int axis : {0, 1}) {
                              smx::safe_softmax(in, to, {.axis = axis});
                              smx::log_softmax(in, to, {.axis = axis, .scale = 0.3});
                              smx::softmin(in, to, {.axis = axis});
                              smx::masked_softmax(in, mask, to, {.axis = axis});
                              smx::softmax_backward(to, in, gradient, {.axis = axis});
                              smx::log_softmax_backward(to, in, gradient, {.axis = axis});
                              smx::gumbel_softmax(in, to, engine, {.axis = axis});
                              smx::filtered_softmax(in, to, {.axis = axis, .top_k = 3, .top_p = 0.9, .min_p = 0.01});
                          }
                          smx::logsumexp(in, sums);
                          smx::masked_softmax(in, mask, to, all);
                          smx::masked_log_softmax(in, to, {.causal = true});
                          smx::masked_softmax_backward(in, to, in, gradient,
                                                       {.lengths = kept, .softcap = 20, .temperature = per_row});
                          smx::cross_entropy(in, targets, losses, {.label_smoothing = 0.1, .z_loss = 0.01});
                          smx::cross_entropy_with_gradient(in, targets, losses, gradient);
                          smx::cross_entropy(in, to, losses);
                          smx::weighted_logsumexp(in, sums, losses, {.weights = in});
                          smx::logaddexp(in, in, to);
                          smx::sample(in, engine, indices);
                          smx::sample(in, per_row, indices, {.top_k = 2});
                          smx::online_softmax<T> state, other;
                          state.push(std::span<const T>(x).first(length));
                          other.merge(state);
                          if (!std::isnan(double(other.logsumexp())))
                              other.probabilities(std::span<const T>(x).first(length), std::span<T>(out).first(length));
                      }))
                << rows << " rows of " << length;
        }
    }
}

TEST(AllocationsCounter, Counts) {
    void* volatile p = nullptr;
    EXPECT_EQ(1u, allocations_of([&] { p = ::operator new(3); }));
    ::operator delete(p);
}

}  // namespace
