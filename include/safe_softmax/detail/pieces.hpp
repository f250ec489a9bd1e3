// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job_rows.hpp>
#include <safe_softmax/detail/passes.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Rows of any element type and step, seen by the passes as contiguous pieces of the arithmetic's type T: where a row is such
// already, in place, else by way of a buffer.

template <class T>
inline constexpr scalar_type type_of_arithmetic = sizeof(T) == 4 ? scalar_type::float32 : scalar_type::float64;

template <class B, class T>
struct operand_pieces {
    using P = pack_t<B, T>;
    static constexpr std::size_t lanes = P::lanes;

    static SMX_ALWAYS_INLINE bool direct(const operand& o) noexcept {
        return o.type == type_of_arithmetic<T> && o.step == static_cast<std::ptrdiff_t>(sizeof(T));
    }

    /// Elements i to i + n of a floating operand, as T.
    static SMX_NOINLINE void copy_in(const operand& o, std::size_t i, std::size_t n, T* to) noexcept {
        const void* from = moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step);
        switch (o.type) {
            case scalar_type::float16: return copy_from<float16>(from, o.step, n, to);
            case scalar_type::bfloat16: return copy_from<bfloat16>(from, o.step, n, to);
            case scalar_type::float32: return copy_from<float>(from, o.step, n, to);
            case scalar_type::float64:
                if constexpr (sizeof(T) == 8) return copy_from<double>(from, o.step, n, to);
                else return;  // double elements take double arithmetic
            default:
                for (std::size_t l = 0; l < n; ++l)
                    to[l] = number_at<T>(moved(from, static_cast<std::ptrdiff_t>(l) * o.step), o.type);
        }
    }

    /// Elements i to i + n of an operand that is written to. Numbers: there is no NaN among them.
    template <bool Numbers>
    static SMX_NOINLINE void copy_out(const operand& o, std::size_t i, std::size_t n, const T* from) noexcept {
        void* to = const_cast<void*>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step));
        switch (o.type) {
            case scalar_type::float16: return copy_to<float16, true>(to, o.step, n, from);
            case scalar_type::bfloat16: return copy_to<bfloat16, Numbers>(to, o.step, n, from);
            case scalar_type::float64:
                if constexpr (sizeof(T) == 8) return copy_to<double, true>(to, o.step, n, from);
                else return;
            default: return copy_to<float, true>(to, o.step, n, from);
        }
    }

    /// Truth values i to i + n, one byte each; where they lie like that already, nothing is copied.
    static SMX_ALWAYS_INLINE const std::uint8_t* bytes(const operand& o, std::size_t i, std::size_t n,
                                                       std::uint8_t* buffer) noexcept {
        const std::uint8_t* from = static_cast<const std::uint8_t*>(o.data) + static_cast<std::ptrdiff_t>(i) * o.step;
        if (o.step == 1) return from;
        copy_bytes(from, o.step, n, buffer);
        return buffer;
    }

private:
    template <class, class>
    friend struct operand_pieces;

    static SMX_NOINLINE void copy_bytes(const std::uint8_t* from, std::ptrdiff_t step, std::size_t n,
                                        std::uint8_t* to) noexcept {
        for (std::size_t l = 0; l < n; ++l) to[l] = from[static_cast<std::ptrdiff_t>(l) * step];
    }

    template <class S>
    static SMX_ALWAYS_INLINE void copy_from(const void* from, std::ptrdiff_t step, std::size_t n, T* to) noexcept {
        const S* p = static_cast<const S*>(from);
        if (sizeof(T) == 8 && sizeof(S) == 2 && step == 2) {
            // By way of float: no machine goes directly.
            alignas(64) float part[128];
            for (std::size_t l = 0; l < n; l += 128) {
                const std::size_t m = n - l < 128 ? n - l : 128;
                operand_pieces<B, float>::template copy_from<S>(p + l, 2, m, part);
                copy_from<float>(part, 4, m, to + l);
            }
        } else if (step == static_cast<std::ptrdiff_t>(sizeof(S))) {
            std::size_t l = 0;
            for (; l + lanes <= n; l += lanes) store(to + l, P::load(p + l));
            if (l < n) store_partial(to + l, P::load_partial(p + l, n - l), n - l);
        } else {
            for (std::size_t l = 0; l < n; ++l)
                to[l] = load_element<T>(static_cast<const S*>(moved(from, static_cast<std::ptrdiff_t>(l) * step)));
        }
    }
    template <class S, bool Numbers>
    static SMX_ALWAYS_INLINE void copy_to(void* to, std::ptrdiff_t step, std::size_t n, const T* from) noexcept {
        S* p = static_cast<S*>(to);
        if (sizeof(T) == 8 && sizeof(S) == 2 && step == 2) {
            alignas(64) float part[128];
            for (std::size_t l = 0; l < n; l += 128) {
                const std::size_t m = n - l < 128 ? n - l : 128;
                copy_to<float, true>(part, 4, m, from + l);
                operand_pieces<B, float>::template copy_to<S, Numbers>(p + l, 2, m, part);
            }
        } else if (step == static_cast<std::ptrdiff_t>(sizeof(S))) {
            std::size_t l = 0;
            for (; l + lanes <= n; l += lanes) store_pack<Numbers>(p + l, P::load(from + l), from + l);
            if (l < n) store_elements(p + l, from + l, n - l, static_cast<std::ptrdiff_t>(sizeof(S)));
        } else {
            store_elements(p, from, n, step);
        }
    }
    template <bool Numbers, class S>
    static SMX_ALWAYS_INLINE void store_pack(S* p, P a, const T* from) noexcept {
        // A store to bfloat16 is not for NaN: see pack.hpp.
        if constexpr (!Numbers) {
            typename float_bits<T>::type above = 0;  // its sign bit: something is above infinity
            for (std::size_t l = 0; l < lanes; ++l) above |= infinity_bits<T> - magnitude_bits(from[l]);
            if (above >> (8 * sizeof(T) - 1) != 0)
                return store_elements(p, from, lanes, static_cast<std::ptrdiff_t>(sizeof(S)));
        }
        store(p, a);
    }
    template <class S>
    static SMX_NOINLINE void store_elements(S* p, const T* from, std::size_t n, std::ptrdiff_t step) noexcept {
        for (std::size_t l = 0; l < n; ++l) {
            S* to = static_cast<S*>(const_cast<void*>(moved(p, static_cast<std::ptrdiff_t>(l) * step)));
            if (is_nan(from[l])) store_nan(to);
            else store_element(to, from[l]);
        }
    }
};

