// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../array_of.hpp"
#include "../../reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace softmax_test::fuzzing {

void try_weighted(byte_source& bytes) {
    constexpr const char* what = "weighted_logsumexp";
    const shape s = read_shape(bytes);
    const dtype in_type = read_type(bytes), out_type = read_type(bytes), weight_type = read_type(bytes);
    const std::uint8_t how = bytes.byte();
    const memory in = make_logits(in_type, s, bytes), out = make(out_type, s.per_row(), bytes),
                 sign = make(read_type(bytes), s.per_row(), bytes);
    memory weights;
    smx::weighted_options o{
        .axis = static_cast<std::ptrdiff_t>(s.axis), .scale = read_scale(bytes), .special = read_special(bytes)};
    if (how % 4 != 0) {
        weights = make(weight_type, read_broadcast(s, bytes), bytes);
        change(*weights, [&](double) {
            const std::uint8_t b = bytes.byte();
            return b == 255 ? (how >= 128 ? inf : 1.0) : b % 8 == 0 ? 0.0 : (b % 64) / 8.0 * (b >= 192 ? -1 : 1);
        });
        o.weights = array_of(weights->elements());
    }
    view in_view = in->elements(), out_view = out->elements();
    const defect d = read_defect(bytes);
    const bool about_rows = d == defect::axis || d == defect::scale || d == defect::extent;
    const bool spoilt = about_rows && spoil(d, s, in_view, out_view, o.axis, o.scale);
    const smx::array_ref to_sign = how & 16 ? array_of(sign->elements()) : smx::array_ref();
    if (!run(what, spoilt, {in.get(), out.get(), sign.get(), weights.get()}, {out.get(), sign.get()},
             [&] { call_weighted(array_of(in_view), array_of(out_view), to_sign, o); }))
        return;

    const double top = o.scale < 0 ? -inf : inf;
    const bool ieee = o.special == smx::special_values::ieee;
    const numbers logs = load_all(out->elements()), signs = load_all(sign->elements());
    for (std::size_t r = 0; r < s.rows(); ++r) {
        std::vector<std::size_t> index = s.index(r);
        const numbers x = row(*in, s, r);
        numbers w;
        bool nan = false;
        std::size_t plus = 0, minus = 0, taking_part = 0, lowest = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            index[s.axis] = i;
            w.push_back(weights ? at(*weights, index) : 1);
            if (w[i] == 0) continue;
            ++taking_part;
            nan |= is_nan(x[i]) || !finite(w[i]);
            lowest += x[i] == -top;
            (w[i] > 0 ? plus : minus) += x[i] == top;
        }
        const auto expect_both = [&](double log, double of_sign) {
            expect(what, is_nan(log) ? is_nan(logs[r]) : logs[r] == log, logs[r]);
            if (how & 16) expect(what, is_nan(of_sign) ? is_nan(signs[r]) : signs[r] == of_sign, signs[r]);
        };
        constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
        if (nan) {
            expect_both(not_a_number, not_a_number);
            continue;
        }
        if (o.scale == 0 && !all_finite(x)) continue;  // judged by the tables of the tests
        if (plus + minus != 0) {
            if (ieee || (plus != 0 && minus != 0)) expect_both(not_a_number, not_a_number);
            else expect_both(inf, plus != 0 ? 1 : -1);
            continue;
        }
        if (lowest == taking_part) {
            if (ieee && lowest != 0) expect_both(not_a_number, not_a_number);
            else expect_both(-inf, 0);
            continue;
        }
        const auto z = [&](std::size_t i) {
            return static_cast<long double>(x[i]) * static_cast<long double>(o.scale);
        };
        long double max = -std::numeric_limits<long double>::infinity(), ones = 0, rest = 0, size = 0;
        for (std::size_t i = 0; i < x.size(); ++i)
            if (w[i] != 0) max = std::max(max, z(i));
        for (std::size_t i = 0; i < x.size(); ++i) {
            if (w[i] == 0) continue;
            const long double term = z(i) == max ? w[i] : w[i] * std::exp(z(i) - max);
            (z(i) == max ? ones : rest) += term;
            size += std::abs(term);
        }
        const long double sum = ones + rest;
        if (size > 4 * std::abs(sum) || std::abs(max) > 1e15L) continue;  // what cancels has a bound of its own
        if (how & 16) expect(what, signs[r] == (sum < 0 ? -1 : 1), signs[r]);
        // Near 1 the digits of the sum less 1 are what counts.
        long double less_one = -1;
        for (std::size_t i = 0; i < x.size(); ++i)
            if (w[i] != 0) less_one += w[i];
        for (std::size_t i = 0; i < x.size(); ++i)
            if (w[i] != 0) less_one += w[i] * std::expm1(z(i) - max);
        const long double log = std::abs(less_one) < 0.5L ? std::log1p(less_one) : std::log(std::abs(sum));
        const long double exact = max + log;
        if (std::abs(exact) > std::ldexp(1.0L, format_of(out_type).max_exponent)) continue;
        expect_near(what, logs[r], exact,
                    error_in_ulp(out_type, logs[r], exact, std::max({std::abs(max), std::abs(log), std::abs(exact)})),
                    documented_bound(function::logsumexp, out_type));
    }
}

