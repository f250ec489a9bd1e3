// SPDX-License-Identifier: BSL-1.0

// Whatever NaN comes in, of either sign, with a payload, signalling: the one that comes out is std::numeric_limits<T>::quiet_NaN(),
// in every layout and from every instruction set.

#include "instruction_sets.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

using namespace softmax_test;

namespace {

template <class T>
using bits_of =
    std::conditional_t<sizeof(T) == 8, std::uint64_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
template <class T>
bits_of<T> bits(T x) {
    return std::bit_cast<bits_of<T>>(x);
}
template <class T>
constexpr bits_of<T> infinity_bits = std::bit_cast<bits_of<T>>(std::numeric_limits<T>::infinity());

template <class T>
bool is_any_nan(T x) {
    return bits_of<T>(bits(x) << 1) > bits_of<T>(infinity_bits<T> << 1);
}

/// A batch of rows of one of three layouts: along the rows without gaps, with steps, and row beside row.
enum class layout { contiguous, stepped, columns };
constexpr layout layouts[] = {layout::contiguous, layout::stepped, layout::columns};

template <class T>
struct batch {
    layout shape;
    std::size_t rows, length;
    std::vector<T> memory;

    batch(layout s, std::size_t r, std::size_t n) : shape(s), rows(r), length(n), memory(3 * r * n, T(0.0f)) {}
    smx::tensor_view<T, 2> view() {
        const std::ptrdiff_t r = std::ptrdiff_t(rows), n = std::ptrdiff_t(length);
        switch (shape) {
            case layout::contiguous: return {memory.data(), {r, n}};
            case layout::stepped: return {memory.data(), {r, n}, {3 * n, std::ptrdiff_t(3)}};
            default: return {memory.data(), {r, n}, {std::ptrdiff_t(1), r}};
        }
    }
};

/// NaN of all kinds, one after the other.
template <class T>
T some_nan(std::size_t k) {
    const bits_of<T> sign = bits_of<T>(bits_of<T>(k & 1) << (8 * sizeof(T) - 1)), inf = infinity_bits<T>;
    const bits_of<T> quiet = bits_of<T>(bits(std::numeric_limits<T>::quiet_NaN()) ^ inf);
    const bits_of<T> payloads[] = {quiet, bits_of<T>(quiet | 1), 1, bits_of<T>(quiet | (quiet >> 1)), bits_of<T>(~inf)};
    const bits_of<T> payload =
        bits_of<T>(payloads[k / 2 % std::size(payloads)] & bits_of<T>(bits_of<T>(~inf) << 1 >> 1));
    return std::bit_cast<T>(bits_of<T>(sign | inf | payload));
}

template <class T>
class Nan : public testing::Test {
protected:
    batch<T> random(layout s, std::size_t rows, std::size_t length, bool logarithms, unsigned seed) {
        std::mt19937 engine(seed);
        std::uniform_real_distribution<float> uniform(logarithms ? -9.0f : 0.0f, logarithms ? 0.0f : 1.0f);
        batch<T> b(s, rows, length);
        const auto v = b.view();
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t i = 0; i < length; ++i) v(r, i) = T(uniform(engine));
        return b;
    }
    /// A NaN in every third element, or in one of every row.
    void put(batch<T>& b, bool many) {
        const auto v = b.view();
        for (std::size_t r = 0, k = 0; r < b.rows; ++r)
            for (std::size_t i = 0; i < b.length; ++i)
                if (many ? (r + i) % 3 == 0 : i == r % b.length) {
                    const T x = some_nan<T>(k++);
                    std::memcpy(static_cast<void*>(&v(r, i)), &x, sizeof x);
                }
    }
    /// Every NaN in it is that of numeric_limits, and there is one.
    void check(const T* data, std::size_t n, const std::string& what) {
        std::size_t found = 0;
        for (std::size_t i = 0; i < n; ++i) {
            if (!is_any_nan(data[i])) continue;
            ++found;
            ASSERT_EQ(bits(data[i]), bits(std::numeric_limits<T>::quiet_NaN())) << what << " element " << i;
        }
        EXPECT_NE(found, 0u) << what;
    }
    void check(const batch<T>& b, const std::string& what) { check(b.memory.data(), b.memory.size(), what); }

