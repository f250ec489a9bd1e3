// SPDX-License-Identifier: BSL-1.0
#pragma once

// Memory for views: with canaries around and between the elements, and at any misalignment.

#include "subject.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace softmax_test {

/// How many elements a view has.
std::size_t size_of(const view& v);

/// Calls `visit(offset)` for every element in row-major order; the offset, in elements, counts from v.data.
void for_each_offset(const view& v, const std::function<void(std::ptrdiff_t)>& visit);

std::vector<double> load_all(const view& v);
std::vector<std::uint64_t> load_all_bits(const view& v);
void store_all(const view& v, std::span<const double> values);

/// The bytes that a view spans, and canaries before, after and between its elements. Elements start as canaries, too.
class guarded_memory {
public:
    /// `layout` says everything but the address. The memory starts `misalignment` elements past a 64-byte boundary.
    explicit guarded_memory(view layout, std::size_t misalignment = 0);

    const view& elements() const { return view_; }
    /// Empty if nothing outside the elements was written to, else a description of the first byte that was.
    std::string damage() const;

private:
    std::vector<std::byte> bytes_;
    view view_;
};

view span_view(dtype type, std::size_t n);
view strided_view(dtype type, std::size_t n, std::ptrdiff_t stride);
view tensor_view(dtype type, std::vector<std::size_t> extents);  // row-major
view tensor_view(dtype type, std::vector<std::size_t> extents, std::vector<std::ptrdiff_t> strides);

/// The view of one row of a tensor: all indices but the one of `axis` fixed.
view row_of(const view& v, std::size_t axis, std::vector<std::size_t> index);

}  // namespace softmax_test
