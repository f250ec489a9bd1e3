// SPDX-License-Identifier: BSL-1.0
#pragma once

// What is asked of the command-line tool, whatever the format of the file.

#include <safe_softmax/safe_softmax.hpp>

#include <cstddef>

enum class wanted { softmax, log_softmax, logsumexp };

struct request {
    wanted function = wanted::softmax;
    smx::softmax_options options{};
    bool keepdims = false;            // logsumexp keeps the axis, with extent 1
    std::size_t item_size = 0;        // of the results: 2, 4 or 8 bytes; 0: as the input
    std::size_t memory = 256u << 20;  // bytes for rows and results at a time
    bool header = false;              // CSV: the first line is passed through
    char delimiter = ',';
};

inline smx::element_format format_of_size(std::size_t item_size) {
    return item_size == 2   ? smx::element_format::binary16
           : item_size == 8 ? smx::element_format::binary64
                            : smx::element_format::binary32;
}

/// The function along axis `r.options.axis`; results of logsumexp have extent 1 there.
inline void apply(const request& r, const smx::const_dynamic_view& in, const smx::dynamic_view& out) {
    switch (r.function) {
        case wanted::softmax: return smx::safe_softmax(in, out, r.options);
        case wanted::log_softmax: return smx::log_softmax(in, out, r.options);
        default: return smx::logsumexp(in, out, r.options);
    }
}
