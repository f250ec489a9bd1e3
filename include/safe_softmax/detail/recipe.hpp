// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/scaling.hpp>
#include <safe_softmax/detail/work.hpp>

#include <cstddef>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::function;
using vocabulary::known_rows;
using vocabulary::work;
static_assert(vocabulary::functions == 3,
              "kernels take what is neither softmax nor log_softmax for logsumexp: look for all three in detail/");

/// The arithmetic of a pair of element types: float, or double as soon as either side is.
template <class In, class Out>
using compute_t = std::conditional_t<std::is_same_v<In, double> || std::is_same_v<Out, double>, double, float>;

/// The rows of the innermost loop.
template <class In>
SMX_ALWAYS_INLINE const In* in_row(const vocabulary::work& w, std::size_t j) noexcept {
    return static_cast<const In*>(w.in) + static_cast<std::ptrdiff_t>(j) * w.rows.in;
}
template <class Out>
SMX_ALWAYS_INLINE Out* out_row(const vocabulary::work& w, std::size_t j) noexcept {
    return static_cast<Out*>(w.out) + static_cast<std::ptrdiff_t>(j) * w.rows.out;
}

/// Calls f(w) for the innermost loop of every iteration of the outer ones.
template <class In, class Out, class F>
SMX_NOINLINE void for_each_outer(const work& w, const F& f) noexcept {
    if (w.outer_count == 0) return f(w);
    work inner = w;
    inner.outer = w.outer + 1;
    inner.outer_count = w.outer_count - 1;
    for (std::size_t i = 0; i < w.outer->extent; ++i) {
        inner.in = static_cast<const In*>(w.in) + static_cast<std::ptrdiff_t>(i) * w.outer->in;
        inner.out = static_cast<Out*>(w.out) + static_cast<std::ptrdiff_t>(i) * w.outer->out;
        for_each_outer<In, Out>(inner, f);
    }
}

/// What a kernel is told about the options.
template <class T>
struct recipe {
    const scaling<T>& scale;
    special_values special;
};

/// Rows of softmax from so many elements on have k_max in whole octaves (scaling.hpp): what terms are with another k_max differs from what
/// they are by a power of two then, and the largest logit can be looked for while they are added up (one_sweep.hpp). Not so with a
/// sink or with numbers (or noise) that are added to the logits.
inline constexpr std::size_t least_by_octaves = 2048;
template <function F>
SMX_ALWAYS_INLINE constexpr bool by_octaves(std::size_t length) noexcept {
    return F == function::softmax && length >= least_by_octaves;
}

/// One row, element by element.
template <class S>
struct stepped {
    S* data;
    std::ptrdiff_t step;
    SMX_ALWAYS_INLINE S* at(std::size_t i) const noexcept { return data + static_cast<std::ptrdiff_t>(i) * step; }
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
