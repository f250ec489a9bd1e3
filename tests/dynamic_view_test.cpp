// SPDX-License-Identifier: BSL-1.0

// Arrays whose rank and element type are known at run time only: the bits of the same call with a static view, and what is refused.

#include "refusals.hpp"

#include <safe_softmax/backward.hpp>
#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/dynamic_view.hpp>
#include <safe_softmax/gumbel_softmax.hpp>
#include <safe_softmax/logaddexp.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/parallel_family.hpp>
#include <safe_softmax/sampling.hpp>
#include <safe_softmax/tensor_view.hpp>
#include <safe_softmax/weighted_logsumexp.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

using softmax_test::error_of;

using smx::element_format;

constexpr element_format formats[] = {element_format::binary16, element_format::bfloat16, element_format::binary32,
                                      element_format::binary64};

std::size_t size_of(element_format f) { return smx::vocabulary::size_of_format(f); }

/// Some logits as the bytes of a format.
std::vector<std::byte> logits(element_format format, std::size_t count) {
    std::mt19937 engine(7);
    std::vector<std::byte> bytes(count * size_of(format));
    for (std::size_t i = 0; i < count; ++i) {
        const float x = static_cast<float>(engine() % 4096) / 256 - 8;
        const auto put = [&](auto value) { std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value); };
        switch (format) {
            case element_format::binary16: put(smx::float16(x)); break;
            case element_format::bfloat16: put(smx::bfloat16(x)); break;
            case element_format::binary64: put(static_cast<double>(x)); break;
            default: put(x);
        }
    }
    return bytes;
}

template <class F>
void with_type(element_format format, const F& f) {
    switch (format) {
        case element_format::binary16: return f(smx::float16{});
        case element_format::bfloat16: return f(smx::bfloat16{});
        case element_format::binary64: return f(double{});
        default: return f(float{});
    }
}

struct two_tasks {
    std::size_t concurrency() const { return 2; }
    void operator()(std::size_t tasks, const smx::parallel_task& f) const {
        for (std::size_t i = 0; i < tasks; ++i) f(i);
    }
};

TEST(DynamicView, HasTheBitsOfStaticViewsForEveryPairOfTypes) {
    constexpr std::size_t extents[] = {5, 33, 300};
    constexpr std::size_t count = 5 * 33 * 300;
    for (const element_format in : formats) {
        const std::vector<std::byte> from = logits(in, count);
        for (const element_format out : formats) {
            for (std::ptrdiff_t axis = -3; axis < 3; ++axis) {
                std::vector<std::byte> expected(count * size_of(out)), actual(expected), threads(expected),
                    log_expected(expected), log_actual(expected);
                const smx::softmax_options options{.axis = axis, .scale = 0.75};
                with_type(in, [&]<class In>(In) {
                    with_type(out, [&]<class Out>(Out) {
                        const smx::tensor_view<const In, 3> x(reinterpret_cast<const In*>(from.data()), extents);
                        smx::safe_softmax(x, smx::tensor_view<Out, 3>(reinterpret_cast<Out*>(expected.data()), extents),
                                          options);
                        smx::log_softmax(
                            x, smx::tensor_view<Out, 3>(reinterpret_cast<Out*>(log_expected.data()), extents), options);
                    });
                });
                const smx::const_dynamic_view x(from.data(), in, extents);
                smx::safe_softmax(x, smx::dynamic_view(actual.data(), out, extents), options);
                smx::log_softmax(x, smx::dynamic_view(log_actual.data(), out, extents), options);
                smx::safe_softmax(two_tasks{}, x, smx::dynamic_view(threads.data(), out, extents), options);
                EXPECT_EQ(actual, expected) << axis;
                EXPECT_EQ(threads, expected) << axis;
                EXPECT_EQ(log_actual, log_expected) << axis;
            }
        }
    }
}