    /// f(layout, rows, length, what) for what has different paths.
    template <class F>
    void in_every_shape(F f) {
        on_every_isa([&](smx::isa level) {
            for (const layout s : layouts)
                for (const std::size_t length : {1, 3, 8, 9, 17, 25, 40, 49, 150, 2100})
                    for (const std::size_t rows : {1, 5, 64, 67}) {
                        if (length > 1000 && rows > 5) continue;
                        f(s, rows, length,
                          std::string(smx::name_of(level)) + " layout " + std::to_string(int(s)) + " rows " +
                              std::to_string(rows) + " length " + std::to_string(length));
                        if (HasFatalFailure()) return;
                    }
        });
    }
};
using types = testing::Types<float, double, smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(Nan, types);

TYPED_TEST(Nan, OfSoftmaxAndItsLogarithms) {
    using T = TypeParam;
    this->in_every_shape([&](layout s, std::size_t rows, std::size_t length, const std::string& what) {
        for (const bool many : {false, true}) {
            batch<T> in = this->random(s, rows, length, false, 1), out(s, rows, length);
            this->put(in, many);
            smx::safe_softmax(in.view(), out.view());
            this->check(out, "softmax " + what);
            smx::log_softmax(in.view(), out.view());
            this->check(out, "log_softmax " + what);
            smx::filtered_softmax(in.view(), out.view(), {.top_k = 3});
            this->check(out, "filtered_softmax " + what);
            for (const double cap : {0.0, 2.0}) {
                smx::masked_softmax(in.view(), out.view(), {.softcap = cap});
                this->check(out, "masked_softmax " + what);
                smx::masked_log_softmax(in.view(), out.view(), {.softcap = cap});
                this->check(out, "masked_log_softmax " + what);
            }
            std::vector<T> totals(rows);
            smx::logsumexp(in.view(), totals);
            this->check(totals.data(), rows, "logsumexp " + what);
            smx::weighted_logsumexp(in.view(), totals, {});
            this->check(totals.data(), rows, "weighted_logsumexp " + what);
        }
    });
}

TYPED_TEST(Nan, OfGradients) {
    using T = TypeParam;
    this->in_every_shape([&](layout s, std::size_t rows, std::size_t length, const std::string& what) {
        for (const bool in_dy : {false, true}) {
            batch<T> y = this->random(s, rows, length, true, 2), dy = this->random(s, rows, length, false, 3);
            batch<T> dx(s, rows, length);
            this->put(in_dy ? dy : y, in_dy);
            smx::softmax_backward(y.view(), dy.view(), dx.view());
            this->check(dx, "softmax_backward " + what);
            smx::log_softmax_backward(y.view(), dy.view(), dx.view(), {.scale = -2});
            this->check(dx, "log_softmax_backward " + what);
            smx::masked_log_softmax_backward(y.view(), dy.view(), dx.view());
            this->check(dx, "masked_log_softmax_backward " + what);
            batch<T> over = dy, over_y = y;
            smx::log_softmax_backward(y.view(), over.view());
            this->check(over, "log_softmax_backward in place " + what);
            smx::log_softmax_backward(over_y.view(), dy.view(), over_y.view());
            this->check(over_y, "log_softmax_backward over y " + what);
            const std::vector<float> temperature(rows, 2.0f);
            const std::vector<int> lengths(rows, static_cast<int>(length));
            smx::masked_log_softmax_backward(y.view(), dy.view(), dx.view(),
                                             {.lengths = lengths, .temperature = temperature});
            this->check(dx, "masked_log_softmax_backward of lengths " + what);
        }
    });
}

TYPED_TEST(Nan, OfGradientsThroughASoftcap) {
    using T = TypeParam;
    this->in_every_shape([&](layout s, std::size_t rows, std::size_t length, const std::string& what) {
        batch<T> x = this->random(s, rows, length, false, 1), y = this->random(s, rows, length, true, 2);
        batch<T> dy = this->random(s, rows, length, false, 3), dx(s, rows, length);
        this->put(x, false);
        smx::masked_softmax_backward(x.view(), y.view(), dy.view(), dx.view(), {.softcap = 3});
        this->check(dx, "masked_softmax_backward " + what);
        smx::masked_log_softmax_backward(x.view(), y.view(), dy.view(), dx.view(), {.softcap = 3});
        this->check(dx, "masked_log_softmax_backward " + what);
    });
}

