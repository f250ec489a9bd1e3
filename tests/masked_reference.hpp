// SPDX-License-Identifier: BSL-1.0
#pragma once

// masked_softmax in long double, row by row.

#include "element_types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace softmax_test {

/// What makes one logit.
struct masked_logit {
    double x = 0;
    bool kept = true;
    double bias = 0, slope = 0, distance = 0, added = 0;
};

struct masked_row {
    std::vector<masked_logit> logits;
    double scale = 1, softcap = 0;
    std::optional<double> sink;
};

/// Finite rows with at least one logit that is kept: the exact results, 0 or -inf where masked out.
std::vector<long double> masked_softmax_of(const masked_row& row, bool log);

}  // namespace softmax_test
