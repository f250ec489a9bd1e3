// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/backward.hpp>
#include <safe_softmax/dynamic_view.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cstddef>
#include <cstdint>

/// @file
/// PyTorch's tensors, for the functions of dynamic_view.hpp, and softmax as a differentiable operation on them. Takes PyTorch 1.13 or
/// newer (Debian: libtorch-dev) and its libraries torch, torch_cpu and c10.
///
/// ```cpp
/// smx::safe_softmax(logits, probabilities, {.axis = 1});                 // at::Tensor of any rank and strides, into memory that is there
/// const at::Tensor p = smx::torch_softmax(logits, -1);                   // a new tensor, with a gradient
/// const at::Tensor q = smx::torch_log_softmax(logits, 1, {.scale = 0.5, .dtype = at::kFloat});
/// ```
///
/// The rest of the family takes tensors, too: masked_softmax(scores, mask, weights, {.bias = smx::as_array(bias)}), with masks of bool and
/// targets of integers.
///
/// Tensors of float, double, half and bfloat16 on the CPU. Everything else is refused with a text that names it. What is written into a
/// given tensor autograd does not see; torch_softmax and so on are differentiable, twice. To have them as operators of PyTorch, in C++,
/// Python and TorchScript: examples/torch_operator.cpp.

namespace smx {

template <>
inline constexpr element_format format_of<at::Half> = element_format::binary16;
template <>
inline constexpr element_format format_of<at::BFloat16> = element_format::bfloat16;

/// How a softmax of tensors is taken; an aggregate: `{.scale = 0.125}`.
struct torch_options {
    double scale = 1.0;                                  ///< the logits are multiplied by it
    special_values special = special_values::safe;       ///< what rows without a proper answer give
    c10::optional<at::ScalarType> dtype = c10::nullopt;  ///< of the result; that of the logits without it
};

/// The threads of PyTorch, for the functions of parallel.hpp: at::parallel_for.
struct torch_executor {
    /// 1 in a parallel region.
    std::size_t concurrency() const {
        return at::in_parallel_region() ? 1 : static_cast<std::size_t>(at::get_num_threads());
    }

    /// Runs tasks 0 to tasks - 1.
    template <class F>
    void operator()(std::size_t tasks, const F& f) const {
        at::parallel_for(0, static_cast<std::int64_t>(tasks), 1, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t i = begin; i < end; ++i) f(static_cast<std::size_t>(i));
        });
    }
};

inline namespace SMX_ABI {
namespace detail {

/// The strides of a tensor.
struct torch_layout {
    std::size_t rank;
    std::array<std::size_t, vocabulary::max_dynamic_rank> extents;
    std::array<std::ptrdiff_t, vocabulary::max_dynamic_rank> strides;

    torch_layout(const at::Tensor& t, argument a) {
        if (!t.defined()) refuse(a.function, "%s is an undefined tensor", a.name);
        if (!t.device().is_cpu())
            refuse(a.function, "%s is on device %s, but has to be on cpu", a.name, t.device().str().c_str());
        if (t.layout() != c10::kStrided)
            refuse(a.function, "%s has a layout without strides (sparse or the like)", a.name);
        if (t.is_neg()) refuse(a.function, "%s is a negated view: resolve_neg() makes a tensor of it", a.name);
        rank = static_cast<std::size_t>(t.dim());
        if (rank > vocabulary::max_dynamic_rank)
            refuse(a.function, "%s has %zu axes, but %zu is the most", a.name, rank, vocabulary::max_dynamic_rank);
        for (std::size_t d = 0; d < rank; ++d) {
            extents[d] = static_cast<std::size_t>(t.sizes()[d]);
            strides[d] = static_cast<std::ptrdiff_t>(t.strides()[d]);
        }
    }
};

inline dynamic_view look_at_torch(const at::Tensor& t, argument a) {
    const torch_layout l(t, a);
    element_format format = element_format::none;
    switch (t.scalar_type()) {
        case at::kFloat: format = element_format::binary32; break;
        case at::kDouble: format = element_format::binary64; break;
        case at::kHalf: format = element_format::binary16; break;
        case at::kBFloat16: format = element_format::bfloat16; break;
        default:
            refuse(a.function, "%s has elements of type %s, but float, double, half and bfloat16 are allowed", a.name,
                   c10::toString(t.scalar_type()));
    }
    return dynamic_view(t.data_ptr(), format, {l.extents.data(), l.rank}, {l.strides.data(), l.rank});
}

/// Of integers and truth values, too.
inline array_ref look_at_any_torch(const at::Tensor& t, argument a) {
    const auto array = [&](scalar_type type) {
        const torch_layout l(t, a);
        return array_of_dynamic(a, t.data_ptr(), type, {l.extents.data(), l.rank}, {l.strides.data(), l.rank});
    };
    if (!t.defined()) refuse(a.function, "%s is an undefined tensor", a.name);
    switch (t.scalar_type()) {
        case at::kBool: return array(scalar_type::boolean);
        case at::kByte: return array(scalar_type::uint8);
        case at::kChar: return array(scalar_type::int8);
        case at::kShort: return array(scalar_type::int16);
        case at::kInt: return array(scalar_type::int32);
        case at::kLong: return array(scalar_type::int64);
        default: return arguments_of{a.function}(look_at_torch(t, a), a.name);
    }
}

}  // namespace detail
}  // namespace SMX_ABI

