// SPDX-License-Identifier: BSL-1.0

// Input and output are the very same elements, or share none: everything between is refused before anything is written.

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

class Overlap : public testing::Test {
protected:
    Overlap() { std::iota(memory.begin(), memory.end(), 2.0f); }

    template <class In, class Out>
    void expect_refused(const In& in, const Out& out, std::ptrdiff_t axis = -1) {
        const std::vector<float> before = memory;
        const auto check = [&](const char* name, const auto& f) {
            try {
                f();
                ADD_FAILURE() << name << " accepted an overlap";
            } catch (const std::invalid_argument& error) {
                const std::string text = error.what();
                EXPECT_NE(text.find(name), std::string::npos) << text;
                EXPECT_NE(text.find("out"), std::string::npos) << text;
                EXPECT_NE(text.find("overlap"), std::string::npos) << text;
            }
            EXPECT_EQ(memory, before) << name << " wrote before it refused";
            memory = before;
        };
        check("safe_softmax", [&] { smx::safe_softmax(in, out, {.axis = axis}); });
        check("log_softmax", [&] { smx::log_softmax(in, out, {.axis = axis}); });
    }

    template <class In, class Out>
    void expect_accepted(const In& in, const Out& out, std::ptrdiff_t axis = -1) {
        const std::vector<float> before = memory;
        EXPECT_NO_THROW(smx::safe_softmax(in, out, {.axis = axis}));
        EXPECT_NE(memory, before);
        memory = before;
        EXPECT_NO_THROW(smx::log_softmax(in, out, {.axis = axis}));
        EXPECT_NE(memory, before);
        memory = before;
    }

    std::vector<float> memory = std::vector<float>(256);
    float* const data = memory.data();
};

using span = std::span<float>;
using strided = smx::strided_span<float>;
using matrix = smx::tensor_view<float, 2>;

TEST_F(Overlap, ContiguousRows) {
    for (const std::size_t shift : {1u, 2u, 8u, 31u}) {
        expect_refused(span(data, 32), span(data + shift, 32));
        expect_refused(span(data + shift, 32), span(data, 32));
    }
    expect_accepted(span(data, 32), span(data + 32, 32));
    expect_accepted(span(data + 32, 32), span(data, 32));
    expect_accepted(span(data, 32), span(data, 32));
}

TEST_F(Overlap, TheSameMemoryInAnotherTypeIsNotInPlace) {
    const std::span<smx::float16> halves(reinterpret_cast<smx::float16*>(data), 32);
    expect_refused(span(data, 32), halves);
    expect_refused(halves, span(data, 32));
    expect_refused(span(data, 32), std::span<smx::float16>(halves.data() + 32, 32));  // its second half
    expect_refused(halves, span(data + 15, 32));                                      // its last two elements
}

TEST_F(Overlap, StridedRows) {
    expect_accepted(strided(data, 16, 2), strided(data + 1, 16, 2));  // interleaved
    expect_accepted(strided(data + 1, 16, 2), strided(data, 16, 2));
    expect_refused(strided(data, 16, 2), strided(data + 2, 16, 2));
    expect_refused(strided(data, 16, 2), strided(data + 1, 16, 3));  // 4, 10, …
    expect_refused(strided(data, 16, 2), strided(data, 16, 1));
    expect_refused(strided(data, 16, 1), strided(data + 15, 16, -1));  // reversed in place
    expect_accepted(strided(data + 15, 16, -1), strided(data + 15, 16, -1));
    expect_accepted(strided(data, 16, 2), strided(data + 31, 16, -2));  // interleaved, backwards
    expect_refused(strided(data, 16, 2), strided(data + 30, 16, -2));
    expect_refused(strided(data + 5, 16, 0), strided(data, 16, 1));  // a broadcast element of the output
    expect_accepted(strided(data + 16, 16, 0), strided(data, 16, 1));
}

TEST_F(Overlap, OneElementHasNoStride) {
    expect_accepted(strided(data + 1, 1, 1), strided(data + 1, 1, -7));
    expect_refused(strided(data, 2, 1), strided(data, 2, -1));
}

TEST_F(Overlap, AnAxisOfOneHasNoStride) {
    constexpr std::ptrdiff_t lowest = (std::numeric_limits<std::ptrdiff_t>::min)();
    expect_accepted(matrix(data, {1, 8}, {lowest, 2}), matrix(data + 1, {1, 8}, {lowest, 2}));
    expect_accepted(matrix(data, {8, 1}, {2, lowest}), matrix(data + 1, {8, 1}, {2, lowest}), 0);
    expect_refused(matrix(data, {1, 8}, {lowest, 2}), matrix(data + 2, {1, 8}, {lowest, 2}));
}

TEST_F(Overlap, ColumnsOfOneMatrix) {
    for (const std::ptrdiff_t column : {1, 7}) {
        expect_accepted(strided(data, 16, 8), strided(data + column, 16, 8));
        expect_accepted(strided(data + column, 16, 8), strided(data, 16, 8));
    }
    expect_refused(strided(data, 16, 8), strided(data + 8, 16, 8));  // the same column, one row down
}

TEST_F(Overlap, BlocksOfOneMatrix) {
    const matrix left(data, {8, 6}, {16, 1}), right(data + 6, {8, 6}, {16, 1}), middle(data + 3, {8, 6}, {16, 1});
    for (const std::ptrdiff_t axis : {0, 1}) {
        expect_accepted(left, right, axis);
        expect_accepted(right, left, axis);
        expect_accepted(left, left, axis);
        expect_refused(left, middle, axis);
        expect_refused(middle, right, axis);
    }
    const matrix even(data, {4, 16}, {32, 1}), odd(data + 16, {4, 16}, {32, 1});
    expect_accepted(even, odd);
    expect_accepted(odd, even, 0);
}

TEST_F(Overlap, TransposedInPlace) {
    const matrix square(data, {8, 8}), transposed(data, {8, 8}, {1, 8});
    for (const std::ptrdiff_t axis : {0, 1}) {
        expect_refused(square, transposed, axis);
        expect_refused(transposed, square, axis);
        expect_accepted(transposed, transposed, axis);
    }
}

TEST_F(Overlap, LogsumexpIntoItsOwnInput) {
    const matrix in(data, {8, 8});
    const std::vector<float> before = memory;
    EXPECT_THROW(smx::logsumexp(in, smx::tensor_view<float, 1>(data, {8})), std::invalid_argument);
    EXPECT_THROW(smx::logsumexp(in, smx::tensor_view<float, 1>(data + 63, {8})), std::invalid_argument);
    EXPECT_EQ(memory, before);
    EXPECT_NO_THROW(smx::logsumexp(in, smx::tensor_view<float, 1>(data + 64, {8})));
    const matrix padded(data, {8, 7}, {8, 1});
    EXPECT_NO_THROW(smx::logsumexp(padded, smx::tensor_view<float, 1>(data + 7, {8}, {8})));  // into the padding
    EXPECT_THROW(smx::logsumexp(padded, smx::tensor_view<float, 1>(data + 6, {8}, {8})), std::invalid_argument);
}

}  // namespace