TEST(DynamicView, MixesWithStaticViewsAndWorksInPlace) {
    std::vector<float> in = {1, 2, 3, 4, 5, 6}, expected(6), out(6);
    smx::safe_softmax(smx::tensor_view(in.data(), {2, 3}), smx::tensor_view(expected.data(), {2, 3}));
    const std::size_t extents[] = {2, 3};
    smx::safe_softmax(smx::const_dynamic_view(in.data(), element_format::binary32, extents),
                      smx::tensor_view(out.data(), {2, 3}));
    EXPECT_EQ(out, expected);
    out.assign(6, 0);
    smx::safe_softmax(smx::tensor_view(in.data(), {2, 3}),
                      smx::dynamic_view(out.data(), element_format::binary32, extents));
    EXPECT_EQ(out, expected);
    smx::safe_softmax(smx::dynamic_view(in.data(), element_format::binary32, extents));
    EXPECT_EQ(in, expected);
    const smx::dynamic_view of_vector(in);
    EXPECT_EQ(of_vector.rank(), 1u);
    EXPECT_EQ(of_vector.extent(0), 6u);
    EXPECT_EQ(of_vector.stride(0), 1);
    EXPECT_EQ(of_vector.format(), element_format::binary32);
}

TEST(DynamicView, LogsumexpDropsOrKeepsTheAxis) {
    const std::vector<float> in = {1, 2, 3, 4, 5, 6};
    const std::size_t extents[] = {2, 3}, dropped[] = {3}, kept[] = {1, 3};
    std::vector<float> expected(3), one(3), other(3);
    smx::logsumexp(smx::tensor_view(in.data(), {2, 3}), expected, {.axis = 0});
    const smx::const_dynamic_view x(in.data(), element_format::binary32, extents);
    smx::logsumexp(x, smx::dynamic_view(one.data(), element_format::binary32, dropped), {.axis = 0});
    smx::logsumexp(two_tasks{}, x, smx::dynamic_view(other.data(), element_format::binary32, kept), {.axis = -2});
    EXPECT_EQ(one, expected);
    EXPECT_EQ(other, expected);
}

TEST(DynamicView, RankZeroIsOneElement) {
    float x = 3, y = 7;
    const std::span<const std::size_t> none;
    const smx::const_dynamic_view in(&x, element_format::binary32, none);
    const smx::dynamic_view out(&y, element_format::binary32, none);
    smx::safe_softmax(in, out);
    EXPECT_EQ(y, 1);
    smx::log_softmax(in, out, {.axis = 0});
    EXPECT_EQ(y, 0);
    smx::logsumexp(in, out);
    EXPECT_EQ(y, 3);
    const std::vector<float> row = {0, 0};
    smx::logsumexp(smx::const_dynamic_view(row), out);  // the axis of a single row is dropped
    EXPECT_EQ(y, smx::logsumexp(row));
    EXPECT_EQ(error_of([&] { smx::safe_softmax(in, out, {.axis = 1}); }),
              "smx::safe_softmax: options.axis is 1, but in has rank 0: -1 to 0 are allowed");
}

