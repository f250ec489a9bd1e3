// SPDX-License-Identifier: BSL-1.0
#pragma once

// The header of NumPy's .npy files, read and written, versions 1 to 3: what the bytes after it are. Those are for others to
// move, so that arrays may be larger than memory.
//
// The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace npy {

/// What is wrong with a file, for its user to read; without the file's name.
struct format_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct header {
    char kind = 'f';            ///< of the elements: f float, i and u integers, b bool, c complex, and so on
    std::size_t item_size = 4;  ///< bytes of an element
    bool big_endian = false;
    bool fortran_order = false;
    std::vector<std::size_t> shape;

    std::string descr() const {
        return (item_size == 1 ? "|" : big_endian ? ">" : "<") + std::string(1, kind) + std::to_string(item_size);
    }
};

/// "(3, 4)", as Python writes it.
inline std::string to_string(const std::vector<std::size_t>& shape) {
    std::string text = "(";
    for (std::size_t d = 0; d < shape.size(); ++d) text += (d == 0 ? "" : ", ") + std::to_string(shape[d]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

/// How many elements there are. Throws format_error if their bytes cannot be counted in 63 bits.
inline std::size_t element_count(const header& h) {
    constexpr std::size_t limit = (std::numeric_limits<std::size_t>::max)() / 2;
    std::size_t count = 1;
    for (const std::size_t extent : h.shape)
        if (extent == 0) return 0;
    for (const std::size_t extent : h.shape) {
        if (extent > limit / h.item_size / count)
            throw format_error("shape " + to_string(h.shape) + " has more elements than can be counted");
        count *= extent;
    }
    return count;
}

namespace detail {

/// The dictionary of a header, a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class dictionary_parser {
public:
    explicit dictionary_parser(std::string_view text) : text_(text) {}

    header parse() {
        header h;
        bool descr = false, order = false, shape = false;
        expect('{');
        while (!accept('}')) {
            const std::string key = quoted();
            expect(':');
            if (key == "descr") parse_descr(h), mark(descr, key);
            else if (key == "fortran_order") h.fortran_order = boolean(), mark(order, key);
            else if (key == "shape") h.shape = tuple(), mark(shape, key);
            else wrong("key '" + key + "' is none of descr, fortran_order, shape");
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        skip_spaces();
        if (at_ != text_.size()) wrong("something follows the dictionary");
        if (!descr) wrong("descr is missing");
        if (!order) wrong("fortran_order is missing");
        if (!shape) wrong("shape is missing");
        return h;
    }

private:
    [[noreturn]] void wrong(const std::string& what) const {
        throw format_error("damaged header: " + what + ", at byte " + std::to_string(at_) + " of its dictionary");
    }
    void mark(bool& seen, const std::string& key) const {
        if (seen) wrong("key '" + key + "' stands there twice");
        seen = true;
    }
    void skip_spaces() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
            ++at_;
    }
    bool accept(char c) {
        skip_spaces();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!accept(c)) wrong(std::string("'") + c + "' is missing");
    }
    std::string quoted() {
        skip_spaces();
        const char quote = at_ < text_.size() ? text_[at_] : '\0';
        if (quote != '\'' && quote != '"') wrong("a quoted word is missing");
        const std::size_t end = text_.find(quote, at_ + 1);
        if (end == std::string_view::npos) wrong("a quotation has no end");
        const std::string word(text_.substr(at_ + 1, end - at_ - 1));
        at_ = end + 1;
        return word;
    }
    bool boolean() {
        skip_spaces();
        for (const std::string_view word : {std::string_view("True"), std::string_view("False")}) {
            if (text_.substr(at_, word.size()) != word) continue;
            at_ += word.size();
            return word == "True";
        }
        wrong("fortran_order is neither True nor False");
    }
    std::size_t number() {
        skip_spaces();
        const std::size_t begin = at_;
        std::size_t value = 0;
        for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
            const std::size_t digit = static_cast<std::size_t>(text_[at_] - '0');
            if (value > ((std::numeric_limits<std::size_t>::max)() - digit) / 10)
                wrong("a number of shape is larger than 64 bits can hold");
            value = value * 10 + digit;
        }
        if (at_ == begin) wrong("a number of shape is missing");
        if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2
        return value;
    }
    std::vector<std::size_t> tuple() {
        std::vector<std::size_t> values;
        expect('(');
        while (!accept(')')) {
            values.push_back(number());
            if (accept(',')) continue;
            expect(')');
            break;
        }
        return values;
    }
    void parse_descr(header& h) {
        skip_spaces();
        if (at_ < text_.size() && text_[at_] == '[') wrong("descr is a list: arrays of records cannot be read");
        const std::string d = quoted();
        std::size_t size = 0, digits = 0;
        for (std::size_t i = 2; i < d.size() && d[i] >= '0' && d[i] <= '9' && digits < 6; ++i, ++digits)
            size = size * 10 + static_cast<std::size_t>(d[i] - '0');
        if (d.size() < 3 || std::string_view("<>=|").find(d[0]) == std::string_view::npos || digits != d.size() - 2 ||
            size == 0)
            wrong("descr '" + d + "' is no type such as '<f4'");
        h.big_endian = d[0] == '>';
        h.kind = d[1];
        h.item_size = size;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

inline std::string hexadecimal(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        const unsigned b = static_cast<unsigned char>(c);
        text += (text.empty() ? "" : " ") + std::string(1, "0123456789abcdef"[b >> 4]) + "0123456789abcdef"[b & 15];
    }
    return text;
}

}  // namespace detail

