// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace softmax_test {

inline constexpr const char* nothing_thrown = "(nothing was thrown)";

/// The text of the std::invalid_argument that call() throws.
template <class Call>
std::string error_of(const Call& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return nothing_thrown;
}

inline void expect_mentions(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts)
        EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is missing in: " << text;
}

/// call() is refused, and the text has all the parts.
template <class Call>
void expect_error(const Call& call, const std::vector<std::string>& parts) {
    expect_mentions(error_of(call), parts);
}

}  // namespace softmax_test
