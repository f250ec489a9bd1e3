// SPDX-License-Identifier: BSL-1.0

// Attention as examples/attention.cpp has it: the textbook fails where scores are large, this library agrees with a reference
// in double, and blocks of keys give what all keys at once give.

#include "attention/comparison.hpp"
#include "text.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace {

using smx::bfloat16, smx::float16;

const std::vector<double> sharpness{3, 30, 300};
constexpr std::size_t lengths[] = {1, 2, 63, 64, 65, 127, 193, 211};

attention::heads heads_of(std::size_t length) { return {text::read(SMX_TEST_TEXT).substr(0, length), sharpness, 1}; }

template <class T>
constexpr double promised_ulp = sizeof(T) == 2 ? 0.52 : 5;
/// Twice that, since ulps are finer above a power of two; the sums add next to nothing in 16 bits, and up to an ulp in float.
template <class T>
constexpr double output_ulp = sizeof(T) == 2 ? 1.04 : 11;

template <class T>
class AttentionOnText : public testing::Test {};
using types = testing::Types<float, float16, bfloat16>;
TYPED_TEST_SUITE(AttentionOnText, types);

TYPED_TEST(AttentionOnText, AgreesWithReferenceInDouble) {
    for (const std::size_t length : lengths) {
        for (const bool causal : {false, true}) {
            const attention::heads heads = heads_of(length);
            for (const attention::comparison& c : attention::compare<TypeParam, float>(heads, causal)) {
                SCOPED_TRACE("length " + std::to_string(length) + (causal ? ", causal" : "") + ", largest logit " +
                             std::to_string(c.largest_logit));
                EXPECT_EQ(c.rows, length);
                EXPECT_EQ(c.safe_nan_rows, 0u);
                EXPECT_LE(c.probability_ulp, promised_ulp<TypeParam>);
                EXPECT_LE(c.output_ulp, output_ulp<TypeParam>);
            }
        }
    }
}

TYPED_TEST(AttentionOnText, TextbookTurnsIntoNanWhereLogitsAreLarge) {
    for (const bool causal : {false, true}) {
        const std::vector<attention::comparison> heads = attention::compare<TypeParam, float>(heads_of(211), causal);
        EXPECT_EQ(heads[0].textbook_nan_rows, 0u);    // logits up to 3: nothing overflows
        EXPECT_GT(heads[2].textbook_nan_rows, 150u);  // up to 300
        const bool sixteen_exponents = std::is_same_v<TypeParam, float16>;
        if (sixteen_exponents)
            EXPECT_GT(heads[1].textbook_nan_rows, 150u);  // 30: beyond 11.09, where exp overflows in float16
        else EXPECT_EQ(heads[1].textbook_nan_rows, 0u);
    }
}

TYPED_TEST(AttentionOnText, BlocksGiveTheSameAsAllKeysAtOnce) {
    for (const std::size_t length : lengths) {
        for (const bool causal : {false, true}) {
            // Without negative values the ulp is that of the very output.
            for (const attention::heads& heads : {heads_of(length), heads_of(length).with_values_not_negative()}) {
                for (const attention::comparison& c : attention::compare<TypeParam, float>(heads, causal))
                    EXPECT_LE(c.blockwise_ulp, 5) << length;
                for (const attention::comparison& c : attention::compare<TypeParam, double>(heads, causal))
                    EXPECT_LE(c.blockwise_ulp, 5) << length;
            }
        }
    }
}

TEST(AttentionComparison, SeesAnErrorOfOneUlp) {
    // The yardstick itself: a probability one ulp off is one ulp off, also at a power of two and among subnormals.
    EXPECT_EQ(attention::ulp_at<float>(1.0), 0x1p-23);
    EXPECT_EQ(attention::ulp_at<float>(0.99), 0x1p-24);
    EXPECT_EQ(attention::ulp_at<float16>(0x1p-20), 0x1p-24);
    EXPECT_EQ(attention::ulp_at<float16>(0), 0x1p-24);
    EXPECT_EQ(attention::ulp_at<bfloat16>(1.5), 0x1p-7);
    const std::vector<double> p = attention::reference_probabilities<float>(std::vector<float>{0, 0, 0, 0}, 3);
    EXPECT_EQ(p, (std::vector<double>(3, 1.0 / 3)));
}

}  // namespace
