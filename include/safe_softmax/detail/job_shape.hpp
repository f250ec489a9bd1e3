// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job_rows.hpp>
#include <safe_softmax/detail/shape.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::job_function;

// From arrays to a job. One compiled function serves every element type and rank: an array is looked at in bytes, those of
// an element being one axis more.

inline constexpr std::size_t byte_axes = array_ref::max_rank + 1;
using byte_layout = layout<const char, byte_axes>;

SMX_NOINLINE inline byte_layout bytes_of(const array_ref& a, argument name) {
    if (!a.is_strided())
        refuse(name.function, "%s has a layout without strides (is_strided() is 0, must be 1)", name.name);
    const std::size_t size = size_of(a.type());
    constexpr std::ptrdiff_t limit = (std::numeric_limits<std::ptrdiff_t>::max)();
    byte_layout l{static_cast<const char*>(a.data()), {}, {}};
    for (std::size_t d = 0; d < byte_axes - 1; ++d) {
        l.extent[d] = d < a.rank() ? a.extent(d) : 1;
        if (l.extent[d] <= 1) continue;
        const std::ptrdiff_t stride = a.stride(d);
        if (stride > limit / 8 || stride < -(limit / 8))
            refuse(name.function, "%s reaches further than memory: stride %td of axis %zu times extent %zu", name.name,
                   stride, d, l.extent[d]);
        l.stride[d] = stride * static_cast<std::ptrdiff_t>(size);
    }
    l.extent[byte_axes - 1] = size;
    l.stride[byte_axes - 1] = 1;
    return l;
}

/// Calls f(values as T, how many) for the elements of an array, a few at a time, in their order.
template <class T, class F>
SMX_ALWAYS_INLINE void for_each_numbers(const array_ref& a, F f) {
    std::size_t index[array_ref::max_rank] = {};
    for (std::size_t d = 0; d < a.rank(); ++d)
        if (a.extent(d) == 0) return;
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(a.type()));
    const std::size_t inner = a.rank() == 0 ? 0 : a.rank() - 1, length = a.rank() == 0 ? 1 : a.extent(inner);
    const std::ptrdiff_t step = a.rank() == 0 ? 0 : a.stride(inner) * size;
    while (true) {
        std::ptrdiff_t offset = 0;
        for (std::size_t d = 0; d < inner; ++d) offset += static_cast<std::ptrdiff_t>(index[d]) * a.stride(d) * size;
        T some[32];
        for (std::size_t i = 0, n = 0; i < length; i += n) {
            n = length - i < std::size(some) ? length - i : std::size(some);
            read_numbers(moved(a.data(), offset + static_cast<std::ptrdiff_t>(i) * step), step, a.type(), some, n);
            f(some, n);
        }
        std::size_t d = inner;
        while (d > 0 && ++index[d - 1] == a.extent(d - 1)) index[--d] = 0;
        if (d == 0) return;
    }
}
/// Calls f(value as T, number of the row among those that have a value of their own).
template <class T, class F>
SMX_ALWAYS_INLINE void for_each_number(const array_ref& a, F f) {
    std::size_t count = 0;
    for_each_numbers<T>(a, [&](const T* some, std::size_t n) {
        for (std::size_t k = 0; k < n; ++k) f(some[k], count++);
    });
}

inline void check_floating(const char* function, const char* name, const array_ref& a) {
    if (!is_floating(a.type()) && a.rank() != 0)
        refuse(function, "%s must have floating elements, but they are integers", name);
}

