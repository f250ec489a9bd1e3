// SPDX-License-Identifier: BSL-1.0
#pragma once

/// Version of the library, by semantic versioning. `CMakeLists.txt` reads these three lines.
#define SMX_VERSION_MAJOR 1
#define SMX_VERSION_MINOR 0
#define SMX_VERSION_PATCH 0
