// SPDX-License-Identifier: BSL-1.0
// A training in progress. Its bits depend on the text, the options and the number of steps, and on nothing else: not on the
// number of threads, nor on where it was interrupted and taken up again.
#pragma once

#include "adam.hpp"
#include "network.hpp"

#include <safe_softmax/parallel.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <numbers>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace gpt {

struct training_options {
    index batch = 16;             ///< sequences of a step
    double rate = 3e-3;           ///< the largest learning rate
    double longest_gradient = 1;  ///< what is longer is shortened to this
    unsigned long long seed = 1;
};

/// All that a training is, but for the text and the options.
template <class Real>
struct training_state {
    std::uint64_t steps = 0;
    numbers<Real> values;
    adam<Real> optimiser;
    numbers<Real> best;  ///< the values that did best on a validation text, with so many bits per character
    double best_bits = std::numeric_limits<double>::infinity();
};

using bytes = std::span<const unsigned char>;

/// Rises at first, then falls to nearly nothing along a cosine; `progress` from 0 to 1.
inline double rate_at(double progress, double largest) {
    constexpr double rising = 0.03, last = 0.02;
    if (progress < rising) return largest * std::max(progress / rising, 0.02);
    const double falling = (1 + std::cos(std::numbers::pi * std::min(1.0, (progress - rising) / (1 - rising)))) / 2;
    return largest * (last + (1 - last) * falling);
}

template <class Real, class Score = Real>
class trainer {
public:
    /// A batch is computed in that many parts, whatever the number of threads, so that sums have one order.
    static constexpr std::size_t parts = 4;

    trainer(const shape& s, const training_options& options)
        : shape_(s), options_(options), layout_(s),
          state_{0, layout_.first_values<Real>(options.seed), adam<Real>(layout_.size()), {}} {
        state_.best = state_.values;
        if (s.width % s.heads != 0)
            throw std::invalid_argument("the width, " + std::to_string(s.width) + ", is no multiple of the heads, " +
                                        std::to_string(s.heads));
        if (options.batch % index_of(parts) != 0)
            throw std::invalid_argument("the batch, " + std::to_string(options.batch) + ", is no multiple of " +
                                        std::to_string(parts));
        for (std::size_t i = 0; i < parts; ++i)
            parts_.push_back(std::make_unique<part>(shape_, layout_, state_.values.data()));
    }
    trainer(const trainer&) = delete;
    trainer& operator=(const trainer&) = delete;

    /// Learns from one batch of sequences, drawn from the text by seed and step. Returns their mean loss in nats.
    template <smx::parallel_executor Executor>
    double step(Executor& executor, bytes text, double progress) {
        check(text);
        const index sequences = options_.batch / index_of(parts);
        const double weight = 1 / static_cast<double>(options_.batch * shape_.context);
        const auto run = [&](std::size_t i) noexcept {
            part& p = *parts_[i];
            p.draw(text, sequences, shape_.context, random_at(i));
            p.gradient.setZero();
            p.loss = p.net.loss_and_gradient(p.tokens, p.targets, shape_.context, weight);
        };
        executor(parts, smx::parallel_task(run));

        double loss = 0;
        for (const auto& p : parts_) loss += p->loss;
        numbers<Real>& gradient = parts_[0]->gradient;
        for (std::size_t i = 1; i < parts; ++i) gradient += parts_[i]->gradient;
        const double length = std::sqrt(static_cast<double>(gradient.squaredNorm()));
        if (length > options_.longest_gradient) gradient *= static_cast<Real>(options_.longest_gradient / length);
        ++state_.steps;
        state_.optimiser.update(layout_, gradient, state_.steps, rate_at(progress, options_.rate), state_.values);
        return loss * weight;
    }

