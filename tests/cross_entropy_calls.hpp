// SPDX-License-Identifier: BSL-1.0
#pragma once

// The functions of cross_entropy.hpp on a row, all of which have to give the same.

#include "elements_of.hpp"

#include <safe_softmax/cross_entropy.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace softmax_test {

using numbers = std::vector<double>;

struct result {
    double loss;
    numbers gradient;
};

inline void expect_same(const numbers& a, const numbers& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i])));
}

/// One row in elements of T through the fused function, and through the others, which have to give the same. Targets: a class index, or
/// soft ones in a std::vector<T>.
template <class T, class Targets>
result fused_in(const std::vector<T>& logits, const Targets& targets, const smx::cross_entropy_options& o) {
    const T nothing(-77.0f);
    std::vector<T> loss(1, nothing), same = loss, gradient(logits.size(), nothing), back = gradient, inout = logits;
    smx::cross_entropy_with_gradient(logits, targets, loss, gradient, o);
    smx::cross_entropy(logits, targets, same, o);
    expect_same(numbers_of(loss), numbers_of(same));
    if (!o.dlosses) {
        smx::cross_entropy_backward(logits, targets, 1.0, back, o);
        expect_same(numbers_of(gradient), numbers_of(back));
    }
    smx::cross_entropy_with_gradient(inout, targets, same, o);
    expect_same(numbers_of(gradient), numbers_of(inout));
    expect_same(numbers_of(loss), numbers_of(same));
    expect_same(numbers_of(loss), {number(smx::cross_entropy(logits, targets, o))});
    return {number(loss[0]), numbers_of(gradient)};
}
template <class T = double>
result fused(const numbers& logits, int target, const smx::cross_entropy_options& o = {}) {
    return fused_in<T>(elements_of<T>(logits), target, o);
}
template <class T = double>
result fused(const numbers& logits, const numbers& targets, const smx::cross_entropy_options& o = {}) {
    return fused_in<T>(elements_of<T>(logits), elements_of<T>(targets), o);
}

}  // namespace softmax_test
