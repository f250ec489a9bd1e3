// SPDX-License-Identifier: BSL-1.0

// DLPack's tensors: types, strides, offsets, and what is refused with which text.

#include "rows_for_neighbours.hpp"

#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/dlpack.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/tensor_view.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace neighbours {
namespace {

constexpr std::size_t rows = 21, length = 50;

/// A tensor with memory of its own for its shape and strides.
struct tensor {
    std::vector<std::int64_t> shape, strides;
    DLTensor t{};

    tensor(void* data, DLDataType type, std::vector<std::int64_t> extents, std::vector<std::int64_t> steps = {},
           std::uint64_t byte_offset = 0)
        : shape(std::move(extents)), strides(std::move(steps)) {
        t.data = data;
        t.device = {kDLCPU, 0};
        t.ndim = static_cast<int>(shape.size());
        t.dtype = type;
        t.shape = shape.data();
        t.strides = strides.empty() ? nullptr : strides.data();
        t.byte_offset = byte_offset;
    }
    tensor(const tensor&) = delete;
    tensor& operator=(const tensor&) = delete;
};

template <class T>
constexpr DLDataType type_of = {
    smx::format_of<T> == smx::element_format::bfloat16 ? std::uint8_t(kDLBfloat) : std::uint8_t(kDLFloat),
    std::uint8_t(8 * sizeof(T)), 1};

template <class In, class Out>
void expect_types() {
    std::vector<In> x = logits<In>(rows, length);
    std::vector<Out> y(x.size()), sums(rows);
    const tensor in(x.data(), type_of<In>, {3, 7, length});
    tensor out(y.data(), type_of<Out>, {3, 7, length});
    const tensor reduced(sums.data(), type_of<Out>, {3, 7});
    const auto at = [&](std::size_t r, std::size_t i) { return y[r * length + i]; };
    smx::safe_softmax(in.t, out.t, {.axis = 2});
    expect_rows(of_rows<Out>(function::softmax, x, rows), rows, at, "softmax");
    smx::log_softmax(in.t, out.t);
    expect_rows(of_rows<Out>(function::log_softmax, x, rows), rows, at, "log_softmax");
    smx::logsumexp(in.t, reduced.t);
    expect_rows(
        of_rows<Out>(function::logsumexp, x, rows), rows, [&](std::size_t r, std::size_t) { return sums[r]; },
        "logsumexp");
}

TEST(Dlpack, EveryType) {
    expect_types<float, float>();
    expect_types<double, double>();
    expect_types<smx::float16, smx::float16>();
    expect_types<smx::bfloat16, smx::bfloat16>();
    expect_types<smx::bfloat16, float>();
    expect_types<double, smx::float16>();
}

TEST(Dlpack, StridesAndOffsets) {
    std::vector<float> x = logits<float>(rows, length);
    const std::vector<float> expected = of_rows<float>(function::softmax, x, rows);
    constexpr std::int64_t n = length, m = rows;
    std::vector<float> memory(2 * x.size() + 3, 7.0f);
    // Column-major, every second place, three elements in.
    const tensor in(x.data(), type_of<float>, {m, n});
    tensor out(memory.data(), type_of<float>, {m, n}, {2, 2 * m}, 12);
    smx::safe_softmax(in.t, out.t, {.axis = 1});
    expect_rows(
        expected, rows, [&](std::size_t r, std::size_t i) { return memory[3 + 2 * (i * rows + r)]; },
        "strides and an offset");
    for (std::size_t i = 0; i < memory.size(); ++i) EXPECT_TRUE((i >= 3 && i % 2 == 1) || memory[i] == 7.0f) << i;
    // Backwards, from the last element on.
    std::vector<float> y(x.size());
    const tensor turned(x.data(), type_of<float>, {m, n}, {-n, -1}, 4 * (x.size() - 1));
    tensor plain(y.data(), type_of<float>, {m, n}, {n, 1});
    smx::safe_softmax(turned.t, plain.t);
    expect_rows(
        of_rows<float>(function::softmax, backwards(x), rows), rows,
        [&](std::size_t r, std::size_t i) { return y[r * length + i]; }, "backwards");
    const tensor repeated(x.data(), type_of<float>, {m, n}, {0, 1});
    smx::safe_softmax(repeated.t, plain.t);
    for (std::size_t r = 0; r < rows; ++r)
        EXPECT_TRUE(std::equal(expected.begin(), expected.begin() + n, y.begin() + static_cast<std::ptrdiff_t>(r) * n));
    smx::safe_softmax(plain.t);  // in place
    // With views of other kinds on the other side.
    smx::safe_softmax(in.t, smx::tensor_view(y.data(), {m, n}), {.axis = 1});
    expect_rows(expected, rows, [&](std::size_t r, std::size_t i) { return y[r * length + i]; }, "tensor_view");
}

TEST(Dlpack, RanksZeroAndManyAndEmpty) {
    float x = 3, y = 7;
    const tensor in(&x, type_of<float>, {});
    tensor out(&y, type_of<float>, {});
    smx::safe_softmax(in.t, out.t);
    EXPECT_EQ(y, 1);
    std::vector<float> a = {1, 2}, b(2), expected(2);
    smx::safe_softmax(a, expected);
    const std::vector<std::int64_t> shape = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2};
    const tensor many(a.data(), type_of<float>, shape);
    tensor many_out(b.data(), type_of<float>, shape);
    smx::safe_softmax(many.t, many_out.t);
    EXPECT_EQ(b, expected);
    const tensor none(nullptr, type_of<float>, {3, 0}, {}, 99);  // nothing to look at, wherever it is
    tensor none_out(nullptr, type_of<float>, {3, 0});
    smx::safe_softmax(none.t, none_out.t);
}

