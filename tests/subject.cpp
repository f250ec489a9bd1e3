// SPDX-License-Identifier: BSL-1.0

// Compiled once per instruction set and backend, with -DSMX_SUBJECT=<name>. With SMX_SUBJECT_FEW_PAIRS only the pairs of
// types are compiled that together read, write and compute in every type. Nothing but the library is included here:
// an inline function of another header, compiled for AVX-512, could be the copy that the linker keeps.

#include "subject.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>

namespace softmax_test {
namespace {

template <class T, std::size_t Rank>
smx::tensor_view<T, Rank> tensor(const view& v) {
    std::array<std::size_t, Rank> extents{};
    std::array<std::ptrdiff_t, Rank> strides{};
    for (std::size_t d = 0; d < Rank; ++d) {
        extents[d] = v.extents[d];
        strides[d] = v.strides[d];
    }
    return {static_cast<T*>(v.data), extents, strides};
}

template <class T>
std::span<T> span(const view& v) {
    return {static_cast<T*>(v.data), v.extents[0]};
}

template <class T>
smx::strided_span<T> strided(const view& v) {
    return {static_cast<T*>(v.data), v.extents[0], v.strides[0]};
}

template <class In, class Out>
void apply(function f, const In& in, const Out& out, const smx::softmax_options& options) {
    if (f == function::softmax) smx::safe_softmax(in, out, options);
    if (f == function::log_softmax) smx::log_softmax(in, out, options);
}

template <class InOut>
void apply(function f, const InOut& inout, const smx::softmax_options& options) {
    if (f == function::softmax) smx::safe_softmax(inout, options);
    if (f == function::log_softmax) smx::log_softmax(inout, options);
}

template <class In, class Out>
void reduce(const view& in, const view& out, const smx::softmax_options& options) {
    if (in.rank == 1) smx::logsumexp(tensor<const In, 1>(in), tensor<Out, 1>(out), options);
    if (in.rank == 2 && out.rank == 1) smx::logsumexp(tensor<const In, 2>(in), tensor<Out, 1>(out), options);
    if (in.rank == 2 && out.rank == 2) smx::logsumexp(tensor<const In, 2>(in), tensor<Out, 2>(out), options);
    if (in.rank == 3 && out.rank == 2) smx::logsumexp(tensor<const In, 3>(in), tensor<Out, 2>(out), options);
    if (in.rank == 3 && out.rank == 3) smx::logsumexp(tensor<const In, 3>(in), tensor<Out, 3>(out), options);
}

template <class In, class Out>
void run(function f, const view& in, const view& out, const smx::softmax_options& options) {
    if (f == function::logsumexp) return reduce<In, Out>(in, out, options);
    if (in.kind == view_kind::span) return apply(f, span<const In>(in), span<Out>(out), options);
    if (in.kind == view_kind::strided_span) return apply(f, strided<const In>(in), strided<Out>(out), options);
    if (in.rank == 1) return apply(f, tensor<const In, 1>(in), tensor<Out, 1>(out), options);
    if (in.rank == 2) return apply(f, tensor<const In, 2>(in), tensor<Out, 2>(out), options);
    if (in.rank == 3) return apply(f, tensor<const In, 3>(in), tensor<Out, 3>(out), options);
}

template <class T>
void run_in_place(function f, const view& inout, const smx::softmax_options& options) {
    if (inout.kind == view_kind::span) return apply(f, span<T>(inout), options);
    if (inout.kind == view_kind::strided_span) return apply(f, strided<T>(inout), options);
    if (inout.rank == 1) return apply(f, tensor<T, 1>(inout), options);
    if (inout.rank == 2) return apply(f, tensor<T, 2>(inout), options);
    if (inout.rank == 3) return apply(f, tensor<T, 3>(inout), options);
}

template <class T>
void run_returned(const view& in, void* result, const smx::softmax_options& options) {
    if (in.kind == view_kind::span) *static_cast<T*>(result) = smx::logsumexp(span<const T>(in), options);
    if (in.kind == view_kind::strided_span) *static_cast<T*>(result) = smx::logsumexp(strided<const T>(in), options);
}

template <class Continuation>
void with_type(dtype type, const Continuation& continuation) {
    switch (type) {
        case dtype::f32: return continuation(std::type_identity<float>{});
        case dtype::f64: return continuation(std::type_identity<double>{});
        case dtype::f16: return continuation(std::type_identity<smx::float16>{});
        case dtype::bf16: return continuation(std::type_identity<smx::bfloat16>{});
    }
}

#if defined(SMX_SUBJECT_FEW_PAIRS)
constexpr bool takes(dtype in, dtype out) {
    return in == out || (in == dtype::f32 && out == dtype::bf16) || (in == dtype::f16 && out == dtype::f64) ||
           (in == dtype::f64 && out == dtype::f16);
}
#else
constexpr bool takes(dtype, dtype) { return true; }
#endif

template <class T>
constexpr dtype dtype_of = std::is_same_v<T, float>          ? dtype::f32
                           : std::is_same_v<T, double>       ? dtype::f64
                           : std::is_same_v<T, smx::float16> ? dtype::f16
                                                             : dtype::bf16;

void out_of_place(function f, const view& in, const view& out, const smx::softmax_options& options) {
    with_type(in.type, [&]<class In>(std::type_identity<In>) {
        with_type(out.type, [&]<class Out>(std::type_identity<Out>) {
            if constexpr (takes(dtype_of<In>, dtype_of<Out>)) run<In, Out>(f, in, out, options);
        });
    });
}

void in_place(function f, const view& inout, const smx::softmax_options& options) {
    with_type(inout.type, [&]<class T>(std::type_identity<T>) { run_in_place<T>(f, inout, options); });
}

void returned_logsumexp(const view& in, void* result, const smx::softmax_options& options) {
    with_type(in.type, [&]<class T>(std::type_identity<T>) { run_returned<T>(in, result, options); });
}

#if SMX_DISPATCH
constexpr auto exp_terms = nullptr;
#else
void exp_terms(const float* x, float* terms, std::size_t n) {
    using namespace smx::detail;
    using P = pack_t<default_backend, float>;
    const row_constants<float> row = constants_of_row(0.0f, no_scaling<float>);  // of a row whose largest logit is 0
    const row_terms<P, false> term(no_scaling<float>, P::broadcast(row.magic), P::broadcast(row.offset));
    for (std::size_t i = 0; i < n; i += P::lanes)
        store(terms + i, term.template operator()<precision::full>(P::load(x + i)));
}
#endif

constexpr unsigned needs = 0u
#if defined(__AVX2__)
                           | needs_avx2
#endif
#if defined(__FMA__)
                           | needs_fma
#endif
#if defined(__AVX512F__)
                           | needs_avx512
#endif
#if defined(__AVX512BF16__)
                           | needs_avx512bf16
#endif
    ;

constexpr bool fused = SMX_FUSED;

}  // namespace

#define SMX_JOIN_(a, b) a##b
#define SMX_JOIN(a, b) SMX_JOIN_(a, b)
#define SMX_TEXT_(a) #a
#define SMX_TEXT(a) SMX_TEXT_(a)

extern const subject SMX_JOIN(subject_, SMX_SUBJECT);
constinit const subject SMX_JOIN(subject_, SMX_SUBJECT) = {
    SMX_TEXT(SMX_SUBJECT), fused, needs, takes, out_of_place, in_place, returned_logsumexp, exp_terms};

}  // namespace softmax_test
