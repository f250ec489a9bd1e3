// SPDX-License-Identifier: BSL-1.0
#include "masked_calls.hpp"

#include "caller_environment.hpp"

#include <safe_softmax/tensor_view.hpp>

#include <algorithm>
#include <array>

namespace softmax_test {
namespace {

template <class F>
void with_type(dtype type, const F& f) {
    switch (type) {
        case dtype::f32: return f(float{});
        case dtype::f64: return f(double{});
        case dtype::f16: return f(smx::float16{});
        case dtype::bf16: return f(smx::bfloat16{});
    }
}

template <class T, std::size_t Rank>
smx::tensor_view<T, Rank> tensor(const view& v) {
    std::array<std::size_t, Rank> extents;
    std::array<std::ptrdiff_t, Rank> strides;
    std::copy_n(v.extents, Rank, extents.begin());
    std::copy_n(v.strides, Rank, strides.begin());
    return {static_cast<T*>(v.data), extents, strides};
}

template <std::size_t Rank>
void call(bool log, const view& in, const smx::array_ref& mask, const view& out, const smx::masked_options& options) {
    with_type(in.type, [&]<class In>(In) {
        with_type(out.type, [&]<class Out>(Out) {
            const auto from = tensor<const In, Rank>(in);
            const auto to = tensor<Out, Rank>(out);
            if (mask && log) smx::masked_log_softmax(from, mask, to, options);
            else if (mask) smx::masked_softmax(from, mask, to, options);
            else if (log) smx::masked_log_softmax(from, to, options);
            else smx::masked_softmax(from, to, options);
        });
    });
}

}  // namespace

void masked_call(bool log, const view& in, const smx::array_ref& mask, const view& out,
                 const smx::masked_options& options) {
    const caller_environment environment;
    if (in.rank == 1) call<1>(log, in, mask, out, options);
    else if (in.rank == 2) call<2>(log, in, mask, out, options);
    else call<3>(log, in, mask, out, options);
}

}  // namespace softmax_test