TEST(Dlpack, TheFamilyTakesTensors) {
    std::vector<float> x(42), y(42), expected(42);
    std::vector<std::uint8_t> keep(42, 1);
    for (std::size_t i = 0; i < keep.size(); i += 4) keep[i] = 0;
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i % 13) / 4;
    const tensor in(x.data(), type_of<float>, {6, 7}), mask(keep.data(), {std::uint8_t(6), 8, 1}, {6, 7}, {7, 1});
    tensor out(y.data(), type_of<float>, {6, 7});
    smx::masked_softmax(in.t, mask.t, out.t, {.scale = 2});
    smx::masked_softmax(smx::tensor_view<const float, 2>(x.data(), {6, 7}),
                        smx::tensor_view<const std::uint8_t, 2>(keep.data(), {6, 7}),
                        smx::tensor_view<float, 2>(expected.data(), {6, 7}), {.scale = 2});
    EXPECT_EQ(y, expected);
    // Targets of every integer type.
    std::vector<float> losses(6), same(6);
    const std::vector<std::int64_t> classes{0, 6, 3, 2, 5, 1};
    smx::cross_entropy(smx::tensor_view<const float, 2>(x.data(), {6, 7}), classes, same);
    const auto check = [&]<class T>(T) {
        std::vector<T> t(classes.begin(), classes.end());
        const std::uint8_t code = std::is_signed_v<T> ? std::uint8_t(kDLInt) : std::uint8_t(kDLUInt);
        const tensor targets(t.data(), {code, std::uint8_t(8 * sizeof(T)), 1}, {6});
        tensor to(losses.data(), type_of<float>, {6});
        smx::cross_entropy(in.t, targets.t, to.t);
        EXPECT_EQ(losses, same) << sizeof(T) << std::is_signed_v<T>;
        losses.assign(6, 0.0f);
    };
    check(std::int8_t{}), check(std::int16_t{}), check(std::int32_t{}), check(std::int64_t{});
    check(std::uint8_t{}), check(std::uint16_t{}), check(std::uint32_t{}), check(std::uint64_t{});
    const tensor pairs(keep.data(), {std::uint8_t(kDLUInt), 8, 2}, {3, 7});
    EXPECT_THROW(smx::masked_softmax(in.t, pairs.t, out.t), std::invalid_argument);
    EXPECT_EQ(y, expected);
}

