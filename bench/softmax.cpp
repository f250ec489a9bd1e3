// SPDX-License-Identifier: BSL-1.0
// Time per call of everybody in every cell, `table/type/shape/what`. How to run it: README.md beside this file.
#include "arrays.hpp"
#include "cells.hpp"
#include "competitor.hpp"
#include "record.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

std::vector<bench::competitor>& bench::competitors() {
    static std::vector<competitor> all;
    return all;
}

namespace {

using namespace bench;

bool all_right = true;

/// How long and how often everybody is measured.
struct effort {
    int rounds;
    double seconds;  // at least, in each round
};

/// What is slow gets fewer rounds.
int rounds_for(double seconds, const effort& e) {
    return std::clamp(static_cast<int>(e.rounds * 0.008 / (2 * seconds)), (e.rounds + 3) / 4, e.rounds);
}

/// Registers everybody who can do it and whose name matches, and their names to `names`.
template <class T>
void add_cell(const cell& c, const std::regex& filter, const effort& e, std::vector<std::string>& names) {
    std::shared_ptr<arrays<T>> data;
    for (const competitor& who : competitors()) {
        const std::string name = c.name() + "/" + who.name;
        if ((static_cast<int>(who.role) & c.roles) == 0 || !std::regex_search(name, filter)) continue;
        if (!data) data = std::make_shared<arrays<T>>(c);
        data->restore();
        const call run = std::get<prepare<T>*>(who.types)(data->data());
        if (!run) continue;
        data->restore();
        run();  // the first call may prepare something
        data->clear();
        const auto begin = std::chrono::steady_clock::now();
        run();
        const std::chrono::duration<double> once = std::chrono::steady_clock::now() - begin;
        if (who.role != role::copy && !data->plausible()) {
            std::fprintf(stderr, "bench_softmax: %s is left out, its results are wrong\n", name.c_str());
            if (who.role != role::peer && who.role != role::careful) all_right = false;
            continue;
        }
        auto* const added = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            data->restore();
            run();
            for (auto _ : state) {
                run();
                benchmark::ClobberMemory();
            }
            const std::size_t moved =
                c.size() * sizeof(T) * (c.function == function::logsumexp || who.name == "read" ? 1 : 2);
            state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(moved));
            state.counters["per_element"] =
                benchmark::Counter(static_cast<double>(c.size()),
                                   benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
        });
        added->Unit(benchmark::kMicrosecond)->MinTime(e.seconds)->Repetitions(rounds_for(once.count(), e));
        if (who.role == role::threads) added->UseRealTime();
        names.push_back(name);
    }
}

std::vector<std::string> add_group(const group& g, const std::regex& filter, const effort& e) {
    std::vector<std::string> added;
    for (const cell& c : g) switch (c.type) {
            case type::f32: add_cell<float>(c, filter, e, added); break;
            case type::f64: add_cell<double>(c, filter, e, added); break;
            case type::f16: add_cell<smx::float16>(c, filter, e, added); break;
            case type::bf16: add_cell<smx::bfloat16>(c, filter, e, added); break;
        }
    return added;
}

/// Takes `--name` or `--name=value` out of the arguments.
bool take(std::vector<char*>& arguments, std::string_view name, std::string* value = nullptr) {
    for (auto a = arguments.begin() + 1; a != arguments.end(); ++a) {
        std::string_view text = *a;
        if (!text.starts_with(name)) continue;
        text.remove_prefix(name.size());
        if (value != nullptr && text.starts_with('=')) *value = text.substr(1);
        else if (!text.empty()) continue;
        arguments.erase(a);
        return true;
    }
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<char*> arguments(argv, argv + argc);
    std::string folder, rounds;
    const bool quick = take(arguments, "--quick"), records = take(arguments, "--record", &folder);
    effort e{quick ? 5 : 25, quick ? 0.0002 : 0.0005};
    if (take(arguments, "--rounds", &rounds)) e.rounds = std::atoi(rounds.c_str());
    if (e.rounds < 1) {
        std::fprintf(stderr, "bench_softmax: --rounds needs a number from 1 on, not '%s'\n", rounds.c_str());
        return 1;
    }
    if (records && folder.empty()) {
        std::fprintf(stderr, "bench_softmax: --record needs a folder: --record=results\n");
        return 1;
    }
    char interleaved[] = "--benchmark_enable_random_interleaving=true";
    arguments.insert(arguments.begin() + 1, interleaved);
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
    const std::string wanted = benchmark::GetBenchmarkFilter();
    const std::regex filter(wanted.empty() || wanted == "all" ? "." : wanted);

    console to_console;
    recorder to_folder(folder, !wanted.empty());
    for (const group& g : all_groups()) {
        // A quick look leaves out what resembles the rest.
        if (quick && (g.front().in_place || g.front().function == function::logsumexp)) continue;
        // A thread that has done its work spins before it sleeps, and takes the processor from others: threads are measured one
        // after the other.
        const std::vector<std::string> added = add_group(g, filter, e);
        if (added.empty()) continue;
        benchmark::BenchmarkReporter* const reporter =
            records ? static_cast<benchmark::BenchmarkReporter*>(&to_folder) : &to_console;
        if ((g.front().roles & static_cast<int>(role::threads)) == 0) benchmark::RunSpecifiedBenchmarks(reporter, ".");
        else
            for (const std::string& name : added) benchmark::RunSpecifiedBenchmarks(reporter, name + "/");
        benchmark::ClearRegisteredBenchmarks();
    }
    if (records && !to_folder.write()) return 1;
    return all_right ? 0 : 1;
}
