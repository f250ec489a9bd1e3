// SPDX-License-Identifier: BSL-1.0
// Time per call of everybody in every cell, `table/type/shape/what`. How to run it: README.md beside this file.
#include "arrays.hpp"
#include "cells.hpp"
#include "competitor.hpp"
#include "record.hpp"

#include <benchmark/benchmark.h>

#include <cstdio>
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

/// Rounds of a cell: more of those that are over soon.
int rounds_of(const cell& c, bool quick) {
    const int rounds = c.size() > 4000000 ? 9 : c.size() > 1500000 ? 15 : 25;
    return quick ? 5 : rounds;
}

/// Registers everybody who can do it and whose name matches.
template <class T>
void add_cell(const cell& c, const std::regex& filter, bool quick) {
    std::shared_ptr<arrays<T>> data;
    for (const competitor& who : competitors()) {
        const std::string name = c.name() + "/" + who.name;
        if ((static_cast<int>(who.role) & c.roles) == 0 || !std::regex_search(name, filter)) continue;
        if (!data) data = std::make_shared<arrays<T>>(c);
        data->restore();
        const call run = std::get<prepare<T>*>(who.types)(data->data());
        if (!run) continue;
        data->restore();
        run();
        if (who.role != role::copy && !data->plausible()) {
            std::fprintf(stderr, "bench_softmax: %s is left out, its results are wrong\n", name.c_str());
            if (who.role != role::peer) all_right = false;
            continue;
        }
        auto* const added = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            data->restore();
            run();
            for (auto _ : state) {
                run();
                benchmark::ClobberMemory();
            }
            const std::size_t moved = c.size() * sizeof(T) * (c.function == function::logsumexp || who.name == "read" ? 1 : 2);
            state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(moved));
            state.counters["ns_per_element"] = benchmark::Counter(static_cast<double>(c.size()) * 1e-9,
                                                                  benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
        });
        added->Unit(benchmark::kMicrosecond)->MinTime(quick ? 0.0002 : 0.0005)->Repetitions(rounds_of(c, quick));
        if (who.role == role::threads) added->UseRealTime();
    }
}

void add_group(const group& g, const std::regex& filter, bool quick) {
    for (const cell& c : g) switch (c.type) {
            case type::f32: add_cell<float>(c, filter, quick); break;
            case type::f64: add_cell<double>(c, filter, quick); break;
            case type::f16: add_cell<smx::float16>(c, filter, quick); break;
            case type::bf16: add_cell<smx::bfloat16>(c, filter, quick); break;
        }
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
    std::string folder;
    const bool quick = take(arguments, "--quick"), records = take(arguments, "--record", &folder);
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
    recorder to_folder(folder);
    for (const group& g : all_groups()) {
        add_group(g, filter, quick);
        if (records) benchmark::RunSpecifiedBenchmarks(&to_folder, ".");
        else benchmark::RunSpecifiedBenchmarks(&to_console, ".");
        benchmark::ClearRegisteredBenchmarks();
    }
    if (records && !to_folder.write()) return 1;
    return all_right ? 0 : 1;
}
