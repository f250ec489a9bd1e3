// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <vector>

namespace bench {

/// Google Benchmark's own table, of the medians, for programs that run their benchmarks in groups.
class console : public benchmark::ConsoleReporter {
public:
    console() : ConsoleReporter(OO_Tabular) {}
    bool ReportContext(const Context& context) override;
    void ReportRuns(const std::vector<Run>& runs) override;

private:
    bool started_ = false;
};

/// Keeps the medians and writes them as `folder`/<table>.csv, and what was measured on and with whom as `folder`/machine.md.
/// `adds`: what is in the files and was not measured anew stays there.
class recorder : public benchmark::BenchmarkReporter {
public:
    recorder(std::string folder, bool adds) : folder_(std::move(folder)), adds_(adds) {}

    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>& runs) override;
    /// False, and a message, if a file cannot be written.
    bool write();

private:
    using lines = std::map<std::string, std::string>;  // of everybody in a cell

    void add_old();

    std::string folder_;
    bool adds_;
    std::map<std::string, lines> measured_;  // by table/type/shape
};

}  // namespace bench
