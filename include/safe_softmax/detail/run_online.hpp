// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/options.hpp>
#include <safe_softmax/detail/run_job.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/online_rows.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class B, class T>
class online_rows;

/// A row of a view as an operand of a job.
struct row_of_view {
    operand elements;
    std::size_t length;
};

template <class V>
SMX_ALWAYS_INLINE row_of_view look_at_row(const char* function, const char* name, V& v) {
    if (!vocabulary::is_strided(v))
        refuse(function, "%s has a layout without strides (is_strided() is 0, must be 1)", name);
    const auto l = vocabulary::look(v);
    using S = std::remove_cv_t<std::remove_reference_t<decltype(*l.data)>>;
    constexpr std::ptrdiff_t size = sizeof(S);
    return {{l.data, l.extent[0] <= 1 ? size : l.stride[0] * size, vocabulary::scalar_type_of<S>()}, l.extent[0]};
}

template <class Call>
SMX_NOINLINE void run_online(vocabulary::job_function f, const row_of_view* in, const operand* out, double scale,
                             special_values special, bool wide, Call& call) noexcept {
    vocabulary::job j;
    for (operand& o : j.op) o = operand{};
    j.function = f;
    j.length = in != nullptr ? in->length : 0;
    j.operands = vocabulary::online::call + 1;
    if (in != nullptr) j.op[vocabulary::online::in] = in->elements;
    if (out != nullptr) j.op[vocabulary::online::out] = *out;
    j.op[vocabulary::online::call].data = &call;
    j.loops = j.query_loop = 0;
    j.scale = scale;
    j.special = special;
    j.causal = false;
    j.causal_offset = 0;
    j.softcap = 0;
    j.wide = wide;
    run_job<online_rows>(j);
}

/// A row and what is written from it: of one length, the very same elements or apart, and the output's all different.
SMX_NOINLINE inline void check_rows(const char* function, const row_of_view& in, const row_of_view& out) {
    if (in.length != out.length)
        refuse(function, "extent 0 of out is %zu, but that of in is %zu", out.length, in.length);
    if (in.length == 0) return;
    const auto bytes = [](const row_of_view& r) {
        return layout<const char, 2>{
            static_cast<const char*>(r.elements.data), {r.length, size_of(r.elements.type)}, {r.elements.step, 1}};
    };
    const layout<const char, 2> a = bytes(in), b = bytes(out);
    const byte_range in_range = range_of(a, {function, "in"}), out_range = range_of(b, {function, "out"});
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(size_of(out.elements.type));
    if (out.elements.step > -size && out.elements.step < size)
        refuse(function, "out has stride 0 in axis 0, which has %zu elements: they would all be written to one place",
               out.length);
    if (!(same_elements(a, b) && a.extent == b.extent)) check_apart(a, in_range, b, out_range, function);
}

/// The options of online_softmax.
SMX_NOINLINE inline void check_online_scale(const char* function, double scale) {
    if (!is_finite(scale)) refuse(function, "options.scale is %g, but it must be finite", scale);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
