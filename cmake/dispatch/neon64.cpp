// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE neon64
#include "table.hpp"