// An infinite logit times a slope of 0, a logit of 0 times an infinite one.
TYPED_TEST(Nan, NoneOfASoftcapWhoseSlopeIsExtreme) {
    using T = TypeParam;
    const T inf = std::numeric_limits<T>::infinity(), one(1.0f), zero(0.0f), half(0.5f);
    const auto same = [](T a, T b) {
        return bits(a) == bits(b) || (bits_of<T>(bits(a) << 1) == 0 && bits_of<T>(bits(b) << 1) == 0);
    };
    const std::vector<T> x{inf, one, zero, inf}, y{half, half, zero, zero}, dy{one, zero, one, one};
    for (const double scale : {0.0, 1e-300}) {
        std::vector<T> dx(4);
        smx::masked_softmax_backward(x, y, dy, dx, {.scale = scale, .softcap = 1e30});
        for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(same(dx[i], zero) || sizeof(T) == 8) << i;
        for (const T d : dx) EXPECT_FALSE(is_any_nan(d));
    }
    const std::vector<T> small{zero, one, zero, zero};
    std::vector<T> dx(4);
    smx::masked_softmax_backward(small, y, dy, dx, {.scale = 1e10, .softcap = 1e-300});
    for (const T d : dx) EXPECT_FALSE(is_any_nan(d));
    smx::masked_log_softmax_backward(small, y, dy, dx, {.scale = 1e10, .softcap = 1e-300});
    for (const T d : dx) EXPECT_FALSE(is_any_nan(d));
}

TYPED_TEST(Nan, OfLosses) {
    using T = TypeParam;
    this->in_every_shape([&](layout s, std::size_t rows, std::size_t length, const std::string& what) {
        for (const bool in_targets : {false, true}) {
            batch<T> x = this->random(s, rows, length, false, 1), q = this->random(s, rows, length, false, 2);
            batch<T> dx(s, rows, length);
            this->put(in_targets ? q : x, in_targets);
            std::vector<T> losses(rows);
            smx::cross_entropy(x.view(), q.view(), losses);
            this->check(losses.data(), rows, "cross_entropy, soft targets " + what);
            smx::cross_entropy_with_gradient(x.view(), q.view(), losses, dx.view());
            this->check(dx, "cross_entropy_with_gradient, soft targets " + what);
            this->check(losses.data(), rows, "cross_entropy_with_gradient, soft targets " + what);
            T mean[1];
            smx::cross_entropy_with_gradient(x.view(), q.view(), mean, dx.view(),
                                             {.reduction = smx::loss_reduction::mean});
            this->check(dx, "cross_entropy_with_gradient, mean " + what);
            this->check(mean, 1, "mean " + what);
            if (in_targets) continue;
            const std::vector<int> targets(rows, 0);
            smx::cross_entropy_with_gradient(x.view(), targets, losses, dx.view());
            this->check(dx, "cross_entropy_with_gradient " + what);
            this->check(losses.data(), rows, "cross_entropy_with_gradient " + what);
        }
    });
}

TYPED_TEST(Nan, OfWhatIsDoneElementByElementOrInPieces) {
    using T = TypeParam;
    this->in_every_shape([&](layout s, std::size_t rows, std::size_t length, const std::string& what) {
        batch<T> a = this->random(s, rows, length, false, 1), b = this->random(s, rows, length, false, 2);
        batch<T> out(s, rows, length);
        this->put(a, true);
        smx::logaddexp(a.view(), b.view(), out.view());
        this->check(out, "logaddexp " + what);
        smx::logaddexp(b.view(), a.view(), out.view());
        this->check(out, "logaddexp, second " + what);
        const auto in = a.view();
        smx::online_softmax<T> stream;
        const smx::tensor_view<T, 1> row(in.data(), {length}, {in.stride(1)});
        const T factor = T(stream.push(row));
        this->check(&factor, 1, "push " + what);
        std::vector<T> p(length);
        stream.probabilities(row, p);
        this->check(p.data(), length, "probabilities " + what);
        stream.log_probabilities(row, p);
        this->check(p.data(), length, "log_probabilities " + what);
        stream.weights(row, p);
        this->check(p.data(), length, "weights " + what);
        const T sums[] = {T(stream.logsumexp()), T(stream.sum()), T(stream.inverse_sum())};
        this->check(sums, 3, "sums " + what);
    });
}

}  // namespace
