// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "competitor.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

enum class type { f32, f64, f16, bf16 };

/// One line of a table: a function, a type and a shape, and who is measured in it.
struct cell {
    std::string table;  // softmax, log_softmax, softmax_in_place ...: the first part of its name
    bench::function function;
    bench::type type;
    std::size_t outer, length, inner;
    int roles;  // of those measured, added
    bool in_place = false;
    std::size_t pitch = 0;       // elements from one block to the next; 0: nothing lies between them
    std::size_t misaligned = 0;  // elements that the data begin behind a multiple of 64 bytes

    /// table/type/shape
    std::string name() const;
    std::size_t size() const { return outer * length * inner; }
};

/// What is measured interleaved: mostly a single cell, and all those that are compared with each other.
using group = std::vector<cell>;

std::vector<group> all_groups();

}  // namespace bench
