// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/run_job.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/family_rows.hpp>
#include <safe_softmax/detail/sampling_rows.hpp>
#endif

namespace smx {
inline namespace SMX_ABI {
namespace detail {

template <class B, class T>
class family_rows;
template <class B, class T>
class sampling_rows;

// Checks of the smaller functions; then their jobs run.

/// What an operand's type cannot say: plain data that the kernel reads, the same for all rows.
SMX_ALWAYS_INLINE void add_call(vocabulary::job& j, std::size_t o, const void* call) noexcept {
    j.op[o].data = call;
    if (o >= j.operands) j.operands = o + 1;
}

template <class Array>
SMX_NOINLINE void run_logaddexp(const Array& in, const Array& other, const Array& out) {
    constexpr const char* function = "logaddexp";
    job_builder b(function, job_function::logaddexp, in, -1, 1.0, special_values::safe);
    b.add_output(vocabulary::logaddexp_of::out, out, "out");
    b.add_broadcast(vocabulary::logaddexp_of::other, other, "other");
    b.may_be_output();
    if (b.finish()) run_job<family_rows>(b.job());
}

template <class Operand>
SMX_NOINLINE void run_logaddexp_of_numbers(const Operand& a, const Operand& b, const Operand& out) noexcept {
    vocabulary::job j;
    for (operand& o : j.op) o = operand{};
    j.function = job_function::logaddexp;
    j.length = 1;
    j.operands = 3;
    j.op[vocabulary::logaddexp_of::in] = a;
    j.op[vocabulary::logaddexp_of::out] = out;
    j.op[vocabulary::logaddexp_of::other] = b;
    j.loops = j.query_loop = 0;
    j.scale = 1;
    j.wide = true;
    run_job<family_rows>(j);
}

template <class Options>
SMX_NOINLINE void run_weighted(const char* function, const array_ref& in, const array_ref& out, const array_ref& sign,
                               const Options& options) {
    job_builder b(function, job_function::weighted_logsumexp, in, options.axis, options.scale, options.special);
    b.add_output_per_row(vocabulary::weighted_sum::out, out, "out");
    if (options.weights) {
        check_floating(function, "options.weights", options.weights);
        b.add_broadcast(vocabulary::weighted_sum::weights, options.weights, "options.weights");
    }
    if (sign) b.add_output_per_row(vocabulary::weighted_sum::sign, sign, "sign");
    if (b.finish()) run_job<family_rows>(b.job());
}

template <class Options>
SMX_NOINLINE void run_gumbel(const char* function, const array_ref& in, const array_ref& out,
                             const vocabulary::gumbel_call& call, const Options& options) {
    if (!(options.temperature > 0) || !is_finite(options.temperature) || !is_finite(fence(1 / options.temperature)))
        refuse(function,
               "options.temperature is %g, but it must be positive and finite, and so must be 1 divided by it",
               options.temperature);
    job_builder b(function, job_function::gumbel_softmax, in, options.axis, options.temperature, options.special);
    b.add_output(vocabulary::gumbel::out, out, "out");
    add_call(b.job(), vocabulary::gumbel::call, &call);
    if (b.finish() && b.has_elements()) run_job<family_rows>(b.job());
}

/// out: as in, or of integers, one for each row. u: not given, or one for each row.
template <class Options>
SMX_NOINLINE void run_sampling(const char* function, job_function f, const array_ref& in, const array_ref& out,
                               const array_ref& u, const Options& options, std::uint64_t seed) {
    const vocabulary::sampling_call call{options.top_k, options.top_p, options.min_p, seed};
    job_builder b(function, f, in, options.axis, options.scale, options.special);
    if (is_nan(options.top_p) || !(options.top_p >= 0 && options.top_p <= 1))
        refuse(function, "options.top_p is %g, but 0 to 1 is allowed", options.top_p);
    if (is_nan(options.min_p) || !(options.min_p >= 0 && options.min_p <= 1))
        refuse(function, "options.min_p is %g, but 0 to 1 is allowed", options.min_p);
    if (f == job_function::sample) {
        if (is_floating(out.type()) || out.type() == scalar_type::boolean)
            refuse(function, "indices must be integers, but they are %s",
                   is_floating(out.type()) ? "floating numbers" : "truth values");
        const std::size_t bits = 8 * size_of(out.type()) - (out.type() >= scalar_type::int8 ? 1 : 0);
        if (bits < 64 && b.job().length > (std::uint64_t(1) << bits) - 1)
            refuse(function, "indices have %zu bits, too few for rows of %zu elements", bits, b.job().length);
        b.add_output_per_row(vocabulary::sampling::out, out, "indices");
        if (u) {
            check_floating(function, "u", u);
            b.add_per_row(vocabulary::sampling::u, u, "u");
            for_each_number<double>(u, [&](double value, std::size_t i) {
                if (is_nan(value) || !(value >= 0 && value < 1))
                    refuse(function, "u has %g at place %zu, but it must be at least 0 and less than 1", value, i);
            });
        }
    } else {
        b.add_output(vocabulary::sampling::out, out, "out");
    }
    add_call(b.job(), vocabulary::sampling::call, &call);
    if (b.finish() && (f == job_function::sample || b.has_elements())) run_job<sampling_rows>(b.job());
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