/// A job under construction: the shape is that of its first operand, the input.
class job_builder {
public:
    /// options.axis, scale and so on are checked. in_name is what errors call the first operand.
    SMX_NOINLINE job_builder(const char* function, vocabulary::job_function f, const array_ref& in, std::ptrdiff_t axis,
                             double scale, special_values special, const char* in_name = "in")
        : function_(function), in_name_(in_name), in_(in), in_bytes_(bytes_of(in, {function, in_name})) {
        const std::ptrdiff_t rank = static_cast<std::ptrdiff_t>(in.rank());
        if (axis < -rank || axis >= rank)
            refuse(function, "options.axis is %td, but %s has rank %zu: %td to %td are allowed", axis, in_name,
                   in.rank(), -rank, rank - 1);
        if (!is_finite(scale)) refuse(function, "options.scale is %g, but it must be finite", scale);
        axis_ = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
        job_.function = f;
        job_.length = in.extent(axis_);
        job_.scale = scale;
        job_.divisor = 1;
        job_.special = special;
        for (std::size_t d = 0; d < in.rank(); ++d)
            if (d != axis_) axis_of_loop_[job_.loops++] = d;
        for (std::size_t l = 0; l < job_.loops; ++l) job_.loop[l].extent = in.extent(axis_of_loop_[l]);
        job_.query_loop = job_.loops == 0 ? 0 : job_.loops - 1;
        has_elements_ = detail::has_elements(in_bytes_);
        if (has_elements_) in_range_ = range_of(in_bytes_, {function, in_name});
        add(0, in, [&](std::size_t d) { return in.stride(d); });
    }

    std::size_t axis() const noexcept { return axis_; }
    const char* function() const noexcept { return function_; }
    bool has_elements() const noexcept { return has_elements_; }
    vocabulary::job& job() noexcept { return job_; }

    /// An array of the extents of `in`, or one that is broadcast to them: aligned at the last axis, extent 1 or missing
    /// axes are repeated.
    SMX_NOINLINE void add_broadcast(std::size_t o, const array_ref& a, const char* name) {
        if (a.rank() > in_.rank())
            refuse(function_, "%s has rank %zu, but %s only %zu", name, a.rank(), in_name_, in_.rank());
        const std::size_t missing = in_.rank() - a.rank();
        for (std::size_t d = 0; d < a.rank(); ++d)
            if (a.extent(d) != 1 && a.extent(d) != in_.extent(missing + d))
                refuse(function_, "extent %zu of %s is %zu, but that of %s is %zu there (1 is allowed, too)", d, name,
                       a.extent(d), in_name_, in_.extent(missing + d));
        look_at(a, name);
        add(o, a, [&](std::size_t d) { return d < missing || a.extent(d - missing) == 1 ? 0 : a.stride(d - missing); });
    }

    /// An input of the extents of `in`.
    SMX_NOINLINE void add_same(std::size_t o, const array_ref& a, const char* name) {
        check_same_extents(a, name);
        look_at(a, name);
        add(o, a, [&](std::size_t d) { return a.stride(d); });
    }

    /// One number for each element of a row, the same for all rows; or one number for all elements.
    SMX_NOINLINE void add_along_axis(std::size_t o, const array_ref& a, const char* name) {
        if (a.rank() > 1) refuse(function_, "%s has rank %zu, but 1 is needed", name, a.rank());
        if (a.rank() == 1 && a.extent(0) != job_.length)
            refuse(function_, "extent 0 of %s is %zu, but that of %s along the axis is %zu", name, a.extent(0),
                   in_name_, job_.length);
        look_at(a, name);
        add(o, a, [&](std::size_t d) { return d == axis_ && a.rank() == 1 ? a.stride(0) : 0; });
    }

    /// One number for each row, or fewer that are broadcast: the extents are those of `in` without the axis, or with extent 1
    /// there.
    SMX_NOINLINE void add_per_row(std::size_t o, const array_ref& a, const char* name) {
        const bool keeps_axis = a.rank() == in_.rank();
        if (a.rank() > in_.rank() || (keeps_axis && a.rank() != 0 && a.extent(axis_) != 1))
            refuse(function_, "%s has rank %zu and %s %zu: it must be smaller, or extent %zu of %s must be 1", name,
                   a.rank(), in_name_, in_.rank(), axis_, name);
        const std::size_t missing = keeps_axis ? 0 : in_.rank() - 1 - a.rank();
        const auto own = [&](std::size_t d, std::size_t& axis) {  // false: none, repeated
            const std::size_t kept = keeps_axis || d < axis_ ? d : d - 1;
            if (d == axis_ || kept < missing) return false;
            axis = kept - missing;
            return true;
        };
        std::size_t axis = 0;
        for (std::size_t d = 0; d < in_.rank(); ++d)
            if (own(d, axis) && a.extent(axis) != 1 && a.extent(axis) != in_.extent(d))
                refuse(function_, "extent %zu of %s is %zu, but that of %s is %zu there (1 is allowed, too)", axis,
                       name, a.extent(axis), in_name_, in_.extent(d));
        look_at(a, name);
        const bool wide = job_.wide;  // a number for a row does not decide on the arithmetic
        add(o, a, [&](std::size_t d) {
            std::size_t at = 0;
            return own(d, at) && a.extent(at) != 1 ? a.stride(at) : 0;
        });
        job_.wide = wide;
    }