    /// Bits per character over all characters of a text but the first. Windows of `context` bytes go half a window at a time, and what is
    /// judged is their second half (of the first window, all of it), so that nearly everything is foretold from at least
    /// half a context.
    /// @param windows  only that many, evenly spread over the text: for a glance in between
    template <smx::parallel_executor Executor>
    double bits_per_character(Executor& executor, bytes text, std::size_t windows = SIZE_MAX) {
        if (text.size() < 2)
            throw std::invalid_argument("a text of " + std::to_string(text.size()) + " bytes cannot be judged");
        const std::size_t context = unsigned_of(shape_.context), stride = std::max<std::size_t>(context / 2, 1);
        const std::size_t all = text.size() - 1 <= context ? 1 : 1 + (text.size() - 1 - context + stride - 1) / stride;
        const std::size_t chosen = std::min(all, windows);
        std::vector<double> nats(parts);
        std::vector<std::size_t> counts(parts);
        const auto run = [&](std::size_t i) noexcept {
            for (std::size_t w = i; w < chosen; w += parts) {
                const std::size_t window = chosen == all ? w : w * all / chosen;
                const std::size_t begin = window * stride, end = std::min(begin + context, text.size() - 1);
                const std::size_t judged = window == 0 ? 0 : context - stride;
                network<Real, Score>& net = parts_[i]->net;
                net.loss(text.subspan(begin, end - begin), text.subspan(begin + 1, end - begin), index_of(end - begin));
                nats[i] += net.losses().tail(index_of(end - begin - judged)).template cast<double>().sum();
                counts[i] += end - begin - judged;
            }
        };
        executor(parts, smx::parallel_task(run));
        double sum = 0;
        std::size_t count = 0;
        for (std::size_t i = 0; i < parts; ++i) sum += nats[i], count += counts[i];
        return sum / static_cast<double>(count) / std::numbers::ln2;
    }

    /// Looks how the values do on a validation text, and keeps them if none did better. Returns bits per character.
    template <smx::parallel_executor Executor>
    double look(Executor& executor, bytes validation) {
        constexpr std::size_t windows = 64;
        const double bits = bits_per_character(executor, validation, windows);
        if (bits < state_.best_bits) {
            state_.best_bits = bits;
            state_.best = state_.values;
        }
        return bits;
    }

    /// From here on the best values are used. Ends a training: the state is none to go on from.
    void take_best() { state_.values = state_.best; }

    /// The logits of what follows a text, of which the last `context` bytes count.
    std::span<const Real> logits_after(bytes text) {
        const bytes seen = text.last(std::min(text.size(), unsigned_of(shape_.context)));
        const matrix<Real>& logits = parts_[0]->net.forward(seen, index_of(seen.size()));
        return {&logits(logits.rows() - 1, 0), unsigned_of(alphabet)};
    }

    /// To be written to a checkpoint, or over from one; sizes stay.
    training_state<Real>& state() { return state_; }
    const training_state<Real>& state() const { return state_; }
    const parameter_layout& layout() const { return layout_; }
    const gpt::shape& shape() const { return shape_; }
    const training_options& options() const { return options_; }

private:
    struct part {
        part(const gpt::shape& s, const parameter_layout& layout, const Real* values)
            : gradient(numbers<Real>::Zero(layout.size())), net(s, values, gradient.data()) {}

        void draw(bytes text, index sequences, index length, std::uint64_t seed) {
            std::mt19937_64 random(seed);
            const std::size_t n = unsigned_of(length);
            tokens.clear(), targets.clear();
            for (index s = 0; s < sequences; ++s) {
                const bytes from = text.subspan(static_cast<std::size_t>(random() % (text.size() - n)), n + 1);
                tokens.insert(tokens.end(), from.begin(), from.end() - 1);
                targets.insert(targets.end(), from.begin() + 1, from.end());
            }
        }

        numbers<Real> gradient;
        network<Real, Score> net;
        std::vector<unsigned char> tokens, targets;
        double loss = 0;
    };

    void check(bytes text) const {
        if (text.size() <= unsigned_of(shape_.context))
            throw std::invalid_argument("a text of " + std::to_string(text.size()) +
                                        " bytes is too short for a context of " + std::to_string(shape_.context));
    }

    /// A state of the random engine for every step and part: nothing that a checkpoint would have to keep.
    std::uint64_t random_at(std::size_t part_index) const {
        std::seed_seq sequence{static_cast<std::uint32_t>(options_.seed),
                               static_cast<std::uint32_t>(options_.seed >> 32),
                               static_cast<std::uint32_t>(state_.steps), static_cast<std::uint32_t>(state_.steps >> 32),
                               static_cast<std::uint32_t>(part_index)};
        return std::mt19937_64(sequence)();
    }

    gpt::shape shape_;
    training_options options_;
    parameter_layout layout_;
    training_state<Real> state_;
    std::vector<std::unique_ptr<part>> parts_;
};

}  // namespace gpt
