// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../array_of.hpp"
#include "../../reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace softmax_test::fuzzing {
namespace {

/// Places of the logits, the largest first (the smallest, if the scale is negative); the lower index first of equal ones.
std::vector<std::size_t> by_rank(const numbers& x, double scale) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return scale < 0 ? x[a] < x[b] : x[a] > x[b]; });
    return order;
}

/// What is kept are the first `count` in rank, whose probabilities are those of a row that has nothing else.
void check_filters(const numbers& x, const numbers& p, const smx::sampling_options& o, dtype compute, dtype out) {
    constexpr const char* what = "filtered_softmax";
    const std::vector<std::size_t> order = by_rank(x, o.scale);
    std::size_t count = 0;
    for (std::size_t k = 0; k < order.size(); ++k)
        if (p[order[k]] != 0) count = k + 1;
    if (count == 0) fail("NOTHING KEPT by filtered_softmax");
    if (o.top_k != 0 && count > o.top_k) fail("MORE than top_k KEPT by filtered_softmax");
    numbers kept;
    for (std::size_t k = 0; k < count; ++k) kept.push_back(x[order[k]]);
    const reference exact(kept, o.scale);
    // Many that float16 has no number for may have been kept, too.
    const bool all_seen = out != dtype::f16 || x.size() <= 64;
    for (std::size_t k = 0; k < order.size(); ++k) {
        const double actual = p[order[k]];
        if (k >= count) {
            expect(what, is_positive_zero(actual), actual);
            continue;
        }
        const long double value = exact.softmax(kept[k]);
        if (all_seen)
            expect_near(what, actual, value, error_in_ulp(function::softmax, compute, out, actual, value),
                        documented_bound(function::softmax, out));
    }

    // Shares of what top_k left, in which top_p counts; of what top_p left, in which min_p has to hold.
    const double slack = compute == dtype::f64 ? 1e-13 : 1e-5;
    numbers allowed;
    for (std::size_t k = 0; k < (o.top_k == 0 ? x.size() : std::min(o.top_k, x.size())); ++k)
        allowed.push_back(x[order[k]]);
    const reference of_allowed(allowed, o.scale);
    long double share = 0, least = 1;
    for (std::size_t k = 0; k < count; ++k) {
        least = of_allowed.softmax(kept[k]) / of_allowed.softmax(kept[0]);
        if (k != 0 && share > o.top_p + slack) fail("MORE than top_p asks for KEPT by filtered_softmax");
        if (k != 0 && least < o.min_p - slack) fail("LESS than min_p KEPT by filtered_softmax");
        share += of_allowed.softmax(kept[k]);
    }
    if (count == allowed.size()) return;
    const long double next = of_allowed.softmax(allowed[count]);
    // A probability of a subnormal number may have been dropped by the conversion alone.
    if (next < std::ldexp(1.0L, format_of(out).min_exponent) * 4 ||
        next < std::ldexp(1.0L, format_of(compute).min_exponent) * 4)
        return;
    const bool all_allowed = o.top_p == 1 && o.min_p == 0;
    if (all_allowed || (share < o.top_p - slack && next / of_allowed.softmax(kept[0]) > o.min_p + slack))
        fail("TOO LITTLE KEPT by filtered_softmax");
}

}  // namespace

