// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_job.hpp>
#include <safe_softmax/detail/pieces.hpp>
#include <safe_softmax/detail/sink.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

// Masked rows with a NaN or without a finite maximum, element by element. Everything is asked of the bits.

enum class logit_class { finite, plus, minus, masked_out, nan };

SMX_ALWAYS_INLINE double number_of(const operand& o, std::size_t i) noexcept {
    return number_at<double>(moved(o.data, static_cast<std::ptrdiff_t>(i) * o.step), o.type);
}
SMX_ALWAYS_INLINE bool is_masked_out(const operand* op, std::size_t i) noexcept {
    const auto shut = [](double x) SMX_INLINE_LAMBDA { return !is_finite(x) && !is_nan(x) && is_negative(x); };
    const operand& m = op[masked::mask];
    if (m && (is_floating(m.type) ? shut(number_of(m, i)) : number_of(m, i) == 0)) return true;
    return op[masked::bias] && shut(number_of(op[masked::bias], i));
}

/// A row with a NaN, whose input may have been written over: what was masked out stays that.
SMX_NOINLINE inline void write_nan(const job& j, const operand* op, std::size_t kept) noexcept {
    const bool log = j.function == vocabulary::job_function::masked_log_softmax;
    for (std::size_t i = 0; i < kept; ++i) {
        if (is_masked_out(op, i)) put_nothing(op[masked::out], i, i + 1, log);
        else put_nan(op[masked::out], i);
    }
}

/// What the logit of element i is, where the row has no finite maximum.
SMX_ALWAYS_INLINE logit_class class_of(const job& j, const operand* op, std::size_t i) noexcept {
    int sign = 0;
    bool nan = false;
    const auto take = [&](double x, bool turned) SMX_INLINE_LAMBDA {
        if (is_nan(x)) nan = true;
        else if (!is_finite(x)) sign = is_negative(x) != turned ? -1 : sign == 0 ? 1 : sign;
    };
    if (is_masked_out(op, i)) return logit_class::masked_out;
    const operand& m = op[masked::mask];
    const double x = number_of(op[masked::in], i);
    if (j.softcap == 0 || is_nan(x)) take(x, j.scale < 0);
    const bool added = m && is_floating(m.type);
    if (added || op[masked::bias]) {  // else every finite element has a finite logit, whatever the scale
        double z = is_finite(x) ? x * scale_at(j, op[masked::temperature]) : 0;
        take(z, false);
        if (added) take(number_of(m, i), false), z += number_of(m, i);
        if (op[masked::bias]) take(number_of(op[masked::bias], i), false), z += number_of(op[masked::bias], i);
        if (sign == 0 && !nan) take(z, false);  // a sum beyond the range of double
    }
    return nan ? logit_class::nan : sign > 0 ? logit_class::plus : sign < 0 ? logit_class::minus : logit_class::finite;
}

/// A row with a finite maximum, and a sink of NaN or +inf. Nothing has been written yet.
SMX_NOINLINE inline void write_by_sink(const job& j, const operand* op, std::size_t kept,
                                       const sink_of_row& sink) noexcept {
    bool nan = is_nan(sink.above_max.head);
    for (std::size_t i = 0; i < kept && !nan; ++i) nan = class_of(j, op, i) == logit_class::nan;
    if (nan) write_nan(j, op, kept);
    else put_nothing(op[masked::out], 0, kept, j.function == vocabulary::job_function::masked_log_softmax);
}

/// A row with a NaN, or all -inf, or with a +inf; elements from `kept` on have been written.
SMX_NOINLINE inline void write_special(const job& j, const operand* op, std::size_t kept) noexcept {
    const bool log = j.function == vocabulary::job_function::masked_log_softmax;
    const operand& out = op[masked::out];
    std::size_t infinities = 0;
    bool nan = false;
    if (op[masked::sink] && kept != 0) {
        const double z = number_at<double>(op[masked::sink].data, op[masked::sink].type);
        if (is_nan(z)) nan = true;
        else if (!is_finite(z) && !is_negative(z)) ++infinities;
    }
    const std::size_t from_sink = infinities;
    for (std::size_t i = 0; i < kept; ++i) {
        const logit_class c = class_of(j, op, i);
        if (c == logit_class::nan) nan = true;
        if (c == logit_class::plus) ++infinities;
    }
    const bool finite_sink = op[masked::sink] && infinities == 0 &&
                             is_finite(number_at<double>(op[masked::sink].data, op[masked::sink].type));
    if (j.special == special_values::ieee && !nan && !finite_sink && (infinities != from_sink || infinities == 0)) {
        for (std::size_t i = 0; i < j.length; ++i) put_nan(out, i);
        return;
    }
    const double share = log ? share_of_infinity<true>(infinities) : share_of_infinity<false>(infinities);
    for (std::size_t i = 0; i < kept; ++i) {
        const logit_class c = class_of(j, op, i);  // before the output is written: it may be the input
        if (nan && c != logit_class::masked_out) put_nan(out, i);
        else if (c == logit_class::plus && !nan) put_number(out, i, share);
        else put_nothing(out, i, i + 1, log);
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
