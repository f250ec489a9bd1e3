// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job.hpp>
#include <safe_softmax/simd/pack.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

using vocabulary::job;
using vocabulary::operand;
using vocabulary::scalar_type;

SMX_ALWAYS_INLINE const void* moved(const void* p, std::ptrdiff_t bytes) noexcept {
    return static_cast<const char*>(p) + bytes;
}

/// Calls f(operands of the row, its index in query_loop) for every row.
template <class F>
SMX_ALWAYS_INLINE void for_each_row(const job& j, F f) noexcept {
    operand row[vocabulary::max_operands] = {};
    std::size_t index[array_ref::max_rank + 1] = {};
    // Operands that are the same for all rows of the innermost loop are left alone there.
    std::size_t moving[vocabulary::max_operands], count = 0;
    for (std::size_t o = 0; o < j.operands; ++o) {
        row[o] = j.op[o];
        if (row[o] && j.loops != 0 && j.loop[j.loops - 1].stride[o] != 0) moving[count++] = o;
    }
    for (std::size_t o = j.operands; o < vocabulary::max_operands; ++o) row[o] = {};
    for (std::size_t d = 0; d < j.loops; ++d)
        if (j.loop[d].extent == 0) return;
    while (true) {
        f(row, index[j.query_loop]);
        if (j.loops == 0) return;
        std::size_t d = j.loops - 1;
        const vocabulary::job_loop& inner = j.loop[d];
        if (++index[d] < inner.extent) {
            for (std::size_t m = 0; m < count; ++m)
                row[moving[m]].data = moved(row[moving[m]].data, inner.stride[moving[m]]);
            continue;
        }
        while (true) {
            const vocabulary::job_loop& ended = j.loop[d];
            index[d] = 0;
            for (std::size_t o = 0; o < j.operands; ++o)
                if (row[o])
                    row[o].data = moved(row[o].data, -ended.stride[o] * static_cast<std::ptrdiff_t>(ended.extent - 1));
            if (d == 0) return;
            const vocabulary::job_loop& l = j.loop[--d];
            if (++index[d] < l.extent) {
                for (std::size_t o = 0; o < j.operands; ++o)
                    if (row[o]) row[o].data = moved(row[o].data, l.stride[o]);
                break;
            }
        }
    }
}

/// Whether there is an operand o, with the same elements for every row.
SMX_ALWAYS_INLINE bool has_one_for_all(const job& j, std::size_t o) noexcept {
    for (std::size_t d = 0; d < j.loops; ++d)
        if (j.loop[d].stride[o] != 0) return false;
    return static_cast<bool>(j.op[o]);
}

/// One number of an operand.
template <class T>
SMX_ALWAYS_INLINE T number_at(const void* p, scalar_type type) noexcept {
    const auto as = [p]<class S>(S element) SMX_INLINE_LAMBDA {
        std::memcpy(&element, p, sizeof element);
        return static_cast<T>(element);
    };
    switch (type) {
        case scalar_type::float32: return as(float{});
        case scalar_type::float64: return as(double{});
        case scalar_type::float16: return static_cast<T>(load_element<float>(static_cast<const float16*>(p)));
        case scalar_type::bfloat16: return static_cast<T>(load_element<float>(static_cast<const bfloat16*>(p)));
        case scalar_type::uint16: return as(std::uint16_t{});
        case scalar_type::uint32: return as(std::uint32_t{});
        case scalar_type::uint64: return as(std::uint64_t{});
        case scalar_type::int8: return as(std::int8_t{});
        case scalar_type::int16: return as(std::int16_t{});
        case scalar_type::int32: return as(std::int32_t{});
        case scalar_type::int64: return as(std::int64_t{});
        default: return as(std::uint8_t{});
    }
}

/// The scale of a row: divided by its temperature, if there is one.
SMX_ALWAYS_INLINE double scale_at(const job& j, const operand& temperature) noexcept {
    return temperature ? fence(j.scale / number_at<double>(temperature.data, temperature.type)) : j.scale;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
