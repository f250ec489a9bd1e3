// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/recipe.hpp>
#include <safe_softmax/detail/error.hpp>
#include <safe_softmax/detail/overlap.hpp>
#include <safe_softmax/detail/special.hpp>
#include <safe_softmax/detail/unpaired.hpp>
#include <safe_softmax/detail/work.hpp>
#include <safe_softmax/view.hpp>

#include <limits>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::layout;
using vocabulary::unpaired;

// From views and options to work: every check is here, before anything is written.

/// The name of the function and of an argument, for errors.
struct argument {
    const char* function;
    const char* name;
};

/// Half the bits of a size.
inline constexpr int half_size = sizeof(std::size_t) * 4;

/// Row-major without gaps, the case that needs no further questions; axes with one element may have any stride. False if
/// there are 2^59 elements or more (2^27 where sizes have 32 bits).
template <class T, std::size_t R>
SMX_ALWAYS_INLINE bool is_row_major(const layout<T, R>& v, std::size_t& elements) noexcept {
    elements = 1;
    for (std::size_t d = R; d-- > 0;) {
        if (v.extent[d] != 1 && v.stride[d] != static_cast<std::ptrdiff_t>(elements)) return false;
        if (v.extent[d] >> (half_size - 3) != 0 || elements >> (half_size - 2) != 0) return false;
        elements *= v.extent[d];
    }
    return true;
}

/// The places of a view whatever lies there, strides in elements as before: checks of these are compiled once for all types.
template <class T, std::size_t R>
SMX_ALWAYS_INLINE layout<const void, R> places_of(const layout<T, R>& v) noexcept {
    return {v.data, v.extent, v.stride};
}

/// A view whose elements are only read.
template <class T, std::size_t R>
SMX_ALWAYS_INLINE layout<const T, R> read_only(const layout<T, R>& v) noexcept {
    layout<const T, R> l{v.data, {}, {}};
    for (std::size_t d = 0; d < R; ++d) {
        l.extent[d] = unpaired(v.extent[d]);
        l.stride[d] = unpaired(v.stride[d]);
    }
    return l;
}
template <class T, std::size_t R>
SMX_ALWAYS_INLINE const layout<const T, R>& read_only(const layout<const T, R>& v) noexcept {
    return v;
}

/// Bytes from the lowest to the highest element of a view, which has elements.
struct byte_range {
    std::ptrdiff_t below, above;
};

/// `size`: of an element, in bytes.
template <std::size_t R>
SMX_NOINLINE byte_range range_of_strided(const layout<const void, R>& v, std::size_t size, argument a) {
    constexpr std::size_t limit = static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)());
    std::size_t elements = 1, below = 0, above = 0;
    for (std::size_t d = 0; d < R; ++d) {
        constexpr std::size_t root = std::size_t(1) << (half_size - 4);
        const bool few = v.extent[d] < root && elements < root;  // saves a division
        if (!few && v.extent[d] > limit / size / elements)
            refuse(a.function, "%s has more elements than memory has bytes: extent %zu of axis %zu times %zu and more",
                   a.name, v.extent[d], d, elements);
        elements *= v.extent[d];
        const std::size_t last = v.extent[d] - 1;
        const std::size_t stride =
            v.stride[d] < 0 ? 0 - static_cast<std::size_t>(v.stride[d]) : static_cast<std::size_t>(v.stride[d]);
        std::size_t& reach = v.stride[d] < 0 ? below : above;
        const bool close = stride < root && few && reach < (std::size_t(1) << (2 * half_size - 6));
        if (!close && last != 0 && (reach > limit / size / 4 || stride > (limit / size / 4 - reach) / last))
            refuse(a.function, "%s reaches further than memory: stride %td of axis %zu times extent %zu", a.name,
                   v.stride[d], d, v.extent[d]);
        reach += stride * last;
    }
    return {static_cast<std::ptrdiff_t>(below * size), static_cast<std::ptrdiff_t>((above + 1) * size)};
}

template <class T, std::size_t R>
SMX_ALWAYS_INLINE byte_range range_of(const layout<T, R>& v, argument a) {
    std::size_t all;
    if (is_row_major(v, all)) return {0, static_cast<std::ptrdiff_t>(all * sizeof(T))};
    return range_of_strided(places_of(v), sizeof(T), a);
}

