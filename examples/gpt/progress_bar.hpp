// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace gpt {

/// One line that is written over and over; where the output is no terminal, a new line every tenth of the way.
class progress_bar {
public:
    /// @param done  from 0 to 1
    void show(double done, const std::string& text, double seconds_left) {
        const bool end = done >= 1;
        const int tenth = static_cast<int>(done * 10);
        if (ended_ || (!terminal_ && tenth == last_tenth_)) return;
        last_tenth_ = tenth;
        ended_ = end;
        const std::size_t filled = static_cast<std::size_t>(std::clamp(done, 0.0, 1.0) * static_cast<double>(width));
        const std::string bar = std::string(filled, '#') + std::string(width - filled, '.');
        const int percent = static_cast<int>(std::min(done, 1.0) * 100);
        std::printf("%s[%s] %3d %%  %s  %4.0f s left%s", terminal_ ? "\r" : "", bar.c_str(), percent, text.c_str(),
                    std::max(seconds_left, 0.0), terminal_ && !end ? " " : "\n");
        static_cast<void>(std::fflush(stdout));
    }

private:
    static constexpr std::size_t width = 30;
#if __has_include(<unistd.h>)
    bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
#else
    bool terminal_ = false;
#endif
    int last_tenth_ = -1;
    bool ended_ = false;
};

}  // namespace gpt
