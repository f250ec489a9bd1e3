// SPDX-License-Identifier: BSL-1.0
// The backward functions beside the forward ones, and cross-entropy with its gradient in one call beside log_softmax, a gather and
// log_softmax_backward: `function/type/shape/what`. How to run it: README.md beside this file.
#include <safe_softmax/safe_softmax.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

struct shape {
    std::size_t rows, length, inner;  // inner > 1: the axis is not the last
    std::string name() const {
        if (inner == 1) return std::to_string(rows) + "x" + std::to_string(length);
        return std::to_string(rows / inner) + "x" + std::to_string(length) + "x" + std::to_string(inner) + "-axis1";
    }
};

constexpr shape backward_shapes[] = {{4096, 8, 1}, {4096, 64, 1}, {512, 1000, 1}, {64, 32000, 1}, {512, 1000, 64}};
constexpr shape loss_shapes[] = {{512, 1000, 1}, {8, 32000, 1}, {8, 128256, 1}};

template <class T>
struct arrays {
    explicit arrays(shape s) : extents{s.rows / s.inner, s.length, s.inner}, a(s.rows * s.length), b(a.size()), c(a.size()), targets(s.rows), losses(s.rows) {
        std::mt19937 engine(1);
        std::normal_distribution<float> number(0, 3);
        for (T& x : a) x = T(number(engine));
        for (T& x : b) x = T(number(engine));
        for (int& t : targets) t = static_cast<int>(engine() % s.length);
    }
    smx::tensor_view<T, 3> view(std::vector<T>& v) const { return {v.data(), extents}; }

    std::array<std::size_t, 3> extents;
    std::vector<T> a, b, c;
    std::vector<int> targets;
    std::vector<T> losses;
};

/// Time per element read, so that functions of one and of two inputs can be compared.
void count(benchmark::State& state, std::size_t elements, std::size_t inputs) {
    const auto time_per = benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert;
    state.counters["per_element_read"] = benchmark::Counter(static_cast<double>(elements * inputs), time_per);
}

template <class F>
void add_one(const std::string& name, F f) {
    benchmark::RegisterBenchmark(name.c_str(), f)->Unit(benchmark::kMicrosecond)->MinTime(0.05);
}

template <class T>
void add_backward(const char* type, shape s) {
    const auto add = [&](const char* function, const char* what, std::size_t inputs, auto run) {
        add_one(std::string(function) + "/" + type + "/" + s.name() + "/" + what, [=](benchmark::State& state) {
            arrays<T> m(s);
            const auto x = m.view(m.a), y = m.view(m.b), dx = m.view(m.c);
            for (auto _ : state) {
                run(x, y, dx);
                benchmark::ClobberMemory();
            }
            count(state, m.a.size(), inputs);
        });
    };
    using view = smx::tensor_view<T, 3>;
    // The gradients of any numbers take as long as those of probabilities.
    add("softmax", "forward", 1, [](view x, view, view out) { smx::safe_softmax(x, out, {.axis = 1}); });
    add("softmax", "backward", 2, [](view y, view dy, view dx) { smx::softmax_backward(y, dy, dx, {.axis = 1}); });
    add("log_softmax", "forward", 1, [](view x, view, view out) { smx::log_softmax(x, out, {.axis = 1}); });
    add("log_softmax", "backward", 2, [](view y, view dy, view dx) { smx::log_softmax_backward(y, dy, dx, {.axis = 1}); });
}

template <class T>
void add_losses(const char* type, shape s) {
    const auto add = [&](const char* what, auto run) {
        add_one(std::string("cross_entropy/") + type + "/" + s.name() + "/" + what, [=](benchmark::State& state) {
            arrays<T> m(s);
            const smx::tensor_view<T, 2> logits(m.a.data(), {s.rows, s.length}), y(m.b.data(), {s.rows, s.length}), dx(m.c.data(), {s.rows, s.length});
            std::vector<T> dy(m.a.size());
            const smx::tensor_view<T, 2> dy_view(dy.data(), {s.rows, s.length});
            for (auto _ : state) {
                run(m, logits, y, dy, dy_view, dx);
                benchmark::ClobberMemory();
            }
            count(state, m.a.size(), 1);
        });
    };
    add("fused", [](auto& m, auto logits, auto, auto&, auto, auto dx) { smx::cross_entropy_with_gradient(logits, m.targets, m.losses, dx); });
    add("three_steps", [s](auto& m, auto logits, auto y, auto& dy, auto dy_view, auto dx) {
        smx::log_softmax(logits, y);
        for (std::size_t r = 0; r < s.rows; ++r) {
            const std::size_t at = r * s.length + static_cast<std::size_t>(m.targets[r]);
            m.losses[r] = T(-static_cast<float>(m.b[at]));
            dy[at] = T(-1.0f);  // the rest of dy is 0 already, as a framework that reuses its memory would have it
        }
        smx::log_softmax_backward(y, dy_view, dx);
    });
    add("loss_only", [](auto& m, auto logits, auto, auto&, auto, auto) { smx::cross_entropy(logits, m.targets, m.losses); });
    add("fused_label_smoothing", [](auto& m, auto logits, auto, auto&, auto, auto dx) {
        smx::cross_entropy_with_gradient(logits, m.targets, m.losses, dx, {.label_smoothing = 0.1});
    });
}

template <class T>
void add_type(const char* type) {
    for (const shape& s : backward_shapes) add_backward<T>(type, s);
    for (const shape& s : loss_shapes) add_losses<T>(type, s);
}

const bool added = (add_type<float>("f32"), add_type<double>("f64"), add_type<smx::bfloat16>("bf16"), true);

}  // namespace
