// SPDX-License-Identifier: BSL-1.0
// Softmax regression on real handwritten digits, six times side by side: with the textbook softmax and with this
// library's, logits held in float, float16 and bfloat16. Pixels are unscaled, so that logits grow past what exp can
// take: the textbook trainings turn into NaN and stay there, the others learn to read.
//
//     train_digits [path/to/digits.csv]
//
// Exits with 0 if exactly that was seen, else with 1.
#include "digits.hpp"
#include "softmax_regression.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#if !defined(SMX_EXAMPLE_DATA_DIR)
#define SMX_EXAMPLE_DATA_DIR "examples/data"
#endif

namespace {

constexpr hyper_parameters parameters{.learning_rate = 0.1f, .decay = 0.8f, .batch_size = 32, .seed = 1};
constexpr int epochs = 15;
constexpr std::size_t shown_batches = 8;
constexpr double claimed_accuracy = 0.93;

struct contestant {
    const char* softmax;
    const char* type;
    bool expect_nan;
    std::unique_ptr<training> run;
    epoch_result last{};
};

using contestants = std::array<contestant, 6>;

template <class Softmax, class T>
std::unique_ptr<training> train(const digits::split_images& images) {
    return std::make_unique<softmax_regression<Softmax, T>>(images, parameters);
}

contestants line_up(const digits::split_images& images) {
    return {{{"textbook", "float", true, train<textbook, float>(images)},
             {"textbook", "float16", true, train<textbook, smx::float16>(images)},
             {"textbook", "bfloat16", true, train<textbook, smx::bfloat16>(images)},
             {"safe_softmax", "float", false, train<safe, float>(images)},
             {"safe_softmax", "float16", false, train<safe, smx::float16>(images)},
             {"safe_softmax", "bfloat16", false, train<safe, smx::bfloat16>(images)}}};
}

/// A number, or NaN without the sign that some C libraries print before it.
std::string text(double x, const char* format) {
    if (std::isnan(x)) return "NaN";
    std::array<char, 32> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), format, x);
    return {buffer.data(), static_cast<std::size_t>(length)};
}

void print_cell(const std::string& left, const std::string& right) {
    std::printf(" %7s %6s", left.c_str(), right.c_str());
}

void print_heading(const char* counter, const char* left, const char* right, const contestants& all) {
    std::printf("%5s", "");
    for (const contestant& c : all) std::printf(" %14s", c.softmax);
    std::printf("\n%5s", "");
    for (const contestant& c : all) std::printf(" %14s", c.type);
    std::printf("\n%5s", counter);
    for (std::size_t i = 0; i < all.size(); ++i) print_cell(left, right);
    std::printf("\n");
}

/// How it begins: each batch's loss and its largest logit, on which the textbook's exp stumbles.
void print_first_batches(const contestants& all) {
    std::printf("The first batches:\n\n");
    print_heading("batch", "loss", "logit", all);
    for (std::size_t b = 0; b < shown_batches; ++b) {
        std::printf("%5zu", b + 1);
        for (const contestant& c : all) {
            const batch_result& batch = c.run->batches()[b];
            const double logit = static_cast<double>(batch.largest_logit);
            print_cell(text(batch.loss, "%.3f"), std::isinf(logit) ? "NaN" : text(logit, "%.1f"));
        }
        std::printf("\n");
    }
}

void print_epoch(int epoch, const contestants& all) {
    std::printf("%5d", epoch);
    for (const contestant& c : all) print_cell(text(c.last.loss, "%.4f"), text(100 * c.last.accuracy, "%.1f%%"));
    std::printf("\n");
    static_cast<void>(std::fflush(stdout));
}

void run_all(contestants& all) {
    for (int epoch = 1; epoch <= epochs; ++epoch) {
        for (contestant& c : all) c.last = c.run->run_epoch();
        if (epoch == 1) {
            print_first_batches(all);
            std::printf("\nEvery epoch, with the share of held-out digits that are read correctly:\n\n");
            print_heading("epoch", "loss", "right", all);
        }
        print_epoch(epoch, all);
    }
}

auto first_nan(const std::vector<batch_result>& batches) {
    return std::find_if(batches.begin(), batches.end(), [](const batch_result& b) { return b.nan; });
}

/// It began well, then a NaN came, and from there on there was nothing else, in the weights neither.
bool turned_into_nan_and_stayed(const training& run) {
    const auto since = first_nan(run.batches());
    return since != run.batches().begin() && since != run.batches().end() && run.all_weights_are_nan() &&
           std::all_of(since, run.batches().end(), [](const batch_result& b) { return b.nan; });
}

bool as_claimed(const contestant& c) {
    if (c.expect_nan) return turned_into_nan_and_stayed(*c.run);
    return first_nan(c.run->batches()) == c.run->batches().end() && c.last.accuracy >= claimed_accuracy;
}

float largest_logit(const std::vector<batch_result>& batches) {
    return std::max_element(
               batches.begin(), batches.end(),
               [](const batch_result& a, const batch_result& b) { return a.largest_logit < b.largest_logit; })
        ->largest_logit;
}

bool print_verdict(const contestants& all) {
    bool everything = true;
    std::printf("\n%-13s %-9s %15s %14s %11s %9s   %s\n", "softmax", "logits in", "NaN since", "largest logit",
                "final loss", "held out", "as claimed");
    for (const contestant& c : all) {
        const std::vector<batch_result>& batches = c.run->batches();
        const auto since = first_nan(batches);
        const std::string when =
            since == batches.end() ? "never" : "batch " + std::to_string(since - batches.begin() + 1);
        const bool seen = as_claimed(c);
        everything = everything && seen;
        std::printf("%-13s %-9s %15s %14.1f %11s %9s   %s\n", c.softmax, c.type, when.c_str(),
                    static_cast<double>(largest_logit(batches)), text(c.last.loss, "%.4f").c_str(),
                    text(100 * c.last.accuracy, "%.1f%%").c_str(), seen ? "yes" : "NO");
    }
    std::printf(
        "\nClaimed: the textbook formula turns into NaN and stays there (and then takes every digit for a 0);\n"
        "safe_softmax never does, and reads at least %.0f%% of the held-out digits.\n",
        100 * claimed_accuracy);
    return everything;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 2) {
        std::cerr << "usage: " << argv[0] << " [path/to/digits.csv]\n";
        return 1;
    }
    try {
        const std::string path = argc == 2 ? argv[1] : SMX_EXAMPLE_DATA_DIR "/digits.csv";
        const digits::split_images images = digits::hold_out_a_quarter(digits::read(path, 4 * parameters.batch_size));
        std::printf(
            "%zu handwritten digits to learn from, %zu held out; pixels of 0 to 16, unscaled; learning rate %g,\n"
            "times %g after every epoch; batches of %zu; weights in float, starting from 0.\n\n",
            images.training.size(), images.held_out.size(), static_cast<double>(parameters.learning_rate),
            static_cast<double>(parameters.decay), parameters.batch_size);
        contestants all = line_up(images);
        run_all(all);
        return print_verdict(all) ? 0 : 1;
    } catch (const std::exception& error) {
        std::cerr << "train_digits: " << error.what() << '\n';
        return 1;
    }
}