TEST(Dlpack, WhatIsRefusedAndWhy) {
    alignas(8) float x[8] = {}, y[8] = {7, 7, 7, 7, 7, 7, 7, 7};
    tensor out(y, type_of<float>, {2, 3});
    const auto error = [&](const DLTensor& t) -> std::string {
        try {
            smx::safe_softmax(t, out.t);
        } catch (const std::invalid_argument& e) {
            return e.what();
        }
        return "nothing was refused";
    };
    tensor in(x, type_of<float>, {2, 3}, {3, 1});
    EXPECT_EQ(error(in.t), "nothing was refused");
    std::fill(y, y + 8, 7.0f);
    const auto with = [&](const std::function<void(tensor&)>& change) {
        tensor bad(x, type_of<float>, {2, 3}, {3, 1});
        change(bad);
        return error(bad.t);
    };
    EXPECT_EQ(with([](tensor& t) { t.t.device.device_type = static_cast<DLDeviceType>(2); }),
              "smx::safe_softmax: in is on a device of type 2, but has to be in memory that the processor reads: of "
              "type 1, 3, 11 or 13");
    const std::string only =
        ", but only float (code 2) of 16, 32 and 64 bits and bfloat (code 4) of 16, of 1 lane, can be read";
    EXPECT_EQ(with([](tensor& t) { t.t.dtype = {kDLInt, 32, 1}; }),
              "smx::safe_softmax: in has elements of code 0, 32 bits and 1 lanes" + only);
    EXPECT_EQ(with([](tensor& t) { t.t.dtype = {kDLFloat, 8, 1}; }),
              "smx::safe_softmax: in has elements of code 2, 8 bits and 1 lanes" + only);
    EXPECT_EQ(with([](tensor& t) { t.t.dtype = {kDLFloat, 32, 4}; }),
              "smx::safe_softmax: in has elements of code 2, 32 bits and 4 lanes" + only);
    EXPECT_EQ(with([](tensor& t) { t.t.dtype = {kDLBfloat, 32, 1}; }),
              "smx::safe_softmax: in has elements of code 4, 32 bits and 1 lanes" + only);
    EXPECT_EQ(with([](tensor& t) { t.t.ndim = -1; }), "smx::safe_softmax: in has -1 axes, but 0 to 64 are allowed");
    EXPECT_EQ(with([](tensor& t) { t.t.ndim = 65; }), "smx::safe_softmax: in has 65 axes, but 0 to 64 are allowed");
    EXPECT_EQ(with([](tensor& t) { t.t.shape = nullptr; }),
              "smx::safe_softmax: in has 2 axes, but its shape is a null pointer");
    EXPECT_EQ(with([](tensor& t) { t.shape[1] = -3; }), "smx::safe_softmax: extent 1 of in is -3");
    EXPECT_EQ(with([](tensor& t) { t.t.data = nullptr; }),
              "smx::safe_softmax: in has elements, but its data is a null pointer");
    EXPECT_NE(with([](tensor& t) {
                  t.t.byte_offset = 2;
              }).find("(byte_offset is 2), which is no multiple of the size of its elements, 4"),
              std::string::npos);
    EXPECT_EQ(with([](tensor& t) { t.shape[0] = 3; }), "smx::safe_softmax: extent 0 of out is 2, but that of in is 3");
    for (const float f : y) EXPECT_EQ(f, 7.0f);
    out.t.dtype.code = kDLUInt;
    EXPECT_EQ(error(in.t), "smx::safe_softmax: out has elements of code 1, 32 bits and 1 lanes" + only);
}

}  // namespace
}  // namespace neighbours
