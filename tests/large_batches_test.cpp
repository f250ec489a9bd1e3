// SPDX-License-Identifier: BSL-1.0

// Batches and rows that no cache holds go by loops of their own: the bits of a row by itself, and of one that lies otherwise.

#include "instruction_sets.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <type_traits>
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

/// 16 MiB of results and some more. A row with gaps goes another way.
template <class In, class Out>
void check_row(smx::isa level) {
    const std::size_t length = (std::size_t(16) << 20) / sizeof(Out) + 217;
    std::mt19937 engine(static_cast<unsigned>(sizeof(In) + sizeof(Out)));
    std::uniform_real_distribution<float> spread(-9, 9);
    std::vector<In> x(length);
    for (In& element : x) element = In(spread(engine));
    const std::span<const In> row(x);
    std::vector<Out> with_gaps(2 * length);
    const smx::strided_span<Out> apart(with_gaps.data(), length, 2);
    // Results begin somewhere in a line of the cache, and end in another.
    struct kind {
        std::size_t offset;
        double scale;
        float largest;
    };
    for (const kind& k : {kind{0, 1.0, 9}, kind{31, -0.7, 9}, kind{1, 1.0, 20000}}) {
        x[length / 2] = In(k.largest);
        std::vector<Out> y(length + 64, Out(7.0f));
        const std::span<Out> out(y.data() + k.offset, length);
        const auto compare = [&](const char* function) {
            std::size_t different = 0;
            for (std::size_t i = 0; i < length; ++i)
                different += std::memcmp(&out[i], &with_gaps[2 * i], sizeof(Out)) != 0 ? 1u : 0u;
            EXPECT_EQ(different, 0u) << function << ", " << name_of(level) << ", offset " << k.offset << ", scale "
                                     << k.scale;
            for (std::size_t i = 0; i < k.offset; ++i) EXPECT_EQ(static_cast<float>(y[i]), 7.0f);
            for (std::size_t i = k.offset + length; i < y.size(); ++i) EXPECT_EQ(static_cast<float>(y[i]), 7.0f);
        };
        smx::safe_softmax(row, apart, {.scale = k.scale});
        smx::safe_softmax(row, out, {.scale = k.scale});
        compare("safe_softmax");
        if constexpr (std::is_same_v<In, Out>) {
            std::copy(x.begin(), x.end(), out.begin());
            smx::safe_softmax(out, {.scale = k.scale});
            compare("safe_softmax in place");
        }
        smx::log_softmax(row, apart, {.scale = k.scale});
        smx::log_softmax(row, out, {.scale = k.scale});
        compare("log_softmax");
    }
    x[length - 1] = In(std::numeric_limits<float>::quiet_NaN());
    std::vector<Out> y(length);
    smx::safe_softmax(row, y);
    EXPECT_TRUE(std::isnan(static_cast<float>(y.front())) && std::isnan(static_cast<float>(y.back())));
    smx::log_softmax(row, y);
    EXPECT_TRUE(std::isnan(static_cast<float>(y.front())) && std::isnan(static_cast<float>(y.back())));
}

/// A row whose largest logit and sum are found in one sweep, or are not though it is as long, has the bits of one whose elements lie apart,
/// of one in place and of a column.
template <class T>
class sweep {
public:
    sweep(smx::isa level, std::size_t length)
        : level_(level), length_(length), noise_(length), y_(length), in_place_(length), apart_(2 * length) {
        std::mt19937 engine(5);
        std::normal_distribution<float> normal(0, 3);
        for (T& element : noise_) element = T(normal(engine));
        x_ = noise_;
    }
    void check() {
        const bool all_kinds = length_ < 1000000;
        expect_same("noise");
        expect_same("noise", 0.37);
        if (all_kinds) expect_same("noise", -1);
        for (const float above : {15.0f, 31.0f, 45.0f, 80.0f, 500.0f}) {
            if (!all_kinds && above != 15 && above != 80) continue;
            x_ = noise_;
            x_[length_ - 1] = T(above);
            expect_same("the largest at the end");
        }
        x_[length_ / 2] = x_[0] = x_[length_ - 1];
        expect_same("the largest three times");
        constexpr double infinity = std::numeric_limits<double>::infinity();
        for (const double below : {-85.0, -103.0, -120.0, -140.0, -700.0, -infinity}) {
            if (!all_kinds && below > -140) continue;
            const T low = T(static_cast<float>(below));
            x_ = noise_;
            for (std::size_t i = 5; i < length_; i += 100) x_[i] = low;
            expect_same("some far below");
            x_[length_ - 7] = T(15.0f);
            expect_same("some far below, the largest near the end");
            if (!all_kinds) continue;
            std::fill_n(x_.begin(), 4096 / sizeof(T), low);
            expect_same("the first piece far below");
            std::fill(x_.begin(), x_.end(), low);
            x_[length_ / 2] = T(1.0f);
            expect_same("all but one far below");
        }
        for (const float rise : {20.0f, 60.0f, 140.0f, 250.0f}) {
            if (!all_kinds && rise != 140) continue;
            for (std::size_t i = 0; i < length_; ++i)
                x_[i] = T(rise * (static_cast<float>(i) / static_cast<float>(length_) - 0.5f));
            expect_same("ascending");
            std::reverse(x_.begin(), x_.end());
            expect_same("descending");
        }
        x_ = noise_;
        x_[length_ - 9] = T(std::numeric_limits<float>::quiet_NaN());
        smx::safe_softmax(std::span<const T>(x_), std::span<T>(y_));
        EXPECT_TRUE(std::isnan(static_cast<float>(y_.front())) && std::isnan(static_cast<float>(y_.back())));
        expect_column();
    }

private:
    void expect_same(const char* what, double scale = 1) {
        const std::span<const T> in(x_);
        smx::safe_softmax(in, std::span<T>(y_), {.scale = scale});
        smx::safe_softmax(in, smx::strided_span<T>(apart_.data(), length_, 2), {.scale = scale});
        in_place_ = x_;
        smx::safe_softmax(std::span<T>(in_place_), {.scale = scale});
        EXPECT_EQ(different(), 0u) << at(what);
        EXPECT_EQ(std::memcmp(y_.data(), in_place_.data(), length_ * sizeof(T)), 0) << at(what) << ", in place";
        // A distribution: all of them may be wrong in the same manner.
        double sum = 0;
        for (const T probability : y_) sum += static_cast<double>(probability);
        EXPECT_NEAR(sum, 1, sizeof(T) == 2 ? 0.05 : 1e-6) << at(what);
    }
    /// Lanes of their own, and a row beside it that is not plain.
    void expect_column() {
        x_ = noise_;
        std::vector<T> column(2 * length_);
        for (std::size_t i = 0; i < length_; ++i) {
            column[2 * i] = x_[i];
            column[2 * i + 1] = T(static_cast<float>(x_[i]) + (i == length_ / 2 ? 600.0f : 0.0f));
        }
        smx::safe_softmax(std::span<const T>(x_), std::span<T>(y_));
        smx::safe_softmax(smx::tensor_view<const T, 2>(column.data(), {length_, 2}),
                          smx::tensor_view<T, 2>(apart_.data(), {length_, 2}), {.axis = 0});
        EXPECT_EQ(different(), 0u) << at("as a column");
    }
    std::size_t different() const {
        std::size_t count = 0;
        for (std::size_t i = 0; i < length_; ++i)
            count += std::memcmp(&y_[i], &apart_[2 * i], sizeof(T)) != 0 ? 1u : 0u;
        return count;
    }
    std::string at(const char* what) const {
        return std::string(what) + ", " + name_of(level_) + ", " + std::to_string(sizeof(T)) + " bytes, length " +
               std::to_string(length_);
    }

