// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

namespace smx {
namespace vocabulary {

/// x, an integer, in a register of its own. Two numbers that were stored one by one and are side by side must not be loaded as one vector
/// (compilers copy extents and strides like that): it waits until both stores have left the processor for its cache, which they do after
/// all that the program has done before. Calls for few elements, one after the other, took twice as long.
template <class Integer>
SMX_INLINE_VOCABULARY constexpr Integer unpaired(Integer x) noexcept {
#if defined(__GNUC__)
    if (!__builtin_constant_p(x)) __asm__("" : "+r"(x));
#endif
    return x;
}

}  // namespace vocabulary
}  // namespace smx
