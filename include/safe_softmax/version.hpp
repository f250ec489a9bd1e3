// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// The version.

// By semantic versioning. CMakeLists.txt reads these three definitions.

/// Grows with changes that programs have to follow.
#define SMX_VERSION_MAJOR 1
/// Grows with what is new.
#define SMX_VERSION_MINOR 0
/// Grows with what is mended.
#define SMX_VERSION_PATCH 0
