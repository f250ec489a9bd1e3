// SPDX-License-Identifier: BSL-1.0
#include "masked_calls.hpp"

#include "caller_environment.hpp"
#include "memory.hpp"

#include <safe_softmax/tensor_view.hpp>

#include <gtest/gtest.h>

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

std::vector<double> masked_results(bool log, dtype type, const std::vector<double>& logits, const smx::array_ref& mask,
                                   const smx::masked_options& options, std::vector<std::size_t> extents,
                                   bool in_place) {
    if (extents.empty()) extents = {logits.size()};
    const guarded_memory from(tensor_view(type, extents)), to(tensor_view(type, extents));
    store_all(from.elements(), logits);
    masked_call(log, from.elements(), mask, in_place ? from.elements() : to.elements(), options);
    return load_all(in_place ? from.elements() : to.elements());
}

void expect_same(const std::vector<double>& actual, const std::vector<double>& expected, const char* what) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (is_nan(expected[i])) EXPECT_TRUE(is_nan(actual[i])) << what << " [" << i << "] " << actual[i];
        else EXPECT_EQ(actual[i], expected[i]) << what << " [" << i << "] off by " << actual[i] - expected[i];
    }
}

}  // namespace softmax_test
