// SPDX-License-Identifier: BSL-1.0
// Causal attention of several heads, with masked_softmax and softmax_backward.
#pragma once

#include "matrix.hpp"

#include <safe_softmax/backward.hpp>
#include <safe_softmax/masked_softmax.hpp>

#include <cmath>
#include <type_traits>

namespace gpt {

/// For every sequence and head, of queries Q, keys K and values V:
///
///     y = P V,   P = softmax(Q K^T / sqrt(features of a head)), each position looking at itself and those before it
///
/// Scores Q K^T and probabilities P are held in Score, as they are between the kernels of a model in low precision; all else
/// is in Real.
template <class Real, class Score>
class self_attention {
public:
    explicit self_attention(index heads) : heads_(heads) {}

    /// @param qkv     queries, keys and values next to each other; of each the features of the first head, the second and so on
    /// @param length  positions of a sequence; the rows of qkv are those of one sequence after the other
    void forward(const matrix<Real>& qkv, index length, matrix<Real>& y) {
        const index sequences = qkv.rows() / length, width = qkv.cols() / 3, size = width / heads_;
        y.resize(qkv.rows(), width);
        scores_.resize(sequences * heads_ * length, length);
        probabilities_.resize(sequences * heads_ * length, length);
        for_heads(sequences, [&](index s, index h, index row) {
            product_.noalias() = part(qkv, 0, s, h, length, size) * part(qkv, 1, s, h, length, size).transpose();
            scores_.middleRows(row * length, length) = product_.unaryExpr([](Real x) { return to_score(x); });
        });

        const smx::tensor_view<const Score, 4> in(scores_.data(), {sequences, heads_, length, length});
        const smx::tensor_view<Score, 4> out(probabilities_.data(), {sequences, heads_, length, length});
        smx::masked_softmax(in, out, {.scale = 1 / std::sqrt(static_cast<double>(size)), .causal = true});

        for_heads(sequences, [&](index s, index h, index row) {
            product_ = probabilities_.middleRows(row * length, length).unaryExpr([](Score p) { return from_score(p); });
            y.block(s * length, h * size, length, size).noalias() = product_ * part(qkv, 2, s, h, length, size);
        });
    }

    void backward(const matrix<Real>& qkv, index length, const matrix<Real>& dy, matrix<Real>& dqkv) {
        const index sequences = qkv.rows() / length, width = qkv.cols() / 3, size = width / heads_;
        dqkv.resize(qkv.rows(), qkv.cols());
        gradients_.resize(sequences * heads_ * length, length);
        for_heads(sequences, [&](index s, index h, index row) {
            const auto at_output = dy.block(s * length, h * size, length, size);
            product_ = probabilities_.middleRows(row * length, length).unaryExpr([](Score p) { return from_score(p); });
            part(dqkv, 2, s, h, length, size).noalias() = product_.transpose() * at_output;
            gradients_.middleRows(row * length, length).noalias() =
                at_output * part(qkv, 2, s, h, length, size).transpose();
        });

        // From the gradient at the probabilities to that at the scores, in place. What the mask hid has a probability of 0
        // and so a gradient of 0.
        const smx::tensor_view<const Score, 4> p(probabilities_.data(), {sequences, heads_, length, length});
        const smx::tensor_view<Real, 4> gradients(gradients_.data(), {sequences, heads_, length, length});
        smx::masked_softmax_backward(p, gradients, {.scale = 1 / std::sqrt(static_cast<double>(size))});

        for_heads(sequences, [&](index s, index h, index row) {
            const auto at_scores = gradients_.middleRows(row * length, length);
            part(dqkv, 0, s, h, length, size).noalias() = at_scores * part(qkv, 1, s, h, length, size);
            part(dqkv, 1, s, h, length, size).noalias() = at_scores.transpose() * part(qkv, 0, s, h, length, size);
        });
    }

private:
    template <class F>
    void for_heads(index sequences, const F& f) const {
        for (index s = 0; s < sequences; ++s)
            for (index h = 0; h < heads_; ++h) f(s, h, s * heads_ + h);
    }

    /// Queries (which == 0), keys (1) or values (2) of a sequence and head.
    template <class Matrix>
    static auto part(Matrix& qkv, index which, index s, index h, index length, index size) {
        return qkv.block(s * length, which * (qkv.cols() / 3) + h * size, length, size);
    }

    static Score to_score(Real x) {
        if constexpr (std::is_same_v<Real, Score>) return x;
        else return Score(static_cast<float>(x));
    }
    static Real from_score(Score x) {
        if constexpr (std::is_same_v<Real, Score>) return x;
        else return static_cast<Real>(static_cast<float>(x));
    }

    index heads_;
    matrix<Score> scores_, probabilities_;
    matrix<Real> product_, gradients_;
};

}  // namespace gpt
