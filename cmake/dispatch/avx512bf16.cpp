// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE avx512bf16
#include "table.hpp"
