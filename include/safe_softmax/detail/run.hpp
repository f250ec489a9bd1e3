// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/dispatch.hpp>
#include <safe_softmax/detail/shape.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/kernels.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// What the public functions have in common: look, check, run a kernel over the rows.

template <class V>
SMX_ALWAYS_INLINE void check_strided(const V& v, argument a) {
    if (!vocabulary::is_strided(v))
        refuse(a.function, "%s has a layout without strides (is_strided() is 0, must be 1)", a.name);
}

template <class In, class Out, std::size_t R>
SMX_ALWAYS_INLINE void check_memory(const layout<In, R>& in, const layout<Out, R>& out, const char* name) {
    const byte_range in_range = range_of(in, {name, "in"});
    const byte_range out_range = range_of(out, {name, "out"});
    check_distinct(out, {name, "out"});
    if (!same_elements(in, out)) check_apart(in, in_range, out, out_range, name);
}

/// Of views of rank R; contiguous: those that are vectors, arrays, spans and the like.
template <std::size_t R, bool Contiguous>
inline constexpr known_rows known_of = SMX_DISPATCH || R > 1 ? known_rows::batch
                                       : Contiguous          ? known_rows::range
                                                             : known_rows::single;

/// Hands checked work to the kernels, on the calling thread. R: the rank of the views that it comes from.
template <function F>
struct to_kernels {
    template <known_rows K, class In, class Out, std::size_t R>
    SMX_ALWAYS_INLINE void run(const work& w) const noexcept {
#if SMX_DISPATCH
        using namespace vocabulary;
        dispatch::active_table().run[static_cast<std::size_t>(F)][type_index<In>][type_index<Out>](w);
#else
        kernels<default_backend, In, Out>::template run<F, K>(w);
#endif
    }
};

/// One result for each element: in and out have the same extents.
template <known_rows K, class To, class In, class Out, std::size_t R>
inline void run_elementwise(const To& to, const char* name, const layout<const In, R>& in, const layout<Out, R>& out,
                            const softmax_options& options) {
    for (std::size_t d = 0; d < R; ++d)
        if (in.extent[d] != out.extent[d])
            refuse(name, "extent %zu of out is %zu, but that of in is %zu", d, out.extent[d], in.extent[d]);
    const std::size_t axis = checked_axis<R>(options, {name, "in"});
    if (!has_elements(in)) return;
    check_memory(in, out, name);
    to.template run<K, In, Out, R>(row_loops<In, Out, R>(in, out, axis, false, options).work());
}

/// One result for each row: out has extent 1 along the axis.
template <known_rows K, class To, class In, class Out, std::size_t R>
inline void run_reduction(const To& to, const char* name, const layout<const In, R>& in, const layout<Out, R>& out,
                          std::size_t axis, const softmax_options& options) {
    for (std::size_t d = 0; d < R; ++d)
        if (out.extent[d] != (d == axis ? 1 : in.extent[d]))
            refuse(name, "extent %zu of out (counted as in in) is %zu, but %zu is needed for that of in, %zu", d,
                   out.extent[d], d == axis ? std::size_t(1) : in.extent[d], in.extent[d]);
    if (!has_elements(out)) return;
    if (in.extent[axis] == 0) {
        range_of(out, {name, "out"});
        check_distinct(out, {name, "out"});
    } else {
        const byte_range in_range = range_of(in, {name, "in"});
        const byte_range out_range = range_of(out, {name, "out"});
        check_distinct(out, {name, "out"});
        check_apart(in, in_range, out, out_range, name, "in", "out", apart::always);
    }
    layout<const In, R> from{in.data, {}, {}};
    for (std::size_t d = 0; d < R; ++d) {
        from.extent[d] = unpaired(in.extent[d]);
        from.stride[d] = in.extent[axis] == 0 ? 0 : unpaired(in.stride[d]);  // there may be no memory to step through
    }
    to.template run<K, In, Out, R>(row_loops<In, Out, R>(from, out, axis, true, options).work());
}

template <class To, class In, class Out>
SMX_ALWAYS_INLINE void elementwise(const To& to, const char* name, const In& in, Out& out,
                                   const softmax_options& options) {
    check_strided(in, {name, "in"});
    check_strided(out, {name, "out"});
    constexpr std::size_t rank = vocabulary::rank_of<const In>;
    const auto from = vocabulary::look(in);
    run_elementwise<known_of<rank, vocabulary::is_contiguous<const In> && vocabulary::is_contiguous<Out>>>(
        to, name, read_only(from), vocabulary::look(out), options);
}

template <class To, class In, class Out>
SMX_ALWAYS_INLINE void reduction(const To& to, const char* name, const In& in, Out& out,
                                 const softmax_options& options) {
    check_strided(in, {name, "in"});
    check_strided(out, {name, "out"});
    constexpr std::size_t rank = vocabulary::rank_of<const In>;
    const auto from = vocabulary::look(in);
    const auto into = vocabulary::look(out);
    using O = std::remove_reference_t<decltype(*into.data)>;
    const std::size_t axis = checked_axis<rank>(options, {name, "in"});
    layout<O, rank> kept{into.data, {}, {}};
    for (std::size_t d = 0; d < rank; ++d) {
        if constexpr (vocabulary::rank_of<Out> == rank) {
            kept.extent[d] = unpaired(into.extent[d]);
            kept.stride[d] = unpaired(into.stride[d]);
        } else {
            const std::size_t source = d - (d > axis ? 1 : 0);
            kept.extent[d] = d == axis ? 1 : unpaired(into.extent[source]);
            kept.stride[d] = d == axis ? 0 : unpaired(into.stride[source]);
        }
    }
    run_reduction<known_of<rank, vocabulary::is_contiguous<const In>>>(to, name, read_only(from), kept, axis, options);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
