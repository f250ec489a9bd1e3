// SPDX-License-Identifier: BSL-1.0
// The formula in Eigen's arrays: row by row, or all columns of a block at once if the axis has neighbours.
#include "competitor.hpp"

#include <Eigen/Core>

#include <memory>
#include <string>
#include <type_traits>

namespace bench {
namespace {

template <class T>
struct eigen_scalar {
    using type = T;
};
template <>
struct eigen_scalar<smx::float16> {
    using type = Eigen::half;
};
template <>
struct eigen_scalar<smx::bfloat16> {
    using type = Eigen::bfloat16;
};

template <class S>
using row_array = Eigen::Array<S, Eigen::Dynamic, 1>;
template <class S>
using block_array = Eigen::Array<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// x as it is, or as numbers that are calculated with.
template <class R>
decltype(auto) as_real(const auto& x) {
    if constexpr (std::is_same_v<typename std::decay_t<decltype(x)>::Scalar, R>) return (x);
    else return x.template cast<R>();
}

template <class R, class In, class Out>
void one_row(function f, const In& in, Out&& out, Eigen::Map<row_array<R>> term) {
    using S = typename std::decay_t<Out>::Scalar;
    if constexpr (!std::is_same_v<S, R>) term = in.template cast<R>();
    const auto run = [&](const auto& x) {
        const R max = x.maxCoeff();
        if (f == function::softmax) {
            term = (x - max).exp();
            out = (term * (1 / term.sum())).template cast<S>();
            return;
        }
        const R total = max + std::log((x - max).exp().sum());
        if (f == function::logsumexp) out(0) = static_cast<S>(total);
        else out = (x - total).template cast<S>();
    };
    if constexpr (std::is_same_v<S, R>) run(in);
    else run(term);
}

template <class R, class In, class Out>
void one_block(function f, const In& in, Out&& out, block_array<R>& term) {
    using S = typename std::decay_t<Out>::Scalar;
    term = in.template cast<R>();
    const Eigen::Array<R, 1, Eigen::Dynamic> max = term.colwise().maxCoeff();
    if (f == function::softmax) {
        term = (term.rowwise() - max).exp();
        const Eigen::Array<R, 1, Eigen::Dynamic> share = term.colwise().sum().inverse();
        out = (term.rowwise() * share).template cast<S>();
        return;
    }
    const Eigen::Array<R, 1, Eigen::Dynamic> total = max + (term.rowwise() - max).exp().colwise().sum().log();
    if (f == function::logsumexp) out = total.template cast<S>();
    else out = (term.rowwise() - total).template cast<S>();
}

template <class T>
call eigen(const problem<T>& p) {
    using S = typename eigen_scalar<T>::type;
    using R = std::conditional_t<sizeof(T) == 8, double, float>;
    if (!p.dense()) return {};
    const bool reduces = p.function == function::logsumexp;
    const auto length = static_cast<Eigen::Index>(p.length), inner = static_cast<Eigen::Index>(p.inner);
    const Eigen::Index kept = reduces ? 1 : length;
    const S* const in = reinterpret_cast<const S*>(p.in);
    S* const out = reinterpret_cast<S*>(p.out);
    const auto count = static_cast<Eigen::Index>(p.outer);
    if (p.inner == 1) {
        const auto buffer = std::make_shared<row_array<R>>(length);
        return [=, f = p.function] {
            for (Eigen::Index o = 0; o < count; ++o) {
                const Eigen::Map<const row_array<S>> x(in + o * length, length);
                Eigen::Map<row_array<S>> y(out + o * kept, kept);
                // The results themselves hold the exponentials if they can.
                if constexpr (std::is_same_v<S, R>)
                    one_row<R>(f, x, y, Eigen::Map<row_array<R>>(reduces ? buffer->data() : y.data(), length));
                else one_row<R>(f, x, y, Eigen::Map<row_array<R>>(buffer->data(), length));
            }
        };
    }
    const auto buffer = std::make_shared<block_array<R>>(length, inner);
    return [=, f = p.function] {
        for (Eigen::Index o = 0; o < count; ++o) {
            const Eigen::Map<const block_array<S>> x(in + o * length * inner, length, inner);
            one_block<R>(f, x, Eigen::Map<block_array<S>>(out + o * kept * inner, kept, inner), *buffer);
        }
    };
}

const std::string version = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
                            std::to_string(EIGEN_MINOR_VERSION);
const bool added =
    add({"Eigen", version, role::peer, {eigen<float>, eigen<double>, eigen<smx::float16>, eigen<smx::bfloat16>}});

}  // namespace
}  // namespace bench
