// SPDX-License-Identifier: BSL-1.0
#include "record.hpp"

#include "cells.hpp"
#include "competitor.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

namespace bench {
namespace {

using run = benchmark::BenchmarkReporter::Run;

/// Processor time of one call in ns where a single thread ran, or else time.
double nanoseconds(const run& r) {
    const double seconds = r.run_name.time_type.empty() ? r.cpu_accumulated_time : r.real_accumulated_time;
    return seconds / static_cast<double>(r.iterations) * 1e9;
}

const char* const head = "function,type,shape,what,ns_per_element,us,bytes_per_second,rounds,spread\n";

std::string processor() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown";
}

}  // namespace

bool console::ReportContext(const Context& context) {
    if (started_) return true;
    started_ = true;
    return ConsoleReporter::ReportContext(context);
}

void console::ReportRuns(const std::vector<Run>& runs) {
    std::vector<Run> medians;
    for (Run r : runs) {
        if (r.aggregate_name != "median") continue;
        const std::string name = r.run_name.function_name;
        r.run_name = {};
        r.run_name.function_name = name;
        r.run_type = Run::RT_Iteration;
        medians.push_back(r);
    }
    ConsoleReporter::ReportRuns(medians);
}

void recorder::ReportRuns(const std::vector<Run>& runs) {
    std::vector<double> times;
    for (const Run& r : runs)
        if (r.run_type == Run::RT_Iteration) times.push_back(nanoseconds(r));
    if (times.empty()) return;
    std::sort(times.begin(), times.end());
    const std::size_t n = times.size();
    const double median = n % 2 != 0 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
    const double spread = (times[3 * n / 4] - times[n / 4]) / median;
    // Both counters are rates that belong to the time of this one run.
    const Run& any = runs.front();
    const double of_any = nanoseconds(any);
    const double per_element = any.counters.at("per_element").value * 1e9 * median / of_any;
    const double bytes = any.counters.at("bytes_per_second").value * of_any / median;
    const std::string& name = any.run_name.function_name;
    std::cerr << name << "  " << median / 1000 << " us\n";
    std::ostringstream line;
    line.precision(4);
    line << per_element << ',' << median / 1000 << ',' << bytes << ',' << n << ',' << spread;
    const std::size_t last = name.rfind('/');
    measured_[name.substr(0, last)][name.substr(last + 1)] = line.str();
}

void recorder::add_old() {
    std::set<std::string> tables;
    for (const group& g : all_groups())
        for (const cell& c : g) tables.insert(c.table);
    for (const std::string& table : tables) {
        std::ifstream file(std::filesystem::path(folder_) / (table + ".csv"));
        std::string line;
        std::getline(file, line);  // the head
        while (std::getline(file, line)) {
            std::size_t comma = 0;
            for (int part = 0; part < 3; ++part) {
                comma = line.find(',', comma);
                if (comma == std::string::npos) break;
                line[comma] = '/';
            }
            if (comma == std::string::npos) continue;
            const std::size_t end = line.find(',', comma);
            if (end != std::string::npos)
                measured_[line.substr(0, comma)].emplace(line.substr(comma + 1, end - comma - 1), line.substr(end + 1));
        }
    }
}

bool recorder::write() {
    const std::filesystem::path folder(folder_);
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    const auto put = [&](const std::string& name, const std::string& text) {
        std::ofstream file(folder / name);
        file << text;
        if (file.flush()) return true;
        std::cerr << "bench_softmax: cannot write " << folder / name << '\n';
        return false;
    };
    if (adds_) add_old();
    std::map<std::string, std::string> files;
    for (const group& g : all_groups())
        for (const cell& c : g)
            for (const auto& [what, line] : measured_[c.name()]) {
                std::string name = c.name();
                std::replace(name.begin(), name.end(), '/', ',');
                files[c.table] += name + ',' + what + ',' + line + '\n';
            }
    for (const auto& [table, text] : files)
        if (!put(table + ".csv", head + text)) return false;
    std::set<std::string> peers;
    for (const competitor& who : competitors())
        if (who.role == role::peer && !who.version.empty()) peers.insert(who.name + " " + who.version);
        else if (who.role == role::peer && !who.name.starts_with("three")) peers.insert(who.name);
    std::string text = processor() + ", " + std::to_string(benchmark::CPUInfo::Get().num_cpus) + " cores";
    for (const auto& cache : benchmark::CPUInfo::Get().caches)
        if (cache.type != "Instruction")
            text += ", L" + std::to_string(cache.level) + " " + std::to_string(cache.size / 1024) + " KiB";
    text += "; compiler " BENCH_COMPILER "; peers:";
    for (const std::string& peer : peers) text += (peer == *peers.begin() ? " " : ", ") + peer;
    return put("machine.md", text + "\n");
}

}  // namespace bench