void try_logaddexp(byte_source& bytes) {
    constexpr const char* what = "logaddexp";
    const shape s = read_shape(bytes);
    const dtype in_type = read_type(bytes), other_type = read_type(bytes), out_type = read_type(bytes);
    const std::uint8_t how = bytes.byte();
    const memory in = make_logits(in_type, s, bytes), other = make_logits(other_type, read_broadcast(s, bytes), bytes),
                 apart = make(out_type, s, bytes);
    const guarded_memory& out = how % 4 == 0 ? *in : *apart;
    std::vector<numbers> a, b;
    for (std::size_t r = 0; r < s.rows(); ++r) {
        a.push_back(row(*in, s, r));
        b.emplace_back();
        std::vector<std::size_t> index = s.index(r);
        for (std::size_t i = 0; i < s.length(); ++i) index[s.axis] = i, b.back().push_back(at(*other, index));
    }
    view in_view = in->elements(), out_view = out.elements();
    const defect d = read_defect(bytes);
    std::ptrdiff_t axis = 0;
    double scale = 1;
    const bool spoilt = d != defect::axis && d != defect::scale && spoil(d, s, in_view, out_view, axis, scale);
    if (!run(what, spoilt, {in.get(), other.get(), apart.get()}, {&out},
             [&] { call_logaddexp(array_of(in_view), array_of(other->elements()), array_of(out_view)); }))
        return;
    const dtype type = out.elements().type;
    for (std::size_t r = 0; r < s.rows(); ++r) {
        const numbers results = row(out, s, r);
        for (std::size_t i = 0; i < results.size(); ++i) {
            const double x = a[r][i], y = b[r][i], actual = results[i];
            const double large = std::max(x, y), less = std::min(x, y);
            if (is_nan(x) || is_nan(y)) expect(what, is_nan(actual), actual);
            else if (large == inf || large == -inf) expect(what, actual == large, actual);
            else if (std::abs(large) > 1e300) continue;
            else {
                const long double exact = less == -inf ? large
                                                       : large + std::log1p(std::exp(static_cast<long double>(less) -
                                                                                     static_cast<long double>(large)));
                if (std::abs(exact) > std::ldexp(1.0L, format_of(type).max_exponent)) continue;
                const long double least = less == -inf ? 0 : std::abs(static_cast<long double>(less));
                const long double of = std::max({std::abs(static_cast<long double>(large)), least, std::abs(exact)});
                expect_near(what, actual, exact, error_in_ulp(type, actual, exact, of), type == dtype::f64 ? 2 : 0.51);
            }
        }
    }
}

}  // namespace softmax_test::fuzzing
