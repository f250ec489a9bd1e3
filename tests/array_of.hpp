// SPDX-License-Identifier: BSL-1.0
#pragma once

// Functions of the family take many arrays of any types: tests hand them over as views whose type is chosen at run time, and
// call what the public templates call.

#include "memory.hpp"

#include <safe_softmax/array_ref.hpp>

namespace softmax_test {

/// The view as the library's functions see it.
smx::array_ref array_of(const view& v);

}  // namespace softmax_test
