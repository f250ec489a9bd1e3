// SPDX-License-Identifier: BSL-1.0
// Eigen's objects as they are: a matrix by rows and by columns, one column, an expression, a tensor along its middle axis.
// Exits with 0 if the probabilities of each sum to 1 where Eigen's formula gives NaN.
#include <safe_softmax/eigen.hpp>
#include <safe_softmax/eigen_tensor.hpp>

#include <cmath>
#include <iostream>

int main() {
    Eigen::MatrixXf logits(2, 3);
    logits << 1000, 1001, 1002, -5, 0, 5;
    Eigen::MatrixXf rows(2, 3), columns(2, 3);
    smx::safe_softmax(logits, rows, {.axis = 1});
    smx::safe_softmax(logits, columns, {.axis = 0});
    std::cout << "of each row\n" << rows << "\nof each column\n" << columns << "\n";
    const Eigen::ArrayXXf e = logits.array().exp(), textbook = e.colwise() / e.rowwise().sum();
    std::cout << "the textbook formula\n" << textbook << "\n";

    Eigen::VectorXf one(2);
    smx::safe_softmax(logits.col(1), one);                                                    // where it is
    smx::log_softmax(0.5f * logits + Eigen::MatrixXf::Identity(2, 3), columns, {.axis = 1});  // evaluated first
    std::cout << "logsumexp of the last row: " << smx::logsumexp(logits.row(1)) << "\n";

    Eigen::Tensor<float, 3> scores(2, 4, 3), weights(2, 4, 3);
    scores.setConstant(1e30f);
    smx::safe_softmax(scores, weights, {.axis = 1});
    const bool sums_are_one = (rows.rowwise().sum().array() - 1).abs().maxCoeff() < 1e-6f &&
                              std::abs(one.sum() - 1) < 1e-6f && weights(1, 2, 0) == 0.25f;
    return sums_are_one && std::isnan(textbook(0, 0)) ? 0 : 1;
}
