// SPDX-License-Identifier: BSL-1.0

// Files larger than memory, full disks, a kill in the middle.

#include "../../examples/cli/byte_files.hpp"
#include "arrays.hpp"
#include "process.hpp"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace cli_test {
namespace {

/// Largest distance in units of the last place of the expected number's type.
double distance_in_ulp(const std::string& actual, const std::string& wanted, std::size_t size) {
    double worst = 0;
    for (std::size_t i = 0; i < wanted.size(); i += size) {
        const auto ordered = [&](const std::string& bytes) -> std::int64_t {
            const auto of = [&](auto bits) {
                std::memcpy(&bits, bytes.data() + i, sizeof bits);
                const auto s = static_cast<std::int64_t>(bits);
                return s;
            };
            return size == 2 ? of(std::int16_t()) : size == 4 ? of(std::int32_t()) : of(std::int64_t());
        };
        worst = std::max(worst, std::abs(static_cast<double>(ordered(actual) - ordered(wanted))));
    }
    return worst;
}

TEST_F(SoftmaxCli, RowsAndSlabsLargerThanMemory) {
    const struct {
        std::vector<std::size_t> shape;
        std::ptrdiff_t axis;
        std::size_t size, out_size;
        bool fortran_order;
    } cases[] = {
        {{700001}, 0, 4, 4, false},    {{3, 300000}, 1, 2, 4, false},    {{300000, 3}, 0, 4, 2, true},
        {{30001, 17}, 0, 8, 8, false}, {{2, 5000, 300}, 1, 4, 4, false}, {{17, 30001}, 1, 4, 8, true},
        {{3000, 900}, 0, 2, 2, false},
    };
    for (const auto& c : cases) {
        const npy::header h{'f', c.size, false, c.fortran_order, c.shape};
        const std::string data = elements(c.size, npy::element_count(h));
        write("in.npy", npy_file(h, data));
        for (const std::string function : {"softmax", "log_softmax", "logsumexp"}) {
            const std::string arguments =
                " --memory 1 --scale 0.7 --axis " + std::to_string(c.axis) + " --dtype f" + std::to_string(c.out_size);
            const outcome o =
                shell("cli " + function + " in.npy out.npy" + arguments + " && cat in.npy | cli " + function +
                      " - piped.npy" + arguments + " && cli " + function + " < in.npy > redirected.npy" + arguments);
            EXPECT_EQ(o.err, "");
            const std::string want = expected(function, h, data, c.axis, c.out_size, false, {.scale = 0.7});
            const array a = parse(read("out.npy"));
            ASSERT_EQ(a.data.size(), want.size());
            // Each is within 5 ulp (16 bits: 0.52) of the truth.
            EXPECT_LE(distance_in_ulp(a.data, want, c.out_size), c.out_size == 2 ? 1 : 6)
                << function << ' ' << npy::to_string(c.shape);
            EXPECT_EQ(read("piped.npy"), read("out.npy"));
            EXPECT_EQ(read("redirected.npy"), read("out.npy"));
        }
    }
    const outcome o = shell("cli softmax in.npy - --memory 1 --axis 0 | cat");  // the last: 3000 x 900
    EXPECT_EQ(o.err,
              "softmax_cli: standard output: is no file that can be written at any place, as this array needs: name a "
              "file, or allow more --memory\n");
}

/// Gigabytes of zeros that take no room on the disk, in 150 MB of address space.
TEST_F(SoftmaxCli, HugeFiles) {
    const struct {
        std::vector<std::size_t> shape;
        const char* axis;
        std::vector<float> want;
        const char* size;
    } cases[] = {
        {{3, std::size_t(1) << 29},
         "1",
         std::vector<float>(3, static_cast<float>(29 * std::log(2.0))),
         "of 3072.0 MiB"},  // rows of 1 GiB
        {{2304, std::size_t(1) << 20},
         "-1",
         std::vector<float>(2304, static_cast<float>(20 * std::log(2.0))),
         "of 4608.0 MiB"},
    };
    for (const auto& c : cases) {
        const npy::header h{'f', 2, false, false, c.shape};
        const std::string header = npy::header_bytes(h);
        write("huge.npy", header);
        fs::resize_file(dir_ / "huge.npy", header.size() + 2 * npy::element_count(h));
        const outcome o = shell(
            std::string(
                "ulimit -v 150000; cli logsumexp huge.npy out.npy --memory 64 --dtype f4 --progress always --axis ") +
            c.axis);
        EXPECT_EQ(o.status, 0) << o.err;
        EXPECT_NE(o.err.find(c.size), std::string::npos) << o.err;
        const array a = parse(read("out.npy"));
        std::vector<float> sums(c.want.size());
        ASSERT_EQ(a.data.size(), sums.size() * sizeof(float));
        std::memcpy(sums.data(), a.data.data(), a.data.size());
        EXPECT_EQ(sums, c.want);
    }
}

TEST_F(SoftmaxCli, ProgressOfALongFile) {
    write("in.npy", npy_file({'f', 4, false, false, {5000, 1000}}, elements(4, 5000000)));
    const outcome o = shell("cli softmax in.npy out.npy --progress always");
    EXPECT_NE(o.err.find("in.npy: "), std::string::npos);
    EXPECT_NE(o.err.find(" of 19.1 MiB, "), std::string::npos) << o.err;
    EXPECT_NE(o.err.find(" s left\n"), std::string::npos) << o.err;
    EXPECT_EQ(shell("cli softmax in.npy out.npy").err, "");  // no terminal
}

TEST_F(SoftmaxCli, FullDisk) {
    write("in.npy", npy_file({'f', 4, false, false, {2000, 1000}}, elements(4, 2000000)));
    write("in.csv", "1,2\n3,4\n");
    if (fs::exists("/dev/full")) {
        EXPECT_EQ(shell("cli softmax in.npy /dev/full").err,
                  "softmax_cli: /dev/full: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.npy > /dev/full").err,
                  "softmax_cli: standard output: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.csv > /dev/full").err,
                  "softmax_cli: standard output: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.csv /dev/full").status, 1);
    }
    write("out.npy", "what was there before");
    const outcome o = shell("ulimit -f 1000; cli softmax in.npy out.npy");
    EXPECT_EQ(o.err, "softmax_cli: out.npy: cannot write: File too large\n");
    EXPECT_EQ(o.status, 1);
    EXPECT_EQ(read("out.npy"), "what was there before");
    EXPECT_EQ(names(), (std::vector<std::string>{"in.csv", "in.npy", "out.npy"}));

    const outcome full = shell(
        "mkdir small && mount -t tmpfs -o size=1m none small 2>/dev/null || { echo none; exit; }; "
        "cli softmax in.npy small/out.npy; echo $?; ls -A small; umount small");
    if (full.out == "none\n") GTEST_SKIP() << "a disk of one megabyte could not be mounted";
    EXPECT_EQ(full.out, "1\n");
    EXPECT_EQ(full.err, "softmax_cli: small/out.npy: cannot write: No space left on device\n");
}

