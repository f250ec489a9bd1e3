// SPDX-License-Identifier: BSL-1.0

// Training in examples/gpt: it learns, with the same bits on any threads; what it is compared with, and what it writes.

#include <gtest/gtest.h>

#include "small_training.hpp"

#include "character_model.hpp"
#include "gpt/generate.hpp"
#include "gpt/threads.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace small_training;

template <class Score>
double loss_after_80_steps() {
    training<Score> t;
    const double first = t.run(1);
    EXPECT_NEAR(first, std::log(256.0), 0.4);  // it begins with knowing nothing
    return t.run(79);
}

TEST(TinyGpt, LearnsWithScoresInEveryType) {
    EXPECT_LT(loss_after_80_steps<float>(), 3.1);
    EXPECT_LT(loss_after_80_steps<smx::float16>(), 3.1);
    EXPECT_LT(loss_after_80_steps<smx::bfloat16>(), 3.1);
}

TEST(TinyGpt, HasTheSameBitsOnAnyThreads) {
    training<> one, backwards, two, other_seed(shape, {.batch = 8, .rate = 1e-2, .seed = 43});
    one.run(12);
    backwards.run(12, one_after_the_other{true});
    two.run(12, gpt::threads(2));
    other_seed.run(12);
    EXPECT_TRUE(same_bits(one, backwards));
    EXPECT_TRUE(same_bits(one, two));
    EXPECT_FALSE(same_bits(one, other_seed));
}

TEST(TinyGpt, JudgesEveryCharacterOnce) {
    // Bits per character window by window, against every character foretold on its own.
    training<> t;
    t.run(30);
    one_after_the_other executor;
    for (const std::size_t length : {25u, 26u, 36u, 37u, 100u}) {
        const gpt::bytes text = bytes_of(licence()).first(length);
        double bits = 0;
        for (std::size_t i = 1; i < length; ++i) {
            // Windows begin at multiples of 12 and have 24 characters; what is judged is what none before has seen.
            const std::size_t begin = i <= 24 ? 0 : (i - 24 + 11) / 12 * 12;
            const std::span<const float> logits = t.trainer.logits_after(text.subspan(begin, i - begin));
            std::vector<double> p(logits.size());
            smx::log_softmax(logits, p);
            bits -= p[text[i]] / std::log(2.0);
        }
        EXPECT_NEAR(t.trainer.bits_per_character(executor, text), bits / static_cast<double>(length - 1), 1e-5)
            << length;
    }
}

TEST(TinyGpt, KeepsTheParametersThatDidBest) {
    training<> t;
    one_after_the_other executor;
    const gpt::bytes validation = bytes_of(licence()).last(100);
    t.run(20);
    t.trainer.state().best_bits = std::numeric_limits<double>::infinity();
    const double early = t.trainer.look(executor, validation);
    const gpt::numbers<float> values = t.trainer.state().values;
    t.trainer.state().values *= 3;
    EXPECT_GT(t.trainer.look(executor, validation), early);
    EXPECT_EQ(t.trainer.state().best_bits, early);
    t.trainer.take_best();
    EXPECT_EQ(t.trainer.state().values, values);
}

TEST(TinyGpt, RefusesWhatCannotBeTrained) {
    EXPECT_THROW(training<>({.layers = 1, .heads = 3, .width = 16, .context = 24}), std::invalid_argument);
    EXPECT_THROW(training<>(shape, {.batch = 6}), std::invalid_argument);
    training<> t;
    one_after_the_other executor;
    EXPECT_THROW(t.trainer.step(executor, bytes_of(licence()).first(24), 0), std::invalid_argument);
}

TEST(TinyGpt, WritesOnlyWhatTheFiltersLetThrough) {
    training<> t;
    t.run(40);
    const std::string all = gpt::generate(t.trainer, "The ", 200, {}, 1);
    EXPECT_EQ(all.size(), 200u);
    EXPECT_EQ(all, gpt::generate(t.trainer, "The ", 200, {}, 1));
    EXPECT_NE(all, gpt::generate(t.trainer, "The ", 200, {}, 2));

    // The largest logit alone: by top-k, by top-p and by a temperature near 0.
    const std::string greedy = gpt::generate(t.trainer, "The ", 60, {.top_k = 1}, 1);
    EXPECT_EQ(greedy, gpt::generate(t.trainer, "The ", 60, {.top_p = 0}, 2));
    EXPECT_EQ(greedy, gpt::generate(t.trainer, "The ", 60, {.scale = 1e6}, 3));
    EXPECT_NE(greedy, gpt::generate(t.trainer, "The ", 60, {}, 1));
    std::set<char> seen;
    for (unsigned long long seed = 0; seed < 100; ++seed)
        seen.insert(gpt::generate(t.trainer, "The ", 1, {.top_k = 3}, seed)[0]);
    EXPECT_EQ(seen.size(), 3u);
}

TEST(TinyGpt, PrintsNothingThatATerminalWouldObey) {
    EXPECT_EQ(gpt::printable("a\tb\n\x1b[1m\x7f"), "a\tb\n?[1m?");
    EXPECT_EQ(gpt::printable("\xe2\x80\x93 \xe2\x80 \xff \xc3"), "\xe2\x80\x93 ?? ? ?");
}

TEST(CharacterModel, CountsWhatFollows) {
    // Order 0 after "aab": p(a) = (2 + a/256)/(3 + a).
    const double a = 0.5, bits = -std::log2((2 + a / 256) / (3 + a));
    EXPECT_NEAR(character_model(0, "aab").bits_per_character("xa", a), bits, 1e-12);
    // Order 1: after a, of two followers one is b.
    const double p0 = (1 + a / 256) / (3 + a);
    EXPECT_NEAR(character_model(1, "aab").bits_per_character("ab", a), -std::log2((1 + a * p0) / (2 + a)), 1e-12);
    // All bytes together have probability 1, for a context that was seen and for one that was not.
    for (const std::string context : {"a", "z"}) {
        double sum = 0;
        for (int c = 0; c < 256; ++c)
            sum += std::exp2(-character_model(1, "aab").bits_per_character(context + static_cast<char>(c), a));
        EXPECT_NEAR(sum, 1, 1e-12);
    }
    // A text that repeats itself needs no bits.
    std::string pairs;
    for (int i = 0; i < 1000; ++i) pairs += "ab";
    EXPECT_LT(character_model(1, pairs).best_bits_per_character(pairs), 0.01);
    EXPECT_NEAR(character_model(0, pairs).best_bits_per_character(pairs), 1, 0.01);
}

TEST(Text, HoldsOutTheEndOfEveryFile) {
    const temporary_file a("a.txt"), b("b.txt");
    a.write("0123456789");
    b.write("abcde");
    const text::split parts = text::hold_out_ends({a.path, b.path}, 0.2);
    EXPECT_EQ(parts.training, "012345abc");
    EXPECT_EQ(parts.validation, "67d");
    EXPECT_EQ(parts.held_out, "89e");
    EXPECT_THROW(text::hold_out_ends({a.path.string() + ".missing"}, 0.2), std::runtime_error);
    EXPECT_THROW(text::read(a.path.parent_path()), std::runtime_error);
}

}  // namespace
