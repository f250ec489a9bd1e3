// SPDX-License-Identifier: BSL-1.0
#pragma once

// A function of a CSV file of numbers: line by line along a line, which takes the memory of one line; the whole table for columns.

#include "byte_files.hpp"
#include "progress.hpp"
#include "request.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

class csv_rows {
public:
    /// `start`: what has been read of the file.
    csv_rows(byte_source& in, byte_sink& out, const request& r, progress& p, std::string start)
        : in_(in), out_(out), request_(r), progress_(p), buffer_(std::move(start)) {}

    void run() {
        progress_.of(in_.size());
        if (request_.options.axis < -2 || request_.options.axis > 1)
            throw file_error(in_.name() + ": has rows and columns, but --axis is " +
                             std::to_string(request_.options.axis));
        const bool by_line = request_.options.axis == -1 || request_.options.axis == 1;
        std::string_view line;
        std::vector<double> table;
        for (bool first = true; next_line(line); first = false) {
            if (first && request_.header) {
                if (request_.function != wanted::logsumexp || !by_line) (text_ += line) += '\n';
                continue;
            }
            if (line.find_first_not_of(" \t") == std::string_view::npos) {
                if (blank_ == 0) blank_ = number_;
                continue;
            }
            if (blank_ != 0) throw file_error(in_.name() + ": line " + std::to_string(blank_) + " is empty");
            if (by_line) {
                row_.clear();
                parse(line, row_);
                write_rows(row_, 1, -1);
            } else {
                parse(line, table);
                if (table.size() * 2 * sizeof(double) > request_.memory)
                    throw file_error(in_.name() + ": along columns the whole table is needed, and at line " +
                                     std::to_string(number_) + " it is larger than --memory allows");
            }
            progress_.at(in_.consumed());
        }
        if (columns_ == 0) throw file_error(in_.name() + ": has no rows");
        if (!by_line) write_rows(table, table.size() / columns_, 0);
        flush();
    }

private:
    /// False at the end. The line is good until the next call.
    bool next_line(std::string_view& line) {
        std::size_t searched = begin_;
        while (true) {
            const std::size_t end = buffer_.find('\n', searched);
            if (end != std::string::npos) {
                line = std::string_view(buffer_).substr(begin_, end - begin_);
                begin_ = end + 1;
                break;
            }
            searched = buffer_.size();
            if (begin_ != 0) {
                buffer_.erase(0, begin_);
                searched -= begin_;
                begin_ = 0;
            }
            const std::size_t old = buffer_.size(), step = 1 << 18;
            buffer_.resize(old + step);
            buffer_.resize(old + in_.read(buffer_.data() + old, step));
            if (buffer_.size() != old) continue;
            if (buffer_.empty()) return false;
            line = buffer_;  // the last line has no end
            begin_ = buffer_.size();
            break;
        }
        if (++number_ == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);  // Excel's
        if (line.ends_with('\r')) line.remove_suffix(1);
        return true;
    }

    [[noreturn]] void wrong(std::size_t field, std::string_view text, const std::string& what) const {
        std::string shown(text.substr(0, 24));
        std::replace_if(shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
        throw file_error(in_.name() + ": line " + std::to_string(number_) + ", field " + std::to_string(field) +
                         ": \"" + shown + (text.size() > 24 ? "...\" " : "\" ") + what);
    }

    void parse(std::string_view line, std::vector<double>& into) {
        std::size_t field = 0;
        for (bool more = true; more;) {
            const std::size_t end = line.find(request_.delimiter);
            std::string_view text = line.substr(0, end);
            more = end != std::string_view::npos;
            if (more) line.remove_prefix(end + 1);
            ++field;
            while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
            while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
            if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
            std::string_view digits = text;
            if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
            double value = 0;
            const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
            if (error == std::errc::result_out_of_range) wrong(field, text, "is a number that no double can hold");
            if (error != std::errc{} || rest != digits.data() + digits.size())
                wrong(field, text,
                      number_ == 1 && columns_ == 0 ? "is no number; --header passes a first line of names through"
                                                    : "is no number");
            into.push_back(value);
        }
        if (columns_ != 0 && field != columns_)
            throw file_error(in_.name() + ": line " + std::to_string(number_) + " has " + std::to_string(field) +
                             " fields, but those before have " + std::to_string(columns_));
        columns_ = field;
    }

    void write_rows(const std::vector<double>& values, std::size_t rows, std::ptrdiff_t axis) {
        const std::size_t extents[] = {rows, columns_};
        const bool reduces = request_.function == wanted::logsumexp;
        const std::size_t results[] = {reduces && axis == 0 ? 1 : rows, reduces && axis != 0 ? 1 : columns_};
        const std::size_t size = request_.item_size == 0 ? 8 : request_.item_size;
        result_.resize(results[0] * results[1] * size);
        request r = request_;
        r.options.axis = axis;
        apply(r, smx::const_dynamic_view(values.data(), smx::element_format::binary64, extents),
              smx::dynamic_view(result_.data(), format_of_size(size), results));
        for (std::size_t i = 0; i < results[0] * results[1]; ++i) {
            if (size == 8) append(reinterpret_cast<const double*>(result_.data())[i]);
            else if (size == 4) append(reinterpret_cast<const float*>(result_.data())[i]);
            else append(static_cast<float>(reinterpret_cast<const smx::float16*>(result_.data())[i]));
            text_ += (i + 1) % results[1] == 0 ? '\n' : request_.delimiter;
        }
        if (text_.size() > (1 << 20)) flush();
    }
    /// The shortest text that reads back as the same number. NaN has no sign here.
    template <class T>
    void append(T value) {
        char text[32];
        const bool nan = (value < 0) == (value >= 0);
        const auto end = std::to_chars(text, text + sizeof text, value).ptr;
        if (nan) text_ += "nan";
        else text_.append(text, end);
    }
    void flush() {
        out_.write(text_.data(), text_.size());
        text_.clear();
    }

    byte_source& in_;
    byte_sink& out_;
    const request& request_;
    progress& progress_;
    std::string buffer_, text_;
    std::size_t begin_ = 0, number_ = 0, columns_ = 0, blank_ = 0;
    std::vector<double> row_;
    std::vector<std::byte> result_;
};
