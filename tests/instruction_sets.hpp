// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/isa.hpp>

#include <functional>
#include <vector>

namespace softmax_test {

/// The instruction sets that this processor has.
std::vector<smx::isa> all_isas();
/// Those with fused multiply-add: results have the same bits on all of them.
std::vector<smx::isa> fused_isas();

/// f(level) with each of them as the active one; afterwards it is what it was.
void on_every_isa(const std::function<void(smx::isa)>& f);
void on_every_fused_isa(const std::function<void(smx::isa)>& f);

}  // namespace softmax_test