TEST_F(SoftmaxCli, AKillInTheMiddleLeavesWhatWasThere) {
    const std::string file = npy_file({'f', 4, false, false, {20000, 1000}}, elements(4, 20000000));
    for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP}) {
        for (const bool existed : {false, true}) {
            if (existed) write("out.npy", "what was there before");
            shell("mkfifo in");
            const pid_t child = start("in", "out.npy");
            {
                std::ofstream pipe(dir_ / "in", std::ios::binary);  // waits for the tool
                pipe.write(file.data(), static_cast<std::streamsize>(file.size() / 2));
                pipe.flush();  // by now about half is written
                ASSERT_EQ(::kill(child, signal), 0);
                int status = 0;
                ASSERT_EQ(::waitpid(child, &status, 0), child);
                ASSERT_TRUE(WIFSIGNALED(status));
                EXPECT_EQ(WTERMSIG(status), signal);
            }
            fs::remove(dir_ / "in");
            EXPECT_EQ(names(), existed ? std::vector<std::string>{"out.npy"} : std::vector<std::string>{});
            if (existed) {
                EXPECT_EQ(read("out.npy"), "what was there before");
            }
            fs::remove(dir_ / "out.npy");
        }
    }
}

/// Where a file system cannot make files without a name.
TEST_F(SoftmaxCli, FilesWithANameAreRemovedOrRenamed) {
    const std::string path = (dir_ / "out").string();
    {
        byte_sink sink(path, false);
        sink.write("abc", 3);
        EXPECT_EQ(names().size(), 1u);
        EXPECT_TRUE(names()[0].starts_with(".out."));
    }
    EXPECT_EQ(names(), std::vector<std::string>{});
    for (const int signal : {0, SIGTERM, SIGINT}) {
        const pid_t child = ::fork();
        if (child == 0) {
            byte_sink sink(path, false);
            sink.write("abc", 3);
            if (signal != 0) std::raise(signal);
            sink.commit();
            ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signal);
        EXPECT_EQ(names(), signal == 0 ? std::vector<std::string>{"out"} : std::vector<std::string>{});
        if (signal == 0) {
            EXPECT_EQ(read("out"), "abc");
        }
        fs::remove(path);
    }
}

}  // namespace
}  // namespace cli_test
