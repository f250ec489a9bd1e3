// SPDX-License-Identifier: BSL-1.0
// Text to learn from: the bytes of files, the last parts of each of them held out.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace text {

using paths = std::vector<std::filesystem::path>;

inline std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file || std::filesystem::is_directory(path)) throw std::runtime_error(path.string() + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Files stay what they are; a folder becomes its files with text, those of its folders too, in the order of their names.
inline paths files_of(const paths& files_and_folders) {
    constexpr std::array<std::string_view, 4> endings{".md", ".txt", ".hpp", ".cpp"};
    paths result;
    for (const std::filesystem::path& path : files_and_folders) {
        if (!std::filesystem::is_directory(path)) {
            result.push_back(path);
            continue;
        }
        paths found;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
            const std::string ending = entry.path().extension().string();
            if (entry.is_regular_file() && std::find(endings.begin(), endings.end(), ending) != endings.end())
                found.push_back(entry.path());
        }
        std::sort(found.begin(), found.end());
        result.insert(result.end(), found.begin(), found.end());
    }
    return result;
}

struct split {
    std::string training;    ///< to learn from
    std::string validation;  ///< to tell by when to stop learning
    std::string held_out;    ///< to be judged by, once
};

/// Of every file the first part, a share before its end and the same share at its end: what is held out is never seen in
/// training, not even in passing, but is of the same kind.
inline split hold_out_ends(const paths& files, double share) {
    split result;
    for (const std::filesystem::path& path : files) {
        const std::string all = read(path);
        const auto part = static_cast<std::size_t>(std::floor(static_cast<double>(all.size()) * share));
        result.training += all.substr(0, all.size() - 2 * part);
        result.validation += all.substr(all.size() - 2 * part, part);
        result.held_out += all.substr(all.size() - part);
    }
    return result;
}

/// FNV-1a: tells one text, or file, from another.
inline std::uint64_t fingerprint(std::string_view bytes) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

}  // namespace text