namespace vocabulary {

template <>
struct dynamic_traits<at::Tensor> {
    static constexpr bool viewable = true, writable = true, borrowed = true;  // a handle, as in at:: functions
    static dynamic_view look(const at::Tensor& t, const char* function, const char* name) {
        return SMX_ABI::detail::look_at_torch(t, {function, name});
    }
    static array_ref look_at_any(const at::Tensor& t, const char* function, const char* name) {
        return SMX_ABI::detail::look_at_any_torch(t, {function, name});
    }
};

}  // namespace vocabulary

inline namespace SMX_ABI {

/// What is computed of a tensor: without autograd.
at::Tensor torch_forward(const at::Tensor& logits, std::int64_t dim, bool log, const torch_options& options);
/// The gradient at the logits from that at the result `y`: without autograd.
at::Tensor torch_backward(const at::Tensor& dy, const at::Tensor& y, std::int64_t dim, bool log, double scale);

namespace detail {

/// dim as an axis from 0 on.
inline std::int64_t checked_dim(const char* function, const at::Tensor& t, std::int64_t dim) {
    if (!t.defined()) refuse(function, "logits is an undefined tensor");
    const std::int64_t rank = t.dim() == 0 ? 1 : t.dim();
    if (dim < -rank || dim >= rank)
        refuse(function, "dim is %lld, but logits has %lld axes", static_cast<long long>(dim),
               static_cast<long long>(t.dim()));
    return dim < 0 ? dim + rank : dim;
}

/// A gradient, itself with a gradient.
class torch_gradient : public torch::autograd::Function<torch_gradient> {
public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& dy, const at::Tensor& y,
                              std::int64_t dim, bool log, double scale) {
        context->save_for_backward({dy, y});
        context->saved_data["dim"] = dim;
        context->saved_data["log"] = log;
        context->saved_data["scale"] = scale;
        return torch_backward(dy, y, dim, log, scale);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   const torch::autograd::variable_list& gradients) {
        const auto saved = context->get_saved_variables();
        const at::Tensor &dy = saved[0], &y = saved[1], &g = gradients[0];
        const std::int64_t dim = context->saved_data["dim"].toInt();
        const double scale = context->saved_data["scale"].toDouble();
        if (context->saved_data["log"].toBool()) {
            const at::Tensor p = y.exp();
            return {scale * (g - (g * p).sum(dim, true)), -scale * g * p * dy.sum(dim, true), {}, {}, {}};
        }
        return {apply(g, y, dim, false, scale),
                scale * (g * (dy - (y * dy).sum(dim, true)) - dy * (g * y).sum(dim, true)),
                {},
                {},
                {}};
    }
};

class torch_function : public torch::autograd::Function<torch_function> {
public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits, std::int64_t dim,
                              bool log, const torch_options& options) {
        const at::Tensor y = torch_forward(logits, dim, log, options);
        context->save_for_backward({y});
        context->saved_data["dim"] = dim;
        context->saved_data["log"] = log;
        context->saved_data["scale"] = options.scale;
        context->saved_data["dtype"] = static_cast<std::int64_t>(logits.scalar_type());
        return y;
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   const torch::autograd::variable_list& gradients) {
        const at::Tensor y = context->get_saved_variables()[0];
        const at::Tensor dx =
            torch_gradient::apply(gradients[0], y, context->saved_data["dim"].toInt(),
                                  context->saved_data["log"].toBool(), context->saved_data["scale"].toDouble());
        return {dx.to(static_cast<at::ScalarType>(context->saved_data["dtype"].toInt())), {}, {}, {}};
    }
};

}  // namespace detail

inline at::Tensor torch_forward(const at::Tensor& logits, std::int64_t dim, bool log, const torch_options& options) {
    const char* const name = log ? "torch_log_softmax" : "torch_softmax";
    dim = detail::checked_dim(name, logits, dim);
    const dynamic_view in = detail::look_at_torch(logits, {name, "logits"});
    const at::Tensor out = at::empty_like(
        logits, logits.options().dtype(options.dtype.value_or(logits.scalar_type())).requires_grad(false));
    const dynamic_view to = detail::look_at_torch(out, {name, "result"});
    const softmax_options o{
        .axis = static_cast<std::ptrdiff_t>(dim), .scale = options.scale, .special = options.special};
    if (log) smx::SMX_ABI::log_softmax(torch_executor{}, in, to, o);
    else smx::SMX_ABI::safe_softmax(torch_executor{}, in, to, o);
    return out;
}

