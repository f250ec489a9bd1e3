// SPDX-License-Identifier: BSL-1.0
// A training small enough for a test, on the project's licence.
#pragma once

#include "gpt/checkpoint.hpp"
#include "gpt/trainer.hpp"
#include "text.hpp"

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace small_training {

inline constexpr gpt::shape shape{.layers = 1, .heads = 2, .width = 16, .context = 24};
inline constexpr gpt::training_options options{.batch = 8, .rate = 1e-2, .seed = 42};

inline const std::string& licence() {
    static const std::string text = text::read(SMX_TEST_TEXT);
    return text;
}
inline gpt::bytes bytes_of(const std::string& text) {
    return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

/// Runs tasks one after the other, from the last to the first if asked to.
struct one_after_the_other {
    bool backwards = false;
    std::size_t concurrency() const { return 1; }
    void operator()(std::size_t tasks, const smx::parallel_task& f) const {
        for (std::size_t i = 0; i < tasks; ++i) f(backwards ? tasks - 1 - i : i);
    }
};

/// A training that can be put aside.
template <class Score = float>
struct training {
    gpt::trainer<float, Score> trainer;
    std::uint64_t milliseconds = 0;
    gpt::history points;

    explicit training(const gpt::shape& s = shape, const gpt::training_options& o = options) : trainer(s, o) {}

    gpt::identity identity() const { return gpt::identity_of(trainer, bytes_of(licence()), 0); }
    gpt::resumable<float> state() { return {trainer.state(), milliseconds, points}; }

    template <class Executor = one_after_the_other>
    double run(std::size_t steps, Executor&& executor = {}) {
        double loss = 0;
        for (std::size_t i = 0; i < steps; ++i) {
            loss = trainer.step(executor, bytes_of(licence()), static_cast<double>(trainer.state().steps) / 100);
            points.push_back({static_cast<double>(trainer.state().steps), loss, 0});
            milliseconds += 3;
            if (trainer.state().steps % 5 == 0) trainer.look(executor, bytes_of(licence()).last(50));
        }
        return loss;
    }
};

template <class A, class B>
bool same_bits(const training<A>& a, const training<B>& b) {
    const auto& s = a.trainer.state();
    const auto& t = b.trainer.state();
    const auto same = [](const gpt::numbers<float>& x, const gpt::numbers<float>& y) {
        return x.size() == y.size() && std::memcmp(x.data(), y.data(), sizeof(float) * gpt::unsigned_of(x.size())) == 0;
    };
    const bool same_points =
        a.points.size() == b.points.size() &&
        std::memcmp(a.points.data(), b.points.data(), sizeof(gpt::history_point) * a.points.size()) == 0;
    return s.steps == t.steps && same(s.values, t.values) && same(s.optimiser.mean, t.optimiser.mean) &&
           same(s.optimiser.square, t.optimiser.square) && same(s.best, t.best) && s.best_bits == t.best_bits &&
           same_points && a.milliseconds == b.milliseconds;
}

/// A file of the test that uses it, gone when that ends.
struct temporary_file {
    std::filesystem::path path;
    explicit temporary_file(const std::string& name)
        : path(std::filesystem::path(testing::TempDir()) / ("smx_tiny_gpt_" + name)) {
        remove();
    }
    ~temporary_file() { remove(); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    void write(const std::string& content) const { std::ofstream(path, std::ios::binary) << content; }

private:
    void remove() const {
        std::filesystem::remove(path);
        std::filesystem::remove(path.string() + ".unfinished");
    }
};

}  // namespace small_training
