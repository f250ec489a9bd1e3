// SPDX-License-Identifier: BSL-1.0
#pragma once

// The tool as a process, in a folder of its own.

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace cli_test {

namespace fs = std::filesystem;

inline std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

struct outcome {
    int status;  // -signal where one ended it
    std::string out, err;
};

class SoftmaxCli : public testing::Test {
protected:
    SoftmaxCli() {
        std::string pattern = (fs::temp_directory_path() / "softmax_cli_test.XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
        dir_ = pattern;
    }
    ~SoftmaxCli() override {
        std::error_code ignored;
        fs::remove_all(dir_, ignored);
    }

    void write(const std::string& name, const std::string& bytes) const {
        std::ofstream(dir_ / name, std::ios::binary) << bytes;
    }
    std::string read(const std::string& name) const { return contents(dir_ / name); }
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::directory_iterator(dir_)) all.push_back(entry.path().filename().string());
        std::sort(all.begin(), all.end());
        return all;
    }

    /// A line of the shell, in the folder; `cli` is the tool.
    outcome shell(const std::string& line) const {
        const std::string all = "cd '" + dir_.string() + "' && cli() { '" SOFTMAX_CLI "' \"$@\"; } && { " + line +
                                "\n} >.out 2>.err </dev/null";
        const int status = std::system(("bash -c '" + quoted(all) + "'").c_str());
        outcome o{WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read(".out"), read(".err")};
        fs::remove(dir_ / ".out");
        fs::remove(dir_ / ".err");
        return o;
    }
    static std::string quoted(const std::string& text) {
        std::string result;
        for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
        return result;
    }

    /// Starts the tool on `in` without waiting.
    pid_t start(const std::string& in, const std::string& out) const {
        const pid_t child = ::fork();
        if (child == 0) {
            if (::chdir(dir_.c_str()) == 0)
                ::execl(SOFTMAX_CLI, "softmax_cli", "softmax", in.c_str(), out.c_str(), static_cast<char*>(nullptr));
            ::_exit(99);
        }
        return child;
    }

    fs::path dir_;
};

}  // namespace cli_test
