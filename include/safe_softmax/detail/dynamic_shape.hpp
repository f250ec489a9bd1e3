// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/error.hpp>
#include <safe_softmax/element.hpp>

#include <array>
#include <cstddef>
#include <span>

namespace smx {
namespace vocabulary {

inline constexpr std::size_t max_dynamic_rank = 64;

}  // namespace vocabulary

inline namespace SMX_ABI {
namespace detail {

/// What every dynamic view is fitted to, so that each pair of element types is compiled once.
inline constexpr std::size_t fitted_rank = 8;

SMX_NOINLINE inline void check_dynamic_view(element_format format, std::size_t extents, std::size_t strides) {
    if (format == element_format::none)
        refuse("dynamic_view", "format is element_format::none: elements need a format");
    if (extents > vocabulary::max_dynamic_rank)
        refuse("dynamic_view", "extents has %zu axes, but %zu is the most", extents, vocabulary::max_dynamic_rank);
    if (extents != strides) refuse("dynamic_view", "strides has %zu axes, but extents has %zu", strides, extents);
}

/// Two arrays of the same rows, with exactly fitted_rank axes: axes of one element follow the own ones, which keep their numbers
/// (errors name them) unless there are too many. Those are put together.
class fitted_views {
public:
    struct any_layout {
        const void* data;
        std::span<const std::size_t> extents;
        std::span<const std::ptrdiff_t> strides;
    };

    SMX_NOINLINE fitted_views(const char* function, bool reduces, const any_layout& in, const any_layout& out,
                              std::ptrdiff_t wanted_axis) {
        const std::size_t own = in.extents.size(), rank = own == 0 ? 1 : own;
        const std::ptrdiff_t signed_rank = static_cast<std::ptrdiff_t>(rank);
        if (wanted_axis < -signed_rank || wanted_axis >= signed_rank)
            refuse(function, "options.axis is %td, but in has rank %zu: %td to %td are allowed", wanted_axis, own,
                   -signed_rank, signed_rank - 1);
        const std::size_t at = static_cast<std::size_t>(wanted_axis < 0 ? wanted_axis + signed_rank : wanted_axis);

        const bool kept = out.extents.size() == own;
        if (!kept && !(reduces && out.extents.size() + 1 == rank))
            refuse(function, "out has rank %zu, but in has %zu%s", out.extents.size(), own,
                   reduces ? ": it must be the same, or one less" : "");
        for (std::size_t d = 0; d < rank; ++d) {
            axes_[d] = {own == 0 ? 1 : in.extents[d], own == 0 ? 1 : in.strides[d], 1, 1, d == at};
            const std::size_t source = kept || d < at ? d : d - 1;
            const bool gone = (!kept && d == at) || out.extents.empty();
            if (!gone) {
                axes_[d].out_extent = out.extents[source];
                axes_[d].out = out.strides[source];
            }
            const std::size_t needed = reduces && d == at ? 1 : axes_[d].extent;
            if (axes_[d].out_extent == needed) continue;
            if (!reduces)
                refuse(function, "extent %zu of out is %zu, but that of in is %zu", d, axes_[d].out_extent,
                       axes_[d].extent);
            refuse(function, "extent %zu of out is %zu, but %zu is needed for that of in, %zu", source,
                   axes_[d].out_extent, needed, axes_[d].extent);
        }
        count_ = rank;
        if (rank > fitted_rank) put_together(function, rank);

        for (std::size_t d = 0; d < fitted_rank; ++d) {
            const one_axis a = d < count_ ? axes_[d] : one_axis{1, 1, 1, 1, false};
            if (a.is_axis) axis = static_cast<std::ptrdiff_t>(d);
            extent[d] = a.extent;
            in_stride[d] = a.in;
            out_extent[d] = a.out_extent;
            out_stride[d] = a.out;
        }
    }

    std::array<std::size_t, fitted_rank> extent{}, out_extent{};
    std::array<std::ptrdiff_t, fitted_rank> in_stride{}, out_stride{};
    std::ptrdiff_t axis = 0;

private:
    struct one_axis {
        std::size_t extent;
        std::ptrdiff_t in;
        std::size_t out_extent;
        std::ptrdiff_t out;
        bool is_axis;
    };

    /// outer == inner * extent, of any numbers. Not for extents that no memory has: they are left for the checks to come.
    static bool continues(std::ptrdiff_t outer, std::ptrdiff_t inner, std::size_t extent) noexcept {
        if (extent == 0 || extent >> 31 != 0) return false;
        const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(extent);
        return outer % n == 0 && outer / n == inner;
    }

    void put_together(const char* function, std::size_t rank) {
        for (std::size_t d = 0; d < rank; ++d)
            if (axes_[d].out == 0 && axes_[d].out_extent > 1)
                refuse(function,
                       "out has stride 0 in axis %zu, which has %zu elements: they would all be written to one place",
                       d, axes_[d].out_extent);
        count_ = 0;
        for (std::size_t d = 0; d < rank; ++d) {
            const one_axis next = axes_[d];
            if (!next.is_axis && next.extent == 1) continue;
            if (count_ != 0 && !next.is_axis) {
                one_axis& last = axes_[count_ - 1];
                const bool few = last.extent >> 31 == 0;  // their product is a number
                if (few && !last.is_axis && continues(last.in, next.in, next.extent) &&
                    continues(last.out, next.out, next.extent)) {
                    last = {last.extent * next.extent, next.in, last.out_extent * next.out_extent, next.out, false};
                    continue;
                }
            }
            axes_[count_++] = next;
        }
        if (count_ > fitted_rank)
            refuse(function,
                   "in has rank %zu, and %zu axes remain where those that continue each other in memory, in and out, "
                   "are one: %zu is the most",
                   rank, count_, fitted_rank);
    }

    std::array<one_axis, vocabulary::max_dynamic_rank> axes_;
    std::size_t count_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
