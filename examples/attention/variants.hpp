// SPDX-License-Identifier: BSL-1.0
// One attention in several ways: by the textbook, at once with masked_softmax, in blocks of keys with online_softmax.
#pragma once

#include "heads.hpp"

#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/naive_softmax.hpp>
#include <safe_softmax/online_softmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace attention {

inline const double scale = 1 / std::sqrt(static_cast<double>(width));
inline constexpr std::size_t block = 64;  ///< keys that are looked at together

template <class T>
double value_of(T x) {
    if constexpr (sizeof(T) == 2) return static_cast<double>(static_cast<float>(x));
    else return static_cast<double>(x);
}

/// query * key of all heads: summed up in float, held in T, not yet scaled.
template <class T>
std::vector<T> scores(const heads& of) {
    std::vector<T> result;
    result.reserve(of.count() * of.length() * of.length());
    for (std::size_t h = 0; h < of.count(); ++h) {
        for (std::size_t i = 0; i < of.length(); ++i) {
            for (std::size_t j = 0; j < of.length(); ++j) {
                float sum = 0;
                for (std::size_t d = 0; d < width; ++d) sum = std::fma(of.query(h, i)[d], of.key(h, j)[d], sum);
                result.push_back(T(sum));
            }
        }
    }
    return result;
}

/// The rows of all heads one below the other, of `length` columns.
template <class T>
smx::tensor_view<T, 3> view(std::vector<T>& data, const heads& of) {
    return {data.data(), {of.count(), of.length(), of.length()}};
}
template <class T>
smx::tensor_view<const T, 3> view(const std::vector<T>& data, const heads& of) {
    return {data.data(), {of.count(), of.length(), of.length()}};
}

/// exp(x_i) / sum_j exp(x_j), all of it in T. What the mask hides is set to -inf, as it is usual.
template <class T>
std::vector<T> textbook_probabilities(std::vector<T> logits, const heads& of, bool causal) {
    for (std::size_t row = 0; row < of.count() * of.length(); ++row) {
        for (std::size_t j = 0; j < of.length(); ++j) {
            T& x = logits[row * of.length() + j];
            const bool hidden = causal && j > row % of.length();
            x = hidden ? T(-std::numeric_limits<float>::infinity()) : T(static_cast<float>(value_of(x) * scale));
        }
    }
    smx::naive_softmax(view(logits, of));
    return logits;
}

/// The same with this library: one call for all heads.
template <class Probability, class T>
std::vector<Probability> safe_probabilities(const std::vector<T>& scores, const heads& of, bool causal) {
    std::vector<Probability> result(scores.size());
    smx::masked_softmax(view(scores, of), view(result, of), {.scale = scale, .causal = causal});
    return result;
}

template <class Sum>
using output = std::array<Sum, width>;

/// Sums of products with what was rounded off them (the two-sum of Knuth): in plain float sums over a thousand keys that would be
/// more than all errors of the softmax.
template <class Sum>
class compensated {
public:
    void add(std::size_t d, Sum a, Sum b) {
        const Sum product = a * b, sum = sum_[d] + product, product_in_sum = sum - sum_[d];
        rest_[d] += (sum_[d] - (sum - product_in_sum)) + (product - product_in_sum) + rounded_off(a, b, product);
        sum_[d] = sum;
    }
    void multiply(Sum factor) {
        for (std::size_t d = 0; d < width; ++d) sum_[d] *= factor, rest_[d] *= factor;
    }
    output<Sum> result() const {
        output<Sum> y{};
        for (std::size_t d = 0; d < width; ++d) y[d] = sum_[d] + rest_[d];
        return y;
    }

private:
    static Sum rounded_off(Sum a, Sum b, Sum product) {
        if constexpr (std::is_same_v<Sum, float>)
            return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) - static_cast<double>(product));
        else return std::fma(a, b, -product);
    }

    output<Sum> sum_{}, rest_{};
};

/// to += sum_j weights_j * value_j for keys from `first` on.
template <class Sum, class Weight>
void add_values(const heads& of, std::size_t h, std::size_t first, std::span<const Weight> weights,
                compensated<Sum>& to) {
    for (std::size_t j = 0; j < weights.size(); ++j) {
        const Sum w = static_cast<Sum>(value_of(weights[j]));
        const auto v = of.value(h, first + j);
        for (std::size_t d = 0; d < width; ++d) to.add(d, w, static_cast<Sum>(v[d]));
    }
}

/// Probabilities times values: what attention puts out for a query.
template <class Sum, class Probability>
output<Sum> weighted_values(const heads& of, std::size_t h, std::span<const Probability> probabilities) {
    compensated<Sum> sum;
    add_values(of, h, 0, probabilities, sum);
    return sum.result();
}

/// The same without probabilities of a whole row: keys come in blocks, and what has been summed up is relative to the largest
/// score so far.
template <class Sum, class T>
output<Sum> blockwise(const heads& of, std::size_t h, std::span<const T> scores) {
    smx::online_softmax<Sum> row({.scale = scale});
    compensated<Sum> sum;
    std::array<Sum, block> weights{};
    for (std::size_t first = 0; first < scores.size(); first += block) {
        const std::span<const T> s = scores.subspan(first, std::min(block, scores.size() - first));
        const std::span<Sum> w = std::span(weights).first(s.size());
        const Sum rescale = row.push(s);
        row.weights(s, w);
        sum.multiply(rescale);
        add_values(of, h, first, std::span<const Sum>(w), sum);
    }
    sum.multiply(row.inverse_sum());
    return sum.result();
}

}  // namespace attention
