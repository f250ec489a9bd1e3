// SPDX-License-Identifier: BSL-1.0
#pragma once

// Rows through every build of the library and the reference; the worst error of each, and where it was seen.

#include "rows.hpp"
#include "subjects.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace softmax_test {

class reference;
class exact_row;
struct typed_row;

/// Everything that is needed to make a row again.
struct row_case {
    family kind;
    dtype type;
    std::size_t n;
    std::uint64_t seed;
    double scale;
};

struct witness {
    double error = -1;  // in ulp
    row_case row{};
    std::size_t index = 0;
    double logit = 0;
    double actual = 0;
    long double expected = 0;
    bool in_place = false;
};

class accuracy_report {
public:
    /// All three functions into each of the output types, out of place and, where the types agree, in place.
    void measure(const row_case& row, std::span<const dtype> outputs);

    /// The worst error of each function, pair of types and subject. Builds with the same witness share a line.
    void print() const;

    /// One line for each error above the documented bound; empty if there is none.
    std::string violations() const;

private:
    using key = std::tuple<function, dtype, dtype, const subject*>;  // in, out

    void measure_elements(const row_case& row, std::span<const double> logits, const typed_row& in, exact_row& exact,
                          dtype out);
    void measure_logsumexp(const row_case& row, const view& in, const reference& exact, dtype out);

    std::map<key, witness> worst_;
};

}  // namespace softmax_test
