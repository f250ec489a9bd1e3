// SPDX-License-Identifier: BSL-1.0
#include "bars.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string_view>

namespace bench {
namespace {

/// The median time of everybody, by name.
class medians : public benchmark::BenchmarkReporter {
public:
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>& runs) override {
        std::vector<double> times;
        for (const Run& r : runs)
            if (r.run_type == Run::RT_Iteration)
                times.push_back(r.cpu_accumulated_time / static_cast<double>(r.iterations));
        if (times.empty()) return;
        std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
        of[runs.front().run_name.function_name] = times[times.size() / 2];
    }
    std::map<std::string, double> of;
};

std::string with_two_digits(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", x);
    return text;
}

}  // namespace

bars::bars(int argc, char** argv) {
    std::vector<char*> left{argv[0]};
    static char interleaved[] = "--benchmark_enable_random_interleaving=true";
    left.push_back(interleaved);
    for (int i = 1; i < argc; ++i) {
        const std::string_view text = argv[i];
        const auto value = [&](std::string_view name) {
            return text.starts_with(name) ? text.substr(name.size()) : std::string_view();
        };
        if (const auto file = value("--record="); !file.empty()) file_ = file;
        else if (const auto filter = value("--filter="); !filter.empty()) filter_ = filter;
        else if (const auto rounds = value("--rounds="); !rounds.empty()) rounds_ = std::max(1, std::atoi(argv[i] + 9));
        else left.push_back(argv[i]);
    }
    int count = static_cast<int>(left.size());
    benchmark::Initialize(&count, left.data());
    usable_ = !benchmark::ReportUnrecognizedArguments(count, left.data());
}

void bars::measure(const std::string& shape, const std::vector<contender>& contenders, const std::vector<bar>& asked) {
    if (!usable_) return;
    const std::regex filter(filter_);
    std::vector<bar> wanted;
    for (const bar& b : asked)
        if (std::regex_search(b.work, filter)) wanted.push_back(b);
    for (const contender& c : contenders) {
        const auto names = [&](const bar& b) { return b.what == c.name || b.against == c.name; };
        if (std::none_of(wanted.begin(), wanted.end(), names)) continue;
        c.call();
        benchmark::RegisterBenchmark(c.name.c_str(),
                                     [&c](benchmark::State& state) {
                                         for (auto _ : state) {
                                             c.call();
                                             benchmark::ClobberMemory();
                                         }
                                     })
            ->MinTime(0.0005)
            ->Repetitions(rounds_);
    }
    if (wanted.empty()) return;
    medians reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter, ".");
    benchmark::ClearRegisteredBenchmarks();
    for (const bar& b : wanted) {
        const double what = reporter.of.at(b.what), against = reporter.of.at(b.against);
        const double ratio = b.at_least ? against / what : what / against / b.share;
        auto at = std::find_if(lines_.begin(), lines_.end(), [&](const line& l) { return l.asked.work == b.work; });
        if (at == lines_.end()) at = lines_.insert(lines_.end(), {b, {}});
        at->ratios.emplace_back(shape, ratio);
        std::fprintf(stderr, "%s %s: %.2f\n", b.work.c_str(), shape.c_str(), ratio);
    }
}

std::string bars::table() const {
    std::vector<std::string> shapes;
    for (const line& l : lines_)
        for (const auto& [shape, ratio] : l.ratios)
            if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) shapes.push_back(shape);
    std::ostringstream out;
    out << "| work |";
    for (const std::string& s : shapes) out << ' ' << s << " |";
    out << " asked | |\n| --- |";
    for (std::size_t i = 0; i < shapes.size() + 2; ++i) out << " --- |";
    out << '\n';
    for (const line& l : lines_) {
        std::size_t missed = 0;
        out << "| " << l.asked.work << " |";
        for (const std::string& s : shapes) {
            const auto at = std::find_if(l.ratios.begin(), l.ratios.end(), [&](const auto& r) { return r.first == s; });
            out << ' ' << (at == l.ratios.end() ? "-" : with_two_digits(at->second)) << " |";
            if (at != l.ratios.end() && (l.asked.at_least ? at->second < l.asked.limit : at->second > l.asked.limit))
                ++missed;
        }
        out << (l.asked.at_least ? " at least " : " at most ") << with_two_digits(l.asked.limit) << " | ";
        if (missed == 0) out << "met |\n";
        else out << "not met, " << missed << " of " << l.ratios.size() << " |\n";
    }
    return out.str();
}

int bars::finish() const {
    if (!usable_) return 1;
    const std::string text = table();
    std::fputs(text.c_str(), stdout);
    if (file_.empty()) return 0;
    std::ofstream file(file_);
    file << '\n' << text;
    if (file.flush()) return 0;
    std::fprintf(stderr, "cannot write %s\n", file_.c_str());
    return 1;
}

}  // namespace bench