    /// One number for all rows, of any rank.
    SMX_NOINLINE void add_number(std::size_t o, const array_ref& a, const char* name) {
        look_at(a, name);
        const bool wide = job_.wide;
        add(o, a, [](std::size_t) { return std::ptrdiff_t(0); });
        job_.wide = wide;
    }

    /// An output of the extents of `in`: the very same elements, or apart from every input.
    SMX_NOINLINE void add_output(std::size_t o, const array_ref& out, const char* name) {
        check_same_extents(out, name);
        add_written(o, out, name);
        add(o, out, [&](std::size_t d) { return out.stride(d); });
    }

    /// An input of one number for each row: the extents of `in` without the axis, or with extent 1 there.
    SMX_NOINLINE void add_each_row(std::size_t o, const array_ref& a, const char* name) {
        check_each_row(a, name);
        look_at(a, name);
        add_reduced(o, a);
    }

    /// An output of one number for each row, with the same extents.
    SMX_NOINLINE void add_output_per_row(std::size_t o, const array_ref& out, const char* name) {
        check_each_row(out, name);
        add_written(o, out, name);
        add_reduced(o, out);
    }

    /// An output of one number for all rows.
    SMX_NOINLINE void add_output_for_all(std::size_t o, const array_ref& out, const char* name) {
        for (std::size_t d = 0; d < out.rank(); ++d)
            if (out.extent(d) != 1)
                refuse(function_, "extent %zu of %s is %zu, but 1 is needed: there is one number for all rows", d, name,
                       out.extent(d));
        add_written(o, out, name);
        add(o, out, [](std::size_t) { return std::ptrdiff_t(0); });
    }

    /// After all operands: outputs overlap nothing else. The input may be the very same elements as an output. Returns false if
    /// there is nothing to do.
    SMX_NOINLINE bool finish() {
        if (!has_elements_ && !rows_without_elements()) return false;
        for (std::size_t w = 0; w < written_; ++w) {
            const view_of& out = output_[w];
            if (has_elements_ && !(out.bytes.extent[byte_axes - 1] == in_bytes_.extent[byte_axes - 1] &&
                                   same_elements(in_bytes_, out.bytes) && detail::has_elements(out.bytes) &&
                                   same_extents(in_bytes_, out.bytes)))
                check_apart(in_bytes_, in_range_, out.bytes, out.range, function_, in_name_, out.name,
                            same_extents(in_bytes_, out.bytes) ? apart::or_same : apart::always);
            for (std::size_t r = 0; r < read_; ++r) {
                // The last input may be written over element by element, too, where the function reads it first.
                if (input_[r].may_be_output && same_elements(input_[r].bytes, out.bytes) &&
                    same_extents(input_[r].bytes, out.bytes))
                    continue;
                check_apart(input_[r].bytes, input_[r].range, out.bytes, out.range, function_, input_[r].name, out.name,
                            input_[r].may_be_output ? apart::or_same : apart::always);
            }
            for (std::size_t other = 0; other < w; ++other)
                check_apart(output_[other].bytes, output_[other].range, out.bytes, out.range, function_,
                            output_[other].name, out.name, apart::always);
        }
        return true;
    }

    /// The operand added last may be the very elements of an output.
    void may_be_output() noexcept {
        if (read_ != 0) input_[read_ - 1].may_be_output = true;
    }

