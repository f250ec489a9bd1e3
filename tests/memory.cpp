// SPDX-License-Identifier: BSL-1.0
#include "memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace softmax_test {
namespace {

constexpr std::size_t guard = 256;  // bytes; a multiple of the alignment
constexpr std::size_t alignment = 64;

std::byte canary(std::size_t position) { return static_cast<std::byte>(0x80u | (position * 7 & 0x7fu)); }

struct reach {
    std::ptrdiff_t lowest, highest;  // offsets of elements
};

reach reach_of(const view& v) {
    reach r{0, 0};
    for (std::size_t d = 0; d < v.rank; ++d) {
        if (v.extents[d] == 0) return {0, -1};
        const std::ptrdiff_t end = v.strides[d] * (static_cast<std::ptrdiff_t>(v.extents[d]) - 1);
        (end < 0 ? r.lowest : r.highest) += end;
    }
    return r;
}

}  // namespace

std::size_t size_of(const view& v) {
    std::size_t n = 1;
    for (std::size_t d = 0; d < v.rank; ++d) n *= v.extents[d];
    return n;
}

void for_each_offset(const view& v, const std::function<void(std::ptrdiff_t)>& visit) {
    std::size_t extents[max_rank] = {1, 1, 1};
    std::ptrdiff_t strides[max_rank] = {0, 0, 0};
    std::copy_n(v.extents, v.rank, extents + (max_rank - v.rank));
    std::copy_n(v.strides, v.rank, strides + (max_rank - v.rank));
    for (std::size_t i = 0; i < extents[0]; ++i) {
        for (std::size_t j = 0; j < extents[1]; ++j) {
            for (std::size_t k = 0; k < extents[2]; ++k) {
                visit(static_cast<std::ptrdiff_t>(i) * strides[0] + static_cast<std::ptrdiff_t>(j) * strides[1] +
                      static_cast<std::ptrdiff_t>(k) * strides[2]);
            }
        }
    }
}

std::vector<double> load_all(const view& v) {
    std::vector<double> values;
    values.reserve(size_of(v));
    for_each_offset(v, [&](std::ptrdiff_t offset) { values.push_back(load(v.type, v.data, offset)); });
    return values;
}

std::vector<std::uint64_t> load_all_bits(const view& v) {
    std::vector<std::uint64_t> bits;
    bits.reserve(size_of(v));
    for_each_offset(v, [&](std::ptrdiff_t offset) { bits.push_back(load_bits(v.type, v.data, offset)); });
    return bits;
}

void store_all(const view& v, std::span<const double> values) {
    std::size_t i = 0;
    for_each_offset(v, [&](std::ptrdiff_t offset) { store(v.type, v.data, offset, values[i++]); });
}

guarded_memory::guarded_memory(view layout, std::size_t misalignment) : view_(layout) {
    const std::size_t element = size_of(layout.type);
    const reach r = reach_of(layout);
    const std::size_t elements = static_cast<std::size_t>(r.highest - r.lowest + 1);
    bytes_.resize(alignment + guard + (misalignment + elements) * element + guard);
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = canary(i);
    const std::size_t past = reinterpret_cast<std::uintptr_t>(bytes_.data()) % alignment;
    const std::size_t start = (past == 0 ? 0 : alignment - past) + guard + misalignment * element;
    view_.data = bytes_.data() + start + static_cast<std::size_t>(-r.lowest) * element;
}

std::string guarded_memory::damage() const {
    const std::size_t element = size_of(view_.type);
    const std::ptrdiff_t origin = static_cast<const std::byte*>(view_.data) - bytes_.data();
    std::vector<bool> written(bytes_.size());
    for_each_offset(view_, [&](std::ptrdiff_t offset) {
        const std::ptrdiff_t first = origin + offset * static_cast<std::ptrdiff_t>(element);
        std::fill_n(written.begin() + first, element, true);
    });
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
        if (!written[i] && bytes_[i] != canary(i)) {
            return "byte " + std::to_string(static_cast<std::ptrdiff_t>(i) - origin) +
                   " counted from the element with all indices 0 was written";
        }
    }
    return {};
}

view span_view(dtype type, std::size_t n) { return {type, nullptr, view_kind::span, 1, {n}, {1}}; }

view strided_view(dtype type, std::size_t n, std::ptrdiff_t stride) {
    return {type, nullptr, view_kind::strided_span, 1, {n}, {stride}};
}

view tensor_view(dtype type, std::vector<std::size_t> extents, std::vector<std::ptrdiff_t> strides) {
    view v{type, nullptr, view_kind::tensor, extents.size(), {}, {}};
    std::copy(extents.begin(), extents.end(), v.extents);
    std::copy(strides.begin(), strides.end(), v.strides);
    return v;
}

view tensor_view(dtype type, std::vector<std::size_t> extents) {
    std::vector<std::ptrdiff_t> strides(extents.size());
    std::ptrdiff_t stride = 1;
    for (std::size_t d = extents.size(); d-- > 0;) {
        strides[d] = stride;
        stride *= static_cast<std::ptrdiff_t>(std::max<std::size_t>(extents[d], 1));
    }
    return tensor_view(type, std::move(extents), std::move(strides));
}

view row_of(const view& v, std::size_t axis, std::vector<std::size_t> index) {
    std::ptrdiff_t offset = 0;
    for (std::size_t d = 0; d < v.rank; ++d) {
        if (d != axis) offset += static_cast<std::ptrdiff_t>(index[d]) * v.strides[d];
    }
    view row = strided_view(v.type, v.extents[axis], v.strides[axis]);
    row.data = static_cast<std::byte*>(v.data) + offset * static_cast<std::ptrdiff_t>(size_of(v.type));
    return row;
}

}  // namespace softmax_test