/// Two indices of the output that name the same memory.
template <std::size_t R>
SMX_NOINLINE void check_distinct_strided(const layout<const void, R>& out, argument a) {
    for (std::size_t d = 0; d < R; ++d)
        if (out.stride[d] == 0 && out.extent[d] > 1)
            refuse(a.function,
                   "%s has stride 0 in axis %zu, which has %zu elements: they would all be written to one place",
                   a.name, d, out.extent[d]);
    // Nested axes are the rule: each step is larger than all that the smaller ones reach together.
    std::size_t order[R], count = 0;
    for (std::size_t d = 0; d < R; ++d) {
        if (out.extent[d] <= 1) continue;
        std::size_t at = count++;
        for (; at > 0 && magnitude_of(out.stride[order[at - 1]]) > magnitude_of(out.stride[d]); --at)
            order[at] = order[at - 1];
        order[at] = d;
    }
    std::ptrdiff_t reach = 0;
    bool nested = true;
    for (std::size_t i = 0; i < count; ++i) {
        const std::ptrdiff_t step = magnitude_of(out.stride[order[i]]);
        nested = nested && step > reach;
        reach += step * static_cast<std::ptrdiff_t>(out.extent[order[i]] - 1);
    }
    if (nested) return;
    // The first axis in which two such indices differ is taken by 1 or more, the others by any difference.
    for (std::size_t first = 0; first < R; ++first) {
        if (out.extent[first] <= 1) continue;
        lattice<R> differences;
        std::ptrdiff_t base = out.stride[first];
        differences.add(out.stride[first], out.extent[first] - 2);
        for (std::size_t d = first + 1; d < R; ++d) {
            if (out.extent[d] <= 1) continue;
            base -= out.stride[d] * static_cast<std::ptrdiff_t>(out.extent[d] - 1);
            differences.add(out.stride[d], 2 * (out.extent[d] - 1));
        }
        if (differences.reaches(base, -1, 1))
            refuse(
                a.function,
                "%s overlaps itself: with stride %td in axis %zu and its other strides, two indices name one element",
                a.name, out.stride[first], first);
    }
}

template <class T, std::size_t R>
SMX_ALWAYS_INLINE void check_distinct(const layout<T, R>& out, argument a) {
    std::size_t all;
    if (!is_row_major(out, all)) check_distinct_strided(places_of(out), a);
}

/// Whether both views name the very same elements, one by one.
template <class A, class B, std::size_t R>
SMX_ALWAYS_INLINE bool same_elements(const layout<A, R>& a, const layout<B, R>& b) noexcept {
    if (static_cast<const void*>(a.data) != static_cast<const void*>(b.data) || sizeof(A) != sizeof(B)) return false;
    for (std::size_t d = 0; d < R; ++d)
        if (a.extent[d] > 1 && a.stride[d] != b.stride[d]) return false;
    return true;
}

/// Whether two views may be the very same elements, if they have any in common: what the error says.
enum class apart { or_same, always };

/// Neither shares a byte with the other, element by element, of these sizes in bytes.
template <std::size_t R, std::size_t Q>
SMX_NOINLINE void check_lattices(const layout<const void, R>& in, std::ptrdiff_t in_size,
                                 const layout<const void, Q>& out, std::ptrdiff_t out_size, const char* function,
                                 const char* in_name, const char* out_name, apart how) {
    const auto base = static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(in.data) -
                                                  reinterpret_cast<std::uintptr_t>(out.data));
    lattice<R + Q> difference;
    // A stride that nobody goes along may be any number.
    for (std::size_t d = 0; d < R; ++d)
        if (in.extent[d] > 1) difference.add(in.stride[d] * in_size, in.extent[d] - 1);
    for (std::size_t d = 0; d < Q; ++d)
        if (out.extent[d] > 1) difference.add(-out.stride[d] * out_size, out.extent[d] - 1);
    if (difference.reaches(base, -in_size, out_size))
        refuse(function, "%s (%p) overlaps %s (%p)%s", out_name, out.data, in_name, in.data,
               how == apart::or_same ? " without being the same elements" : "");
}

