// SPDX-License-Identifier: BSL-1.0
#pragma once

// Macros that <windows.h>, <complex.h>, X11 and careless headers leave behind; before them everything that the library includes.

#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <math.h>
#include <ranges>
#include <span>
#include <stdexcept>
#include <type_traits>
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__has_include) && !defined(SMX_NO_XSIMD)
#if __has_include(<xsimd/xsimd.hpp>)
#include <xsimd/xsimd.hpp>
#endif
#endif

#define min(a, b) this is no expression
#define max(a, b) this is no expression
#define near no word
#define far no word
#define small no word
#define interface no word
#define IN no word
#define OUT no word
#define OPTIONAL no word
#define ERROR no word
#define DELETE no word
#define CONST no word
#define VOID no word
#define STRICT no word
#define TRUE no word
#define FALSE no word
#define NAN_ no word
#define I no word
#define complex no word
#define Bool no word
#define None no word
#define Status no word
#define Success no word
#define check(x) no word
#define verify(x) no word
#define major(x) no word
#define minor(x) no word
#define isnan(x) no word
#define isfinite(x) no word
#define isinf(x) no word
#define signbit(x) no word
#define printf no word
#define unix no word
#define linux no word
