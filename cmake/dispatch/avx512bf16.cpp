// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE avx512bf16
#define SMX_TABLE_BFLOAT16_ONLY
#include "table.hpp"
