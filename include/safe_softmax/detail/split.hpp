// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/recipe.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// The rows of some work in parts, for threads to share. Every part is work of its own, in which each row is what it was; so
// no cut changes a bit, and where cuts are decides the speed alone.

/// Elements of some work's input and output, in bytes.
struct element_sizes {
    std::size_t in, out;
};

/// What is not cut: a row, or so many rows next to each other that they fill whole tiles of columns.
struct row_units {
    std::size_t rows;   ///< of the innermost loop in a unit; the last unit of a loop has what is left over besides
    std::size_t inner;  ///< units of an innermost loop
    std::size_t count;  ///< units in all

    /// Columns in the widest tile of all instruction sets, and in a pack of the narrowest type.
    static constexpr std::size_t widest_tile = 64, pack = 16;

    row_units(const work& w, std::size_t threads) noexcept : rows(1) {
        std::size_t outer = 1;
        for (std::size_t l = 0; l < w.outer_count; ++l) outer *= w.outer[l].extent;
        if (are_columns(w)) rows = outer * (w.rows.extent / widest_tile) >= threads ? widest_tile : pack;
        inner = w.rows.extent < rows ? 1 : w.rows.extent / rows;
        count = outer * inner;
    }

    /// Rows that the kernels take as columns (kernels.hpp), unless they are very few.
    static bool are_columns(const work& w) noexcept {
        return w.rows.in == 1 && w.rows.out == 1 && w.in_step != 1 && w.rows.extent >= pack / 4;
    }
};

/// The same work from iteration i of one of its loops on.
inline work advanced(const work& w, const vocabulary::row_loop& loop, std::size_t i, element_sizes size) noexcept {
    work part = w;
    const auto bytes = [i](std::ptrdiff_t stride, std::size_t element) {
        return static_cast<std::ptrdiff_t>(i) * stride * static_cast<std::ptrdiff_t>(element);
    };
    part.in = static_cast<const char*>(w.in) + bytes(loop.in, size.in);
    part.out = static_cast<char*>(w.out) + bytes(loop.out, size.out);
    return part;
}

/// Calls f(work) for parts that together are units [first, last) of w, as few of them as there can be: of each loop the
/// iterations that are whole stay together. R: at least one more than there are outer loops.
template <std::size_t R, class F>
void for_units(const work& w, const row_units& units, std::size_t first, std::size_t last, element_sizes size,
               const F& f) {
    if (first == last) return;
    if (w.outer_count == 0) {
        const std::size_t begin = first * units.rows, end = last == units.inner ? w.rows.extent : last * units.rows;
        work part = advanced(w, w.rows, begin, size);
        part.rows.extent = end - begin;
        return f(part);
    }
    std::size_t below = units.inner;
    for (std::size_t l = 1; l < w.outer_count; ++l) below *= w.outer[l].extent;
    const auto within = [&](std::size_t i, std::size_t begin, std::size_t end) {
        work part = advanced(w, *w.outer, i, size);
        part.outer = w.outer + 1;
        part.outer_count = w.outer_count - 1;
        for_units<R>(part, units, begin, end, size, f);
    };
    std::size_t i = first / below;
    const std::size_t end = last / below, head = first % below, tail = last % below;
    if (i == end) return within(i, head, tail);
    if (head != 0) within(i++, head, below);
    if (i < end) {
        work part = advanced(w, *w.outer, i, size);
        vocabulary::row_loop loops[R];
        for (std::size_t l = 0; l < w.outer_count; ++l) loops[l] = w.outer[l];
        loops[0].extent = end - i;
        part.outer = loops;
        f(part);
    }
    if (tail != 0) within(end, 0, tail);
}

/// Part `t` of `count` things, cut into `parts` that differ by one at most: [first, last).
struct share_of_units {
    std::size_t first, last;
    share_of_units(std::size_t count, std::size_t parts, std::size_t t) noexcept
        : first(begin_of(count, parts, t)), last(begin_of(count, parts, t + 1)) {}

private:
    static std::size_t begin_of(std::size_t count, std::size_t parts, std::size_t t) noexcept {
        const std::size_t longer = count % parts;
        return count / parts * t + (t < longer ? t : longer);
    }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
