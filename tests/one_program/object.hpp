// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

/// What one object offers to the program; plain C types, so that nothing but the library differs between objects.
enum : unsigned { needs_avx2 = 1, needs_avx512 = 2 };
inline constexpr std::size_t object_elements = 64, object_results = 4 * object_elements + 1;
struct object {
    const char* name;
    unsigned needs;
    bool fused, dispatches;
    void (*run)(const float* logits, std::size_t n, float* results);  // n is object_elements
    bool (*refuses)(const float* logits);
};
