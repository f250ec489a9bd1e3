// SPDX-License-Identifier: BSL-1.0
// A small transformer learns to foretell the next character of a text, with this library's masked_softmax, its gradient, the
// fused cross-entropy and sample(); matrix products by Eigen. It has to beat a model that counts pairs of characters.
//
//     tiny_gpt [files and folders]        --help lists the options
//
// Exits with 0 if it learned what was asked for (--beat), else with 1; with 2 if it was interrupted.
#include "character_model.hpp"
#include "gpt/generate.hpp"
#include "gpt/threads.hpp"
#include "gpt/training_run.hpp"
#include "plot.hpp"
#include "text.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <CLI/CLI.hpp>

#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#if !defined(SMX_EXAMPLE_SOURCE_DIR)
#define SMX_EXAMPLE_SOURCE_DIR "."
#endif

namespace {

constexpr double held_out_share = 0.1;

struct settings {
    std::vector<std::string> paths;
    gpt::shape shape{.layers = 2, .heads = 4, .width = 64, .context = 64};
    gpt::training_options training{.batch = 16, .rate = 1e-2};
    gpt::run_options run;
    std::string scores = "float";
    int threads = 2;
    std::string plot;
    double beat = -std::numeric_limits<double>::infinity();
    std::size_t characters = 400;
    std::string prompt;  ///< empty: how the held-out text begins
    smx::sampling_options sampling{.scale = 1 / 0.8, .top_k = 40, .top_p = 0.95};
};

gpt::bytes bytes_of(const std::string& text) {
    return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

void print_parameters(const gpt::parameter_layout& layout, const settings& s, std::size_t threads) {
    std::printf(
        "A transformer of %lld layers, %lld heads, width %lld, context %lld, with scores in %s: %lld parameters.\n"
        "Batches of %lld; learning rate up to %g; seed %llu; threads: %zu, of %s.\n\n",
        static_cast<long long>(s.shape.layers), static_cast<long long>(s.shape.heads),
        static_cast<long long>(s.shape.width), static_cast<long long>(s.shape.context), s.scores.c_str(),
        static_cast<long long>(layout.size()), static_cast<long long>(s.training.batch), s.training.rate,
        s.training.seed, threads, gpt::threads::name);
}

/// What models that count need; returns the bits per character of the one of order 1.
double print_counts(const text::split& texts) {
    std::printf("\nBits per character of the held-out text (all but its first character), foretold by\n\n");
    const std::string counted = texts.training + texts.validation;  // they have no use for the latter but to count it
    double order_1 = 0;
    for (std::size_t order = 0; order <= 3; ++order) {
        const double bits = character_model(order, counted).best_bits_per_character(texts.held_out);
        if (order == 1) order_1 = bits;
        std::printf("  counts, order %zu    %.3f\n", order, bits);
    }
    return order_1;
}

/// Whether the transformer needs fewer bits, by as many as were asked for.
bool print_comparison(double order_1, double transformer, double beat) {
    std::printf("  the transformer    %.3f: %.3f %s than order 1\n", transformer, std::abs(order_1 - transformer),
                transformer < order_1 ? "fewer" : "more");
    const bool enough = order_1 - transformer >= beat;
    if (std::isfinite(beat))
        std::printf("\nAsked for: at least %g fewer. %s\n", beat, enough ? "Reached." : "NOT REACHED.");
    return enough;
}

void draw(const settings& s, const gpt::history& points, double order_1) {
    plot::figure f{"step",
                   "bits per character",
                   "set yrange [0:8]",
                   {{"training", "lines lw 1.5", {}},
                    {"validation", "linespoints pt 7 ps 0.4 lw 1.5", {}},
                    {"counts, order 1 (held out)", "lines lw 1.5 dt 2", {}}}};
    for (const gpt::history_point& p : points) {
        f.curves[0].points.emplace_back(p.step, p.training);
        f.curves[1].points.emplace_back(p.step, p.validation);
        f.curves[2].points.emplace_back(p.step, order_1);
    }
    if (plot::draw(f, s.plot)) std::printf("\nThe curve of the loss is in %s.\n", s.plot.c_str());
    else
        std::printf(
            "\nThe curve of the loss was not drawn: there is no gnuplot (Debian, Ubuntu: apt-get install "
            "gnuplot-nox).\n");
}

template <class Score>
int train(const settings& s, const text::split& texts, std::uint64_t score_type) {
    const gpt::bytes training = bytes_of(texts.training), validation = bytes_of(texts.validation),
                     held_out = bytes_of(texts.held_out);
    gpt::trainer<float, Score> trainer(s.shape, s.training);
    gpt::training_run<float, Score> run(trainer, gpt::identity_of(trainer, training, score_type), s.run);
    gpt::threads threads(s.threads);
    print_parameters(trainer.layout(), s, threads.concurrency());
    if (run.resumed())
        std::printf("Taken up again at step %llu from %s.\n", static_cast<unsigned long long>(trainer.state().steps),
                    s.run.checkpoint.string().c_str());

    if (!run.run(threads, training, validation)) {
        std::printf("\nInterrupted at step %llu.%s\n", static_cast<unsigned long long>(trainer.state().steps),
                    s.run.checkpoint.empty() ? "" : " The same command goes on from there.");
        return 2;
    }
    const gpt::numbers<float>& values = trainer.state().values;
    const std::string_view value_bytes(reinterpret_cast<const char*>(values.data()),
                                       sizeof(float) * gpt::unsigned_of(values.size()));
    std::printf(
        "\n%llu steps in %.1f s. The best parameters: %.3f bits per character of the validation text, fingerprint "
        "%016llx\n",
        static_cast<unsigned long long>(trainer.state().steps), run.seconds(), trainer.state().best_bits,
        static_cast<unsigned long long>(text::fingerprint(value_bytes)));

    const double order_1 = print_counts(texts);
    const bool enough = print_comparison(order_1, trainer.bits_per_character(threads, held_out), s.beat);
    if (!s.plot.empty()) draw(s, run.points(), order_1);
    const std::string prompt =
        s.prompt.empty() ? texts.held_out.substr(0, gpt::unsigned_of(s.shape.context)) : s.prompt;
    const std::string written = gpt::generate(trainer, prompt, s.characters, s.sampling, s.training.seed);
    std::printf("\nWritten with temperature %g, top-k %zu, top-p %g; the first %zu characters were given%s:\n\n%s\n",
                1 / s.sampling.scale, s.sampling.top_k, s.sampling.top_p, prompt.size(),
                s.prompt.empty() ? ", from the held-out text" : "", gpt::printable(prompt + written).c_str());
    return enough ? 0 : 1;
}

void add_options(CLI::App& app, settings& s, double& temperature) {
    app.add_option("text", s.paths,
                   "files, and folders of .md, .txt, .hpp, .cpp; default: README and headers of this project");
    app.add_option("--seconds", s.run.seconds, "how long to train")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--steps", s.run.steps, "train this many steps instead, with the same bits every time");
    app.add_option("--checkpoint", s.run.checkpoint, "file to save to, and to go on from if it exists");
    app.add_option("--save-every", s.run.steps_between_checkpoints, "steps")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--layers", s.shape.layers)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--heads", s.shape.heads)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--width", s.shape.width, "features; a multiple of heads")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--context", s.shape.context, "characters looked at")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--batch", s.training.batch, "sequences in a step; a multiple of 4")
        ->check(CLI::Range(4, 4096))
        ->capture_default_str();
    app.add_option("--rate", s.training.rate, "largest learning rate")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--seed", s.training.seed)->capture_default_str();
    app.add_option("--scores", s.scores, "type of attention scores")
        ->check(CLI::IsMember({"float", "float16", "bfloat16"}))
        ->capture_default_str();
    app.add_option("--threads", s.threads)->check(CLI::Range(1, 4))->capture_default_str();
    app.add_option("--beat", s.beat, "exit with 1 unless better than order 1 by so many bits");
    app.add_option("--plot", s.plot, "curve of the loss, as SVG (needs gnuplot)");
    app.add_option("--characters", s.characters, "how many to write at the end")->capture_default_str();
    app.add_option("--prompt", s.prompt, "what to go on from; default: how the held-out text begins");
    app.add_option("--temperature", temperature)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--top-k", s.sampling.top_k, "0: all")->capture_default_str();
    app.add_option("--top-p", s.sampling.top_p)->check(CLI::Range(0.0, 1.0))->capture_default_str();
}

