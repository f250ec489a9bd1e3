// SPDX-License-Identifier: BSL-1.0

// How public functions compiled with SMX_DISPATCH refuse an argument: as the headers do without it. dispatch.cmake has this compiled with
// exceptions and types at run time, for callers that have them.

#undef SMX_DISPATCH  // wherever it is defined: the text is made here
#include <safe_softmax/detail/error.hpp>

namespace smx {
namespace dispatch {

[[noreturn]] void refuse(bool throws, const char* function, const char* format, std::va_list values);

void refuse(bool throws, const char* function, const char* format, std::va_list values) {
    detail::refuse_values(throws, function, format, values);
}

}  // namespace dispatch
}  // namespace smx
