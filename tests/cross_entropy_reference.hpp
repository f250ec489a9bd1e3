// SPDX-License-Identifier: BSL-1.0
#pragma once

// Cross-entropy and its gradient in long double.

#include "element_types.hpp"

#include <cstddef>
#include <vector>

namespace softmax_test {

/// What makes one loss.
struct loss_row {
    std::vector<double> logits;
    std::vector<double> soft;  // empty: a class index
    std::size_t target = 0;
    std::vector<double> weights;  // empty: none
    double scale = 1, smoothing = 0, z_loss = 0, dloss = 1;
};

struct exact_loss {
    explicit exact_loss(const loss_row& s);

    long double loss = 0, loss_size = 0;  // the result, and the largest of its parts
    std::vector<long double> gradient, gradient_size;
};

/// Error allowed to a result of type `out` in `compute` arithmetic: `ulps` of its size, and where `out` has 16 bits its rounding.
long double allowed_error(dtype out, dtype compute, double ulps, long double value, long double size);

}  // namespace softmax_test