template <class A, class B, std::size_t R, std::size_t Q>
SMX_ALWAYS_INLINE void check_apart(const layout<A, R>& in, byte_range in_range, const layout<B, Q>& out,
                                   byte_range out_range, const char* function, const char* in_name = "in",
                                   const char* out_name = "out", apart how = apart::or_same) {
    const auto a = reinterpret_cast<std::uintptr_t>(in.data), b = reinterpret_cast<std::uintptr_t>(out.data);
    const auto shift = [](std::uintptr_t address, std::ptrdiff_t by) {
        return address + static_cast<std::uintptr_t>(by);
    };
    if (shift(a, in_range.above) <= shift(b, -out_range.below) ||
        shift(b, out_range.above) <= shift(a, -in_range.below))
        return;
    check_lattices(places_of(in), sizeof(A), places_of(out), sizeof(B), function, in_name, out_name, how);
}

template <std::size_t R, class T>
inline bool has_elements(const layout<T, R>& v) noexcept {
    for (std::size_t d = 0; d < R; ++d)
        if (v.extent[d] == 0) return false;
    return true;
}

/// options.axis as an axis in [0, R); it and the scale are checked.
template <std::size_t R>
inline std::size_t checked_axis(const softmax_options& options, argument a) {
    constexpr std::ptrdiff_t rank = static_cast<std::ptrdiff_t>(R);
    if (options.axis < -rank || options.axis >= rank)
        refuse(a.function, "options.axis is %td, but %s has rank %zu: %td to %td are allowed", options.axis, a.name, R,
               -rank, rank - 1);
    if (!is_finite(options.scale)) refuse(a.function, "options.scale is %g, but it must be finite", options.scale);
    return static_cast<std::size_t>(options.axis < 0 ? options.axis + rank : options.axis);
}

/// The rows of a view and where their results go, as the loops of a piece of work, which refers to this object.
template <class In, class Out, std::size_t R>
class row_loops {
    using loop = vocabulary::row_loop;

public:
    SMX_ALWAYS_INLINE row_loops(const layout<const In, R>& in, const layout<Out, R>& out, std::size_t axis,
                                bool reduces, const softmax_options& options) noexcept
        : work_{in.data,
                out.data,
                unpaired(in.extent[axis]),
                unpaired(in.stride[axis]),
                reduces ? 0 : unpaired(out.stride[axis]),
                {1, 0, 0},
                nullptr,
                0,
                options.scale,
                options.special} {
        if (work_.length <= 1) {
            work_.in_step = 1;
            if (!reduces) work_.out_step = 1;
        }
        if constexpr (R > 1) {
            collect(in, out, axis);
            choose_innermost();
            work_.outer = loop_;
        }
    }
    row_loops(const row_loops&) = delete;
    row_loops& operator=(const row_loops&) = delete;

    SMX_ALWAYS_INLINE const vocabulary::work& work() const noexcept { return work_; }

private:
    /// The axes that are not `axis`, those that continue each other in memory as one.
    SMX_ALWAYS_INLINE void collect(const layout<const In, R>& in, const layout<Out, R>& out,
                                   std::size_t axis) noexcept {
        std::size_t& count = work_.outer_count;
        for (std::size_t d = 0; d < R; ++d) {
            if (d == axis || in.extent[d] == 1) continue;
            const loop next{unpaired(in.extent[d]), unpaired(in.stride[d]), unpaired(out.stride[d])};
            const std::ptrdiff_t extent = static_cast<std::ptrdiff_t>(next.extent);
            if (count != 0 && loop_[count - 1].in == next.in * extent && loop_[count - 1].out == next.out * extent) {
                loop_[count - 1] = {loop_[count - 1].extent * next.extent, next.in, next.out};
            } else {
                loop_[count++] = next;
            }
        }
    }

    /// The innermost loop is the kernel's: neighbours in memory if there are any, else the longest.
    SMX_ALWAYS_INLINE void choose_innermost() noexcept {
        std::size_t& count = work_.outer_count;
        if (count == 0) return;
        const auto neighbours = [](const loop& l) { return (l.in == 1 ? 2 : 0) + (l.out == 1 ? 1 : 0); };
        std::size_t inner = 0;
        for (std::size_t l = 1; l < count; ++l) {
            const int gain = neighbours(loop_[l]) - neighbours(loop_[inner]);
            if (gain > 0 || (gain == 0 && loop_[l].extent > loop_[inner].extent)) inner = l;
        }
        work_.rows = {unpaired(loop_[inner].extent), unpaired(loop_[inner].in), unpaired(loop_[inner].out)};
        --count;
        for (std::size_t l = inner; l < count && l + 1 < R; ++l) loop_[l] = loop_[l + 1];
    }

    vocabulary::work work_;
    loop loop_[R] = {};
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
