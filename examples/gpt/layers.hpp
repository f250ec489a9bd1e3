// SPDX-License-Identifier: BSL-1.0
// Layers without softmax. Each has forward and backward; backward takes the gradient dy at the output, adds to the
// gradients of the parameters and gives the gradient dx at the input.
#pragma once

#include "parameters.hpp"

#include <cmath>
#include <cstddef>
#include <span>

namespace gpt {

/// y = token embedding + position embedding
template <class Real>
class embedding {
public:
    explicit embedding(parameter_reader<Real>& parameters) : token_(parameters.next()), position_(parameters.next()) {}

    void forward(std::span<const unsigned char> tokens, index length, matrix<Real>& y) {
        y.resize(index_of(tokens.size()), token_.value.cols());
        for (index r = 0; r < y.rows(); ++r)
            y.row(r) = token_.value.row(tokens[unsigned_of(r)]) + position_.value.row(r % length);
    }

    void backward(std::span<const unsigned char> tokens, index length, const matrix<Real>& dy) {
        for (index r = 0; r < dy.rows(); ++r) {
            token_.gradient.row(tokens[unsigned_of(r)]) += dy.row(r);
            position_.gradient.row(r % length) += dy.row(r);
        }
    }

private:
    parameter<Real> token_, position_;
};

/// y = x W + b
template <class Real>
class linear {
public:
    explicit linear(parameter_reader<Real>& parameters) : weight_(parameters.next()), bias_(parameters.next()) {}

    void forward(const matrix<Real>& x, matrix<Real>& y) {
        y.resize(x.rows(), weight_.value.cols());
        y.noalias() = x * weight_.value;
        y.rowwise() += bias_.value.row(0);
    }

    void backward(const matrix<Real>& x, const matrix<Real>& dy, matrix<Real>& dx) {
        weight_.gradient.noalias() += x.transpose() * dy;
        for (index r = 0; r < dy.rows(); ++r) bias_.gradient.row(0) += dy.row(r);
        dx.resize(x.rows(), x.cols());
        dx.noalias() = dy * weight_.value.transpose();
    }

private:
    parameter<Real> weight_, bias_;
};

/// y = gain*n + bias,   n = (x - mean) / sqrt(variance + 1e-5),   of every row
template <class Real>
class layer_norm {
public:
    explicit layer_norm(parameter_reader<Real>& parameters) : gain_(parameters.next()), bias_(parameters.next()) {}

    void forward(const matrix<Real>& x, matrix<Real>& y) {
        y.resize(x.rows(), x.cols());
        normal_.resize(x.rows(), x.cols());
        inverse_deviation_.resize(x.rows());
        for (index r = 0; r < x.rows(); ++r) {
            normal_.row(r) = x.row(r).array() - x.row(r).mean();
            const Real variance = normal_.row(r).squaredNorm() / static_cast<Real>(x.cols());
            inverse_deviation_(r) = 1 / std::sqrt(variance + Real(1e-5));
            normal_.row(r) *= inverse_deviation_(r);
            y.row(r) = normal_.row(r).cwiseProduct(gain_.value.row(0)) + bias_.value.row(0);
        }
    }

    /// dx += what arrives through this layer: it is where a residual branch begins.
    void backward(const matrix<Real>& dy, matrix<Real>& dx) {
        for (index r = 0; r < dy.rows(); ++r) {
            gain_.gradient.row(0) += dy.row(r).cwiseProduct(normal_.row(r));
            bias_.gradient.row(0) += dy.row(r);
            at_normal_ = dy.row(r).cwiseProduct(gain_.value.row(0));
            const Real mean = at_normal_.mean(), along = at_normal_.dot(normal_.row(r)) / static_cast<Real>(dy.cols());
            dx.row(r).array() += inverse_deviation_(r) * (at_normal_.array() - mean - along * normal_.row(r).array());
        }
    }

private:
    parameter<Real> gain_, bias_;
    matrix<Real> normal_;
    numbers<Real> inverse_deviation_;
    Eigen::Matrix<Real, 1, Eigen::Dynamic> at_normal_;
};

/// y = x/2 * (1 + tanh(sqrt(2/pi)*(x + 0.044715 x^3))), which is near x*P(a normally distributed number is below x)
template <class Real>
class gelu {
public:
    void forward(const matrix<Real>& x, matrix<Real>& y) {
        tanh_ = (steepness * (x.array() + cubic * x.array().cube())).tanh();
        y = Real(0.5) * x.array() * (1 + tanh_.array());
    }

    /// dx over dy.
    void backward(const matrix<Real>& x, matrix<Real>& dy) {
        dy.array() *= Real(0.5) * (1 + tanh_.array()) + Real(0.5) * x.array() * (1 - tanh_.array().square()) *
                                                            (steepness * (1 + 3 * cubic * x.array().square()));
    }

private:
    static constexpr Real steepness = Real(0.79788456080286535588), cubic = Real(0.044715);
    matrix<Real> tanh_;
};

}  // namespace gpt