int run(settings s) {
    if (s.paths.empty()) s.paths = {SMX_EXAMPLE_SOURCE_DIR "/README.md", SMX_EXAMPLE_SOURCE_DIR "/include"};
    const text::paths files = text::files_of({s.paths.begin(), s.paths.end()});
    const text::split texts = text::hold_out_ends(files, held_out_share);
    if (texts.held_out.size() < 2)  // nor has the validation text more
        throw std::runtime_error(
            "the text is too short: it has " +
            std::to_string(texts.training.size() + texts.validation.size() + texts.held_out.size()) + " bytes");
    std::printf(
        "%zu bytes to learn from, %zu to tell by which parameters were best, %zu held out: the last tenths of each of "
        "%zu files.\n",
        texts.training.size(), texts.validation.size(), texts.held_out.size(), files.size());
    if (s.scores == "float16") return train<smx::float16>(s, texts, 1);
    if (s.scores == "bfloat16") return train<smx::bfloat16>(s, texts, 2);
    return train<float>(s, texts, 0);
}

}  // namespace

int main(int argc, char** argv) {
    settings s;
    double temperature = 1 / s.sampling.scale;
    CLI::App app("A small transformer learns to foretell the next character of a text.");
    add_options(app, s, temperature);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 1;
    }
    s.sampling.scale = 1 / temperature;
    std::signal(SIGINT, [](int) { gpt::asked_to_stop = 1; });
    std::signal(SIGTERM, [](int) { gpt::asked_to_stop = 1; });
    try {
        return run(s);
    } catch (const std::exception& error) {
        std::cerr << "tiny_gpt: " << error.what() << '\n';
        return 1;
    }
}
