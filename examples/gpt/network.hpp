// SPDX-License-Identifier: BSL-1.0
// The transformer: bytes in, logits of the byte that follows each of them out; and the way back.
#pragma once

#include "layers.hpp"
#include "self_attention.hpp"

#include <safe_softmax/cross_entropy.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace gpt {

/// x + attention(norm(x)), and then y + mlp(norm(y)) of that.
template <class Real, class Score>
class layer {
public:
    layer(index heads, parameter_reader<Real>& parameters)
        : attention_norm_(parameters), qkv_(parameters), attention_(heads), output_(parameters), mlp_norm_(parameters),
          up_(parameters), down_(parameters) {}

    void forward(index length, matrix<Real>& x) {
        attention_norm_.forward(x, attention_in_);
        qkv_.forward(attention_in_, qkv_out_);
        attention_.forward(qkv_out_, length, attention_out_);
        output_.forward(attention_out_, branch_);
        x += branch_;
        mlp_norm_.forward(x, mlp_in_);
        up_.forward(mlp_in_, up_out_);
        gelu_.forward(up_out_, gelu_out_);
        down_.forward(gelu_out_, branch_);
        x += branch_;
    }

    /// From the gradient at the output to the one at the input, in place.
    void backward(index length, matrix<Real>& dx) {
        down_.backward(gelu_out_, dx, at_wide_);
        gelu_.backward(up_out_, at_wide_);
        up_.backward(mlp_in_, at_wide_, branch_);
        mlp_norm_.backward(branch_, dx);
        output_.backward(attention_out_, dx, branch_);
        attention_.backward(qkv_out_, length, branch_, at_wide_);
        qkv_.backward(attention_in_, at_wide_, branch_);
        attention_norm_.backward(branch_, dx);
    }

private:
    layer_norm<Real> attention_norm_;
    linear<Real> qkv_;
    self_attention<Real, Score> attention_;
    linear<Real> output_;
    layer_norm<Real> mlp_norm_;
    linear<Real> up_;
    gelu<Real> gelu_;
    linear<Real> down_;
    // What backward needs again, and room for gradients.
    matrix<Real> attention_in_, qkv_out_, attention_out_, mlp_in_, up_out_, gelu_out_, branch_, at_wide_;
};

/// One of these is for one thread at a time; several can share the parameters.
template <class Real, class Score = Real>
class network {
public:
    /// @param values, gradients  arrays of parameter_layout(s).size() numbers, which have to outlive this
    network(const shape& s, const Real* values, Real* gradients) : network(s, parameter_layout(s), values, gradients) {}

    /// The logits of the byte after each of `tokens`, which are sequences of `length` bytes one after the other: a row for each.
    matrix<Real>& forward(std::span<const unsigned char> tokens, index length) {
        embedding_.forward(tokens, length, features_);
        for (layer<Real, Score>& l : layers_) l.forward(length, features_);
        norm_.forward(features_, head_in_);
        head_.forward(head_in_, logits_);
        return logits_;
    }

    /// The cross-entropy of what follows each token, in nats, summed up.
    double loss(std::span<const unsigned char> tokens, std::span<const unsigned char> targets, index length) {
        forward(tokens, length);
        losses_.resize(logits_.rows());
        smx::cross_entropy(logits_view(), targets, losses_view());
        return losses_.template cast<double>().sum();
    }

    /// The same, and adds `weight` times its gradient to the gradients of the parameters.
    double loss_and_gradient(std::span<const unsigned char> tokens, std::span<const unsigned char> targets,
                             index length, double weight) {
        forward(tokens, length);
        losses_.resize(logits_.rows());
        smx::cross_entropy_with_gradient(logits_view(), targets, losses_view(),
                                         {.dlosses = weight});  // the gradient over the logits
        head_.backward(head_in_, logits_, at_head_);
        features_.setZero();
        norm_.backward(at_head_, features_);
        for (auto l = layers_.rbegin(); l != layers_.rend(); ++l) l->backward(length, features_);
        embedding_.backward(tokens, length, features_);
        return losses_.template cast<double>().sum();
    }

    /// Of each token, after loss.
    const numbers<Real>& losses() const { return losses_; }

private:
    network(const shape& s, const parameter_layout& layout, const Real* values, Real* gradients)
        : network(s, parameter_reader<Real>(layout, values, gradients)) {}
    network(const shape& s, parameter_reader<Real> parameters)
        : embedding_(parameters), layers_(make_layers(s, parameters)), norm_(parameters), head_(parameters) {}

    static std::vector<layer<Real, Score>> make_layers(const shape& s, parameter_reader<Real>& parameters) {
        std::vector<layer<Real, Score>> result;
        result.reserve(unsigned_of(s.layers));
        for (index l = 0; l < s.layers; ++l) result.emplace_back(s.heads, parameters);
        return result;
    }

    smx::tensor_view<Real, 2> logits_view() { return {logits_.data(), {logits_.rows(), logits_.cols()}}; }
    std::span<Real> losses_view() { return {losses_.data(), unsigned_of(losses_.size())}; }

    embedding<Real> embedding_;
    std::vector<layer<Real, Score>> layers_;
    layer_norm<Real> norm_;
    linear<Real> head_;
    matrix<Real> features_, head_in_, logits_, at_head_;
    numbers<Real> losses_;
};

}  // namespace gpt