void try_sampling(byte_source& bytes) {
    const shape s = read_shape(bytes);
    const dtype in_type = read_type(bytes), out_type = read_type(bytes);
    const std::uint8_t how = bytes.byte();
    const memory in = make_logits(in_type, s, bytes), apart = make(out_type, s, bytes);
    const guarded_memory& out = how % 4 == 0 ? *in : *apart;
    smx::sampling_options o{
        .axis = static_cast<std::ptrdiff_t>(s.axis), .scale = read_scale(bytes), .special = read_special(bytes)};
    if (how & 16) o.top_k = bytes.byte() % (s.length() + 3);
    if (how & 32) o.top_p = bytes.byte() / 255.0;
    if (how & 64) o.min_p = bytes.byte() / 512.0;
    std::vector<double> u(s.rows());
    for (double& x : u) x = bytes.byte() / 256.0;
    std::vector<numbers> rows;
    for (std::size_t r = 0; r < s.rows(); ++r) rows.push_back(row(*in, s, r));

    view in_view = in->elements(), out_view = out.elements();
    bool spoilt = spoil(read_defect(bytes), s, in_view, out_view, o.axis, o.scale);
    const std::uint8_t own_defect = bytes.byte();
    if (own_defect == 255) o.top_p = 1.5, spoilt = true;
    if (own_defect == 254) o.min_p = std::numeric_limits<double>::quiet_NaN(), spoilt = true;

    // The indices first, since `in` may be written to; of the rows one after the other.
    std::vector<std::uint64_t> indices(s.rows());
    for (std::size_t r = 0; r < s.rows() && !spoilt; ++r) {
        const view one = row_of(in->elements(), s.axis, s.index(r));
        smx::sampling_options of_row = o;
        of_row.axis = 0;
        run("sample", false, {in.get(), apart.get()}, {},
            [&] { indices[r] = call_sample(array_of(one), u[r], of_row); });
    }
    if (!run("filtered_softmax", spoilt, {in.get(), apart.get()}, {&out},
             [&] { call_filtered(array_of(in_view), array_of(out_view), o); }))
        return;

    const dtype compute = compute_type(in_type, out.elements().type);
    for (std::size_t r = 0; r < s.rows() && s.length() != 0; ++r) {
        const numbers p = row(out, s, r), &x = rows[r];
        const double top = o.scale < 0 ? -inf : inf;
        const auto expect_all = [&](auto&& right) {
            for (const double y : p) expect("filtered_softmax", right(y), y);
        };
        const bool none = indices[r] == std::uint64_t(smx::no_index);
        if (!none && indices[r] >= x.size()) fail("AN INDEX beyond the row from sample");
        if (std::any_of(x.begin(), x.end(), is_nan)) {
            expect_all([](double y) { return is_nan(y); });
            if (!none) fail("AN INDEX of a row with a NaN from sample");
            continue;
        }
        if (o.scale == 0 && !all_finite(x)) continue;  // judged by the tables of the tests
        const std::size_t tops = static_cast<std::size_t>(std::count(x.begin(), x.end(), top));
        if (std::all_of(x.begin(), x.end(), [&](double v) { return v == -top; })) {
            const bool ieee = o.special == smx::special_values::ieee;
            expect_all([&](double y) { return ieee ? is_nan(y) : is_positive_zero(y); });
            if (!none) fail("AN INDEX of a row of nothing from sample");
            continue;
        }
        if (tops != 0) {
            if (o.special == smx::special_values::ieee) {
                expect_all([](double y) { return is_nan(y); });
                if (!none) fail("AN INDEX of a row with +inf from sample");
            } else if (none || x[indices[r]] != top) {
                fail("NOT ONE of +inf from sample");
            }
            continue;
        }
        if (none) fail("NO INDEX from sample");
        if (x[indices[r]] == -top) fail("AN INDEX that was masked out from sample");
        if (!all_finite(x)) continue;
        check_filters(x, p, o, compute, out.elements().type);
        // In other arithmetic, a share that is top_p can be reached by one more.
        if (format_of(out.elements().type).digits < 24 || compute != compute_type(in_type, in_type)) continue;
        // The running sum of the probabilities steps over u at the index.
        double below = 0;
        for (std::size_t i = 0; i < indices[r]; ++i) below += p[i];
        const double slack = 1e-5;
        if (below > u[r] + slack || below + p[indices[r]] < u[r] - slack) fail("THE WRONG INDEX from sample");
    }
}

void try_gumbel(byte_source& bytes) {
    const shape s = read_shape(bytes);
    const dtype in_type = read_type(bytes), out_type = read_type(bytes);
    const std::uint8_t how = bytes.byte();
    const memory in = make_logits(in_type, s, bytes), apart = make(out_type, s, bytes);
    const guarded_memory& out = how % 4 == 0 ? *in : *apart;
    smx::gumbel_options o{.axis = static_cast<std::ptrdiff_t>(s.axis),
                          .temperature = (1 + bytes.byte()) / 16.0,
                          .hard = (how & 16) != 0,
                          .special = read_special(bytes)};
    std::vector<numbers> rows;
    for (std::size_t r = 0; r < s.rows(); ++r) rows.push_back(row(*in, s, r));
    view in_view = in->elements(), out_view = out.elements();
    const defect d = read_defect(bytes);
    bool spoilt = d != defect::scale && spoil(d, s, in_view, out_view, o.axis, o.temperature);
    if (bytes.byte() == 255) o.temperature = how % 2 == 0 ? 0 : std::numeric_limits<double>::quiet_NaN(), spoilt = true;
    if (!run("gumbel_softmax", spoilt, {in.get(), apart.get()}, {&out},
             [&] { call_gumbel(array_of(in_view), array_of(out_view), how, o); }))
        return;
    const double of_one = 32 / std::ldexp(1.0, std::min(format_of(out.elements().type).digits, 24));
    for (std::size_t r = 0; r < s.rows() && s.length() != 0; ++r) {
        const numbers p = row(out, s, r), &x = rows[r];
        if (std::any_of(x.begin(), x.end(), is_nan)) {
            for (const double y : p) expect("gumbel_softmax", is_nan(y), y);
            continue;
        }
        if (std::any_of(x.begin(), x.end(), [](double v) { return v == inf; })) continue;
        const bool nothing = std::all_of(x.begin(), x.end(), [](double v) { return v == -inf; });
        if (nothing && o.special == smx::special_values::ieee) {
            for (const double y : p) expect("gumbel_softmax", is_nan(y), y);
            continue;
        }
        double sum = 0;
        std::size_t ones = 0;
        for (std::size_t i = 0; i < p.size(); ++i) {
            if (x[i] == -inf) expect("gumbel_softmax", is_positive_zero(p[i]), p[i]);
            expect("gumbel_softmax", p[i] >= 0 && p[i] <= 1, p[i]);
            sum += p[i];
            ones += p[i] == 1;
        }
        if (nothing) expect("gumbel_softmax", sum == 0, sum);
        else if (o.hard) expect("gumbel_softmax", ones == 1 && sum == 1, sum);
        else expect("gumbel_softmax", std::abs(sum - 1) <= of_one * std::sqrt(double(p.size())), sum);
    }
}

}  // namespace softmax_test::fuzzing
