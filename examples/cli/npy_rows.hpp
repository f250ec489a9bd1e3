// SPDX-License-Identifier: BSL-1.0
#pragma once

// A function of an .npy file of any size, rows by rows. Seen in memory order an array is `outer` slabs of `length` x `inner`
// elements, each with `inner` rows along the axis: as many slabs at a time as memory allows. Slabs that are larger than that are
// read twice, in tiles, with an online_softmax for each row.

#include "../npy.hpp"
#include "byte_files.hpp"
#include "progress.hpp"
#include "request.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

class npy_rows {
public:
    /// `start`: what has been read of the file.
    npy_rows(byte_source& in, byte_sink& out, const request& r, progress& p, std::string start)
        : in_(in), out_(out), request_(r), progress_(p), start_(std::move(start)) {}

    void run() {
        try {
            header_ = npy::read_header([&](std::size_t n) {
                std::string bytes = std::move(start_);
                start_.clear();
                const std::size_t known = bytes.size();  // one byte at most
                bytes.resize(n);
                bytes.resize(known + in_.read(bytes.data() + known, n - known));
                return bytes;
            });
        } catch (const npy::format_error& e) {
            throw file_error(in_.name() + ": " + e.what());
        }
        look_at_header();
        check_size();
        const std::string header = npy::header_bytes(result_);
        out_.write(header.data(), header.size());
        out_begin_ = header.size();
        const std::size_t slab = slab_bytes();
        if (outer_ == 0 || inner_ == 0) return;
        if (slab <= request_.memory) by_slabs(slab);
        else by_tiles();
        check_end();
    }

private:
    void look_at_header() {
        const std::string& name = in_.name();
        const std::size_t size = header_.item_size, rank = std::max<std::size_t>(header_.shape.size(), 1);
        if (header_.kind != 'f' || (size != 2 && size != 4 && size != 8))
            throw file_error(name + ": has elements of type '" + header_.descr() +
                             "', but only f2, f4 and f8 can be read");
        const std::ptrdiff_t signed_rank = static_cast<std::ptrdiff_t>(rank);
        std::ptrdiff_t axis = request_.options.axis;
        if (axis < -signed_rank || axis >= signed_rank)
            throw file_error(name + ": has shape " + npy::to_string(header_.shape) + ", but --axis is " +
                             std::to_string(axis));
        if (axis < 0) axis += signed_rank;

        result_ = header_;
        if (request_.item_size != 0) result_.item_size = request_.item_size;
        if (request_.function == wanted::logsumexp && !header_.shape.empty()) {
            if (request_.keepdims) result_.shape[static_cast<std::size_t>(axis)] = 1;
            else result_.shape.erase(result_.shape.begin() + axis);
        }
        std::vector<std::size_t> extents = header_.shape;  // in the order of memory
        if (extents.empty()) extents = {1};
        if (header_.fortran_order) {
            std::reverse(extents.begin(), extents.end());
            axis = signed_rank - 1 - axis;
        }
        for (std::size_t d = 0; d < rank; ++d) {
            if (d == static_cast<std::size_t>(axis)) length_ = extents[d];
            else (d < static_cast<std::size_t>(axis) ? outer_ : inner_) *= extents[d];
        }
        try {
            npy::element_count(result_);
        } catch (const npy::format_error& e) {
            throw file_error(name + ": result: " + e.what());
        }
    }

    std::size_t count() const { return outer_ * length_ * inner_; }
    bool reduces() const { return request_.function == wanted::logsumexp; }
    std::size_t results_of_row() const { return reduces() ? 1 : length_; }
    std::size_t slab_bytes() const {
        return inner_ * (length_ * header_.item_size + results_of_row() * result_.item_size);
    }

