// SPDX-License-Identifier: BSL-1.0

// tiny_gpt as a program that is killed, at any moment and without a warning.

#include <gtest/gtest.h>

#include "small_training.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>
#include <vector>

namespace {

using namespace small_training;

struct outcome {
    int status;
    std::string output;
};

/// Runs it with stdout and stderr in one.
outcome tiny_gpt(const std::string& arguments) {
    const std::string command = std::string("'") + SMX_TEST_TINY_GPT +
                                "' '" SMX_TEST_TEXT "' --width 16 --layers 1 --context 24 --characters 50 " +
                                arguments + " 2>&1";
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    outcome result{-1, ""};
    if (pipe == nullptr) return result;
    std::array<char, 4096> buffer{};
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
        result.output.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return result;
}

std::string fingerprint(const outcome& o) {
    std::smatch found;
    return std::regex_search(o.output, found, std::regex("fingerprint ([0-9a-f]{16})")) ? found[1].str() : "";
}

TEST(TinyGptKilled, WhileItWritesACheckpointLeavesAWholeOne) {
    const temporary_file file("killed");
    training<> t;
    t.run(1);
    gpt::save_checkpoint(file.path, t.identity(), t.state());
    int unfinished = 0;
    for (useconds_t round = 0; round < 40; ++round) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0)
            for (;; ++t.milliseconds) gpt::save_checkpoint(file.path, t.identity(), t.state());
        ::usleep(1000 + 137 * round);
        // Every other time while it is at it.
        while (round % 2 == 0 && !std::filesystem::exists(file.path.string() + ".unfinished")) continue;
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status));
        unfinished += std::filesystem::exists(file.path.string() + ".unfinished") ? 1 : 0;
        training<> loaded;
        ASSERT_NO_THROW(gpt::load_checkpoint(file.path, loaded.identity(), loaded.state()));
        loaded.milliseconds = t.milliseconds;  // how often the child wrote it
        ASSERT_TRUE(same_bits(loaded, t));
    }
    std::printf("killed 40 times, %d of them with a file half written\n", unfinished);
    EXPECT_GT(unfinished, 0);
}

TEST(TinyGptKilled, GoesOnToTheSameBits) {
    const temporary_file file("killed_program");
    const outcome whole = tiny_gpt("--steps 400");
    ASSERT_EQ(whole.status, 0) << whole.output;
    ASSERT_EQ(fingerprint(whole).size(), 16u) << whole.output;

    // timeout kills it with SIGKILL, so that it cannot do anything about that.
    const std::string options = "--steps 400 --save-every 7 --checkpoint '" + file.path.string() + "'";
    const std::string interrupted = std::string("'") + SMX_TEST_TINY_GPT +
                                    "' '" SMX_TEST_TEXT "' --width 16 --layers 1 --context 24 " + options +
                                    " >/dev/null 2>&1 & ";
    bool killed = false;
    for (int round = 0; round < 3; ++round) {
        const std::string script = interrupted + "sleep 0." + std::to_string(1 + round) + "; kill -KILL $! 2>/dev/null";
        killed = std::system(script.c_str()) == 0 || killed;
    }
    EXPECT_TRUE(killed);
    const outcome resumed = tiny_gpt(options);
    ASSERT_EQ(resumed.status, 0) << resumed.output;
    EXPECT_EQ(fingerprint(resumed), fingerprint(whole)) << resumed.output;
}

TEST(TinyGptKilled, StopsAfterAStepWhenAskedTo) {
    const temporary_file file("asked");
    const std::string options = "--seconds 30 --checkpoint '" + file.path.string() + "'";
    const outcome stopped = tiny_gpt(options + " & sleep 0.7; kill -TERM $!; wait $!");
    EXPECT_EQ(stopped.status, 2) << stopped.output;
    EXPECT_NE(stopped.output.find("Interrupted at step "), std::string::npos) << stopped.output;
    EXPECT_TRUE(std::filesystem::exists(file.path));
}

TEST(TinyGptKilled, RefusesAForeignCheckpointAndLeavesItAsItIs) {
    const temporary_file file("not_ours");
    file.write("Somebody's thesis.");
    const outcome o = tiny_gpt("--steps 5 --checkpoint '" + file.path.string() + "'");
    EXPECT_EQ(o.status, 1);
    EXPECT_NE(o.output.find("tiny_gpt: " + file.path.string() + ": is no checkpoint of tiny_gpt\n"), std::string::npos)
        << o.output;
    EXPECT_EQ(text::read(file.path), "Somebody's thesis.");
}

}  // namespace
