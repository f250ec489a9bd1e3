// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Somebody who takes turns with the others of a shape.
struct contender {
    std::string name;
    std::function<void()> call;
};

/// What is asked of two of them: that the time of `what` is at most `limit` times `share` of that of `against`, or (at_least) that
/// `against` takes at least `limit` times as long.
struct bar {
    std::string work;  ///< a line of the table
    std::string what, against;
    double share = 1;  ///< elements that `what` reads, over those that `against` reads
    double limit = 1;
    bool at_least = false;
};

/// Ratios of times, by lines and shapes, each with a verdict.
class bars {
public:
    /// Takes --record=<file>, which the table is written to, too; --filter=<regular expression> of works and --rounds=<number>; what else there is
    /// goes to Google Benchmark.
    bars(int argc, char** argv);

    /// Measures one shape: the median of the rounds counts, in processor time. Contenders that no bar asks for are left out.
    void measure(const std::string& shape, const std::vector<contender>& contenders, const std::vector<bar>& asked);

    /// Prints the table. Returns what main should.
    int finish() const;

private:
    struct line {
        bar asked;
        std::vector<std::pair<std::string, double>> ratios;  // by shape
    };
    std::string table() const;

    std::string file_, filter_ = ".";
    int rounds_ = 9;
    bool usable_ = true;
    std::vector<line> lines_;
};

}  // namespace bench
