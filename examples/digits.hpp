// SPDX-License-Identifier: BSL-1.0
// The handwritten digits of data/digits.csv, read strictly: an image is 64 pixels of 0 to 16 and the digit it shows.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace digits {

inline constexpr std::size_t pixel_count = 64;
inline constexpr std::size_t class_count = 10;

struct image {
    std::array<float, pixel_count> pixels;
    std::size_t digit;
};

namespace detail {

/// Where in which file; what is wrong there goes behind it.
struct location {
    const std::string& path;
    std::size_t line;

    [[noreturn]] void fail(const std::string& what) const {
        throw std::runtime_error(path + ", line " + std::to_string(line) + ": " + what);
    }
};

/// Text of the file as it can be shown in a message: short, in quotes, nothing that a terminal would obey.
inline std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 24;
    std::string shown(text.substr(0, longest));
    std::replace_if(shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return '"' + shown + (text.size() > longest ? "...\"" : "\"");
}

inline std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> fields;
    for (;;) {
        const std::size_t comma = line.find(',');
        fields.push_back(line.substr(0, comma));
        if (comma == std::string_view::npos) return fields;
        line.remove_prefix(comma + 1);
    }
}

/// Field `column` (from 0) as a whole number of 0 to `largest`.
inline int whole_number(std::string_view text, const char* name, int largest, std::size_t column, const location& at) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto fail = [&](const std::string& why) {
        at.fail("column " + std::to_string(column + 1) + ": " + name + " " + quoted(text) + why);
    };
    if (error == std::errc::invalid_argument || end != text.data() + text.size()) fail(" is not a whole number");
    if (error != std::errc{} || value < 0 || value > largest) fail(" is not within 0 to " + std::to_string(largest));
    return value;
}

inline image parse(std::string_view line, const location& at) {
    const std::vector<std::string_view> fields = split(line);
    if (fields.size() != pixel_count + 1) {
        at.fail("expected " + std::to_string(pixel_count + 1) + " fields, 64 pixels and the digit, found " +
                std::to_string(fields.size()) + " in " + quoted(line));
    }
    image result{};
    for (std::size_t i = 0; i < pixel_count; ++i) {
        result.pixels[i] = static_cast<float>(whole_number(fields[i], "pixel", 16, i, at));
    }
    result.digit = static_cast<std::size_t>(whole_number(fields.back(), "digit", 9, pixel_count, at));
    return result;
}

}  // namespace detail

/// All images of a file. Throws std::runtime_error, whose text names the file and, for what is wrong inside it, the line,
/// the column and the value; fewer than `at_least` images are wrong too.
inline std::vector<image> read(const std::string& path, std::size_t at_least) {
    errno = 0;
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + ": cannot be opened: " + std::generic_category().message(errno));
    std::vector<image> images;
    std::string line;
    for (std::size_t number = 1; std::getline(file, line); ++number) {
        if (line.ends_with('\r')) line.pop_back();
        images.push_back(detail::parse(line, {path, number}));
    }
    if (file.bad()) throw std::runtime_error(path + ": cannot be read: " + std::generic_category().message(errno));
    if (images.empty()) detail::location{path, 1}.fail("the file is empty");
    if (images.size() < at_least) {
        detail::location{path, images.size()}.fail("the file ends here, at least " + std::to_string(at_least) +
                                                   " images are needed");
    }
    return images;
}

/// What is learnt from, and every fourth image, which is only ever predicted.
struct split_images {
    std::vector<image> training, held_out;
};

inline split_images hold_out_a_quarter(const std::vector<image>& images) {
    split_images result;
    for (std::size_t i = 0; i < images.size(); ++i)
        (i % 4 == 3 ? result.held_out : result.training).push_back(images[i]);
    return result;
}

}  // namespace digits