    /// Before anything is written, where the size can be known.
    void check_size() {
        const std::uint64_t needed = static_cast<std::uint64_t>(count()) * header_.item_size;
        progress_.of(in_.consumed() + needed);
        if (!in_.regular()) return;
        const std::uint64_t present = in_.size() - std::min(in_.size(), in_.consumed());
        if (present != needed) wrong_size(present);
    }
    [[noreturn]] void wrong_size(std::uint64_t present, const char* more = "") const {
        throw file_error(in_.name() + ": has " + std::to_string(present) + more + " bytes of data, but shape " +
                         npy::to_string(header_.shape) + " of '" + header_.descr() + "' needs " +
                         std::to_string(count() * header_.item_size));
    }
    void check_end() {
        char more;
        if (!in_.regular() && in_.read(&more, 1) == 1) wrong_size(count() * header_.item_size, " and more");
    }

    /// Between the bytes of the file and the processor's.
    static void to_or_from_file(std::byte* data, std::size_t bytes, const npy::header& h) {
        if (h.big_endian == (std::endian::native == std::endian::big)) return;
        for (std::size_t i = 0; i < bytes; i += h.item_size) std::reverse(data + i, data + i + h.item_size);
    }

    void by_slabs(std::size_t slab) {
        constexpr std::size_t enough = 16u << 20;  // so that there is progress
        const std::size_t at_a_time =
            std::clamp<std::size_t>(std::min(request_.memory, enough) / std::max<std::size_t>(slab, 1), 1, outer_);
        const std::size_t in_bytes = length_ * inner_ * header_.item_size,
                          out_bytes = results_of_row() * inner_ * result_.item_size;
        std::vector<std::byte> from(at_a_time * in_bytes), to(at_a_time * out_bytes);
        request r = request_;
        r.options.axis = 1;
        std::uint64_t done = 0;
        for (std::size_t o = 0; o < outer_; o += at_a_time) {
            const std::size_t n = std::min(at_a_time, outer_ - o);
            const std::size_t got = in_.read(from.data(), n * in_bytes);
            done += got;
            if (got != n * in_bytes) wrong_size(done);
            to_or_from_file(from.data(), n * in_bytes, header_);
            const std::size_t extents[] = {n, length_, inner_}, results[] = {n, results_of_row(), inner_};
            apply(r, smx::const_dynamic_view(from.data(), format_of_size(header_.item_size), extents),
                  smx::dynamic_view(to.data(), format_of_size(result_.item_size), results));
            to_or_from_file(to.data(), n * out_bytes, result_);
            out_.write(to.data(), n * out_bytes);
            progress_.at(in_.consumed());
        }
    }

    // ---- slabs larger than memory -------------------------------------------------------------------------------------

    void by_tiles() {
        if (!in_.regular()) in_.spool();
        const std::uint64_t begin = in_.consumed();
        if (in_.size() - begin != static_cast<std::uint64_t>(count()) * header_.item_size)
            wrong_size(in_.size() - begin);
        begin_ = begin;
        if (!reduces()) progress_.of(begin + 2 * static_cast<std::uint64_t>(count()) * header_.item_size);
        with_type(header_.item_size,
                  [&]<class In>(In) { with_type(result_.item_size, [&]<class Out>(Out) { tiles<In, Out>(); }); });
    }

    template <class F>
    static void with_type(std::size_t item_size, const F& f) {
        if (item_size == 2) f(smx::float16{});
        else if (item_size == 8) f(double{});
        else f(float{});
    }

    /// A part of a slab: rows of columns next to each other, some of their elements.
    struct tile {
        std::size_t outer, row, rows, column, columns;
    };
    std::uint64_t place(const tile& t, std::size_t row) const {
        return (static_cast<std::uint64_t>(t.outer) * length_ + t.row + row) * inner_ + t.column;
    }

