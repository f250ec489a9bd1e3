// SPDX-License-Identifier: BSL-1.0
#pragma once

// The library as one translation unit compiled it, behind function pointers. subject.cpp is compiled once per
// instruction set and backend; a test calls all of the results in one program.

#include "element_types.hpp"

#include <safe_softmax/options.hpp>

#include <cstddef>

namespace softmax_test {

enum class function { softmax, log_softmax, logsumexp };

constexpr const char* name_of(function f) {
    return f == function::softmax ? "safe_softmax" : f == function::log_softmax ? "log_softmax" : "logsumexp";
}

/// How a row is handed to the library. `span` needs rank 1 and stride 1, `strided_span` rank 1.
enum class view_kind { span, strided_span, tensor };

inline constexpr std::size_t max_rank = 3;

/// Elements in memory; `data` points at the one with all indices 0, strides count elements.
struct view {
    dtype type = dtype::f32;
    void* data = nullptr;
    view_kind kind = view_kind::span;
    std::size_t rank = 1;
    std::size_t extents[max_rank] = {};
    std::ptrdiff_t strides[max_rank] = {1, 1, 1};
};

/// What a processor must have to run a subject; bits of subject::needs.
enum cpu_feature : unsigned { needs_avx2 = 1, needs_fma = 2, needs_avx512 = 4, needs_avx512bf16 = 8 };

struct subject {
    const char* name;
    bool fused;  ///< fused multiply-add: results are the same bits as in every other fused subject
    unsigned needs;
    bool (*takes)(dtype in, dtype out);  ///< whether this pair of types was compiled

    /// Both views are of the same kind. For logsumexp the axis is absent from `out` (rank one less) or has extent 1.
    void (*out_of_place)(function f, const view& in, const view& out, const smx::softmax_options& options);
    void (*in_place)(function f, const view& inout, const smx::softmax_options& options);
    /// The 1-D logsumexp, which returns its result: in the type of `in`, written to `result`.
    void (*returned_logsumexp)(const view& in, void* result, const smx::softmax_options& options);
    /// What the kernels take for exp(x) * 2^(60 + 7/8), n a multiple of 16; null where it is not in this object.
    void (*exp_terms)(const float* x, float* terms, std::size_t n);
};

}  // namespace softmax_test