TEST(DynamicView, PutsManyAxesTogether) {
    const std::vector<std::size_t> extents = {2, 1, 3, 2, 1, 2, 7, 2, 1, 3, 2, 2};
    const std::size_t count = std::accumulate(extents.begin(), extents.end(), std::size_t(1), std::multiplies<>());
    std::vector<float> in(count), expected(count), out(count);
    for (std::size_t i = 0; i < count; ++i) in[i] = static_cast<float>(i * 37 % 101) / 8;
    smx::safe_softmax(smx::tensor_view(in.data(), {24, 7, 24}), smx::tensor_view(expected.data(), {24, 7, 24}),
                      {.axis = 1});
    smx::safe_softmax(smx::const_dynamic_view(in.data(), element_format::binary32, extents),
                      smx::dynamic_view(out.data(), element_format::binary32, extents), {.axis = 6});
    EXPECT_EQ(out, expected);

    std::vector<std::ptrdiff_t> strides(12);
    std::ptrdiff_t stride = 1;
    for (std::size_t d = 0; d < 12; ++d) {  // column-major: no two axes continue each other as in `in`
        strides[d] = stride;
        stride *= static_cast<std::ptrdiff_t>(extents[d]);
    }
    out.assign(count, 7);
    EXPECT_EQ(error_of([&] {
                  smx::safe_softmax(smx::const_dynamic_view(in.data(), element_format::binary32, extents),
                                    smx::dynamic_view(out.data(), element_format::binary32, extents, strides),
                                    {.axis = 6});
              }),
              "smx::safe_softmax: in has rank 12, and 9 axes remain where those that continue each other in memory, in "
              "and out, are one: 8 is the most");
    EXPECT_EQ(out, std::vector<float>(count, 7));
}

TEST(DynamicView, NegativeAndZeroStrides) {
    const std::vector<float> row = {1, 2, 4};
    std::vector<float> expected(3), out(6, -1);
    smx::safe_softmax(row, expected);
    const std::size_t extents[] = {2, 3};
    const std::ptrdiff_t backwards[] = {0, -1};
    smx::safe_softmax(smx::const_dynamic_view(row.data() + 2, element_format::binary32, extents, backwards),
                      smx::dynamic_view(out.data(), element_format::binary32, extents));
    EXPECT_EQ(out, (std::vector<float>{expected[2], expected[1], expected[0], expected[2], expected[1], expected[0]}));
}

TEST(DynamicView, ErrorsNameTheArgument) {
    std::vector<float> in(6), out(6, 7);
    const std::size_t two[] = {2, 3}, turned[] = {3, 2}, one[] = {6};
    const std::ptrdiff_t repeated[] = {0, 1}, too_few[] = {1};
    const smx::const_dynamic_view x(in.data(), element_format::binary32, two);
    const auto call = [&](const smx::dynamic_view& y, const smx::softmax_options& options = {}) {
        return error_of([&] { smx::safe_softmax(x, y, options); });
    };
    EXPECT_EQ(call(smx::dynamic_view(out.data(), element_format::binary32, turned)),
              "smx::safe_softmax: extent 0 of out is 3, but that of in is 2");
    EXPECT_EQ(call(smx::dynamic_view(out.data(), element_format::binary32, one)),
              "smx::safe_softmax: out has rank 1, but in has 2");
    EXPECT_EQ(call(smx::dynamic_view(out.data(), element_format::binary32, two), {.axis = 2}),
              "smx::safe_softmax: options.axis is 2, but in has rank 2: -2 to 1 are allowed");
    EXPECT_EQ(
        call(smx::dynamic_view(out.data(), element_format::binary32, two, repeated)),
        "smx::safe_softmax: out has stride 0 in axis 0, which has 2 elements: they would all be written to one place");
    EXPECT_EQ(error_of([&] { smx::logsumexp(x, smx::dynamic_view(out.data(), element_format::binary32, two)); }),
              "smx::logsumexp: extent 1 of out is 3, but 1 is needed for that of in, 3");
    EXPECT_EQ(error_of([&] {
                  smx::logsumexp(
                      x, smx::dynamic_view(out.data(), element_format::binary32, std::span<const std::size_t>()));
              }),
              "smx::logsumexp: out has rank 0, but in has 2: it must be the same, or one less");
    EXPECT_EQ(error_of([&] { smx::dynamic_view(out.data(), element_format::none, two); }),
              "smx::dynamic_view: format is element_format::none: elements need a format");
    EXPECT_EQ(error_of([&] { smx::dynamic_view(out.data(), element_format::binary32, two, too_few); }),
              "smx::dynamic_view: strides has 1 axes, but extents has 2");
    EXPECT_EQ(
        error_of([&] { smx::dynamic_view(out.data(), element_format::binary32, std::vector<std::size_t>(65, 1)); }),
        "smx::dynamic_view: extents has 65 axes, but 64 is the most");
    EXPECT_EQ(out, std::vector<float>(6, 7));
}

