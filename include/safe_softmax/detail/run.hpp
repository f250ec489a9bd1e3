// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/kernels.hpp>
#include <safe_softmax/detail/shape.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// What the public functions have in common: look, check, run a kernel over the rows.

template <class V>
SMX_ALWAYS_INLINE void check_strided(const V& v, argument a) {
    if (!vocabulary::is_strided(v)) refuse(a.function, "%s has a layout without strides (is_strided() is 0, must be 1)", a.name);
}

template <class In, class Out, std::size_t R>
SMX_ALWAYS_INLINE void check_memory(const layout<In, R>& in, const layout<Out, R>& out, const char* function) {
    const byte_range in_range = range_of(in, {function, "in"});
    const byte_range out_range = range_of(out, {function, "out"});
    check_distinct(out, {function, "out"});
    if (!same_elements(in, out)) check_apart(in, in_range, out, out_range, function);
}

template <class T, class F>
SMX_ALWAYS_INLINE void with_recipe(const softmax_options& options, F f) {
    if (options.scale == 1.0) return f(recipe<T>{no_scaling<T>, options.special});
    const scaling<T> own = make_scaling<T>(options.scale);
    f(recipe<T>{own, options.special});
}

/// One result for each element: in and out have the same extents.
template <class In, class Out, std::size_t R, class Kernel>
inline void run_elementwise(const char* function, const layout<const In, R>& in, const layout<Out, R>& out,
                            const softmax_options& options, Kernel kernel) {
    for (std::size_t d = 0; d < R; ++d)
        if (in.extent[d] != out.extent[d])
            refuse(function, "extent %zu of out is %zu, but that of in is %zu", d, out.extent[d], in.extent[d]);
    const std::size_t axis = checked_axis<R>(options, {function, "in"});
    if (!has_elements(in)) return;
    check_memory(in, out, function);
    with_recipe<compute_t<In, Out>>(options, [&](const auto& r) {
        row_loops<In, Out, R>(in, out, axis, false).run([&](const batch<In, Out>& b) { kernel(b, r); });
    });
}

/// One result for each row: out has extent 1 along the axis.
template <class In, class Out, std::size_t R>
inline void run_logsumexp(const char* function, const layout<const In, R>& in, const layout<Out, R>& out, std::size_t axis,
                          const softmax_options& options) {
    for (std::size_t d = 0; d < R; ++d)
        if (out.extent[d] != (d == axis ? 1 : in.extent[d]))
            refuse(function, "extent %zu of out (counted as in in) is %zu, but %zu is needed for that of in, %zu", d,
                   out.extent[d], d == axis ? std::size_t(1) : in.extent[d], in.extent[d]);
    if (!has_elements(out)) return;
    if (in.extent[axis] == 0) {
        range_of(out, {function, "out"});
        check_distinct(out, {function, "out"});
    } else {
        const byte_range in_range = range_of(in, {function, "in"});
        const byte_range out_range = range_of(out, {function, "out"});
        check_distinct(out, {function, "out"});
        check_apart(in, in_range, out, out_range, function);
    }
    with_recipe<compute_t<In, Out>>(options, [&](const auto& r) {
        row_loops<In, Out, R>(in, out, axis, true).run([&](const batch<In, Out>& b) {
            if (b.length != 0) return kernels<default_backend, In, Out>::template run<function::logsumexp, (R > 1)>(b, r);
            for (std::size_t j = 0; j < b.rows; ++j)
                store_infinity(b.out.data + static_cast<std::ptrdiff_t>(j) * b.out.stride, true);
        });
    });
}

template <bool Many>
struct softmax_kernel {
    template <class In, class Out>
    SMX_ALWAYS_INLINE void operator()(const batch<In, Out>& b, const recipe<compute_t<In, Out>>& r) const noexcept {
        kernels<default_backend, In, Out>::template run<function::softmax, Many>(b, r);
    }
};
template <bool Many>
struct log_softmax_kernel {
    template <class In, class Out>
    SMX_ALWAYS_INLINE void operator()(const batch<In, Out>& b, const recipe<compute_t<In, Out>>& r) const noexcept {
        kernels<default_backend, In, Out>::template run<function::log_softmax, Many>(b, r);
    }
};

template <template <bool> class Kernel, class In, class Out>
SMX_ALWAYS_INLINE void elementwise(const char* function, const In& in, Out& out, const softmax_options& options) {
    check_strided(in, {function, "in"});
    check_strided(out, {function, "out"});
    const auto from = vocabulary::look(in);
    using S = std::remove_cv_t<std::remove_reference_t<decltype(*from.data)>>;
    run_elementwise(function, layout<const S, vocabulary::rank_of<const In>>{from.data, from.extent, from.stride},
                    vocabulary::look(out), options, Kernel<(vocabulary::rank_of<const In> > 1)>{});
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
