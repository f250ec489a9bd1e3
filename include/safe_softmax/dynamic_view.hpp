// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/logsumexp.hpp>
#include <safe_softmax/parallel.hpp>
#include <safe_softmax/softmax.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/dynamic_shape.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

/// @file
/// The functions on arrays of which only the running program knows rank and element type: a file's, a tensor's of another
/// library.
///
///     smx::safe_softmax(in, out, options)     smx::log_softmax(in, out, options)     smx::logsumexp(in, out, options)
///     smx::safe_softmax(inout, options)       smx::log_softmax(inout, options)
///
/// and the same with an executor in front, as in parallel.hpp. At least one argument is a dynamic_view, or something that an
/// adapter (dlpack.hpp, torch.hpp, xtensor.hpp) tells how to look at; the others may be any view.

namespace smx {

/// An array in memory that somebody else owns; `Void` is `void`, or `const void` where elements may only be read:
///
/// ```cpp
/// const std::size_t extents[] = {64, 32000};
/// smx::const_dynamic_view logits(data, smx::element_format::binary16, extents);              // row-major
/// smx::dynamic_view columns(data, smx::element_format::binary32, extents, strides);         // any strides, in elements
/// ```
///
/// `data` points at the element with all indices 0. Rank 0, one element, counts as one axis of extent 1. Throws
/// std::invalid_argument for more than 64 axes, numbers of extents and strides that differ, and element_format::none.
template <class Void>
    requires std::is_void_v<Void>
class basic_dynamic_view {
public:
    static constexpr std::size_t max_rank = vocabulary::max_dynamic_rank;  ///< the most axes: 64

    /// With strides in elements, of any sign.
    basic_dynamic_view(Void* data, element_format format, std::span<const std::size_t> extents,
                       std::span<const std::ptrdiff_t> strides)
        : data_(data), format_(format), rank_(extents.size()) {
        SMX_ABI::detail::check_dynamic_view(format, extents.size(), strides.size());
        for (std::size_t d = 0; d < rank_; ++d) {
            extents_[d] = extents[d];
            strides_[d] = strides[d];
        }
    }

    /// Row-major.
    basic_dynamic_view(Void* data, element_format format, std::span<const std::size_t> extents)
        : data_(data), format_(format), rank_(extents.size()) {
        SMX_ABI::detail::check_dynamic_view(format, extents.size(), extents.size());
        std::size_t stride = 1;
        for (std::size_t d = rank_; d-- > 0;) {
            extents_[d] = extents[d];
            strides_[d] = static_cast<std::ptrdiff_t>(stride);
            stride *= extents[d] == 0 ? 1 : extents[d];
        }
    }

    /// Of any view whose layout has strides.
    template <class V>
        requires(std::is_const_v<Void> ? readable_view<V> : writable_view<V>)
    explicit basic_dynamic_view(V&& view) : rank_(vocabulary::rank_of<V>) {
        static_assert(vocabulary::rank_of<V> <= max_rank);
        const auto l = vocabulary::traits_of<V>::look(view);
        data_ = l.data;
        format_ = format_of<std::remove_cv_t<vocabulary::element_of<V>>>;
        for (std::size_t d = 0; d < rank_; ++d) {
            extents_[d] = l.extent[d];
            strides_[d] = l.stride[d];
        }
    }

    /// From elements that may be written to elements that may only be read.
    template <class Other>
        requires(std::is_const_v<Void> && !std::is_const_v<Other>)
    basic_dynamic_view(const basic_dynamic_view<Other>& other)
        : basic_dynamic_view(other.data(), other.format(), other.extents(), other.strides()) {}

