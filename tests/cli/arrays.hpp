// SPDX-License-Identifier: BSL-1.0
#pragma once

// Arrays, their files, and what the library gives for them.

#include "../../examples/npy.hpp"

#include <safe_softmax/element.hpp>
#include <safe_softmax/options.hpp>

#include <cstddef>
#include <string>

namespace cli_test {

smx::element_format format_of_size(std::size_t size);

/// Elements in the processor's order of bytes.
std::string elements(std::size_t size, std::size_t count, unsigned seed = 1);

/// Those in the order that a file has, or back.
std::string swapped(std::string bytes, std::size_t size, bool big_endian);

std::string npy_file(const npy::header& h, const std::string& native);

struct array {
    npy::header header;
    std::string data;  // in the processor's order of bytes
};

array parse(const std::string& file);

/// What the library gives, by strides of the array's own axes.
std::string expected(const std::string& function, const npy::header& h, const std::string& data, std::ptrdiff_t axis,
                     std::size_t out_size, bool keepdims = false, const smx::softmax_options& base = {});

}  // namespace cli_test