    template <class In>
    void read_tile(const tile& t, std::vector<In>& into) {
        const bool together = t.columns == inner_;
        const std::size_t pieces = together ? 1 : t.rows, bytes = (together ? t.rows : 1) * t.columns * sizeof(In);
        for (std::size_t i = 0; i < pieces; ++i)
            if (in_.read_at(into.data() + i * t.columns, bytes, begin_ + place(t, i) * sizeof(In)) != bytes)
                throw file_error(in_.name() + ": became shorter while it was read");
        to_or_from_file(reinterpret_cast<std::byte*>(into.data()), t.rows * t.columns * sizeof(In), header_);
        progress_.at(begin_ + (done_ += t.rows * t.columns * sizeof(In)));
    }
    template <class Out>
    void write_tile(const tile& t, std::vector<Out>& from) {
        to_or_from_file(reinterpret_cast<std::byte*>(from.data()), t.rows * t.columns * sizeof(Out), result_);
        if (t.columns == inner_) return out_.write(from.data(), t.rows * t.columns * sizeof(Out));
        for (std::size_t i = 0; i < t.rows; ++i)
            out_.write_at(from.data() + i * t.columns, t.columns * sizeof(Out), out_begin_ + place(t, i) * sizeof(Out));
    }

    template <class In, class Out>
    void tiles() {
        // What decides on the arithmetic, and what logsumexp is rounded to.
        using T = std::conditional_t<sizeof(In) == 8 || sizeof(Out) == 8, double, Out>;
        using state = smx::online_softmax<T>;
        constexpr std::size_t element = sizeof(In) + sizeof(Out);
        const std::size_t columns =
            std::clamp<std::size_t>(request_.memory / (state::block * element + sizeof(state)), 1, inner_);
        const std::size_t rows =
            std::max<std::size_t>(request_.memory / (columns * element) / state::block, 1) * state::block;
        if (!reduces() && columns != inner_ && !out_.random_access())
            throw file_error(out_.name() +
                             ": is no file that can be written at any place, as this array needs: name a file, or "
                             "allow more --memory");
        std::vector<In> from(std::min(rows, length_) * columns);
        std::vector<Out> to(reduces() ? columns : from.size());
        const smx::online_options options{.scale = request_.options.scale, .special = request_.options.special};
        for (tile t{}; t.outer < outer_; ++t.outer) {
            for (t.column = 0; t.column < inner_; t.column += columns) {
                t.columns = std::min(columns, inner_ - t.column);
                std::vector<state> of_row(t.columns, state(options));
                const auto column_of = [&](auto& data, std::size_t c) {
                    return smx::strided_span(data.data() + c, t.rows, static_cast<std::ptrdiff_t>(t.columns));
                };
                const auto for_rows = [&](const auto& f) {
                    for (t.row = 0; t.row < length_; t.row += rows) {
                        t.rows = std::min(rows, length_ - t.row);
                        read_tile(t, from);
                        for (std::size_t c = 0; c < t.columns; ++c) f(c);
                        if (!reduces() && writing_) write_tile(t, to);
                    }
                };
                writing_ = false;
                for_rows([&](std::size_t c) { of_row[c].push(column_of(from, c)); });
                writing_ = true;
                if (reduces()) {
                    for (std::size_t c = 0; c < t.columns; ++c) to[c] = static_cast<Out>(of_row[c].logsumexp());
                    to_or_from_file(reinterpret_cast<std::byte*>(to.data()), t.columns * sizeof(Out), result_);
                    out_.write(to.data(), t.columns * sizeof(Out));
                } else {
                    for_rows([&](std::size_t c) {
                        if (request_.function == wanted::softmax)
                            of_row[c].probabilities(column_of(from, c), column_of(to, c));
                        else of_row[c].log_probabilities(column_of(from, c), column_of(to, c));
                    });
                }
            }
        }
    }

    byte_source& in_;
    byte_sink& out_;
    const request& request_;
    progress& progress_;
    std::string start_;
    npy::header header_, result_;
    std::size_t outer_ = 1, length_ = 1, inner_ = 1;
    std::uint64_t begin_ = 0, out_begin_ = 0, done_ = 0;
    bool writing_ = false;
};
