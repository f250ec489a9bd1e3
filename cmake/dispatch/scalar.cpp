// SPDX-License-Identifier: BSL-1.0
#define SMX_TABLE scalar
#include "table.hpp"
