// SPDX-License-Identifier: BSL-1.0
#pragma once

// How far a long file has come, on standard error: after the first second, twice a second, on a line that is written over.

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

class progress {
public:
    enum class mode { when_seen, always, never };

    /// when_seen: only if standard error is a terminal. always: from the start, and a line each where it is none.
    progress(mode m, std::string name) : name_(std::move(name)), terminal_(::isatty(STDERR_FILENO) == 1) {
        shown_ = m == mode::always || (m == mode::when_seen && terminal_);
        next_ = start_ + (m == mode::always ? clock::duration(0) : std::chrono::seconds(1));
    }
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;
    ~progress() {
        if (wrote_ && terminal_) std::fputs("\r\x1b[K", stderr);
    }

    /// Bytes in all, where they are known.
    void of(std::uint64_t total) { total_ = total; }

    void at(std::uint64_t bytes) {
        if (!shown_) return;
        const clock::time_point now = clock::now();
        if (now < next_) return;
        next_ = now + std::chrono::milliseconds(500);
        const double seconds = std::chrono::duration<double>(now - start_).count(), done = static_cast<double>(bytes);
        std::fprintf(stderr, "%s%s: ", terminal_ ? "\r" : "", name_.c_str());
        if (total_ != 0) {
            const double share = done / static_cast<double>(total_);
            std::fprintf(stderr, "%.0f %%, %.1f of %.1f MiB", 100 * share, done / mebi,
                         static_cast<double>(total_) / mebi);
            if (share > 0 && seconds > 0) std::fprintf(stderr, ", %.0f s left", seconds / share - seconds);
        } else {
            std::fprintf(stderr, "%.1f MiB", done / mebi);
        }
        std::fputs(terminal_ ? "\x1b[K" : "\n", stderr);
        std::fflush(stderr);
        wrote_ = true;
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr double mebi = 1 << 20;
    std::string name_;
    bool terminal_, shown_, wrote_ = false;
    std::uint64_t total_ = 0;
    clock::time_point start_ = clock::now(), next_;
};