    /// The element with all indices 0.
    Void* data() const noexcept { return data_; }
    /// Of its elements.
    element_format format() const noexcept { return format_; }
    /// The number of axes.
    std::size_t rank() const noexcept { return rank_; }
    /// The number of elements along an axis.
    std::size_t extent(std::size_t axis) const noexcept { return extents_[axis]; }
    /// From one element to the next along an axis, in elements.
    std::ptrdiff_t stride(std::size_t axis) const noexcept { return strides_[axis]; }
    /// Of all axes.
    std::span<const std::size_t> extents() const noexcept { return {extents_.data(), rank_}; }
    /// Of all axes, in elements.
    std::span<const std::ptrdiff_t> strides() const noexcept { return {strides_.data(), rank_}; }

private:
    Void* data_;
    element_format format_;
    std::size_t rank_;
    std::array<std::size_t, max_rank> extents_;
    std::array<std::ptrdiff_t, max_rank> strides_;
};

/// Elements that may be written.
using dynamic_view = basic_dynamic_view<void>;
/// Elements that may only be read.
using const_dynamic_view = basic_dynamic_view<const void>;

namespace vocabulary {

/// How to look at a V whose rank or element type is known at run time only: specialised by adapters. look(v, function, name)
/// gives a dynamic_view, or throws std::invalid_argument with both names in the text.
template <class V>
struct dynamic_traits {
    static constexpr bool viewable = false;
};

template <class Void>
struct dynamic_traits<basic_dynamic_view<Void>> {
    static constexpr bool viewable = true, writable = !std::is_const_v<Void>, borrowed = true;
    static const basic_dynamic_view<Void>& look(const basic_dynamic_view<Void>& v, const char*, const char*) noexcept {
        return v;
    }
};

template <class V>
    requires(dynamic_traits<V>::viewable && !deep_const<dynamic_traits<V>>)
struct dynamic_traits<const V> : dynamic_traits<V> {};

template <class V>
using dynamic_traits_of = dynamic_traits<std::remove_reference_t<V>>;

template <class V>
concept dynamic_array = dynamic_traits_of<const std::remove_reference_t<V>>::viewable;

}  // namespace vocabulary

/// Something to read elements from whose rank or element type is known at run time only.
template <class V>
concept dynamic_readable = vocabulary::dynamic_array<V>;

/// The same, with elements that may be written.
template <class V>
concept dynamic_writable = vocabulary::dynamic_array<V> && vocabulary::dynamic_traits_of<V>::writable &&
                           (std::is_lvalue_reference_v<V> || vocabulary::dynamic_traits_of<V>::borrowed);

namespace vocabulary {

/// Arguments of which at least one is dynamic: the functions that know all at compile time take the others.
template <class In, class Out>
concept dynamic_pair = (dynamic_readable<In> && (dynamic_writable<Out> || writable_view<Out>)) ||
                       (readable_view<In> && dynamic_writable<Out>);

}  // namespace vocabulary

inline namespace SMX_ABI {
namespace detail {

template <class V>
const_dynamic_view look_to_read(const V& v, argument a) {
    if constexpr (dynamic_readable<V>) {
        return vocabulary::dynamic_traits_of<const V>::look(v, a.function, a.name);
    } else {
        check_strided(v, a);
        return const_dynamic_view(v);
    }
}

template <class V>
dynamic_view look_to_write(V&& v, argument a) {
    if constexpr (vocabulary::dynamic_array<V>) {
        return vocabulary::dynamic_traits_of<V>::look(v, a.function, a.name);
    } else {
        check_strided(v, a);
        return dynamic_view(std::forward<V>(v));
    }
}

/// Calls f with a null pointer to the format's type.
template <class F>
void visit_format(element_format format, const F& f) {
    switch (format) {
        case element_format::binary64: return f(static_cast<double*>(nullptr));
        case element_format::binary16: return f(static_cast<float16*>(nullptr));
        case element_format::bfloat16: return f(static_cast<bfloat16*>(nullptr));
        default: return f(static_cast<float*>(nullptr));
    }
}

/// A function F of dynamic views, all of which are looked at with `fitted_rank` axes.
template <class To>
SMX_NOINLINE void run_dynamic(const To& to, const char* name, bool reduces, const const_dynamic_view& in,
                              const dynamic_view& out, const softmax_options& options) {
    const fitted_views fitted(name, reduces, {in.data(), in.extents(), in.strides()},
                              {out.data(), out.extents(), out.strides()}, options.axis);
    softmax_options with_axis = options;
    with_axis.axis = fitted.axis;
    visit_format(in.format(), [&]<class In>(In*) {
        visit_format(out.format(), [&]<class Out>(Out*) {
            const layout<const In, fitted_rank> from{static_cast<const In*>(in.data()), fitted.extent,
                                                     fitted.in_stride};
            const layout<Out, fitted_rank> into{static_cast<Out*>(out.data()), fitted.out_extent, fitted.out_stride};
            if (reduces)
                run_reduction<known_rows::batch>(to, name, from, into, static_cast<std::size_t>(fitted.axis),
                                                 with_axis);
            else run_elementwise<known_rows::batch>(to, name, from, into, with_axis);
        });
    });
}

template <class To, class In, class Out>
void dynamic(const To& to, const char* name, bool reduces, const In& in, Out&& out, const softmax_options& options) {
    run_dynamic(to, name, reduces, look_to_read(in, {name, "in"}), look_to_write(std::forward<Out>(out), {name, "out"}),
                options);
}

}  // namespace detail

/// safe_softmax of arrays whose rank or element type is known at run time only. Bits, errors and all else as safe_softmax has
/// them. Up to 64 axes, which are put together where they continue each other in memory: throws std::invalid_argument if more
/// than 8 remain.
template <class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void safe_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::dynamic(detail::to_kernels<detail::function::softmax>{}, "safe_softmax", false, in, std::forward<Out>(out),
                    options);
}

/// The same in place.
template <class InOut>
    requires dynamic_writable<InOut>
void safe_softmax(InOut&& inout, const softmax_options& options = {}) {
    detail::dynamic(detail::to_kernels<detail::function::softmax>{}, "safe_softmax", false, inout,
                    std::forward<InOut>(inout), options);
}

/// The same on the threads of an executor.
template <parallel_executor E, class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void safe_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::softmax, std::remove_reference_t<E>> to(executor);
    detail::dynamic(to, "safe_softmax", false, in, std::forward<Out>(out), options);
}

