// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#if defined(__SSE__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 1)
#include <xmmintrin.h>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// While it lives, the processor rounds to nearest and keeps subnormal numbers, as every result here supposes; afterwards
/// it does again what the caller had asked for. -ffast-math at link time, audio code and interval arithmetic ask for
/// something else. A look at a register, where there is nothing to change.
///
/// On 32-bit x86 without -mfpmath=sse it also takes x87 down to double precision: its results are those of SSE2 then.
///
/// The compiler does not know that arithmetic depends on it: what is computed under it has to be a call that is not inlined.
class default_environment {
#if defined(__SSE2__) && defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2
    /// That of SSE below that of x87, which in turn is the other way round: 0 is double.
    using control = unsigned long long;
    static constexpr control changes = 0x0f00'0000'e040;
    static constexpr unsigned short x87_double = 0x0200;
    static SMX_ALWAYS_INLINE control get() noexcept {
        unsigned short x87;
        __asm__ volatile("fnstcw %0" : "=m"(x87));
        return static_cast<control>(x87 ^ x87_double) << 32 | _mm_getcsr();
    }
    static SMX_ALWAYS_INLINE void set(control value) noexcept {
        const unsigned short x87 = static_cast<unsigned short>(static_cast<unsigned short>(value >> 32) ^ x87_double);
        __asm__ volatile("fldcw %0" : : "m"(x87) : "memory");
        _mm_setcsr(static_cast<unsigned>(value));
    }
#elif defined(__SSE__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 1)
    using control = unsigned;
    static constexpr control changes = 0xe040;  // flush to zero, rounding, denormals are zero
    static SMX_ALWAYS_INLINE control get() noexcept { return _mm_getcsr(); }
    static SMX_ALWAYS_INLINE void set(control value) noexcept { _mm_setcsr(value); }
#elif defined(__aarch64__) && defined(__GNUC__)
    using control = unsigned long long;
    static constexpr control changes = 0x1c80007;  // flush to zero, rounding, and what Armv8.7 adds to them
    static SMX_ALWAYS_INLINE control get() noexcept {
        control value;
        __asm__ volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static SMX_ALWAYS_INLINE void set(control value) noexcept {
        __asm__ volatile("msr fpcr, %0" : : "r"(value) : "memory");
    }
#elif defined(__riscv_flen)
    using control = unsigned long;
    static constexpr control changes = 7;  // rounding
    static SMX_ALWAYS_INLINE control get() noexcept {
        control value;
        __asm__ volatile("frrm %0" : "=r"(value));
        return value;
    }
    static SMX_ALWAYS_INLINE void set(control value) noexcept { __asm__ volatile("fsrm %0" : : "r"(value) : "memory"); }
#elif defined(__s390x__)
    using control = unsigned;
    static constexpr control changes = 7;  // rounding
    static SMX_ALWAYS_INLINE control get() noexcept {
        control value;
        __asm__ volatile("efpc %0" : "=d"(value));
        return value;
    }
    static SMX_ALWAYS_INLINE void set(control value) noexcept { __asm__ volatile("sfpc %0" : : "d"(value) : "memory"); }
#else
    using control = unsigned;
    static constexpr control changes = 0;
    static SMX_ALWAYS_INLINE control get() noexcept { return 0; }
    static SMX_ALWAYS_INLINE void set(control) noexcept {}
#endif

public:
    SMX_ALWAYS_INLINE default_environment() noexcept : before_(get()) {
        if ((before_ & changes) != 0) set(before_ & ~changes);
    }
    SMX_ALWAYS_INLINE ~default_environment() {
        if ((before_ & changes) != 0) set(before_);
    }
    default_environment(const default_environment&) = delete;
    default_environment& operator=(const default_environment&) = delete;

private:
    control before_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