/// The same call with static and with dynamic views.
class family_call {
public:
    static constexpr std::size_t batches = 2, rows = 3, length = 40, count = batches * rows * length;

    /// f(view of the numbers i, view to write to): both static, then both dynamic, then one of each.
    template <class F>
    void expect_same(const char* what, const F& f) {
        for (const element_format format : formats)
            with_type(format, [&]<class T>(T) {
                const auto in = [&](int i) {
                    return smx::tensor_view<const T, 3>(static_cast<const T*>(numbers(format, i)), extents_);
                };
                const auto dynamic_in = [&](int i) {
                    return smx::const_dynamic_view(numbers(format, i), format, extents_);
                };
                std::vector<T> expected(count), actual(count);
                const smx::tensor_view<T, 3> to(expected.data(), extents_), same(actual.data(), extents_);
                const auto check = [&](const char* which) {
                    EXPECT_EQ(std::memcmp(expected.data(), actual.data(), count * sizeof(T)), 0)
                        << what << ", " << which;
                    std::fill(actual.begin(), actual.end(), T(9.0f));
                };
                f(in, to);
                f(dynamic_in, smx::dynamic_view(same));
                check("dynamic");
                f(dynamic_in, same);
                check("dynamic and static");
                f(in, smx::dynamic_view(same));
                check("static and dynamic");
            });
    }

    std::span<const std::size_t> extents() const { return extents_; }

private:
    const void* numbers(element_format format, int i) {
        std::vector<std::byte>& bytes = numbers_[static_cast<std::size_t>(format)][static_cast<std::size_t>(i)];
        if (bytes.empty()) bytes = logits(format, 2 * count);
        return bytes.data() + static_cast<std::size_t>(i) * 8 * size_of(format);
    }

    static constexpr std::size_t extents_[] = {batches, rows, length};
    std::vector<std::byte> numbers_[8][4];
};

