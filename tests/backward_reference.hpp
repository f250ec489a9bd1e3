// SPDX-License-Identifier: BSL-1.0
#pragma once

// The gradients of softmax and log_softmax in long double.

#include "element_types.hpp"

#include <safe_softmax/detail/job.hpp>

#include <cstddef>
#include <vector>

namespace softmax_test {

/// The gradient of one row, and the sums that its error is measured by. Sums of pairs, so that cancellation does no harm.
struct exact_gradient {
    exact_gradient(smx::vocabulary::job_function function, const std::vector<double>& ys,
                   const std::vector<double>& dys, double s);

    long double at(std::size_t i) const;
    /// What the documentation allows. wide: in double arithmetic.
    long double bound(std::size_t i, dtype out, bool wide) const;

    long double sum = 0, magnitude = 0, tail = 0;  // of y*dy, or of dy
    std::vector<double> y, dy;
    double scale;
    smx::vocabulary::job_function f;
};

}  // namespace softmax_test
