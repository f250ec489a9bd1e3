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

/// Calls f(operands of the first row, number of rows, index of the first in query_loop, step of that index) for every run of rows: those
/// of the innermost loop, where operand o moves by run_stride(j, o) bytes. f may move operands, if it moves them back.
template <class F>
SMX_ALWAYS_INLINE void for_each_run(const job& j, F f) noexcept {
    operand row[vocabulary::max_operands] = {};
    std::size_t index[array_ref::max_rank + 1] = {};
    for (std::size_t o = 0; o < j.operands; ++o) row[o] = j.op[o];
    for (std::size_t d = 0; d < j.loops; ++d)
        if (j.loop[d].extent == 0) return;
    const std::size_t outer = j.loops == 0 ? 0 : j.loops - 1, count = j.loops == 0 ? 1 : j.loop[outer].extent;
    const std::size_t query_step = j.loops != 0 && j.query_loop == outer ? 1 : 0;
    while (true) {
        f(row, count, index[j.query_loop], query_step);
        std::size_t d = outer;
        while (true) {
            if (d == 0) return;
            const vocabulary::job_loop& l = j.loop[--d];
            const bool ended = ++index[d] == l.extent;
            const std::ptrdiff_t steps = ended ? 1 - static_cast<std::ptrdiff_t>(l.extent) : 1;
            for (std::size_t o = 0; o < j.operands; ++o)
                if (row[o]) row[o].data = moved(row[o].data, l.stride[o] * steps);
            if (!ended) break;
            index[d] = 0;
        }
    }
}
SMX_ALWAYS_INLINE std::ptrdiff_t run_stride(const job& j, std::size_t o) noexcept {
    return j.loops == 0 ? 0 : j.loop[j.loops - 1].stride[o];
}

/// Calls f(operands of the row, its index in query_loop) for every row.
template <class F>
SMX_ALWAYS_INLINE void for_each_row(const job& j, F f) noexcept {
    // Operands that are the same for all rows of a run are left alone there.
    std::size_t moving[vocabulary::max_operands], operands = 0;
    for (std::size_t o = 0; o < j.operands; ++o)
        if (j.op[o] && run_stride(j, o) != 0) moving[operands++] = o;
    for_each_run(j, [&](operand* row, std::size_t count, std::size_t query, std::size_t query_step) SMX_INLINE_LAMBDA {
        const auto move = [&](std::ptrdiff_t rows) SMX_INLINE_LAMBDA {
            for (std::size_t m = 0; m < operands; ++m)
                row[moving[m]].data = moved(row[moving[m]].data, run_stride(j, moving[m]) * rows);
        };
        for (std::size_t i = 0;;) {
            f(row, query + i * query_step);
            if (++i == count) break;
            move(1);
        }
        if (j.loops > 1) move(1 - static_cast<std::ptrdiff_t>(count));
    });
}

/// Whether there is an operand o, with the same elements for every row.
SMX_ALWAYS_INLINE bool has_one_for_all(const job& j, std::size_t o) noexcept {
    for (std::size_t d = 0; d < j.loops; ++d)
        if (j.loop[d].stride[o] != 0) return false;
    return static_cast<bool>(j.op[o]);
}

/// Calls f with an element of that type.
template <class F>
SMX_ALWAYS_INLINE auto with_element_of(scalar_type type, F f) noexcept {
    switch (type) {
        case scalar_type::float32: return f(float{});
        case scalar_type::float64: return f(double{});
        case scalar_type::float16: return f(float16{});
        case scalar_type::bfloat16: return f(bfloat16{});
        case scalar_type::uint16: return f(std::uint16_t{});
        case scalar_type::uint32: return f(std::uint32_t{});
        case scalar_type::uint64: return f(std::uint64_t{});
        case scalar_type::int8: return f(std::int8_t{});
        case scalar_type::int16: return f(std::int16_t{});
        case scalar_type::int32: return f(std::int32_t{});
        case scalar_type::int64: return f(std::int64_t{});
        default: return f(std::uint8_t{});
    }
}
template <class T, class S>
SMX_ALWAYS_INLINE T number_as(const void* p) noexcept {
    if constexpr (std::is_same_v<S, float16> || std::is_same_v<S, bfloat16>) {
        return static_cast<T>(load_element<float>(static_cast<const S*>(p)));
    } else {
        S element;
        std::memcpy(&element, p, sizeof element);
        return static_cast<T>(element);
    }
}

/// One number of an operand.
template <class T>
SMX_ALWAYS_INLINE T number_at(const void* p, scalar_type type) noexcept {
    return with_element_of(type, [p]<class S>(S) SMX_INLINE_LAMBDA { return number_as<T, S>(p); });
}
/// n numbers, `step` bytes apart.
template <class T>
SMX_NOINLINE void read_numbers(const void* p, std::ptrdiff_t step, scalar_type type, T* to, std::size_t n) noexcept {
    with_element_of(type, [=]<class S>(S) SMX_INLINE_LAMBDA {
        constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(S));
        const auto number = [p](std::size_t i, std::ptrdiff_t apart) SMX_INLINE_LAMBDA {
            return number_as<T, S>(moved(p, static_cast<std::ptrdiff_t>(i) * apart));
        };
        if (step == size)  // a loop of its own, for vectors
            for (std::size_t i = 0; i < n; ++i) to[i] = number(i, size);
        else
            for (std::size_t i = 0; i < n; ++i) to[i] = number(i, step);
    });
}

/// The scale of a row: divided by its temperature, if there is one.
SMX_ALWAYS_INLINE double scale_at(const job& j, const operand& temperature) noexcept {
    return temperature ? fence(j.scale / number_at<double>(temperature.data, temperature.type)) : j.scale;
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
