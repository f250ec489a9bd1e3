// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE avx2
#include "table.hpp"
