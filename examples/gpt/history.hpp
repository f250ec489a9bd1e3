// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <vector>

namespace gpt {

/// How a training went so far, in bits per character.
struct history_point {
    double step;
    double training;    ///< mean loss of the batches since the point before
    double validation;  ///< NaN where it was not looked at
};
using history = std::vector<history_point>;

}  // namespace gpt
