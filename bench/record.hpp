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
class recorder : public benchmark::BenchmarkReporter {
public:
    explicit recorder(std::string folder) : folder_(std::move(folder)) {}

    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>& runs) override;
    /// False, and a message, if a file cannot be written.
    bool write() const;

private:
    std::string folder_;
    std::map<std::string, std::vector<std::string>> lines_;  // of each table
};

}  // namespace bench
