// SPDX-License-Identifier: BSL-1.0
// xtensor's containers, views and expressions, of static and dynamic rank. Exits with 0 if all probabilities sum to 1.
#include <safe_softmax/xtensor.hpp>

#include <xtensor/xio.hpp>
#include <xtensor/xmath.hpp>

#include <cmath>
#include <iostream>

int main() {
    const xt::xtensor<float, 2> logits = {{1000, 1001, 1002}, {-5, 0, 5}};
    xt::xtensor<float, 2> rows = xt::zeros<float>({2, 3}), both = rows;
    smx::safe_softmax(logits, rows, {.axis = 1});
    smx::safe_softmax(2.0f * logits - 1.0f, both);  // evaluated first
    std::cout << "of each row\n" << rows << "\nof each row of 2*logits - 1\n" << both << "\n";

    // A column of an array whose rank only the running program knows, backwards.
    const xt::xarray<float> any = logits;
    xt::xtensor<float, 1> column = xt::zeros<float>({2});
    using xt::placeholders::_;
    smx::safe_softmax(xt::view(any, xt::range(_, _, -1), 2), column);
    std::cout << "of the last column, from below\n" << column << "\n";

    xt::xarray<float> sums = xt::zeros<float>({2});
    smx::logsumexp(any, sums, {.axis = 1});
    const float total = xt::sum(rows)() + xt::sum(both)() + xt::sum(column)();
    return std::abs(total - 5) < 1e-6f && std::abs(sums(0) - 1002.4076f) < 1e-3f && column(1) == 1 ? 0 : 1;
}
