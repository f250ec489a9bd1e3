// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/row_options.hpp>
#include <safe_softmax/detail/run_job.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/masked_rows.hpp>
#endif

namespace smx {

struct masked_options;

inline namespace SMX_ABI {
namespace detail {

template <class B, class T>
class masked_rows;

/// Everything is checked here, before anything is written.
template <class Options>
SMX_NOINLINE void run_masked(const char* function, job_function f, const array_ref& in, const array_ref& mask,
                             const array_ref& out, const Options& options, const job_runner* runner = nullptr) {
    job_builder b(function, f, in, options.axis, options.scale, options.special);
    vocabulary::job& j = b.job();
    j.causal = options.causal;
    j.causal_offset = options.causal_offset;
    set_softcap(b, options.softcap);
    b.add_output(masked::out, out, "out");
    if (mask) {
        if (!is_floating(mask.type()) && mask.type() != scalar_type::boolean && mask.type() != scalar_type::uint8)
            refuse(function,
                   "mask must have elements of bool, of an unsigned byte or of a floating type (it has integers of %zu "
                   "bytes)",
                   size_of(mask.type()));
        b.add_broadcast(masked::mask, mask, "mask");
    }
    if (options.bias) {
        check_floating(function, "options.bias", options.bias);
        b.add_broadcast(masked::bias, options.bias, "options.bias");
    }
    if (options.lengths) add_lengths(b, masked::lengths, options.lengths);
    if (options.alibi_slope) {
        check_floating(function, "options.alibi_slope", options.alibi_slope);
        b.add_per_row(masked::slope, options.alibi_slope, "options.alibi_slope");
        for_each_number<double>(options.alibi_slope, [&](double slope, std::size_t i) {
            if (!is_finite(slope))
                refuse(function, "options.alibi_slope has %g at place %zu, but it must be finite", slope, i);
        });
    }
    if (options.sink) {
        check_floating(function, "options.sink", options.sink);
        b.add_per_row(masked::sink, options.sink, "options.sink");
    }
    if (options.temperature) add_temperature(b, masked::temperature, options.temperature);
    if (b.finish()) run_job_by<masked_rows>(runner, j);
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