TEST(DynamicView, TheFamilyTakesThem) {
    family_call call;
    const std::vector<std::uint8_t> keep = [] {
        std::vector<std::uint8_t> k(family_call::count, 1);
        for (std::size_t i = 0; i < k.size(); i += 3) k[i] = 0;
        return k;
    }();
    const std::ptrdiff_t strides[] = {120, 40, 1};
    const smx::array_ref mask(keep.data(), smx::scalar_type::boolean, call.extents());
    for (std::size_t d = 0; d < 3; ++d) EXPECT_EQ(mask.stride(d), strides[d]);
    const std::vector<float> bias(family_call::length, 0.25f);
    const std::size_t keys[] = {family_call::length};
    const smx::const_dynamic_view added(bias.data(), element_format::binary32, keys);
    const two_tasks executor;
    using smx::masked_options;
    call.expect_same("masked_softmax", [&](auto x, auto y) { smx::masked_softmax(x(0), mask, y, {.axis = -1}); });
    call.expect_same("with an executor", [&](auto x, auto y) { smx::masked_softmax(executor, x(0), mask, y); });
    call.expect_same("masked_log_softmax", [&](auto x, auto y) {
        smx::masked_log_softmax(x(0), y, masked_options{.axis = 1, .bias = smx::as_array(added)});
    });
    call.expect_same("softmax_backward", [&](auto x, auto y) { smx::softmax_backward(x(0), x(1), y, {.axis = 1}); });
    call.expect_same("log_softmax_backward", [&](auto x, auto y) { smx::log_softmax_backward(x(0), x(1), y); });
    call.expect_same("with an executor", [&](auto x, auto y) { smx::log_softmax_backward(executor, x(0), x(1), y); });
    call.expect_same("masked_softmax_backward", [&](auto x, auto y) {
        smx::masked_softmax_backward(x(2), x(0), x(1), y, masked_options{.softcap = 5});
    });
    call.expect_same("masked_log_softmax_backward",
                     [&](auto x, auto y) { smx::masked_log_softmax_backward(x(0), x(1), y, masked_options{}); });
    const std::vector<std::int64_t> targets{1, 5, 39, 0, 12, 7};
    const std::size_t per_row[] = {family_call::batches, family_call::rows};
    const std::ptrdiff_t row_strides[] = {3, 1};
    const smx::array_ref classes(targets.data(), smx::scalar_type::int64, per_row, row_strides);
    call.expect_same("cross_entropy_with_gradient", [&](auto x, auto y) {
        std::vector<float> losses(targets.size()), alone(targets.size());
        const smx::dynamic_view to(losses.data(), element_format::binary32, per_row);
        smx::cross_entropy_with_gradient(x(0), classes, to, y);
        smx::cross_entropy(executor, x(0), smx::tensor_view(targets.data(), {family_call::batches, family_call::rows}),
                           smx::tensor_view(alone.data(), {family_call::batches, family_call::rows}));
        EXPECT_EQ(losses, alone);
    });
    call.expect_same("cross_entropy_backward",
                     [&](auto x, auto y) { smx::cross_entropy_backward(x(0), classes, 0.5, y); });
    call.expect_same("top_k_softmax", [&](auto x, auto y) { smx::top_k_softmax(x(0), y, 3); });
    call.expect_same("top_p_softmax", [&](auto x, auto y) { smx::top_p_softmax(x(0), y, 0.5); });
    call.expect_same("gumbel_softmax", [&](auto x, auto y) {
        std::mt19937_64 engine(3);
        smx::gumbel_softmax(x(0), y, engine);
    });
    call.expect_same("logaddexp", [&](auto x, auto y) { smx::logaddexp(x(0), x(1), y); });
    call.expect_same("sample", [&](auto x, auto y) {
        // The indices of rows, which y has no room for, as one-hot rows.
        std::vector<std::int64_t> indices(6, 99), drawn(6, 99);
        std::mt19937_64 engine(5);
        smx::sample(x(0), engine, smx::array_ref(indices.data(), smx::scalar_type::int64, per_row, row_strides));
        const double us[] = {0.0, 0.125, 0.25, 0.5, 0.75, 0.9375};
        smx::sample(x(0), smx::const_dynamic_view(us, element_format::binary64, per_row),
                    smx::tensor_view(drawn.data(), {family_call::batches, family_call::rows}), {.top_k = 5});
        std::vector<float> hot(family_call::count);
        for (std::size_t r = 0; r < 6; ++r) {
            ASSERT_LT(static_cast<std::size_t>(indices[r]), family_call::length);
            hot[r * family_call::length + static_cast<std::size_t>(indices[r])] += 1;
            hot[r * family_call::length + static_cast<std::size_t>(drawn[r])] += 2;
        }
        smx::safe_softmax(smx::const_dynamic_view(hot.data(), element_format::binary32, call.extents()), y);
    });
    // A reduction, and in place.
    std::vector<double> sums(6), expected_sums(6), in(family_call::count), same(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<double>(i % 17) / 4;
    const smx::tensor_view<const double, 3> x(in.data(), {2, 3, 40});
    const smx::weighted_options weights{.weights = smx::as_array(added)};
    smx::weighted_logsumexp(x, smx::tensor_view(expected_sums.data(), {2, 3}), weights);
    smx::weighted_logsumexp(smx::const_dynamic_view(x),
                            smx::dynamic_view(sums.data(), element_format::binary64, per_row), weights);
    EXPECT_EQ(sums, expected_sums);
    std::vector<double> dy(in), dx(in);
    smx::softmax_backward(x, smx::tensor_view(dy.data(), {2, 3, 40}));
    smx::softmax_backward(smx::const_dynamic_view(x),
                          smx::dynamic_view(dx.data(), element_format::binary64, call.extents()));
    EXPECT_EQ(dx, dy);
}

TEST(DynamicView, TheFamilyRefusesByName) {
    std::vector<float> in(6), out(6, 7);
    const std::size_t two[] = {2, 3}, turned[] = {3, 2}, one[] = {6}, none[] = {0};
    const std::vector<std::size_t> nine(9, 1);
    const std::ptrdiff_t strides[] = {3, 1};
    const smx::const_dynamic_view x(in.data(), element_format::binary32, two);
    const smx::dynamic_view y(out.data(), element_format::binary32, two);
    const auto error = [](const auto& call) { return error_of(call); };
    EXPECT_EQ(error([&] { smx::softmax_backward(x, x, smx::dynamic_view(out.data(), element_format::binary32, one)); }),
              "smx::softmax_backward: dx has rank 1, but y has 2");
    EXPECT_EQ(error([&] {
                  smx::masked_softmax(x, smx::dynamic_view(out.data(), element_format::binary32, turned), {.scale = 2});
              }),
              "smx::masked_softmax: extent 0 of out is 3, but that of in is 2");
    EXPECT_EQ(error([&] {
                  smx::masked_softmax(smx::const_dynamic_view(in.data(), element_format::binary32, nine), y,
                                      {.scale = 2});
              }),
              "smx::masked_softmax: in has 9 axes, but 8 is the most");
    EXPECT_EQ(error([&] { smx::as_array(smx::const_dynamic_view(in.data(), element_format::binary32, nine)); }),
              "smx::as_array: array has 9 axes, but 8 is the most");
    EXPECT_EQ(error([&] { smx::array_ref(in.data(), smx::scalar_type::int8, nine, strides); }),
              "smx::array_ref: extents has 9 axes, but 8 is the most");
    EXPECT_EQ(error([&] { smx::array_ref(in.data(), smx::scalar_type::int8, one, strides); }),
              "smx::array_ref: strides has 2 axes, but extents has 1");
    EXPECT_EQ(error([&] {
                  smx::cross_entropy(x, x, smx::dynamic_view(out.data(), element_format::binary32, none));
              }).find("smx::cross_entropy: "),
              0u);
    EXPECT_EQ(error([&] { smx::sample(x, 0.5); }), "smx::sample: in has rank 2, but 1 is needed: a row");
    const smx::array_ref numbers(out.data(), smx::scalar_type::float32, std::span(two, 1)),
        flags(out.data(), smx::scalar_type::boolean, std::span(two, 1));
    std::mt19937 engine;
    EXPECT_EQ(error([&] { smx::sample(x, engine, numbers); }),
              "smx::sample: indices must be integers, but they are floating numbers");
    EXPECT_EQ(error([&] { smx::sample(x, engine, flags); }),
              "smx::sample: indices must be integers, but they are truth values");
    EXPECT_EQ(error([&] { smx::sample(in, engine, smx::array_ref(7)); }),
              "smx::sample: indices must be an array, in which they are written");
    EXPECT_EQ(error([&] { smx::sample(in, engine, smx::array_ref()); }),
              "smx::sample: indices must be an array, in which they are written");
    const smx::const_dynamic_view row(in.data(), element_format::binary32, one);
    in[4] = 50;
    EXPECT_EQ(smx::sample(row, 0.5), 4u);
    EXPECT_EQ(smx::sample(row, engine), 4u);
    in[4] = 0;
    EXPECT_EQ(out, std::vector<float>(6, 7));
    // Without axes, one element.
    const double number = 2;
    const smx::array_ref scalar(&number, smx::scalar_type::float64, {}, {});
    EXPECT_EQ(scalar.rank(), 1u);
    EXPECT_EQ(scalar.extent(0), 1u);
    EXPECT_EQ(scalar.data(), &number);
}

}  // namespace
