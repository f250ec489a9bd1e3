// SPDX-License-Identifier: BSL-1.0
#pragma once

// Compiler and instruction set, asked once. Every other `#if` on the platform lives in simd/.

#if defined(SMX_SINGLE_HEADER)
#error "safe_softmax: the single header was included before headers of its folder: one file takes one or the other"
#endif

/// Inlined even at -O0: no out-of-line copy exists that the linker could share between objects built for
/// different instruction sets. SMX_INLINE_AS_NEEDED leaves it to the compiler where the namespace SMX_ABI tells copies apart, so not for
/// functions of the vocabulary, which all objects share. That takes half as long to compile, or less under sanitizers; calls take more
/// time, and may take more stack than is promised.
#if defined(_MSC_VER) && !defined(__clang__)
#define SMX_INLINE_VOCABULARY __forceinline
#else
#define SMX_INLINE_VOCABULARY inline __attribute__((always_inline))
#endif
#if defined(SMX_INLINE_AS_NEEDED)
#define SMX_ALWAYS_INLINE inline
#else
#define SMX_ALWAYS_INLINE SMX_INLINE_VOCABULARY
#endif

/// Before a loop of a few turns, known when it is compiled, whose arrays ought to be registers: below -O3, g++ keeps such loops.
#if defined(__GNUC__) && !defined(__clang__)
#define SMX_UNROLL _Pragma("GCC unroll 16")
#else
#define SMX_UNROLL
#endif

/// The same for a lambda: between its parameters and its body.
#if defined(_MSC_VER) && !defined(__clang__)
#define SMX_INLINE_LAMBDA
#elif defined(SMX_INLINE_AS_NEEDED)
#define SMX_INLINE_LAMBDA
#else
#define SMX_INLINE_LAMBDA __attribute__((always_inline))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define SMX_NOINLINE __declspec(noinline)
#else
#define SMX_NOINLINE __attribute__((noinline))
#endif

#if defined(__cpp_exceptions) || (defined(_MSC_VER) && defined(_CPPUNWIND))
#define SMX_EXCEPTIONS 1
#else
#define SMX_EXCEPTIONS 0
#endif

/// 1 where a*b+c with one rounding is one instruction.
#if defined(__FMA__) || defined(__aarch64__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF) || \
    defined(__s390x__) || defined(__powerpc64__) || (defined(__riscv_flen) && __riscv_flen >= 64) ||     \
    (defined(_MSC_VER) && defined(__AVX2__))
#define SMX_FUSED 1
#else
#define SMX_FUSED 0
#endif

/// 1 where the compiler may assume that no NaN and no infinity exists.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#define SMX_FINITE_MATH 1
#else
#define SMX_FINITE_MATH 0
#endif

/// What packs are made of: xsimd's registers where it is on the include path, unless SMX_NO_XSIMD is defined; else the compiler's own
/// vector types, the same registers on x86 and Arm, unless SMX_NO_SIMD is defined, which means neither; else arrays.
#if !defined(SMX_NO_XSIMD) && !defined(SMX_NO_SIMD) && defined(__has_include)
#if __has_include(<xsimd/xsimd.hpp>)
#define SMX_XSIMD 1
#endif
#endif
#if !defined(SMX_XSIMD)
#define SMX_XSIMD 0
#endif
#if defined(__GNUC__) && !defined(SMX_NO_SIMD) && \
    (!defined(__i386__) || defined(__SSE2__))  // without, vectors change the ABI
#define SMX_VECTOR_TYPES 1
#else
#define SMX_VECTOR_TYPES 0
#endif
/// 1 where packs are made of registers, which intrinsics take.
#define SMX_REGISTERS (SMX_XSIMD || SMX_VECTOR_TYPES)

/// 1 where the CMake target safe_softmax::dispatch supplies the kernels.
#if !defined(SMX_DISPATCH)
#define SMX_DISPATCH 0
#endif

// What the compiler was allowed to use, as far as our code differs by it, names the inline namespace of every function template, so that objects
// built with different flags can be linked into one program: each keeps the code it was compiled to.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#if defined(__AVX512BF16__)
#define SMX_ABI_ISA avx512bf16
#else
#define SMX_ABI_ISA avx512
#endif
#elif defined(__AVX512F__)
#define SMX_ABI_ISA avx512f
#elif defined(__AVX2__)
#define SMX_ABI_ISA avx2
#elif defined(__AVX__)
#define SMX_ABI_ISA avx
#elif defined(__SSE4_1__)
#define SMX_ABI_ISA sse4
#elif defined(__SSSE3__)
#define SMX_ABI_ISA ssse3
#elif defined(__ARM_FEATURE_SVE)
#define SMX_ABI_ISA sve
#else
#define SMX_ABI_ISA base
#endif
#if SMX_FUSED
#define SMX_ABI_FMA _fma
#else
#define SMX_ABI_FMA
#endif
#if defined(__F16C__)
#define SMX_ABI_F16C _f16c
#else
#define SMX_ABI_F16C
#endif
#if SMX_FINITE_MATH
#define SMX_ABI_MATH _finite
#elif defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__)
#define SMX_ABI_MATH _fast
#else
#define SMX_ABI_MATH
#endif
#if SMX_EXCEPTIONS
#define SMX_ABI_EXCEPTIONS
#else
#define SMX_ABI_EXCEPTIONS _noexcept
#endif
#if SMX_XSIMD
#define SMX_ABI_BACKEND _xsimd
#elif SMX_VECTOR_TYPES
#define SMX_ABI_BACKEND _scalar
#else
#define SMX_ABI_BACKEND _arrays
#endif
#if SMX_DISPATCH
#define SMX_ABI_CHOICE _dispatch
#else
#define SMX_ABI_CHOICE
#endif
#define SMX_ABI_JOIN_(a, b, c, d, e, f, g) a##b##c##d##e##f##g
#define SMX_ABI_JOIN(a, b, c, d, e, f, g) SMX_ABI_JOIN_(a, b, c, d, e, f, g)
#define SMX_ABI                                                                                             \
    SMX_ABI_JOIN(SMX_ABI_ISA, SMX_ABI_FMA, SMX_ABI_F16C, SMX_ABI_MATH, SMX_ABI_EXCEPTIONS, SMX_ABI_BACKEND, \
                 SMX_ABI_CHOICE)

// The enumerator of smx::isa for what the compiler may use.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SMX_COMPILED_ISA SMX_ABI_ISA
#elif defined(__AVX2__) && SMX_FUSED && (defined(__F16C__) || defined(_MSC_VER))
#define SMX_COMPILED_ISA avx2
#elif defined(__AVX__)
#define SMX_COMPILED_ISA avx
#elif defined(__SSE2__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 2)
#define SMX_COMPILED_ISA sse2
#elif defined(__aarch64__) || defined(_M_ARM64)
#define SMX_COMPILED_ISA neon64
#else
#define SMX_COMPILED_ISA scalar
#endif
