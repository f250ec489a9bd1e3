// SPDX-License-Identifier: BSL-1.0
// Time per call beside the textbook loops, `function/type/shape/what`. How to run it: README.md beside this file.
#include "competitors.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using bench::function;

struct shape {
    std::size_t rows, length, inner;  // inner > 1: the axis is not the last
    std::string name() const {
        if (inner == 1) return std::to_string(rows) + "x" + std::to_string(length);
        return std::to_string(rows / inner) + "x" + std::to_string(length) + "x" + std::to_string(inner) + "-axis1";
    }
};

constexpr shape shapes[] = {{1, 10, 1},       {4096, 8, 1},       {4096, 16, 1},   {4096, 64, 1},   {1024, 128, 1},
                            {1024, 197, 1},   {512, 512, 1},      {512, 1000, 1},  {256, 4096, 1},  {64, 32000, 1},
                            {16, 128256, 1},  {1, 1048576, 1},    {1, 16777216, 1}, {512, 1000, 64}, {3000, 100, 3}};

/// Those that are measured on two threads besides.
constexpr shape threaded_shapes[] = {{4096, 64, 1}, {64, 32000, 1}, {4096, 1000, 1}, {1, 16777216, 1}};

template <class T>
void measure(benchmark::State& state, function f, shape s, bench::loops<T>* run) {
    const std::size_t size = s.rows * s.length;
    // Apart by more than a cache line: a masked store to one does not delay loads from the other.
    std::vector<T> in(size), apart(4096), out(size);
    std::mt19937 engine(1);
    std::normal_distribution<float> logit(0, 3);
    for (T& x : in) x = T(logit(engine));
    for (auto _ : state) {
        run(f, in.data(), out.data(), s.rows, s.length, s.inner);
        benchmark::ClobberMemory();
    }
    const auto elements = static_cast<std::int64_t>(size);
    state.SetBytesProcessed(state.iterations() * elements * static_cast<std::int64_t>(2 * sizeof(T)));
    const auto time_per = benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert;
    state.counters["per_element"] = benchmark::Counter(static_cast<double>(size), time_per);
}

template <class T>
void add_threads(const char* type) {
    for (const shape& s : threaded_shapes) {
        const std::string name = std::string("threads/") + type + "/" + s.name() + "/";
        for (const auto& [what, run] : {std::pair("1", bench::library_native<T>), std::pair("2", bench::library_two_threads<T>)})
            benchmark::RegisterBenchmark((name + what).c_str(), [s, run = run](benchmark::State& state) {
                measure<T>(state, function::softmax, s, run);
            })->Unit(benchmark::kMicrosecond)->MinTime(0.05)->UseRealTime();
    }
}

template <class T>
void add(const char* type) {
    for (const function f : {function::softmax, function::log_softmax}) {
        for (const shape& s : shapes) {
            const std::string name = std::string(f == function::softmax ? "softmax/" : "log_softmax/") + type + "/" + s.name() + "/";
            const auto add_one = [&](const char* what, bench::loops<T>* run) {
                benchmark::RegisterBenchmark((name + what).c_str(), [=](benchmark::State& state) { measure<T>(state, f, s, run); })
                    ->Unit(benchmark::kMicrosecond)->MinTime(0.02);
            };
            add_one("safe_softmax", bench::library_native<T>);
            add_one("safe_softmax_dispatch", bench::library_dispatch<T>);
            add_one("three_loops", bench::three_loops_precise<T>);
            add_one("three_loops_fast_math", bench::three_loops_fast<T>);
        }
    }
}

const bool added = (add<float>("f32"), add<double>("f64"), add<smx::float16>("f16"), add<smx::bfloat16>("bf16"),
                    add_threads<float>("f32"), add_threads<smx::bfloat16>("bf16"), true);

}  // namespace
