// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// The loss of class indices or soft targets from logits, and its gradient.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_cross_entropy.hpp>

namespace smx {

/// How a loss comes about; an aggregate: `{.label_smoothing = 0.1, .dlosses = 1.0 / rows}`.
struct cross_entropy_options {
    /// The axis along which the classes lie; negative counts from the back. 1 for PyTorch's N x C x H x W.
    std::ptrdiff_t axis = -1;
    double scale = 1.0;                             ///< the logits are multiplied by it
    special_values special = special_values::safe;  ///< what rows without a proper answer give
    /// Rows of this class index have no loss and no gradient, whatever their logits are.
    std::ptrdiff_t ignore_index = -100;
    double label_smoothing = 0;  ///< from 0 to 1: the part of the target that is spread over all classes
    array_ref class_weights{};   ///< floating and finite, one for each class: w
    double z_loss = 0;           ///< the coefficient of logsumexp^2, which is added to the loss of a row
    /// cross_entropy_with_gradient: the gradient arriving at the losses, for each row or one for all; 1 without it.
    array_ref dlosses{};
    /// With mean or sum, `losses` has one element, as `float loss[1]` has, and dlosses is one number.
    loss_reduction reduction = loss_reduction::none;
};

inline namespace SMX_ABI {

/// Cross-entropy of a softmax, from its logits, as torch.nn.functional.cross_entropy has it; there reduction='mean' is the default, here each
/// row has its own loss unless options.reduction says otherwise:
///
///     z = scale*logits,   log p = log_softmax(z),   loss = -sum_j a_j*log p_j + z_loss*logsumexp(z)^2
///
///     class index t    a_j = (1 - eps)*w_j*[j == t] + eps/K*w_j        eps = label_smoothing, K classes, w = class_weights or 1
///     soft targets q   a_j = w_j*((1 - eps)*q_j + eps/K)
///
///     sum              of the losses of all rows
///     mean             sum / D:  class indices: D = sum of w_t over the rows that are not ignored;  soft targets: the number of rows
///
/// @param logits   any readable_view of rank up to 8, or a dynamic one
/// @param targets  integers of any type, one for each row: the extents of logits without the axis, or with 1 there; or one integer for
///                 logits of rank 1. Or soft targets: elements of a floating type and the extents of logits
/// @param losses   a writable_view of one element for each row: the extents of logits without the axis, or with 1 there; of one element
///                 for a sum or a mean
/// @param options  see cross_entropy_options; dlosses plays no part
///
/// Arithmetic is in float, in double as soon as logits, soft targets, class_weights or losses is double; sums of losses are in
/// double, or with twice its digits.
///
/// | row                                             | loss                    | gradient                                |
/// | ----------------------------------------------- | ----------------------- | --------------------------------------- |
/// | ignored                                         | 0                       | +0; the logits are not looked at        |
/// | a NaN in z, otherwise                           | NaN                     | NaN                                     |
/// | z_j = -inf among others: a masked class, p_j = 0 | +inf if a_j > 0 (-inf if a_j < 0 only), nothing if a_j = 0 | +0 there; the others as ever, finite |
/// | all z = -inf                                    | the same for every class; +inf if z_loss > 0 | +0; no logit could change anything |
/// | z = +inf k times                                | p = 1/k there, 0 elsewhere: log k, +inf; +inf if z_loss > 0 | of those p; -inf logits +0; with z_loss infinite at the +inf |
/// | no classes, soft targets                        | 0                       | nothing is written                      |
/// | mean where D is 0: no rows, all ignored or of weight 0 | 0 (PyTorch: NaN)  | +0, NaN where a row has one             |
///
/// So with label smoothing a masked class makes the loss infinite, as in PyTorch, while the gradient stays finite and of use.
/// special_values::ieee makes rows all -inf or with +inf NaN, as PyTorch does. Soft targets that are not finite make loss and
/// gradient NaN or infinite.
///
/// Error of the loss: at most 3 ulp (16 bits: 0.52 ulp) of the largest of its parts: |a_t|*(max z - z_t), |a_t|*log(sum_j exp(z_j - max
/// z)) and so on for all classes with a_j != 0 (none is negative unless a_j is, so that without negative weights it is 3 ulp of the
/// loss), and with z_loss 2*|z_loss|*max(|max z|, log(sum))^2. A sum of losses is added up with twice the digits of double before it is rounded,
/// in row-major order. A confidently right row has its digits: {20, 0} with target 0 gives
/// 2.0611536e-9. Largest seen, by tests/cross_entropy_test.cpp, which has the rows and enforces this: 0.42 of it in float (the loss
/// 0.3111694 of 10 logits), 0.61 in double (1.8201780 of 10 logits, smoothing 0.25), 0.95 in 16 bits.
///
/// The bits of a row depend on its values, its target, its length, the element types and the options, and on nothing else, among
/// machines with fused multiply-add.
///
/// Throws std::invalid_argument, before anything is written: as safe_softmax; for a class index that is neither ignore_index nor from
/// 0 to K - 1, with its row; for a label_smoothing outside of 0 to 1, a z_loss or class_weights that are not finite, and shapes
/// that do not fit. Allocates nothing, locks nothing; takes up to 100 KiB of stack (compiled with optimisation).
///
/// Source: for label smoothing C. Szegedy and others, "Rethinking the inception architecture for computer vision" (2016); for z-loss
/// A. Chowdhery and others, "PaLM" (2022); the logarithm is that of log_softmax.
template <vocabulary::readable_array Logits, class Targets, vocabulary::writable_array Losses>
    requires(vocabulary::any_array<Targets> || std::integral<Targets>)
void cross_entropy(const Logits& logits, const Targets& targets, Losses&& losses,
                   const cross_entropy_options& options = {}) {
    const detail::arguments_of arg{"cross_entropy"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              array_ref(), "", array_ref(), "", options);
}

/// The same of a single row, as a value of its element type.
template <readable_view Logits, class Targets>
    requires(vocabulary::rank_of<const Logits> == 1 && (vocabulary::any_view<Targets> || std::integral<Targets>))
auto cross_entropy(const Logits& logits, const Targets& targets, const cross_entropy_options& options = {}) {
    using element_type = std::remove_cv_t<vocabulary::element_of<const Logits>>;
    vocabulary::storage_t<element_type> loss[1];
    smx::SMX_ABI::cross_entropy(logits, targets, loss, options);
    return vocabulary::bit_cast<element_type>(loss[0]);
}

/// Gradient of cross_entropy:
///
///     dlogits_j = scale*dloss * ((W + 2*z_loss*logsumexp(z))*p_j - a_j),   W = sum_j a_j;   of a mean: dloss/D in place of dloss
///
/// @param dlosses  the gradient arriving at each row's loss: floating, the extents of losses, broadcast from fewer axes, or
///                 one number for all rows; of a sum or a mean, one number
/// @param dlogits  a writable_view of the extents of logits; the very elements of `logits`, or memory apart from everything else
///
/// Error, barring underflow: at most 5 ulp (16 bits: 0.52) of the larger of |scale*dloss*(W + 2*z_loss*logsumexp)*p_j| and
/// |scale*dloss*a_j|, and with z_loss as many of the term with 2*z_loss times the larger of |max z| and log(sum). At a class index
/// t, W*p_t - a_t does not cancel: it is (W - a_t)*p_t - a_t*(1 - p_t), with 1 - p_t from the other classes. So a
/// confident row has the gradient -(1 - p_t) there, and not 0. Largest seen, by the same test: 0.48 of it in float (3.9311818e-13, element
/// 2339 of 3000), 0.68 in double (1.1691760e-4, element 306 of 5003), 0.96 in 16 bits.
/// An infinite dloss gives infinities of the right sign where the gradient is not 0, NaN gives NaN there.
///
/// Special values, bits, errors: cross_entropy. options.dlosses must be left out.
template <vocabulary::readable_array Logits, class Targets, class DLosses, vocabulary::writable_array DLogits>
    requires((vocabulary::any_array<Targets> || std::integral<Targets>) &&
             (vocabulary::any_array<DLosses> || std::floating_point<DLosses>) &&
             vocabulary::maybe_same_rank<Logits, DLogits>)
void cross_entropy_backward(const Logits& logits, const Targets& targets, const DLosses& dlosses, DLogits&& dlogits,
                            const cross_entropy_options& options = {}) {
    if (options.dlosses)
        detail::refuse("cross_entropy_backward", "options.dlosses is given, but dlosses is an argument");
    const detail::arguments_of arg{"cross_entropy_backward"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), array_ref(),
                              arg(dlosses, "dlosses"), "dlosses", arg(dlogits, "dlogits"), "dlogits", options);
}

/// cross_entropy and cross_entropy_backward with options.dlosses at once, for about the time of one softmax. The same bits.
template <vocabulary::readable_array Logits, class Targets, vocabulary::writable_array Losses,
          vocabulary::writable_array DLogits>
    requires((vocabulary::any_array<Targets> || std::integral<Targets>) && vocabulary::maybe_same_rank<Logits, DLogits>)
void cross_entropy_with_gradient(const Logits& logits, const Targets& targets, Losses&& losses, DLogits&& dlogits,
                                 const cross_entropy_options& options = {}) {
    const detail::arguments_of arg{"cross_entropy_with_gradient"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              options.dlosses, "options.dlosses", arg(dlogits, "dlogits"), "dlogits", options);
}

/// The same with the gradient over the logits.
template <vocabulary::writable_array Logits, class Targets, vocabulary::writable_array Losses>
    requires(vocabulary::any_array<Targets> || std::integral<Targets>)
void cross_entropy_with_gradient(Logits&& logits, const Targets& targets, Losses&& losses,
                                 const cross_entropy_options& options = {}) {
    const detail::arguments_of arg{"cross_entropy_with_gradient"};
    detail::run_cross_entropy(arg.function, arg(logits, "logits"), arg.any(targets, "targets"), arg(losses, "losses"),
                              options.dlosses, "options.dlosses", arg(logits, "logits"), "logits", options);
}

}  // namespace SMX_ABI
}  // namespace smx