/// A floating operand to read from.
template <class B, class T>
struct operand_reader {
    using element = T;
    const operand& from;
    T* buffer;  // one piece
    SMX_ALWAYS_INLINE const T* read(std::size_t i, std::size_t n) const noexcept {
        if (operand_pieces<B, T>::direct(from)) return static_cast<const T*>(from.data) + i;
        operand_pieces<B, T>::copy_in(from, i, n, buffer);
        return buffer;
    }
};

/// A floating operand to write to: piece(i) is filled, then written(i, n) is called. Numbers: never with a NaN.
template <class B, class T, bool Numbers = false>
struct operand_writer {
    using element = T;
    const operand& to;
    T* buffer;
    SMX_ALWAYS_INLINE T* piece(std::size_t i) const noexcept {
        return operand_pieces<B, T>::direct(to) ? static_cast<T*>(const_cast<void*>(to.data)) + i : buffer;
    }
    SMX_ALWAYS_INLINE void written(std::size_t i, std::size_t n) const noexcept {
        if (!operand_pieces<B, T>::direct(to)) operand_pieces<B, T>::template copy_out<Numbers>(to, i, n, buffer);
    }
};

/// An element of an operand that is written to, for what is neither a number nor a piece.
template <class F>
SMX_ALWAYS_INLINE void with_element(const operand& o, std::size_t i, F f) noexcept {
    void* p = const_cast<void*>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step));
    switch (o.type) {
        case scalar_type::float16: return f(static_cast<float16*>(p));
        case scalar_type::bfloat16: return f(static_cast<bfloat16*>(p));
        case scalar_type::float64: return f(static_cast<double*>(p));
        default: return f(static_cast<float*>(p));
    }
}
SMX_NOINLINE inline void put_nan(const operand& o, std::size_t i) noexcept {
    with_element(o, i, [](auto* p) SMX_INLINE_LAMBDA { store_nan(p); });
}
SMX_NOINLINE inline void put_infinity(const operand& o, std::size_t i, bool negative) noexcept {
    with_element(o, i, [=](auto* p) SMX_INLINE_LAMBDA { store_infinity(p, negative); });
}
SMX_NOINLINE inline void put_number(const operand& o, std::size_t i, double value) noexcept {
    with_element(o, i, [=](auto* p) SMX_INLINE_LAMBDA { store_exact(p, value); });
}
/// A number of any kind, infinities and NaN by their bits.
SMX_NOINLINE inline void put_any(const operand& o, std::size_t i, double value) noexcept {
    if (is_nan(value)) put_nan(o, i);
    else if (!is_finite(value)) put_infinity(o, i, is_negative(value));
    else put_number(o, i, value);
}

/// Elements first to last: +0, or -inf for logarithms.
SMX_NOINLINE inline void put_nothing(const operand& o, std::size_t first, std::size_t last, bool log) noexcept {
    if (first >= last) return;
    const auto fill = [&](auto* begin) SMX_INLINE_LAMBDA {
        using S = std::remove_pointer_t<decltype(begin)>;
        S nothing[16 / sizeof(S)];
        std::memset(static_cast<void*>(nothing), 0, sizeof nothing);
        if (log)
            for (S& n : nothing) store_infinity(&n, true);
        if (o.step != static_cast<std::ptrdiff_t>(sizeof(S))) {
            for (std::size_t i = first; i < last; ++i)
                std::memcpy(const_cast<void*>(moved(begin, static_cast<std::ptrdiff_t>(i) * o.step)), nothing,
                            sizeof(S));
            return;
        }
        char* at = reinterpret_cast<char*>(begin + first);
        std::size_t left = (last - first) * sizeof(S);
        for (; left >= 64; at += 64, left -= 64)
            for (std::size_t b = 0; b < 64; b += 16) std::memcpy(at + b, nothing, 16);
        for (; left >= 16; at += 16, left -= 16) std::memcpy(at, nothing, 16);
        for (; left != 0; at += sizeof(S), left -= sizeof(S)) std::memcpy(at, nothing, sizeof(S));
    };
    with_element(o, 0, fill);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
