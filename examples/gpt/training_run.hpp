// SPDX-License-Identifier: BSL-1.0
// A training from beginning to end, or from a checkpoint to the end: steps, looks at the validation text, checkpoints, the bar.
#pragma once

#include "checkpoint.hpp"
#include "progress_bar.hpp"
#include "trainer.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>

namespace gpt {

struct run_options {
    std::uint64_t steps = 0;  ///< 0: as many as there is time for
    double seconds = 60;
    std::filesystem::path checkpoint;  ///< empty: none
    std::uint64_t steps_between_checkpoints = 100;
};

/// Set by SIGINT and SIGTERM: the training ends after the step it is in.
inline volatile std::sig_atomic_t asked_to_stop = 0;

template <class Real, class Score>
class training_run {
public:
    training_run(trainer<Real, Score>& t, const identity& who, const run_options& options)
        : trainer_(t), who_(who), options_(options) {
        if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return;
        load_checkpoint(options_.checkpoint, who_, state());
        resumed_ = true;
    }

    bool resumed() const { return resumed_; }
    const history& points() const { return points_; }
    double seconds() const { return static_cast<double>(milliseconds_) / 1000; }

    /// False if it was asked to stop before the end. With a number of steps the bits of the result do not depend on how often
    /// that was; with a time they do, as on everything that takes time.
    template <class Executor>
    bool run(Executor& executor, bytes text, bytes validation) {
        save();  // what cannot be written shall fail now, not after hours
        const auto begin = clock::now();
        const std::uint64_t milliseconds_before = milliseconds_;
        const double done_before = done();
        progress_bar bar;
        double sum = 0, validation_bits = last_look();
        std::uint64_t summed_up = 0;
        while (done() < 1 && asked_to_stop == 0) {
            sum += trainer_.step(executor, text, done()) / std::numbers::ln2;
            ++summed_up;
            const std::uint64_t step = trainer_.state().steps;
            const bool look = step % steps_between_looks == 0;
            if (look) validation_bits = trainer_.look(executor, validation);
            milliseconds_ = milliseconds_before + since(begin);
            if (step % steps_between_points == 0) {
                const double training_bits = sum / static_cast<double>(summed_up);
                sum = 0, summed_up = 0;
                points_.push_back({static_cast<double>(step), training_bits,
                                   look ? validation_bits : std::numeric_limits<double>::quiet_NaN()});
                bar.show(done(), describe(step, training_bits, validation_bits),
                         seconds_left(done_before, since(begin)));
            }
            if (step % options_.steps_between_checkpoints == 0) save();
        }
        save();
        if (done() < 1) return false;
        trainer_.look(executor, validation);
        trainer_.take_best();
        if (!points_.empty())
            bar.show(1, describe(trainer_.state().steps, points_.back().training, validation_bits), 0);
        return true;
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr std::uint64_t steps_between_points = 10, steps_between_looks = 20;

    static std::uint64_t since(clock::time_point begin) {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begin).count());
    }

    double done() const {
        if (options_.steps != 0)
            return static_cast<double>(trainer_.state().steps) / static_cast<double>(options_.steps);
        return seconds() / options_.seconds;
    }

    double seconds_left(double done_before, std::uint64_t milliseconds_since) const {
        if (options_.steps == 0) return options_.seconds - seconds();
        return static_cast<double>(milliseconds_since) / 1000 * (1 - done()) / (done() - done_before);
    }

    double last_look() const {
        double last = std::numeric_limits<double>::quiet_NaN();
        for (const history_point& p : points_)
            if (!std::isnan(p.validation)) last = p.validation;
        return last;
    }

    static std::string describe(std::uint64_t step, double training_bits, double validation_bits) {
        std::array<char, 96> text{};
        std::snprintf(text.data(), text.size(), "step %llu: %.3f bits per character",
                      static_cast<unsigned long long>(step), training_bits);
        std::string result(text.data());
        if (std::isnan(validation_bits)) return result;
        std::snprintf(text.data(), text.size(), ", validation %.3f", validation_bits);
        return result + text.data();
    }

    resumable<Real> state() { return {trainer_.state(), milliseconds_, points_}; }

    void save() {
        if (!options_.checkpoint.empty()) save_checkpoint(options_.checkpoint, who_, state());
    }

    trainer<Real, Score>& trainer_;
    identity who_;
    run_options options_;
    std::uint64_t milliseconds_ = 0;
    history points_;
    bool resumed_ = false;
};

}  // namespace gpt
