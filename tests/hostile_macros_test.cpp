// SPDX-License-Identifier: BSL-1.0

// Macros that <windows.h>, <complex.h>, X11 and careless headers leave behind.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <concepts>
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
#define unix no word
#define linux no word

#undef SMX_DISPATCH // with all kernels
#include <safe_softmax/safe_softmax.hpp>

namespace softmax_test {
namespace {

TEST(Interface, WorksAmongHostileMacros) {
    float row[3] = {1000, 1001, 1002};
    smx::safe_softmax(row);
    EXPECT_FLOAT_EQ(row[0] + row[1] + row[2], 1);
    smx::log_softmax(row);
    smx::naive_softmax(row);
    EXPECT_GT(smx::logsumexp(row), 0);
    const bool mask[3] = {true, false, true};
    smx::masked_softmax(row, mask, row);
    EXPECT_EQ(row[1], 0);
    smx::online_softmax<float> state;
    state.push(row);
    EXPECT_GT(state.logsumexp(), 0);
    const int target[1] = {0};
    const float logits[1][3] = {{1, 2, 3}};
    float losses[1];
    smx::cross_entropy(smx::tensor_view<const float, 2>(&logits[0][0], {1, 3}), target, losses);
    EXPECT_GT(losses[0], 0);
}

}  // namespace
}  // namespace softmax_test
