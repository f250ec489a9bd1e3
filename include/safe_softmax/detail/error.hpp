// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <cstdarg>
#if !SMX_DISPATCH
#include <cstdio>
#include <cstdlib>
#if SMX_EXCEPTIONS
#include <stdexcept>
#endif
#endif

// The compiler checks formats, but for Windows by those of a C library that does not know %zu and %td.
#if defined(__GNUC__) && !defined(_WIN32)
#define SMX_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define SMX_PRINTF(text, first)
#endif

namespace smx {

#if SMX_DISPATCH
namespace dispatch {
/// What detail::refuse does, in the library (cmake/dispatch/error.cpp): <stdexcept> would take a sixth of the time that compiling a
/// source with softmax in three types takes. `throws`: whether the caller was compiled with exceptions.
[[noreturn]] SMX_PRINTF(3, 0) void refuse(bool throws, const char* function, const char* format, std::va_list values);
}  // namespace dispatch
#endif

inline namespace SMX_ABI {
namespace detail {

#if !SMX_DISPATCH
/// What refuse does. `throws`: whether it does; not looked at where this is compiled without exceptions.
[[noreturn]] SMX_PRINTF(3, 0) inline void refuse_values(bool throws, const char* function, const char* format,
                                                        std::va_list values) {
    char text[320];
    const int used = std::snprintf(text, sizeof text, "smx::%s: ", function);
    std::vsnprintf(text + used, sizeof text - static_cast<std::size_t>(used), format, values);
#if SMX_EXCEPTIONS
    if (throws) throw std::invalid_argument(text);
#else
    static_cast<void>(throws);
#endif
    std::fprintf(stderr, "%s\n", text);
    std::abort();
}
#endif

/// Refuses an argument: throws std::invalid_argument with the text; where the caller is compiled without exceptions, prints it to stderr
/// and aborts. The text begins with the function's name: "smx::safe_softmax: options.axis is 2, but in has rank 2: -2 to 1 are allowed".
[[noreturn]] SMX_PRINTF(2, 3) SMX_NOINLINE inline void refuse(const char* function, const char* format, ...) {
    std::va_list values;
    va_start(values, format);  // va_end would never be reached
#if SMX_DISPATCH
    dispatch::refuse(SMX_EXCEPTIONS != 0, function, format, values);
#else
    refuse_values(SMX_EXCEPTIONS != 0, function, format, values);
#endif
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx

#undef SMX_PRINTF
