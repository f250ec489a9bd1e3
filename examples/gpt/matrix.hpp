// SPDX-License-Identifier: BSL-1.0
// Matrices of the transformer. Rows are positions in a text, columns are features.
//
// Sums of Eigen go in an order that depends on where in memory their terms are, modulo the width of a vector. So that a
// training has the same bits every time, everything here begins where Eigen aligns it.
#pragma once

#include <Eigen/Core>

#include <cstddef>

namespace gpt {

using index = Eigen::Index;

template <class Real>
using matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Real>
using numbers = Eigen::Matrix<Real, Eigen::Dynamic, 1>;
template <class Real>
using matrix_view = Eigen::Map<matrix<Real>>;
template <class Real>
using const_matrix_view = Eigen::Map<const matrix<Real>>;

/// Vectors have up to this many elements.
inline constexpr index alignment = 16;

inline std::size_t unsigned_of(index i) { return static_cast<std::size_t>(i); }
inline index index_of(std::size_t i) { return static_cast<index>(i); }

}  // namespace gpt