    smx::isa level_;
    std::size_t length_;
    std::vector<T> noise_, x_, y_, in_place_, apart_;
};

/// Where results lie between the elements of an array of their type.
TEST(LargeBatches, RowsThatNoCacheHoldsAtAnyAddress) {
    const std::size_t extents[] = {(std::size_t(16) << 20) / sizeof(float) + 3};
    const std::vector<float> x(extents[0], 0.5f);
    std::vector<unsigned char> memory((extents[0] + 1) * sizeof(float), 77);
    const smx::const_dynamic_view in(x.data(), smx::element_format::binary32, extents);
    const smx::dynamic_view out(memory.data() + 3, smx::element_format::binary32, extents);
    const auto value = [&](std::size_t i) {
        float y;
        std::memcpy(&y, memory.data() + 3 + i * sizeof y, sizeof y);
        return static_cast<double>(y);
    };
    smx::safe_softmax(in, out);
    for (const std::size_t i : {std::size_t(0), extents[0] / 2, extents[0] - 1})
        EXPECT_NEAR(value(i) * static_cast<double>(extents[0]), 1, 1e-6);
    smx::log_softmax(in, out);
    for (const std::size_t i : {std::size_t(0), extents[0] / 2, extents[0] - 1})
        EXPECT_NEAR(value(i), -std::log(static_cast<double>(extents[0])), 1e-5);
    EXPECT_TRUE(memory[2] == 77 && memory.back() == 77);
}

TEST(LargeBatches, RowsThatNoCacheHoldsHaveTheBitsOfOthers) {
    softmax_test::on_every_isa([](smx::isa level) {
        if (level == smx::isa::scalar) return;
        check_row<float, float>(level);
        if (level != softmax_test::all_isas().back()) return;
        check_row<float, smx::float16>(level);
        check_row<smx::bfloat16, smx::bfloat16>(level);
    });
}

TEST(LargeBatches, RowsInOneSweepHaveTheBitsOfOthers) {
    softmax_test::on_every_isa([](smx::isa level) {
        if (level == smx::isa::scalar) return;
        for (const std::size_t length : {2050u, 9001u, 140001u}) {
            sweep<float>(level, length).check();
            sweep<double>(level, length).check();
        }
        if (level != softmax_test::all_isas().back()) return;
        sweep<float>(level, (std::size_t(4) << 20) + 217).check();
        sweep<smx::float16>(level, (std::size_t(8) << 20) + 217).check();
        sweep<smx::bfloat16>(level, (std::size_t(8) << 20) + 217).check();
    });
}

TEST(LargeBatches, HaveTheBitsOfTheirRows) {
    softmax_test::on_every_isa([](smx::isa level) {
        if (level == smx::isa::scalar) return;
        for (const double scale : {1.0, 0.3}) {
            check<float, float>(129, scale);
            check<float, float>(1003, scale);
            check<double, double>(2500, scale);
            check<smx::bfloat16, smx::bfloat16>(2001, scale);
            check<float, smx::float16>(4100, scale);
        }
        check<float, float>(5000, 1);
        check<double, double>(700, 1);
        check<smx::float16, smx::float16>(9000, 1);
        check<float, float>(70001, 1);
    });
}

}  // namespace
