// SPDX-License-Identifier: BSL-1.0
// A training in a file. Lines of text say what it is, numbers follow as they are in memory, and a fingerprint of all of
// it closes it:
//
//     safe_softmax tiny_gpt checkpoint 1
//     layers 2                              what the training is: has to be the same where it is taken up again
//     …
//     steps 1200                            how far it got
//     milliseconds 31234
//     points 60
//     best-bits …                           as the bits of a double
//     (an empty line; parameters; their two moments; the best parameters; the points of the history; fingerprint)
#pragma once

#include "../text.hpp"
#include "history.hpp"
#include "trainer.hpp"

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace gpt {

/// What a training is: names and values. One with other values is another training.
using identity = std::vector<std::pair<std::string, std::uint64_t>>;

/// @param score_type  of which type scores are held; any number that tells one type from another
template <class Real, class Score>
identity identity_of(const trainer<Real, Score>& t, bytes text, std::uint64_t score_type) {
    const std::string_view characters(reinterpret_cast<const char*>(text.data()), text.size());
    return {{"layers", unsigned_of(t.shape().layers)},
            {"heads", unsigned_of(t.shape().heads)},
            {"width", unsigned_of(t.shape().width)},
            {"context", unsigned_of(t.shape().context)},
            {"batch", unsigned_of(t.options().batch)},
            {"learning-rate", std::bit_cast<std::uint64_t>(t.options().rate)},
            {"seed", t.options().seed},
            {"score-type", score_type},
            {"bytes-of-a-number", sizeof(Real)},
            {"big-endian", std::endian::native == std::endian::big},
            {"training-text", text::fingerprint(characters)}};
}

/// What of a training does not follow from its identity.
template <class Real>
struct resumable {
    training_state<Real>& state;
    std::uint64_t& milliseconds;  ///< that it has taken
    history& points;
};

namespace detail {

inline constexpr std::string_view first_line = "safe_softmax tiny_gpt checkpoint 1\n";

template <class T>
void append(std::string& to, const T* data, std::size_t count) {
    to.append(reinterpret_cast<const char*>(data), count * sizeof(T));
}

/// Takes pieces off the front of a checkpoint.
class checkpoint_reader {
public:
    checkpoint_reader(const std::filesystem::path& path, std::string_view rest) : path_(path), rest_(rest) {}

    [[noreturn]] void fail(const std::string& what) const { throw std::runtime_error(path_.string() + ": " + what); }

    /// The number of the next line, which is "name number".
    std::uint64_t number(const std::string& name) {
        const std::size_t end = rest_.find('\n');
        const std::string_view line = rest_.substr(0, end);
        std::uint64_t value = 0;
        const char* const last = line.data() + line.size();
        const bool named = end != std::string_view::npos && line.substr(0, name.size() + 1) == name + ' ';
        if (!named || std::from_chars(line.data() + name.size() + 1, last, value).ptr != last)
            fail("there is no line with its " + name);
        rest_.remove_prefix(end + 1);
        return value;
    }
    template <class T>
    void take(T* data, std::size_t count) {
        std::memcpy(static_cast<void*>(data), rest_.data(), count * sizeof(T));
        rest_.remove_prefix(count * sizeof(T));
    }
    std::string_view& rest() { return rest_; }

private:
    const std::filesystem::path& path_;
    std::string_view rest_;
};

}  // namespace detail

/// Writes a file next to it and then renames that: whenever the program is killed, `path` is the checkpoint from before or this
/// one. (If the power fails, that is up to the file system.)
template <class Real>
void save_checkpoint(const std::filesystem::path& path, const identity& who, const resumable<Real>& p) {
    std::string content(detail::first_line);
    const auto line = [&](const std::string& name, std::uint64_t value) {
        content += name + ' ' + std::to_string(value) + '\n';
    };
    for (const auto& [name, value] : who) line(name, value);
    line("steps", p.state.steps);
    line("milliseconds", p.milliseconds);
    line("points", p.points.size());
    line("best-bits", std::bit_cast<std::uint64_t>(p.state.best_bits));
    content += '\n';
    for (const numbers<Real>* array :
         {&p.state.values, &p.state.optimiser.mean, &p.state.optimiser.square, &p.state.best})
        detail::append(content, array->data(), unsigned_of(array->size()));
    detail::append(content, p.points.data(), p.points.size());
    const std::uint64_t fingerprint = text::fingerprint(content);
    detail::append(content, &fingerprint, 1);

    std::filesystem::path unfinished = path;
    unfinished += ".unfinished";
    std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) throw std::runtime_error(unfinished.string() + ": cannot be written");
    std::filesystem::rename(unfinished, path);
}

/// Throws std::runtime_error, with nothing changed, neither `p` nor the file, if the file is no checkpoint, is damaged, or
/// is one of another training.
template <class Real>
void load_checkpoint(const std::filesystem::path& path, const identity& who, const resumable<Real>& p) {
    const std::string content = text::read(path);
    detail::checkpoint_reader in(path, content);
    std::string_view& rest = in.rest();
    if (rest.substr(0, detail::first_line.size()) != detail::first_line) in.fail("is no checkpoint of tiny_gpt");
    std::uint64_t fingerprint = 0;
    if (rest.size() >= detail::first_line.size() + sizeof fingerprint) {
        std::memcpy(&fingerprint, rest.data() + rest.size() - sizeof fingerprint, sizeof fingerprint);
        rest.remove_suffix(sizeof fingerprint);
    }
    if (text::fingerprint(rest) != fingerprint) in.fail("is a checkpoint that is cut off or damaged");
    rest.remove_prefix(detail::first_line.size());

    for (const auto& [name, value] : who) {
        const std::uint64_t found = in.number(name);
        if (found != value)
            in.fail("is a checkpoint of another training: its " + name + " is " + std::to_string(found) +
                    ", but here it is " + std::to_string(value));
    }
    const std::uint64_t steps = in.number("steps"), milliseconds = in.number("milliseconds"),
                        points = in.number("points"), best_bits = in.number("best-bits");
    const std::size_t size = unsigned_of(p.state.values.size());
    const std::size_t expected = 1 + 4 * size * sizeof(Real);
    if (rest.size() < expected || (rest.size() - expected) / sizeof(history_point) != points ||
        (rest.size() - expected) % sizeof(history_point) != 0)
        in.fail("has " + std::to_string(rest.size()) + " bytes of numbers, which is not what belongs to " +
                std::to_string(size) + " parameters and " + std::to_string(points) + " points");
    rest.remove_prefix(1);

    for (numbers<Real>* array : {&p.state.values, &p.state.optimiser.mean, &p.state.optimiser.square, &p.state.best})
        in.take(array->data(), size);
    p.points.resize(points);
    in.take(p.points.data(), points);
    p.state.steps = steps;
    p.state.best_bits = std::bit_cast<double>(best_bits);
    p.milliseconds = milliseconds;
}

}  // namespace gpt
