// SPDX-License-Identifier: BSL-1.0
// softmax, log_softmax or logsumexp of a file: NumPy's .npy or CSV, from a file or a pipe to a file or a pipe.
//
//     softmax_cli softmax logits.npy probabilities.npy --axis 1 --scale 0.125
//     zcat scores.csv.gz | softmax_cli log_softmax --header > log_probabilities.csv
//
// Files may be larger than memory. An output file comes into being whole or not at all. Exits with 0, with 1 and a message if
// a file could not be read or written, with 2 if the arguments are wrong.
#include "cli/byte_files.hpp"
#include "cli/csv_rows.hpp"
#include "cli/npy_rows.hpp"
#include "cli/progress.hpp"
#include "cli/request.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

namespace {

enum class file_format { detect, npy, csv };

struct arguments {
    request asked;
    std::string in = "-", out = "-", delimiter = ",";
    file_format format = file_format::detect;
    progress::mode shown = progress::mode::when_seen;
};

void define(CLI::App& app, arguments& a, double& temperature, std::size_t& mebibytes, bool& ieee) {
    const std::map<std::string, wanted> functions{
        {"softmax", wanted::softmax}, {"log_softmax", wanted::log_softmax}, {"logsumexp", wanted::logsumexp}};
    const std::map<std::string, file_format> formats{
        {"detect", file_format::detect}, {"npy", file_format::npy}, {"csv", file_format::csv}};
    const std::map<std::string, std::size_t> types{{"f2", 2}, {"f4", 4}, {"f8", 8}};
    const std::map<std::string, progress::mode> modes{
        {"auto", progress::mode::when_seen}, {"always", progress::mode::always}, {"never", progress::mode::never}};
    app.add_option("function", a.asked.function, "softmax, log_softmax or logsumexp")
        ->required()
        ->transform(CLI::CheckedTransformer(functions).description(""));
    app.add_option("input", a.in, "a file, or - for standard input");
    app.add_option("output", a.out, "a file, or - for standard output");
    app.add_option("-a,--axis", a.asked.options.axis,
                   "the axis that the function runs along; negative counts from the back (-1)");
    CLI::Option* scale = app.add_option("-s,--scale", a.asked.options.scale, "logits are multiplied by it (1)");
    app.add_option("-t,--temperature", temperature, "logits are divided by it")->excludes(scale);
    app.add_flag("--ieee", ieee, "NaN for rows that are all -inf or have +inf, as NumPy's formulas give");
    app.add_flag("--keepdims", a.asked.keepdims, "logsumexp keeps the axis, with extent 1 (.npy)");
    app.add_option("-d,--dtype", a.asked.item_size,
                   "type of the results: f2, f4 or f8 (that of an .npy input; CSV: f8)")
        ->transform(CLI::CheckedTransformer(types).description(""));
    app.add_option("-f,--format", a.format, "npy or csv (what the file's name or first byte tells)")
        ->transform(CLI::CheckedTransformer(formats).description(""));
    app.add_flag("--header", a.asked.header, "CSV: the first line is passed through");
    app.add_option("--delimiter", a.delimiter, "CSV: , ; | tab or space (,)")
        ->check(CLI::IsMember({",", ";", "|", "tab", "space"}).description(""));
    app.add_option("--memory", mebibytes, "MiB that rows and results may take (256)")
        ->check(CLI::Range(std::size_t(1), std::size_t(1) << 30));
    app.add_option("--progress", a.shown, "auto (on a terminal, after a second), always or never")
        ->transform(CLI::CheckedTransformer(modes).description(""));
    app.set_version_flag("--version", "softmax_cli, safe_softmax " + std::to_string(SMX_VERSION_MAJOR) + "." +
                                          std::to_string(SMX_VERSION_MINOR) + "." + std::to_string(SMX_VERSION_PATCH));
}

/// An .npy file is one that is called so, or begins as one.
bool is_npy(const arguments& a, byte_source& in, std::string& start) {
    if (a.format != file_format::detect) return a.format == file_format::npy;
    if (a.in.ends_with(".npy")) return true;
    start.resize(1);
    if (in.regular()) {
        char first = 0;
        start.clear();
        return in.read_at(&first, 1, 0) == 1 && first == npy::magic[0];
    }
    start.resize(in.read(start.data(), 1));
    return start == npy::magic.substr(0, 1);
}

void run(const arguments& a) {
    byte_source in(a.in);
    std::string start;
    const bool npy = is_npy(a, in, start);
    byte_sink out(a.out);
    progress p(a.shown, in.name());
    if (npy) npy_rows(in, out, a.asked, p, start).run();
    else csv_rows(in, out, a.asked, p, start).run();
    out.commit();
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGXFSZ, SIG_IGN);  // a file that may grow no more is a message, too
    CLI::App app("softmax, log_softmax and logsumexp of .npy and CSV files, of any size");
    arguments a;
    double temperature = 1;
    std::size_t mebibytes = 256;
    bool ieee = false;
    define(app, a, temperature, mebibytes, ieee);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    if (app.count("--temperature") != 0) a.asked.options.scale = 1 / temperature;
    if (!std::isfinite(a.asked.options.scale)) {
        if (app.count("--temperature") != 0)
            std::fprintf(stderr, "softmax_cli: --temperature is %g, but 1/temperature must be finite\n", temperature);
        else std::fprintf(stderr, "softmax_cli: --scale is %g, but it must be finite\n", a.asked.options.scale);
        return 2;
    }
    if (ieee) a.asked.options.special = smx::special_values::ieee;
    a.asked.delimiter = a.delimiter == "tab" ? '\t' : a.delimiter == "space" ? ' ' : a.delimiter[0];
    a.asked.memory = mebibytes << 20;
    try {
        run(a);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "softmax_cli: %s\n", e.what());
        return 1;
    }
    return 0;
}
