// SPDX-License-Identifier: BSL-1.0

// Batches that no cache holds go by loops of their own: the bits of a row by itself.

#include "instruction_sets.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <span>
#include <vector>

namespace {

template <class In, class Out>
void check(std::size_t length, double scale) {
    const std::size_t rows = (std::size_t(25) << 20) / (length * (sizeof(In) + sizeof(Out))) + 3;
    std::mt19937 engine(static_cast<unsigned>(length));
    std::uniform_real_distribution<float> spread(-9, 9);
    std::vector<In> x(rows * length);
    for (In& element : x) element = In(spread(engine));
    std::vector<Out> y(x.size()), log(x.size()), one(length);
    std::vector<double> sums(rows);
    const smx::tensor_view<const In, 2> in(x.data(), {rows, length});
    smx::safe_softmax(in, smx::tensor_view<Out, 2>(y.data(), {rows, length}), {.scale = scale});
    smx::log_softmax(in, smx::tensor_view<Out, 2>(log.data(), {rows, length}), {.scale = scale});
    smx::logsumexp(in, sums, {.scale = scale});
    for (std::size_t r = 0; r < rows; r += r < 20 || r + 20 > rows ? 1 : 37) {
        const std::span<const In> row(x.data() + r * length, length);
        const auto same = [&](const std::vector<Out>& all) {
            return std::memcmp(one.data(), all.data() + r * length, length * sizeof(Out)) == 0;
        };
        smx::safe_softmax(row, one, {.scale = scale});
        ASSERT_TRUE(same(y)) << "safe_softmax, row " << r << " of " << length;
        smx::log_softmax(row, one, {.scale = scale});
        ASSERT_TRUE(same(log)) << "log_softmax, row " << r << " of " << length;
        double sum[1];
        smx::logsumexp(row, sum, {.scale = scale});
        ASSERT_EQ(sums[r], sum[0]) << "logsumexp, row " << r << " of " << length;
    }
}

TEST(LargeBatches, HaveTheBitsOfTheirRows) {
    softmax_test::on_every_isa([](smx::isa level) {
        if (level == smx::isa::scalar) return;
        for (const double scale : {1.0, 0.3}) {
            check<float, float>(129, scale);
            check<float, float>(1003, scale);
            check<float, float>(5000, 1);
            check<double, double>(700, 1);
            check<double, double>(2500, scale);
            check<smx::bfloat16, smx::bfloat16>(2001, scale);
            check<smx::float16, smx::float16>(9000, 1);
            check<float, smx::float16>(4100, scale);
        }
        check<float, float>(70001, 1);
    });
}

}  // namespace
