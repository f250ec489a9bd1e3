// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/dynamic_view.hpp>

#include <dlpack/dlpack.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

/// @file
/// DLPack's tensors as dynamic views: what PyTorch, JAX, NumPy, CuPy, TVM and others hand over without a copy. Takes dlpack.h,
/// 0.5 or newer (Debian: libdlpack-dev), and nothing to link.
///
/// ```cpp
/// void f(const DLManagedTensor* logits, DLManagedTensor* probabilities) {
///     smx::safe_softmax(logits->dl_tensor, probabilities->dl_tensor, {.axis = 1});
/// }
/// ```
///
/// float32, float64, float16 and bfloat16 in memory that the processor can read: CPU, pinned and managed memory of CUDA, pinned
/// of ROCm. Everything else is refused with a text that names it, as are a negative number of axes or elements, and elements that
/// do not lie at a multiple of their size. Strides are in elements and may be missing, byte_offset counts. Whether a
/// tensor may be written to DLPack does not say before its version 1: what is passed as `out` is written.

namespace smx {
inline namespace SMX_ABI {
namespace detail {

inline element_format format_of_dlpack(const DLDataType& type, argument a) {
    const bool floating = type.code == kDLFloat, brain = type.code == kDLBfloat;
    if (type.lanes == 1 && floating && type.bits == 32) return element_format::binary32;
    if (type.lanes == 1 && floating && type.bits == 64) return element_format::binary64;
    if (type.lanes == 1 && floating && type.bits == 16) return element_format::binary16;
    if (type.lanes == 1 && brain && type.bits == 16) return element_format::bfloat16;
    refuse(a.function,
           "%s has elements of code %u, %u bits and %u lanes, but only float (code 2) of 16, 32 and 64 bits and bfloat "
           "(code 4) of 16, of 1 lane, can be read",
           a.name, unsigned(type.code), unsigned(type.bits), unsigned(type.lanes));
}

/// Where a tensor's elements are, of `size` bytes each.
struct dlpack_layout {
    char* data;
    std::size_t rank;
    std::array<std::size_t, vocabulary::max_dynamic_rank> extents;
    std::array<std::ptrdiff_t, vocabulary::max_dynamic_rank> strides;

    dlpack_layout(const DLTensor& t, std::size_t size, argument a) {
        if (t.ndim < 0 || t.ndim > static_cast<int>(vocabulary::max_dynamic_rank))
            refuse(a.function, "%s has %d axes, but 0 to %zu are allowed", a.name, static_cast<int>(t.ndim),
                   vocabulary::max_dynamic_rank);
        rank = static_cast<std::size_t>(t.ndim);
        if (rank != 0 && t.shape == nullptr)
            refuse(a.function, "%s has %zu axes, but its shape is a null pointer", a.name, rank);
        bool empty = false;
        std::size_t next = 1;  // stride, where there are none
        for (std::size_t d = rank; d-- > 0;) {
            constexpr std::int64_t limit = (std::numeric_limits<std::ptrdiff_t>::max)();
            if (t.shape[d] < 0 || t.shape[d] > limit)
                refuse(a.function, "extent %zu of %s is %lld", d, a.name, static_cast<long long>(t.shape[d]));
            extents[d] = static_cast<std::size_t>(t.shape[d]);
            empty = empty || extents[d] == 0;
            if (t.strides == nullptr) {
                strides[d] = static_cast<std::ptrdiff_t>(next);
                next *= extents[d] == 0 ? 1 : extents[d];
                continue;
            }
            if (t.strides[d] < -limit || t.strides[d] > limit)
                refuse(a.function, "stride %lld of axis %zu of %s is beyond memory",
                       static_cast<long long>(t.strides[d]), d, a.name);
            strides[d] = static_cast<std::ptrdiff_t>(t.strides[d]);
        }
        if (t.data == nullptr && !empty) refuse(a.function, "%s has elements, but its data is a null pointer", a.name);
        data = static_cast<char*>(t.data) + (empty ? 0 : static_cast<std::size_t>(t.byte_offset));
        if (!empty && reinterpret_cast<std::uintptr_t>(data) % size != 0)
            refuse(a.function,
                   "%s begins at %p (byte_offset is %llu), which is no multiple of the size of its elements, %zu",
                   a.name, static_cast<const void*>(data), static_cast<unsigned long long>(t.byte_offset), size);
    }
};

inline void check_dlpack_device(const DLTensor& t, argument a) {
    constexpr int cpu = 1, cuda_pinned = 3, rocm_pinned = 11, cuda_managed = 13;  // their names differ among versions
    const int device = static_cast<int>(t.device.device_type);
    if (device != cpu && device != cuda_pinned && device != rocm_pinned && device != cuda_managed)
        refuse(a.function,
               "%s is on a device of type %d, but has to be in memory that the processor reads: of type 1, 3, 11 or 13",
               a.name, device);
}

inline dynamic_view look_at_dlpack(const DLTensor& t, argument a) {
    check_dlpack_device(t, a);
    const element_format format = format_of_dlpack(t.dtype, a);
    const dlpack_layout l(t, vocabulary::size_of_format(format), a);
    return dynamic_view(l.data, format, {l.extents.data(), l.rank}, {l.strides.data(), l.rank});
}

/// Of integers and truth values, too.
inline array_ref look_at_any_dlpack(const DLTensor& t, argument a) {
    constexpr unsigned boolean = 6;  // without a name before DLPack 0.8
    const auto array = [&](scalar_type type) {
        check_dlpack_device(t, a);
        const dlpack_layout l(t, vocabulary::size_of(type), a);
        return array_of_dynamic(a, l.data, type, {l.extents.data(), l.rank}, {l.strides.data(), l.rank});
    };
    const unsigned code = t.dtype.code, bits = t.dtype.bits;
    if (t.dtype.lanes == 1 && code == boolean && bits == 8) return array(scalar_type::boolean);
    if (t.dtype.lanes == 1 && (code == kDLInt || code == kDLUInt)) {
        const bool has_sign = code == kDLInt;
        if (bits == 8) return array(has_sign ? scalar_type::int8 : scalar_type::uint8);
        if (bits == 16) return array(has_sign ? scalar_type::int16 : scalar_type::uint16);
        if (bits == 32) return array(has_sign ? scalar_type::int32 : scalar_type::uint32);
        if (bits == 64) return array(has_sign ? scalar_type::int64 : scalar_type::uint64);
    }
    return arguments_of{a.function}(look_at_dlpack(t, a), a.name);
}

}  // namespace detail
}  // namespace SMX_ABI

namespace vocabulary {

template <>
struct dynamic_traits<DLTensor> {
    static constexpr bool viewable = true, writable = true, borrowed = true;
    static dynamic_view look(const DLTensor& t, const char* function, const char* name) {
        return SMX_ABI::detail::look_at_dlpack(t, {function, name});
    }
    static array_ref look_at_any(const DLTensor& t, const char* function, const char* name) {
        return SMX_ABI::detail::look_at_any_dlpack(t, {function, name});
    }
};

}  // namespace vocabulary
}  // namespace smx