inline constexpr std::string_view magic = "\x93NUMPY";

/// Reads a header. read(n) gives the next n bytes, or fewer where the file ends. Throws format_error.
inline header read_header(const std::function<std::string(std::size_t)>& read) {
    const auto all = [&](std::size_t n, const std::string& of) {
        const std::string bytes = read(n);
        if (bytes.size() != n)
            throw format_error("ends after " + std::to_string(bytes.size()) + " of the " + std::to_string(n) +
                               " bytes of " + of);
        return bytes;
    };
    const std::string start = read(magic.size());
    if (start.empty()) throw format_error("is empty");
    if (start != magic.substr(0, start.size()))
        throw format_error("is no .npy file: it begins with " + detail::hexadecimal(start) +
                           (start.starts_with("PK") ? ", as a zip archive does (.npz?)" : ""));
    if (start.size() != magic.size())
        throw format_error("ends after " + std::to_string(start.size()) + " bytes, in the middle of the magic number");
    const std::string version = all(2, "its version");
    const int major = static_cast<unsigned char>(version[0]), minor = static_cast<unsigned char>(version[1]);
    if (major < 1 || major > 3)
        throw format_error("has version " + std::to_string(major) + "." + std::to_string(minor) +
                           " of the format: 1, 2 and 3 can be read");
    const std::string length_bytes = all(major == 1 ? 2 : 4, "the length of its header");
    std::size_t length = 0;
    for (std::size_t i = length_bytes.size(); i-- > 0;)
        length = length << 8 | static_cast<unsigned char>(length_bytes[i]);
    constexpr std::size_t longest = 1 << 20;
    if (length > longest) throw format_error("damaged header: its length is " + std::to_string(length) + " bytes");
    header h = detail::dictionary_parser(all(length, "its header")).parse();
    element_count(h);
    return h;
}

/// What read_header understands: the array begins at a multiple of 64 bytes.
inline std::string header_bytes(const header& h) {
    std::string dictionary = "{'descr': '" + h.descr() + "', 'fortran_order': " + (h.fortran_order ? "True" : "False") +
                             ", 'shape': " + to_string(h.shape) + ", }";
    const std::size_t lead = magic.size() + 2;
    const auto pad = [&](std::size_t before) {
        return std::string((64 - (before + dictionary.size() + 1) % 64) % 64, ' ') + "\n";
    };
    const bool short_length = dictionary.size() + 128 < 65536;
    dictionary += pad(lead + (short_length ? 2 : 4));
    std::string bytes(magic);
    bytes += {static_cast<char>(short_length ? 1 : 2), '\0'};
    for (std::size_t i = 0; i < (short_length ? 2u : 4u); ++i)
        bytes += static_cast<char>(dictionary.size() >> 8 * i & 255);
    return bytes + dictionary;
}

}  // namespace npy
