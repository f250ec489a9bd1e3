// SPDX-License-Identifier: BSL-1.0
// Causal attention of several heads on the bytes of a text, with scores in float, float16 and bfloat16: by the textbook and
// with this library, both against a reference in double; and in blocks of keys against all keys at once.
//
//     attention [file [length [plot.svg]]]   the project's LICENSE, or the first bytes of a file: 2048, or as many as named
//
// Exits with 0 if what it claims was seen, else with 1.
#include "attention/comparison.hpp"
#include "plot.hpp"
#include "text.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#if !defined(SMX_EXAMPLE_SOURCE_DIR)
#define SMX_EXAMPLE_SOURCE_DIR "."
#endif

namespace {

constexpr std::size_t shortest = 64, longest = 8192;
constexpr double blockwise_claim = 5;

struct claims {
    const char* name;
    double probability_ulp;  ///< what masked_softmax promises
    double output_ulp;  ///< twice that, since ulps are finer above a power of two; and for float one more, for the sums
};

/// Whether the textbook failed somewhere and this library nowhere.
bool print(const claims& promised, const std::vector<double>& sharpness,
           const std::vector<attention::comparison>& heads) {
    std::printf("\nScores and probabilities in %s:\n\n  %9s %8s %22s %22s %12s %10s %11s\n", promised.name, "head",
                "largest", "textbook:", "safe:", "probability", "output", "blockwise");
    std::printf("  %9s %8s %22s %22s %12s %10s %11s\n", "sharpness", "logit", "rows with NaN", "rows with NaN", "ulp",
                "ulp", "ulp");
    bool safe = true, textbook_failed = false;
    for (std::size_t h = 0; h < heads.size(); ++h) {
        const attention::comparison& c = heads[h];
        std::printf("  %9g %8.1f %14zu of %4zu %14zu of %4zu %12.3f %10.3f %11.3f\n", sharpness[h], c.largest_logit,
                    c.textbook_nan_rows, c.rows, c.safe_nan_rows, c.rows, c.probability_ulp, c.output_ulp,
                    c.blockwise_ulp);
        textbook_failed = textbook_failed || c.textbook_nan_rows > 0;
        safe = safe && c.safe_nan_rows == 0 && c.probability_ulp <= promised.probability_ulp &&
               c.output_ulp <= promised.output_ulp && c.blockwise_ulp <= blockwise_claim;
    }
    std::printf("  claimed: a NaN of the textbook; none of safe; at most %g ulp, %g ulp and %g ulp: %s\n",
                promised.probability_ulp, promised.output_ulp, blockwise_claim,
                safe && textbook_failed ? "seen" : "NOT SEEN");
    return safe && textbook_failed;
}

std::size_t whole_number(const char* text) {
    std::size_t value = 0;
    const char* const end = text + std::strlen(text);
    if (std::from_chars(text, end, value).ptr != end || value < shortest || value > longest)
        throw std::invalid_argument(std::string("length: \"") + text + "\" is no whole number from " +
                                    std::to_string(shortest) + " to " + std::to_string(longest));
    return value;
}

/// The share of rows that turned into NaN, over the largest logit.
void draw(const std::string& svg, const std::vector<attention::comparison>& in_float,
          const std::vector<attention::comparison>& in_float16, const std::vector<attention::comparison>& in_bfloat16) {
    plot::figure f{
        "largest logit of the head", "rows with NaN, %", "set logscale x\nset yrange [-5:105]\nset key left top", {}};
    const auto add = [&](const char* title, const std::vector<attention::comparison>& heads,
                         std::size_t attention::comparison::* nan_rows) {
        plot::curve curve{title, "linespoints pt 7 ps 0.6 lw 2", {}};
        for (const attention::comparison& c : heads)
            curve.points.emplace_back(c.largest_logit,
                                      100.0 * static_cast<double>(c.*nan_rows) / static_cast<double>(c.rows));
        f.curves.push_back(curve);
    };
    add("textbook, float16", in_float16, &attention::comparison::textbook_nan_rows);
    add("textbook, bfloat16", in_bfloat16, &attention::comparison::textbook_nan_rows);
    add("textbook, float", in_float, &attention::comparison::textbook_nan_rows);
    f.curves.back().style += " dt 2";  // on top of bfloat16, which has the same exponents
    add("safe, float16", in_float16, &attention::comparison::safe_nan_rows);
    if (plot::draw(f, svg)) std::printf("\nDrawn in %s.\n", svg.c_str());
    else std::printf("\nNot drawn: there is no gnuplot (Debian, Ubuntu: apt-get install gnuplot-nox).\n");
}

int run(const std::string& path, std::size_t length, const std::string& svg) {
    const std::string all = text::read(path), text = all.substr(0, length);
    if (text.size() < shortest)
        throw std::invalid_argument(path + ": " + std::to_string(text.size()) + " bytes are too few, " +
                                    std::to_string(shortest) + " are needed");
    const std::vector<double> sharpness{3, 10, 30, 100, 300, 1000};
    std::printf(
        "%zu bytes of text, %zu heads of %zu features. A head looks for the same byte before, and for what followed it "
        "there; sharpness\n"
        "is the logit of a match. ulp: in units of the last place of the type; of blockwise, of float, in which blocks "
        "are summed up.\n",
        text.size(), sharpness.size(), attention::width);

    const attention::heads heads(text, sharpness, 1);
    const std::vector<attention::comparison> in_float = attention::compare<float, float>(heads, true),
                                             in_float16 = attention::compare<smx::float16, float>(heads, true),
                                             in_bfloat16 = attention::compare<smx::bfloat16, float>(heads, true);
    bool seen = print({"float", 5, 11}, sharpness, in_float);
    seen = print({"float16", 0.52, 1.04}, sharpness, in_float16) && seen;
    seen = print({"bfloat16", 0.52, 1.04}, sharpness, in_bfloat16) && seen;
    if (!svg.empty()) draw(svg, in_float, in_float16, in_bfloat16);
    return seen ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 4) {
        std::cerr << "usage: " << argv[0] << " [file [length [plot.svg]]]\n";
        return 1;
    }
    try {
        return run(argc > 1 ? argv[1] : SMX_EXAMPLE_SOURCE_DIR "/LICENSE", argc > 2 ? whole_number(argv[2]) : 2048,
                   argc > 3 ? argv[3] : "");
    } catch (const std::exception& error) {
        std::cerr << "attention: " << error.what() << '\n';
        return 1;
    }
}
