// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/arm.hpp>
#include <safe_softmax/simd/x86.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {
namespace native {
// The names exist on every machine, so that asking for an overload is well-formed where there is none.
struct nothing {};
void fma(nothing);
void maximum(nothing);
void zero_where_less(nothing);
void zero_where_equal(nothing);
void where_nonzero(nothing);
void where_nonzero_before(nothing);
void count_equal(nothing);
void truncate_half(nothing);
void exp2_eighths(nothing);
void blend_first(nothing);
void even_as_double(nothing);
void odd_as_double(nothing);
void reduce_max(nothing);
void reduce_add(nothing);
void reduce_max_each(nothing);
void reduce_add_each(nothing);
void load_as(nothing);
void store_as(nothing);
void load_partial_as(nothing);
void load_before_as(nothing);
void store_partial_as(nothing);
}  // namespace native

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
