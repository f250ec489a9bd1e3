// SPDX-License-Identifier: BSL-1.0
// The backward functions beside the forward ones, and cross-entropy with its gradient in one call beside log_softmax, a gather and
// log_softmax_backward. How to run it: README.md beside this file.
#include "bars.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <random>
#include <string>
#include <vector>

namespace {

struct shape {
    std::size_t rows, length;
};
constexpr shape backward_shapes[] = {{4096, 64}, {512, 512}, {512, 1000}, {256, 4096}, {64, 32000}};
constexpr shape loss_shapes[] = {{64, 32000}, {16, 128256}};

template <class T>
struct data {
    explicit data(shape s)
        : extents{s.rows, s.length}, x(s.rows * s.length), y(x.size()), log_y(x.size()), dy(x.size()), out(x.size()),
          targets(s.rows), losses(s.rows) {
        std::mt19937 engine(1);
        std::normal_distribution<float> normal(0, 3);
        for (T& v : x) v = T(normal(engine));
        for (T& v : dy) v = T(normal(engine));
        for (int& t : targets) t = static_cast<int>(engine() % s.length);
        smx::safe_softmax(in(x), in(y));
        smx::log_softmax(in(x), in(log_y));
    }
    smx::tensor_view<T, 2> in(std::vector<T>& v) const { return {v.data(), extents}; }

    std::array<std::size_t, 2> extents;
    std::vector<T> x, y, log_y, dy, out;
    std::vector<int> targets;
    std::vector<T> losses;
};

template <class T>
void measure_backward(bench::bars& bars, const std::string& type) {
    for (const shape& s : backward_shapes) {
        data<T> d(s);
        const auto x = d.in(d.x), y = d.in(d.y), log_y = d.in(d.log_y), dy = d.in(d.dy), out = d.in(d.out);
        const auto bar = [&](const char* what, const char* against) {
            return bench::bar{type + " " + what, what, against, 2, 1.25};
        };
        bars.measure(std::to_string(s.length),
                     {{"softmax", [=] { smx::safe_softmax(x, out); }},
                      {"softmax_backward", [=] { smx::softmax_backward(y, dy, out); }},
                      {"masked_softmax_backward", [=] { smx::masked_softmax_backward(y, dy, out); }},
                      {"log_softmax", [=] { smx::log_softmax(x, out); }},
                      {"log_softmax_backward", [=] { smx::log_softmax_backward(log_y, dy, out); }},
                      {"masked_log_softmax_backward", [=] { smx::masked_log_softmax_backward(log_y, dy, out); }}},
                     {bar("softmax_backward", "softmax"), bar("masked_softmax_backward", "softmax"),
                      bar("log_softmax_backward", "log_softmax"), bar("masked_log_softmax_backward", "log_softmax")});
    }
}

template <class T>
void measure_losses(bench::bars& bars, const std::string& type) {
    for (const shape& s : loss_shapes) {
        data<T> d(s);
        const auto x = d.in(d.x), log_y = d.in(d.log_y), dy = d.in(d.dy), out = d.in(d.out);
        std::fill(d.dy.begin(), d.dy.end(), T(0.0f));
        const auto three_steps = [&, x, log_y, dy, out, s] {
            smx::log_softmax(x, log_y);
            for (std::size_t r = 0; r < s.rows; ++r) {
                const std::size_t at = r * s.length + static_cast<std::size_t>(d.targets[r]);
                d.losses[r] = T(-static_cast<float>(d.log_y[at]));
                // The rest of dy is 0 already, as a framework that reuses its memory would have it.
                d.dy[at] = T(-1.0f);
            }
            smx::log_softmax_backward(log_y, dy, out);
        };
        const auto bar = [&](const char* what) {
            return bench::bar{type + " cross-entropy, " + what, what, "three steps", 1, 1.5, true};
        };
        bars.measure(std::to_string(s.length),
                     {{"three steps", three_steps},
                      {"fused", [&, x, out] { smx::cross_entropy_with_gradient(x, d.targets, d.losses, out); }},
                      {"fused, gradient over the logits",
                       [&, out] { smx::cross_entropy_with_gradient(out, d.targets, d.losses); }}},
                     {bar("fused"), bar("fused, gradient over the logits")});
    }
}

template <class T>
void measure(bench::bars& bars, const std::string& type) {
    measure_backward<T>(bars, type);
    measure_losses<T>(bars, type);
}

}  // namespace

int main(int argc, char** argv) {
    bench::bars bars(argc, argv);
    measure<float>(bars, "f32");
    measure<double>(bars, "f64");
    measure<smx::float16>(bars, "f16");
    measure<smx::bfloat16>(bars, "bf16");
    return bars.finish();
}
