// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "parameters.hpp"

#include <cmath>
#include <cstdint>

namespace gpt {

/// D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization" (2015), with the weights of matrices decaying apart from it
/// (I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019):
///
///     m = b1*m + (1 - b1)*g,   v = b2*v + (1 - b2)*g^2,
///     w = w - rate*(m/(1 - b1^t) / (sqrt(v/(1 - b2^t)) + 1e-8) + decay*w)
template <class Real>
struct adam {
    static constexpr double b1 = 0.9, b2 = 0.99, decay = 0.05;

    numbers<Real> mean, square;  ///< m and v

    explicit adam(index size) : mean(numbers<Real>::Zero(size)), square(numbers<Real>::Zero(size)) {}

    /// @param step  from 1
    void update(const parameter_layout& layout, const numbers<Real>& gradient, std::uint64_t step, double rate,
                numbers<Real>& values) {
        mean = Real(b1) * mean + Real(1 - b1) * gradient;
        square = Real(b2) * square + Real(1 - b2) * gradient.cwiseAbs2();
        const double t = static_cast<double>(step);
        const Real along = static_cast<Real>(rate / (1 - std::pow(b1, t))),
                   deviation = static_cast<Real>(1 / std::sqrt(1 - std::pow(b2, t)));
        for (const parameter_group& g : layout.groups()) {
            auto w = values.segment(g.offset, g.size()).array();
            if (g.rows > 1) w *= static_cast<Real>(1 - rate * decay);
            w -= along * mean.segment(g.offset, g.size()).array() /
                 (deviation * square.segment(g.offset, g.size()).array().sqrt() + Real(1e-8));
        }
    }
};

}  // namespace gpt
