// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/logsumexp.hpp>
#include <safe_softmax/parallel.hpp>
#include <safe_softmax/softmax.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/dynamic_shape.hpp>

#include <cstddef>
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
/// adapter (dlpack.hpp, torch.hpp, xtensor.hpp) tells how to look at; the others may be any view. The view itself, and what the
/// rest of the family takes: dynamic_array.hpp.

namespace smx {
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
