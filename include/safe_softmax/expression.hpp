// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/dynamic_view.hpp>

#include <type_traits>
#include <utility>

/// @file
/// The functions on expressions of other libraries, which have no elements in memory before they are evaluated: a + b of Eigen's
/// arrays, for instance. They are evaluated first, into memory that is allocated for that, so that they may speak of `out`,
/// too.
///
///     smx::safe_softmax(2 * a + b, out, options)     and so on; with an executor in front, too

namespace smx {
namespace vocabulary {

/// How to evaluate an expression: specialised by adapters. evaluate(e) gives a readable_view, or a dynamic_readable, that owns
/// its elements.
template <class E>
struct expression_traits {
    static constexpr bool is_expression = false;
};

template <class E>
using expression_traits_of = expression_traits<std::remove_cvref_t<E>>;

/// What an expression has as its value.
template <class E>
using value_of_expression = decltype(expression_traits_of<E>::evaluate(std::declval<const E&>()));

template <class A, class B>
concept same_shape = dynamic_pair<A, B> || (readable_view<A> && writable_view<B> && same_rank<A, B>);

template <class A, class B>
concept reduced_shape = dynamic_pair<A, B> || (readable_view<A> && writable_view<B> && reduced_rank<A, B>);

}  // namespace vocabulary

/// Something with a value that has to be computed before its elements can be read.
template <class E>
concept expression = vocabulary::expression_traits_of<E>::is_expression;

inline namespace SMX_ABI {

/// safe_softmax of an expression.
template <expression In, class Out>
    requires vocabulary::same_shape<vocabulary::value_of_expression<In>, Out>
void safe_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::safe_softmax(values, std::forward<Out>(out), options);
}

/// The same on the threads of an executor.
template <parallel_executor E, expression In, class Out>
    requires vocabulary::same_shape<vocabulary::value_of_expression<In>, Out>
void safe_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::safe_softmax(executor, values, std::forward<Out>(out), options);
}

/// log_softmax of an expression.
template <expression In, class Out>
    requires vocabulary::same_shape<vocabulary::value_of_expression<In>, Out>
void log_softmax(const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::log_softmax(values, std::forward<Out>(out), options);
}

/// The same on the threads of an executor.
template <parallel_executor E, expression In, class Out>
    requires vocabulary::same_shape<vocabulary::value_of_expression<In>, Out>
void log_softmax(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::log_softmax(executor, values, std::forward<Out>(out), options);
}

/// logsumexp of an expression.
template <expression In, class Out>
    requires vocabulary::reduced_shape<vocabulary::value_of_expression<In>, Out>
void logsumexp(const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::logsumexp(values, std::forward<Out>(out), options);
}

/// The same on the threads of an executor.
template <parallel_executor E, expression In, class Out>
    requires vocabulary::reduced_shape<vocabulary::value_of_expression<In>, Out>
void logsumexp(E&& executor, const In& in, Out&& out, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    smx::SMX_ABI::logsumexp(executor, values, std::forward<Out>(out), options);
}

/// The same of a single row, as a value.
template <expression In>
    requires(readable_view<vocabulary::value_of_expression<In>> &&
             vocabulary::rank_of<const vocabulary::value_of_expression<In>> == 1)
auto logsumexp(const In& in, const softmax_options& options = {}) {
    const auto values = vocabulary::expression_traits_of<In>::evaluate(in);
    return smx::SMX_ABI::logsumexp(values, options);
}

}  // namespace SMX_ABI
}  // namespace smx
