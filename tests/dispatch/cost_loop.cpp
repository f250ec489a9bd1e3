// SPDX-License-Identifier: BSL-1.0

// Compiled with -DLOOP=<name of the function>.

#include "cost.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <span>

void LOOP(const float* in, float* out, std::size_t n, std::size_t calls) {
    for (std::size_t i = 0; i < calls; ++i) smx::safe_softmax(std::span(in, n), std::span(out, n));
}
