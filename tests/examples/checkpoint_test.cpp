// SPDX-License-Identifier: BSL-1.0

// Checkpoints of examples/gpt: what is taken up again has the bits of what was never interrupted; what is no such checkpoint is
// refused and stays what it is.

#include <gtest/gtest.h>

#include "small_training.hpp"

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace small_training;

TEST(TinyGptCheckpoint, GoesOnToTheSameBits) {
    const temporary_file file("resume");
    training<> whole;
    whole.run(17);
    for (const std::size_t interrupted_after : {1u, 5u, 16u}) {
        {
            training<> first;
            first.run(interrupted_after);
            gpt::save_checkpoint(file.path, first.identity(), first.state());
        }
        training<> second;
        gpt::load_checkpoint(file.path, second.identity(), second.state());
        EXPECT_EQ(second.trainer.state().steps, interrupted_after);
        EXPECT_FALSE(same_bits(whole, second));
        second.run(17 - interrupted_after);
        EXPECT_TRUE(same_bits(whole, second)) << interrupted_after;
    }
}

TEST(TinyGptCheckpoint, RefusesWhatIsCutOff) {
    const temporary_file file("cut");
    training<> saved, fresh, loaded;
    saved.run(2);
    gpt::save_checkpoint(file.path, saved.identity(), saved.state());
    const std::string whole = text::read(file.path);
    for (std::size_t length = 0; length < whole.size(); length += length < 600 ? 5 : 1 + whole.size() / 50) {
        file.write(whole.substr(0, length));
        try {
            gpt::load_checkpoint(file.path, loaded.identity(), loaded.state());
            FAIL() << length << " bytes of " << whole.size() << " were taken";
        } catch (const std::runtime_error& error) {
            const std::string message = error.what(), expected = length < 35
                                                                     ? "is no checkpoint of tiny_gpt"
                                                                     : "is a checkpoint that is cut off or damaged";
            EXPECT_EQ(message, file.path.string() + ": " + expected) << length;
        }
        EXPECT_EQ(text::read(file.path), whole.substr(0, length));
        EXPECT_TRUE(same_bits(loaded, fresh));
    }
    file.write(whole + '\0');
    EXPECT_THROW(gpt::load_checkpoint(file.path, loaded.identity(), loaded.state()), std::runtime_error);
    file.write(whole);
    gpt::load_checkpoint(file.path, loaded.identity(), loaded.state());
    EXPECT_TRUE(same_bits(loaded, saved));
}

TEST(TinyGptCheckpoint, RefusesWhatIsDamaged) {
    const temporary_file file("damaged");
    training<> saved, fresh, loaded;
    saved.run(2);
    gpt::save_checkpoint(file.path, saved.identity(), saved.state());
    const std::string whole = text::read(file.path);
    for (std::size_t at = 0; at < whole.size(); at += at < 600 ? 7 : 2997) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 4);
        file.write(damaged);
        EXPECT_THROW(gpt::load_checkpoint(file.path, loaded.identity(), loaded.state()), std::runtime_error) << at;
        EXPECT_EQ(text::read(file.path), damaged);
    }
    EXPECT_TRUE(same_bits(loaded, fresh));
}

/// The message with which a checkpoint of `saved` is refused by `other`, without the file's name before it.
std::string refused(training<>& saved, training<>& other, const temporary_file& file) {
    gpt::save_checkpoint(file.path, saved.identity(), saved.state());
    const std::string content = text::read(file.path);
    std::string message;
    try {
        gpt::load_checkpoint(file.path, other.identity(), other.state());
    } catch (const std::runtime_error& error) {
        message = std::string(error.what()).substr(file.path.string().size() + 2);
    }
    EXPECT_EQ(text::read(file.path), content);
    EXPECT_EQ(other.trainer.state().steps, 0u);
    return message;
}

TEST(TinyGptCheckpoint, RefusesOtherTrainings) {
    const temporary_file file("foreign");
    training<> saved;
    const std::string start = "is a checkpoint of another training: its ";
    gpt::shape other = shape;
    other.layers = 2;
    training<> more_layers(other);
    EXPECT_EQ(refused(saved, more_layers, file), start + "layers is 1, but here it is 2");
    other = shape;
    other.heads = 4;
    training<> more_heads(other);
    EXPECT_EQ(refused(saved, more_heads, file), start + "heads is 2, but here it is 4");
    training<> another_seed(shape, {.batch = 8, .rate = 1e-2, .seed = 41});
    EXPECT_EQ(refused(saved, another_seed, file), start + "seed is 42, but here it is 41");
    training<> another_rate(shape, {.batch = 8, .rate = 1e-3, .seed = 42});
    EXPECT_EQ(refused(saved, another_rate, file).rfind(start + "learning-rate is ", 0), 0u);

    const gpt::identity another_text = gpt::identity_of(saved.trainer, bytes_of("Another text."), 0),
                        another_type = gpt::identity_of(saved.trainer, bytes_of(licence()), 1);
    gpt::save_checkpoint(file.path, saved.identity(), saved.state());
    EXPECT_THROW(gpt::load_checkpoint(file.path, another_text, saved.state()), std::runtime_error);
    EXPECT_THROW(gpt::load_checkpoint(file.path, another_type, saved.state()), std::runtime_error);
}

TEST(TinyGptCheckpoint, RefusesFilesOfOthers) {
    training<> t, fresh;
    for (const std::string& path :
         {std::string(SMX_TEST_TEXT), testing::TempDir(), testing::TempDir() + "smx_no_such_file"})
        EXPECT_THROW(gpt::load_checkpoint(path, t.identity(), t.state()), std::runtime_error) << path;
    EXPECT_TRUE(same_bits(t, fresh));
}

TEST(TinyGptCheckpoint, ThatCannotBeWrittenLeavesTheOneBefore) {
    const temporary_file file("unwritable");
    training<> saved, later, loaded;
    gpt::save_checkpoint(file.path, saved.identity(), saved.state());
    std::filesystem::create_directory(file.path.string() + ".unfinished");  // where the new one should be written first
    later.run(1);
    EXPECT_THROW(gpt::save_checkpoint(file.path, later.identity(), later.state()), std::runtime_error);
    gpt::load_checkpoint(file.path, loaded.identity(), loaded.state());
    EXPECT_TRUE(same_bits(loaded, saved));
}

}  // namespace
