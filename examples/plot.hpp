// SPDX-License-Identifier: BSL-1.0
// Curves as SVG, drawn by gnuplot.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace plot {

struct curve {
    std::string title, style;  ///< style: as gnuplot has it, "lines lw 2"
    std::vector<std::pair<double, double>> points;
};

struct figure {
    std::string x_label, y_label, settings;  ///< settings: further commands to gnuplot
    std::vector<curve> curves;
};

inline bool gnuplot_found() {
#if defined(_WIN32)
    return std::system("gnuplot --version >NUL 2>&1") == 0;
#else
    return std::system("gnuplot --version >/dev/null 2>&1") == 0;
#endif
}

/// Text that means nothing but itself to gnuplot.
inline std::string quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
    return result + "'";
}

/// Writes `svg`, and beside it the script for gnuplot with the data in it. False, with the script written all the same,
/// if there is no gnuplot.
inline bool draw(const figure& f, const std::filesystem::path& svg) {
    std::filesystem::path script = svg;
    script.replace_extension(".gnuplot");
    std::ofstream file(script);
    for (std::size_t i = 0; i < f.curves.size(); ++i) {
        file << "$curve" << i << " << END\n";
        for (const auto& [x, y] : f.curves[i].points)
            if (!std::isnan(y)) file << x << ' ' << y << '\n';
        file << "END\n";
    }
    file << "set terminal svg size 800,450 font 'sans,13' background 'white'\nset output " << quoted(svg.string())
         << "\nset grid\nset xlabel " << quoted(f.x_label) << "\nset ylabel " << quoted(f.y_label) << '\n'
         << f.settings << "\nplot";
    for (std::size_t i = 0; i < f.curves.size(); ++i)
        file << (i == 0 ? " " : ", ") << "$curve" << i << " with " << f.curves[i].style << " title "
             << quoted(f.curves[i].title);
    file << '\n';
    file.close();
    if (!file) throw std::runtime_error(script.string() + ": cannot be written");
    if (!gnuplot_found()) return false;
#if defined(_WIN32)
    const std::string command = "gnuplot \"" + script.string() + '"';
#else
    std::string argument = "'";  // for the shell a ' is '\''
    for (const char c : script.string()) argument += c == '\'' ? std::string("'\\''") : std::string(1, c);
    const std::string command = "gnuplot " + argument + "'";
#endif
    if (std::system(command.c_str()) != 0) throw std::runtime_error(script.string() + ": gnuplot did not draw it");
    return true;
}

}  // namespace plot