    /// There are rows, though they have no elements, and an output for each row.
    bool rows_without_elements() const noexcept {
        if (job_.length != 0) return false;
        for (std::size_t l = 0; l < job_.loops; ++l)
            if (job_.loop[l].extent == 0) return false;
        return true;
    }

private:
    struct view_of {
        byte_layout bytes;
        byte_range range;
        const char* name;
        bool may_be_output;
    };

    static bool same_extents(const byte_layout& a, const byte_layout& b) noexcept { return a.extent == b.extent; }

    void check_same_extents(const array_ref& a, const char* name) {
        if (a.rank() != in_.rank())
            refuse(function_, "%s has rank %zu, but %s has %zu", name, a.rank(), in_name_, in_.rank());
        for (std::size_t d = 0; d < in_.rank(); ++d)
            if (a.extent(d) != in_.extent(d))
                refuse(function_, "extent %zu of %s is %zu, but that of %s is %zu", d, name, a.extent(d), in_name_,
                       in_.extent(d));
    }

    /// The axis of `a` that axis d of `in` is.
    std::size_t reduced_axis(const array_ref& a, std::size_t d) const noexcept {
        return a.rank() == in_.rank() || d < axis_ ? d : d - 1;
    }

    void check_each_row(const array_ref& a, const char* name) {
        const bool keeps_axis = a.rank() == in_.rank();
        if (!keeps_axis && a.rank() + 1 != in_.rank())
            refuse(function_, "%s has rank %zu, but %s has %zu: it must be the same, or one less", name, a.rank(),
                   in_name_, in_.rank());
        for (std::size_t d = 0; d < in_.rank(); ++d) {
            if (d == axis_ && !keeps_axis) continue;
            const std::size_t needed = d == axis_ ? 1 : in_.extent(d), own = reduced_axis(a, d);
            if (a.extent(own) != needed)
                refuse(function_, "extent %zu of %s is %zu, but %zu is needed", own, name, a.extent(own), needed);
        }
    }

    void add_reduced(std::size_t o, const array_ref& a) noexcept {
        add(o, a, [&](std::size_t d) { return d == axis_ ? 0 : a.stride(reduced_axis(a, d)); });
    }

    void look_at(const array_ref& a, const char* name) {
        const byte_layout bytes = bytes_of(a, {function_, name});
        if (a.rank() == 0 || !detail::has_elements(bytes)) return;  // a number of its own cannot overlap
        input_[read_++] = {bytes, range_of(bytes, {function_, name}), name, false};
    }

    void add_written(std::size_t, const array_ref& a, const char* name) {
        const byte_layout bytes = bytes_of(a, {function_, name});
        if (!detail::has_elements(bytes)) return;
        const byte_range range = range_of(bytes, {function_, name});
        check_distinct(bytes, {function_, name});
        output_[written_++] = {bytes, range, name, false};
    }

    /// stride_at(axis of in): in elements.
    template <class F>
    void add(std::size_t o, const array_ref& a, F stride_at) noexcept {
        const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(a.type()));
        const auto step = [&](std::size_t d) { return in_.extent(d) <= 1 ? std::ptrdiff_t(0) : stride_at(d) * size; };
        if (o >= job_.operands) job_.operands = o + 1;
        job_.op[o] = {a.data(), in_.rank() == 0 ? 0 : step(axis_), a.type()};
        if (job_.length <= 1) job_.op[o].step = size;
        for (std::size_t l = 0; l < job_.loops; ++l) job_.loop[l].stride[o] = step(axis_of_loop_[l]);
        if (is_floating(a.type()) && a.type() == scalar_type::float64 && a.rank() != 0) job_.wide = true;
    }

    const char* function_;
    const char* in_name_;
    array_ref in_;
    byte_layout in_bytes_;
    byte_range in_range_{};
    std::size_t axis_ = 0;
    std::size_t axis_of_loop_[array_ref::max_rank] = {};
    bool has_elements_ = false;
    vocabulary::job job_{};
    view_of input_[vocabulary::max_operands];
    view_of output_[2];
    std::size_t read_ = 0, written_ = 0;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
