// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

/// `calls` calls of safe_softmax on one row; cost_loop.cpp, compiled for one instruction set and with run-time dispatch.
void direct_loop(const float* in, float* out, std::size_t n, std::size_t calls);
void dispatched_loop(const float* in, float* out, std::size_t n, std::size_t calls);
