// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/job_shape.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Options that masked functions and their gradients have in common.

SMX_NOINLINE inline void set_softcap(job_builder& b, double softcap) {
    // By its bits: for a caller that takes subnormal numbers for zeros they are equal.
    const std::uint64_t size = magnitude_bits(softcap);
    if ((size != 0 && is_negative(softcap)) || !is_finite(softcap))
        refuse(b.function(), "options.softcap is %g, but it must be 0 or a positive number", softcap);
    // 2/softcap has to be finite; logits as small as that are 0.
    constexpr double least = 0x1p-1000;
    b.job().softcap = size != 0 && size < magnitude_bits(least) ? least : softcap;
}

SMX_NOINLINE inline void add_lengths(job_builder& b, std::size_t o, const array_ref& lengths) {
    const char* const function = b.function();
    if (is_floating(lengths.type()) || lengths.type() == scalar_type::boolean)
        refuse(function, "options.lengths must have integer elements");
    b.add_per_row(o, lengths, "options.lengths");
    const bool has_sign = lengths.type() >= scalar_type::int8;
    const std::uint64_t most = b.job().length;
    bool all = true;
    for_each_numbers<std::uint64_t>(lengths, [&](const std::uint64_t* n, std::size_t count) {
        unsigned longer = 0;
        for (std::size_t i = 0; i < count; ++i) longer |= n[i] > most ? 1u : 0u;
        all = all && longer == 0;
    });
    if (all) return;
    for_each_number<std::uint64_t>(lengths, [&](std::uint64_t n, std::size_t i) {
        if (n <= most) return;
        if (has_sign)
            refuse(function, "options.lengths has %lld at place %zu, but 0 to %zu is allowed",
                   static_cast<long long>(n), i, b.job().length);
        refuse(function, "options.lengths has %llu at place %zu, but 0 to %zu is allowed",
               static_cast<unsigned long long>(n), i, b.job().length);
    });
}

SMX_NOINLINE inline void add_temperature(job_builder& b, std::size_t o, const array_ref& temperature) {
    const char* const function = b.function();
    const double scale = b.job().scale;
    check_floating(function, "options.temperature", temperature);
    b.add_per_row(o, temperature, "options.temperature");
    // Most are far from the bounds, which is quickly seen: by their bits, as with -ffast-math comparisons are not asked about NaN.
    constexpr std::uint64_t least = vocabulary::bit_cast<std::uint64_t>(0x1p-500),
                            most = vocabulary::bit_cast<std::uint64_t>(0x1p500);
    bool all = magnitude_bits(scale) < most;
    for_each_numbers<double>(temperature, [&](const double* t, std::size_t count) {
        unsigned others = 0;
        for (std::size_t i = 0; i < count; ++i)
            others |= vocabulary::bit_cast<std::uint64_t>(t[i]) - least < most - least ? 0u : 1u;
        all = all && others == 0;
    });
    if (all) return;
    for_each_number<double>(temperature, [&](double t, std::size_t i) {
        if (!(t > 0) || !is_finite(t))
            refuse(function, "options.temperature has %g at place %zu, but it must be positive and finite", t, i);
        if (!is_finite(fence(scale / t)))
            refuse(function, "options.scale %g divided by options.temperature %g (place %zu) is not finite", scale, t,
                   i);
    });
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
