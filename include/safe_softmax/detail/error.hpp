// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <cstdio>
#include <cstdlib>
#if SMX_EXCEPTIONS
#include <stdexcept>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Refuses an argument: throws std::invalid_argument with the text; without exceptions prints it to stderr and aborts.
/// The text begins with the function's name: "smx::safe_softmax: options.axis is 2, but in has 2 axes".
template <class... A>
[[noreturn]] SMX_NOINLINE void refuse(const char* function, const char* format, A... values) {
    char text[320];
    const int used = std::snprintf(text, sizeof text, "smx::%s: ", function);
    if constexpr (sizeof...(A) == 0)
        std::snprintf(text + used, sizeof text - static_cast<std::size_t>(used), "%s", format);
    else std::snprintf(text + used, sizeof text - static_cast<std::size_t>(used), format, values...);
#if SMX_EXCEPTIONS
    throw std::invalid_argument(text);
#else
    std::fprintf(stderr, "%s\n", text);
    std::abort();
#endif
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
