// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "element_types.hpp"

#include <string>

namespace softmax_test {

/// The largest error that a test has seen, NaN above all, and what describe() says of where that was.
struct worst_error {
    double error = 0;
    std::string where = "nowhere";

    template <class Describe>
    void take(double e, const Describe& describe) {
        if (is_nan(error) || e <= error) return;
        error = e;
        where = describe();
    }
};

}  // namespace softmax_test