inline at::Tensor torch_backward(const at::Tensor& dy, const at::Tensor& y, std::int64_t dim, bool log, double scale) {
    const char* const name = log ? "log_softmax_backward" : "softmax_backward";
    if (y.dim() > static_cast<std::int64_t>(array_ref::max_rank)) {  // three axes say the same
        std::int64_t outer = 1, inner = 1;
        for (std::int64_t d = 0; d < y.dim(); ++d) (d < dim ? outer : inner) *= d == dim ? 1 : y.size(d);
        const std::array<std::int64_t, 3> shape{outer, y.size(dim), inner};
        return torch_backward(dy.reshape(shape), y.reshape(shape), 1, log, scale).reshape(y.sizes());
    }
    const at::Tensor dx = at::empty_like(y);
    const softmax_options o{.axis = static_cast<std::ptrdiff_t>(dim), .scale = scale};
    const detail::arguments_of arg{name};
    detail::run_backward(
        name, log ? vocabulary::job_function::log_softmax_backward : vocabulary::job_function::softmax_backward,
        arg(y, "y"), arg(dy, "dy"), arg(dx, "dx"), "dx", o);
    return dx;
}

/// torch.softmax(logits, dim, dtype) with the results, bounds and special values of safe_softmax, on PyTorch's threads; rank 0 is one
/// element. Differentiable twice.
///
/// @param logits   a strided tensor of float, double, half or bfloat16 on the CPU
/// @param dim      the axis of a row; negative counts from the back
/// @param options  see torch_options
///
/// Throws std::invalid_argument, with the tensor's name and what is wrong with it.
inline at::Tensor torch_softmax(const at::Tensor& logits, std::int64_t dim, const torch_options& options = {}) {
    dim = detail::checked_dim("torch_softmax", logits, dim);
    return detail::torch_function::apply(logits, dim, false, options);
}

/// torch.log_softmax, likewise.
inline at::Tensor torch_log_softmax(const at::Tensor& logits, std::int64_t dim, const torch_options& options = {}) {
    dim = detail::checked_dim("torch_log_softmax", logits, dim);
    return detail::torch_function::apply(logits, dim, true, options);
}

namespace detail {

inline at::Tensor torch_sums(const at::Tensor& logits, std::int64_t dim, const torch_options& options) {
    const dynamic_view in = look_at_torch(logits, {"torch_logsumexp", "logits"});
    std::vector<std::int64_t> shape = logits.sizes().vec();
    if (!shape.empty()) shape[static_cast<std::size_t>(dim)] = 1;
    const at::Tensor out =
        at::empty(shape, logits.options().dtype(options.dtype.value_or(logits.scalar_type())).requires_grad(false));
    const softmax_options o{
        .axis = static_cast<std::ptrdiff_t>(dim), .scale = options.scale, .special = options.special};
    smx::SMX_ABI::logsumexp(torch_executor{}, in, look_at_torch(out, {"torch_logsumexp", "result"}), o);
    return out;
}

class torch_sums_function : public torch::autograd::Function<torch_sums_function> {
public:
    static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits, std::int64_t dim,
                              const torch_options& options) {
        context->save_for_backward({logits});
        context->saved_data["dim"] = dim;
        context->saved_data["scale"] = options.scale;
        context->saved_data["ieee"] = options.special == special_values::ieee;
        return torch_sums(logits, dim, options);
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                   const torch::autograd::variable_list& gradients) {
        const at::Tensor logits = context->get_saved_variables()[0];
        const double scale = context->saved_data["scale"].toDouble();
        torch_options o{.scale = scale};
        if (context->saved_data["ieee"].toBool()) o.special = special_values::ieee;
        return {scale * gradients[0].to(logits.scalar_type()) *
                    torch_softmax(logits, context->saved_data["dim"].toInt(), o),
                {},
                {}};
    }
};

}  // namespace detail

/// torch.logsumexp along one axis, likewise.
inline at::Tensor torch_logsumexp(const at::Tensor& logits, std::int64_t dim, bool keepdim = false,
                                  const torch_options& options = {}) {
    dim = detail::checked_dim("torch_logsumexp", logits, dim);
    const at::Tensor sums = detail::torch_sums_function::apply(logits, dim, options);
    return keepdim || logits.dim() == 0 ? sums : sums.squeeze(dim);
}

}  // namespace SMX_ABI
}  // namespace smx
