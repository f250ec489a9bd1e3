// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/run_job.hpp>
#if !SMX_DISPATCH
#include <safe_softmax/detail/cross_entropy_rows.hpp>
#endif

namespace smx {

struct cross_entropy_options;

inline namespace SMX_ABI {
namespace detail {

template <class B, class T>
class cross_entropy_rows;

/// Numbers of an operand of one row are finite; contiguous ones are asked in a loop that compilers vectorise.
SMX_NOINLINE inline bool all_finite(const array_ref& a) noexcept {
    const auto contiguous = [&]<class S>(const S* p) SMX_INLINE_LAMBDA {
        typename float_bits<S>::type above = 0;
        for (std::size_t i = 0; i < a.extent(0); ++i)
            above |= infinity_bits<S> - 1 - magnitude_bits(load_element<S>(p + i));
        return above >> (8 * sizeof(S) - 1) == 0;
    };
    if (a.extent(0) == 0) return true;
    if (a.stride(0) == 1 && a.type() == scalar_type::float32) return contiguous(static_cast<const float*>(a.data()));
    if (a.stride(0) == 1 && a.type() == scalar_type::float64) return contiguous(static_cast<const double*>(a.data()));
    bool finite = true;
    for_each_number<double>(a, [&](double x, std::size_t) { finite = finite && is_finite(x); });
    return finite;
}

SMX_NOINLINE inline void check_targets(const char* function, const job& j, const array_ref& targets) {
    const bool has_sign = targets.type() >= scalar_type::int8;
    for_each_number<std::int64_t>(targets, [&](std::int64_t t, std::size_t row) {
        if (is_ignored(j, targets.type(), t) || (t >= 0 && static_cast<std::uint64_t>(t) < j.length)) return;
        if (has_sign)
            refuse(function, "targets has %lld in row %zu, but there are %zu classes", static_cast<long long>(t), row,
                   j.length);
        refuse(function, "targets has %llu in row %zu, but there are %zu classes", static_cast<unsigned long long>(t),
               row, j.length);
    });
}

/// What a mean of losses is divided by: the number of rows, with class indices the sum of their classes' weights, without the
/// ignored rows.
SMX_NOINLINE inline double divisor_of_mean(const job& j, const array_ref& targets, const array_ref& weights) {
    if (is_floating(targets.type())) {
        double sum = 1;
        for (std::size_t l = 0; l < j.loops; ++l) sum *= static_cast<double>(j.loop[l].extent);
        return sum;
    }
    vocabulary::loss_total sum{0, 0};
    for_each_number<std::int64_t>(targets, [&](std::int64_t t, std::size_t) {
        if (is_ignored(j, targets.type(), t)) return;
        const std::ptrdiff_t offset = weights ? static_cast<std::ptrdiff_t>(t) * weights.stride(0) *
                                                    static_cast<std::ptrdiff_t>(size_of(weights.type()))
                                              : 0;
        add_to(sum, weights ? number_at<double>(moved(weights.data(), offset), weights.type()) : 1.0);
    });
    return fence(sum.head + sum.tail);
}

/// Everything is checked here, before anything is written. losses or dlogits may be missing; `dlosses_name` says where dlosses
/// comes from.
template <class Options>
SMX_NOINLINE void run_cross_entropy(const char* function, const array_ref& logits, const array_ref& targets,
                                    const array_ref& losses, const array_ref& dlosses, const char* dlosses_name,
                                    const array_ref& dlogits, const char* dlogits_name, const Options& options,
                                    const job_runner* runner = nullptr) {
    using names = cross_entropy_of;
    job_builder b(function, job_function::cross_entropy, logits, options.axis, options.scale, options.special,
                  "logits");
    vocabulary::job& j = b.job();
    j.label_smoothing = options.label_smoothing;
    j.z_loss = options.z_loss;
    j.ignore_index = static_cast<std::int64_t>(options.ignore_index);
    if (is_nan(options.label_smoothing) || !(options.label_smoothing >= 0 && options.label_smoothing <= 1))
        refuse(function, "options.label_smoothing is %g, but it must be from 0 to 1", options.label_smoothing);
    if (!is_finite(options.z_loss)) refuse(function, "options.z_loss is %g, but it must be finite", options.z_loss);
    if (is_floating(targets.type())) {
        b.add_same(names::targets, targets, "targets");
    } else {
        b.add_each_row(names::targets, targets, "targets");
        check_targets(function, j, targets);
    }
    if (options.class_weights) {
        check_floating(function, "options.class_weights", options.class_weights);
        if (options.class_weights.rank() != 1)
            refuse(function, "options.class_weights has rank %zu, but 1 is needed: a number for each class",
                   options.class_weights.rank());
        b.add_along_axis(names::weights, options.class_weights, "options.class_weights");
        if (!all_finite(options.class_weights))
            refuse(function, "options.class_weights has an element that is not finite");
    }
    const bool reduces = options.reduction != loss_reduction::none;
    if (losses && reduces) b.add_output_for_all(names::losses, losses, "losses");
    else if (losses) b.add_output_per_row(names::losses, losses, "losses");
    if (dlosses) {
        check_floating(function, dlosses_name, dlosses);
        for (std::size_t d = 0; reduces && d < dlosses.rank(); ++d)
            if (dlosses.extent(d) != 1)
                refuse(function, "extent %zu of %s is %zu, but 1 is needed: there is one loss for all rows", d,
                       dlosses_name, dlosses.extent(d));
        if (reduces && dlosses.rank() != 0) b.add_number(names::dlosses, dlosses, dlosses_name);
        else b.add_per_row(names::dlosses, dlosses, dlosses_name);
    }
    if (dlogits) b.add_output(names::dlogits, dlogits, dlogits_name);
    vocabulary::loss_total total{0, 0};
    if (reduces && losses) j.total = &total;
    if (options.reduction == loss_reduction::mean) j.divisor = divisor_of_mean(j, targets, options.class_weights);
    if (b.finish()) run_job_by<cross_entropy_rows>(runner, j);
    else if (j.total != nullptr) std::memset(const_cast<void*>(losses.data()), 0, size_of(losses.type()));
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
