// SPDX-License-Identifier: BSL-1.0
// masked_softmax beside safe_softmax of the same logits: `masked/type/shape/what`. How to run it: README.md beside this file.
#include <safe_softmax/safe_softmax.hpp>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

struct shape {
    std::size_t rows, length;
};
constexpr shape shapes[] = {{128, 128}, {512, 512}, {2048, 2048}, {256, 1000}, {4096, 64}};

template <class T>
struct arrays {
    explicit arrays(shape s) : in(s.rows * s.length), out(in.size()), added(in.size()), keep(in.size()), lengths(s.rows), number(s.rows) {
        std::mt19937 engine(1);
        std::normal_distribution<float> normal(0, 3);
        for (T& x : in) x = T(normal(engine));
        for (T& x : added) x = T(normal(engine));
        for (std::uint8_t& k : keep) k = engine() % 8 != 0;
        for (std::size_t& n : lengths) n = s.length - engine() % 4;
        for (float& x : number) x = 0.75f + static_cast<float>(engine() % 64) / 256;
    }
    std::vector<T> in, out, added;
    std::vector<std::uint8_t> keep;
    std::vector<std::size_t> lengths;
    std::vector<float> number;  // for each row: a sink, a slope, a temperature
};

template <class T>
smx::tensor_view<T, 2> as_matrix(std::vector<T>& v, std::size_t rows) {
    return {v.data(), {rows, v.size() / rows}};
}

template <class T>
void add_shape(const char* type, shape s) {
    const auto add = [&](const char* what, auto run) {
        const std::string name = std::string("masked/") + type + "/" + std::to_string(s.rows) + "x" + std::to_string(s.length) + "/" + what;
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            arrays<T> m(s);
            const auto matrix = [&](auto& v) { return as_matrix(v, s.rows); };
            for (auto _ : state) {
                run(m, matrix(m.in), matrix(m.out), matrix);
                benchmark::ClobberMemory();
            }
            const auto time_per = benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert;
            state.counters["per_element_read"] = benchmark::Counter(static_cast<double>(m.in.size()), time_per);
        })->Unit(benchmark::kMicrosecond)->MinTime(0.02);
    };
    const auto rows = [](auto& m) { return as_matrix(m.number, m.number.size()); };
    add("plain", [](auto&, auto in, auto out, auto) { smx::safe_softmax(in, out, {.scale = 0.125}); });
    add("causal", [](auto&, auto in, auto out, auto) { smx::masked_softmax(in, out, {.scale = 0.125, .causal = true}); });
    add("lengths", [](auto& m, auto in, auto out, auto) { smx::masked_softmax(in, out, {.scale = 0.125, .lengths = m.lengths}); });
    add("bool", [](auto& m, auto in, auto out, auto matrix) { smx::masked_softmax(in, matrix(m.keep), out, {.scale = 0.125}); });
    add("added", [](auto& m, auto in, auto out, auto matrix) { smx::masked_softmax(in, matrix(m.added), out, {.scale = 0.125}); });
    add("sink", [=](auto& m, auto in, auto out, auto) { smx::masked_softmax(in, out, {.scale = 0.125, .sink = rows(m)}); });
    add("temperature", [=](auto& m, auto in, auto out, auto) { smx::masked_softmax(in, out, {.temperature = rows(m)}); });
    add("alibi", [=](auto& m, auto in, auto out, auto) { smx::masked_softmax(in, out, {.scale = 0.125, .alibi_slope = rows(m)}); });
    add("softcap", [](auto&, auto in, auto out, auto) { smx::masked_softmax(in, out, {.scale = 0.125, .softcap = 30}); });
    add("log", [](auto&, auto in, auto out, auto) { smx::log_softmax(in, out, {.scale = 0.125}); });
    add("log_bool", [](auto& m, auto in, auto out, auto matrix) { smx::masked_log_softmax(in, matrix(m.keep), out, {.scale = 0.125}); });
}

template <class T>
void add_type(const char* type) {
    for (const shape& s : shapes) add_shape<T>(type, s);
}

const bool added = (add_type<float>("f32"), add_type<smx::bfloat16>("bf16"), add_type<double>("f64"), true);

}  // namespace
