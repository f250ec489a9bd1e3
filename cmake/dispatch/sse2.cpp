// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE sse2
#include "table.hpp"
