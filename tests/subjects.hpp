// SPDX-License-Identifier: BSL-1.0
#pragma once

// Every build of the library that this program contains and this processor can run.

#include "subject.hpp"

#include <span>
#include <vector>

namespace softmax_test {

/// Those that cannot run here are named on stdout, once. Never empty: the baseline build runs everywhere.
std::span<const subject* const> runnable_subjects();

/// Those of them that take this pair of types. Never empty: one build at least takes every pair.
std::vector<const subject*> runnable_subjects(dtype in, dtype out);

/// The baseline build, for tests of what no instruction set changes.
const subject& any_subject();

/// Run-time dispatch, told to take each instruction set that this processor has.
std::vector<const subject*> dispatched_subjects();

}  // namespace softmax_test
