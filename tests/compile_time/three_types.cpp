// SPDX-License-Identifier: BSL-1.0

// What is measured: a source of a user that calls softmax in three types.

#include <safe_softmax/safe_softmax.hpp>

#include <vector>

void softmax(const std::vector<float>& in, std::vector<float>& out);
void softmax(const std::vector<double>& in, std::vector<double>& out);
void softmax(const std::vector<smx::float16>& in, std::vector<smx::float16>& out);

void softmax(const std::vector<float>& in, std::vector<float>& out) { smx::safe_softmax(in, out); }
void softmax(const std::vector<double>& in, std::vector<double>& out) { smx::safe_softmax(in, out); }
void softmax(const std::vector<smx::float16>& in, std::vector<smx::float16>& out) { smx::safe_softmax(in, out); }
