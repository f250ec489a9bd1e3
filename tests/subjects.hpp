// SPDX-License-Identifier: BSL-1.0
#pragma once

// Every build of the library that this program contains and this processor can run.

#include "subject.hpp"

#include <span>

namespace softmax_test {

/// Those that cannot run here are named on stdout, once. Never empty: the baseline build runs everywhere.
std::span<const subject* const> runnable_subjects();

/// The baseline build, for tests of what no instruction set changes.
const subject& any_subject();

}  // namespace softmax_test