/// log_softmax, likewise.
template <class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void log_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::dynamic(detail::to_kernels<detail::function::log_softmax>{}, "log_softmax", false, in,
                    std::forward<Out>(out), options);
}

/// The same in place.
template <class InOut>
    requires dynamic_writable<InOut>
void log_softmax(InOut&& inout, const softmax_options& options = {}) {
    detail::dynamic(detail::to_kernels<detail::function::log_softmax>{}, "log_softmax", false, inout,
                    std::forward<InOut>(inout), options);
}

/// The same on the threads of an executor.
template <parallel_executor E, class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void log_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::log_softmax, std::remove_reference_t<E>> to(executor);
    detail::dynamic(to, "log_softmax", false, in, std::forward<Out>(out), options);
}

/// logsumexp, likewise: `out` has the extents of `in` without the axis, or with extent 1 there.
template <class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void logsumexp(const In& in, Out&& out, const softmax_options& options = {}) {
    detail::dynamic(detail::to_kernels<detail::function::logsumexp>{}, "logsumexp", true, in, std::forward<Out>(out),
                    options);
}

/// The same on the threads of an executor.
template <parallel_executor E, class In, class Out>
    requires vocabulary::dynamic_pair<In, Out>
void logsumexp(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const detail::to_executor<detail::function::logsumexp, std::remove_reference_t<E>> to(executor);
    detail::dynamic(to, "logsumexp", true, in, std::forward<Out>(out), options);
}

}  // namespace SMX_ABI
}  // namespace smx
