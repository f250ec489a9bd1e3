// SPDX-License-Identifier: BSL-1.0
// Softmax regression trained by mini-batch gradient descent on the cross-entropy, with the softmax left open.
#pragma once

#include "digits.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

/// The formula as every textbook has it; the cross-entropy is then the logarithm of what came out.
struct textbook {
    template <class T>
    static void apply(smx::tensor_view<const T, 2> logits, smx::tensor_view<T, 2> probabilities,
                      smx::tensor_view<float, 2> log_probabilities) {
        smx::naive_softmax(logits, probabilities);
        for (std::size_t row = 0; row < logits.extent(0); ++row) {
            for (std::size_t c = 0; c < logits.extent(1); ++c) {
                log_probabilities(row, c) = std::log(static_cast<float>(probabilities(row, c)));
            }
        }
    }
};

/// The same with this library.
struct safe {
    template <class T>
    static void apply(smx::tensor_view<const T, 2> logits, smx::tensor_view<T, 2> probabilities,
                      smx::tensor_view<float, 2> log_probabilities) {
        smx::safe_softmax(logits, probabilities);
        smx::log_softmax(logits, log_probabilities);
    }
};

struct hyper_parameters {
    float learning_rate;  ///< of the first epoch
    float decay;          ///< from each epoch to the next the learning rate is multiplied by it
    std::size_t batch_size;
    unsigned long long seed;
};

struct batch_result {
    double loss;          ///< mean cross-entropy, in nats
    float largest_logit;  ///< of those that are not NaN
    bool nan;             ///< a probability was NaN
};

struct epoch_result {
    double loss;      ///< mean of its batches
    double accuracy;  ///< share of the held-out images whose largest logit is that of the right digit
};

/// A training in progress, whatever its softmax and its types.
class training {
public:
    virtual ~training() = default;
    virtual epoch_result run_epoch() = 0;
    virtual bool all_weights_are_nan() const = 0;
    const std::vector<batch_result>& batches() const { return batches_; }

protected:
    std::vector<batch_result> batches_;
};

/// Ten linear classifiers under one softmax. Weights and gradients are float; logits and probabilities are held in T.
template <class Softmax, class T>
class softmax_regression final : public training {
public:
    softmax_regression(const digits::split_images& images, const hyper_parameters& parameters)
        : images_(&images), parameters_(parameters), random_(parameters.seed) {
        for (const digits::image& image : images.training) order_.push_back(&image);
    }

    /// The images that do not fill a batch sit this epoch out: a step from a few of them would be a noisy one.
    epoch_result run_epoch() override {
        shuffle();
        const std::span<const digits::image* const> order(order_);
        const std::size_t batch_count = order.size() / parameters_.batch_size;
        double loss = 0;
        for (std::size_t b = 0; b < batch_count; ++b) {
            batches_.push_back(train_on(order.subspan(b * parameters_.batch_size, parameters_.batch_size)));
            loss += batches_.back().loss;
        }
        parameters_.learning_rate *= parameters_.decay;
        return {loss / static_cast<double>(batch_count), held_out_accuracy()};
    }

    bool all_weights_are_nan() const override {
        return std::all_of(weights_.begin(), weights_.end(), [](const auto& row) {
            return std::all_of(row.begin(), row.end(), [](float weight) { return std::isnan(weight); });
        });
    }

private:
    static constexpr std::size_t classes = digits::class_count;

    /// Fisher and Yates, from the generator's raw output: the same order with every standard library.
    void shuffle() {
        for (std::size_t i = order_.size(); i > 1; --i) {
            std::swap(order_[i - 1], order_[static_cast<std::size_t>(random_() % i)]);
        }
    }

    float logit(const digits::image& image, std::size_t c) const {
        float sum = bias_[c];
        for (std::size_t i = 0; i < digits::pixel_count; ++i) sum += weights_[c][i] * image.pixels[i];
        return sum;
    }

    /// One step downhill.
    batch_result train_on(std::span<const digits::image* const> batch) {
        std::vector<T> logits(batch.size() * classes), probabilities(logits.size());
        std::vector<float> log_probabilities(logits.size());
        const std::size_t shape[] = {batch.size(), classes};
        const smx::tensor_view<T, 2> logit_rows(logits.data(), shape), probability_rows(probabilities.data(), shape);
        const smx::tensor_view<float, 2> log_rows(log_probabilities.data(), shape);

        for (std::size_t row = 0; row < batch.size(); ++row) {
            for (std::size_t c = 0; c < classes; ++c) logit_rows(row, c) = static_cast<T>(logit(*batch[row], c));
        }
        Softmax::template apply<T>(logit_rows, probability_rows, log_rows);

        double loss = 0;
        for (std::size_t row = 0; row < batch.size(); ++row) {
            const std::size_t digit = batch[row]->digit;
            loss -= static_cast<double>(log_rows(row, digit)) / static_cast<double>(batch.size());
            for (std::size_t c = 0; c < classes; ++c) {
                const float gradient = static_cast<float>(probability_rows(row, c)) - (c == digit ? 1.0f : 0.0f);
                descend(*batch[row], c, gradient / static_cast<float>(batch.size()));
            }
        }
        return {loss, largest(logits), any_nan(probabilities)};
    }

    /// `gradient` is that of the loss with respect to logit c: probability - target.
    void descend(const digits::image& image, std::size_t c, float gradient) {
        const float step = parameters_.learning_rate * gradient;
        bias_[c] -= step;
        for (std::size_t i = 0; i < digits::pixel_count; ++i) weights_[c][i] -= step * image.pixels[i];
    }

    static float largest(const std::vector<T>& logits) {
        float result = -std::numeric_limits<float>::infinity();
        for (const T x : logits) result = std::fmax(result, static_cast<float>(x));  // fmax passes over NaN
        return result;
    }

    static bool any_nan(const std::vector<T>& probabilities) {
        return std::any_of(probabilities.begin(), probabilities.end(),
                           [](T p) { return std::isnan(static_cast<float>(p)); });
    }

    double held_out_accuracy() const {
        std::size_t right = 0;
        for (const digits::image& image : images_->held_out) right += predict(image) == image.digit ? 1u : 0u;
        return static_cast<double>(right) / static_cast<double>(images_->held_out.size());
    }

    /// The class of the largest logit; class 0 if there is no largest because they are NaN.
    std::size_t predict(const digits::image& image) const {
        std::size_t best = 0;
        float best_logit = -std::numeric_limits<float>::infinity();
        for (std::size_t c = 0; c < classes; ++c) {
            const float x = static_cast<float>(static_cast<T>(logit(image, c)));
            if (x > best_logit) {
                best_logit = x;
                best = c;
            }
        }
        return best;
    }

    const digits::split_images* images_;
    hyper_parameters parameters_;
    std::mt19937_64 random_;
    std::vector<const digits::image*> order_;
    std::array<std::array<float, digits::pixel_count>, classes> weights_{};
    std::array<float, classes> bias_{};
};
