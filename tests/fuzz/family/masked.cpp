// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../array_of.hpp"
#include "../../masked_reference.hpp"
#include "../../reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace softmax_test::fuzzing {
namespace {

/// One row: what its logits are, and what has to come out.
void check_masked_row(masked_row& m, numbers& x, const numbers& y, bool log, bool ieee, dtype compute, dtype out) {
    constexpr const char* what = "masked_softmax";
    const double top = m.scale < 0 ? -inf : inf;
    std::size_t tops = 0, used = 0;
    bool nan = false, judged = true;
    for (std::size_t i = 0; i < x.size(); ++i) {
        masked_logit& l = m.logits[i];
        if (std::isinf(l.bias) || std::isinf(l.added)) l.kept = false;
        if (!l.kept) continue;
        ++used;
        nan |= is_nan(x[i]);
        tops += x[i] == top;
        judged &= !std::isinf(x[i]) || m.softcap == 0;
        judged &= std::isinf(x[i]) || is_nan(x[i]) || std::abs(x[i] * m.scale) < 1e300;
    }
    const auto expect_all = [&](auto&& right) {
        for (std::size_t i = 0; i < y.size(); ++i) expect(what, right(i), y[i]);
    };
    const auto is_nothing = [&](std::size_t i) { return log ? y[i] == -inf : is_positive_zero(y[i]); };
    if (nan) return expect_all([&](std::size_t i) { return m.logits[i].kept ? is_nan(y[i]) : is_nothing(i); });
    if (!judged) return;
    std::size_t finite_ones = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (m.logits[i].kept && finite(x[i])) ++finite_ones;
        m.logits[i].x = finite(x[i]) ? x[i] : 0;
    }
    if (tops != 0) {
        if (ieee) return expect_all([&](std::size_t i) { return is_nan(y[i]); });
        const long double share =
            log ? -std::log(static_cast<long double>(tops)) : 1.0L / static_cast<long double>(tops);
        return expect_all([&](std::size_t i) {
            if (!m.logits[i].kept || x[i] != top) return is_nothing(i);
            return error_in_ulp(log ? function::log_softmax : function::softmax, compute, out, y[i], share) <=
                   documented_bound(log ? function::log_softmax : function::softmax, out);
        });
    }
    if (finite_ones == 0) {
        const bool zero = !ieee || m.sink;
        return expect_all([&](std::size_t i) { return zero ? is_nothing(i) : is_nan(y[i]); });
    }
    double largest_part = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        masked_logit& l = m.logits[i];
        l.kept = l.kept && finite(x[i]);
        if (!l.kept) continue;
        for (const double part : {x[i] * m.scale, double(l.added), double(l.bias)})
            largest_part = std::max(largest_part, std::abs(part));
    }
    if (largest_part >
        (out == dtype::f64
             ? 0x1p40
             : 0x1p70)) {  // logits may be off by 2^-100 of that: what is left is that they are probabilities
        for (std::size_t i = 0; i < y.size(); ++i) {
            if (!m.logits[i].kept) expect(what, is_nothing(i), y[i]);
            else expect(what, log ? y[i] <= 0 : y[i] >= 0 && y[i] <= 1, y[i]);
        }
        return;
    }
    const std::vector<long double> exact = masked_softmax_of(m, log);
    const function f = log ? function::log_softmax : function::softmax;
    for (std::size_t i = 0; i < y.size(); ++i) {
        if (!m.logits[i].kept) {
            expect(what, is_nothing(i), y[i]);
            continue;
        }
        // Softcap: the logit itself may be off by 2^-50 of the cap more, in float arithmetic.
        const double of_cap =
            m.softcap == 0 ? 0 : static_cast<double>(0x1p-49L * m.softcap * (log ? 1 : exact[i]) / ulp(out, exact[i]));
        expect_near(what, y[i], exact[i], error_in_ulp(f, compute, out, y[i], exact[i]),
                    documented_bound(f, out) + of_cap);
    }
}

}  // namespace

void try_masked(byte_source& bytes) {
    const shape s = read_shape(bytes);
    const dtype in_type = read_type(bytes), other_type = read_type(bytes);
    const std::uint8_t has = bytes.byte(), kind = bytes.byte(), how = bytes.byte();
    const bool log = how % 2 != 0, in_place = how % 8 >= 6;
    const memory in = make_logits(in_type, s, bytes);
    const memory apart = make(other_type, s, bytes);
    const guarded_memory& out = in_place ? *in : *apart;
    const numbers before = load_all(in->elements());
    smx::masked_options o{
        .axis = static_cast<std::ptrdiff_t>(s.axis), .scale = read_scale(bytes), .special = read_special(bytes)};

    memory mask, bias, slope, sink, temperature;
    std::vector<std::uint8_t> keep;
    smx::array_ref mask_ref;
    const auto finite_or_masked = [](double x) { return finite(x) ? std::clamp(x, -1e30, 1e30) : -inf; };
    if (kind % 3 == 1) {
        keep.resize(s.rows() * s.length());
        for (std::uint8_t& k : keep) k = bytes.byte() % 4u;
        const view v = tensor_view(dtype::f32, {s.extents, s.extents + s.rank});
        if (s.rank == 1) mask_ref = smx::tensor_view<const std::uint8_t, 1>(keep.data(), {v.extents[0]});
        if (s.rank == 2) mask_ref = smx::tensor_view<const std::uint8_t, 2>(keep.data(), {v.extents[0], v.extents[1]});
        if (s.rank == 3)
            mask_ref = smx::tensor_view<const std::uint8_t, 3>(keep.data(), {v.extents[0], v.extents[1], v.extents[2]});
    } else if (kind % 3 == 2) {
        mask = make_logits(read_type(bytes), read_broadcast(s, bytes), bytes);
        change(*mask, finite_or_masked);
        mask_ref = array_of(mask->elements());
    }
    if (has & 1) {
        bias = make_logits(read_type(bytes), read_broadcast(s, bytes), bytes);
        change(*bias, finite_or_masked);
        o.bias = array_of(bias->elements());
    }
    const auto per_row = [&](double low, double high) {
        memory m = make(bytes.byte() % 2 == 0 ? dtype::f32 : dtype::f64, read_broadcast(s.per_row(), bytes), bytes);
        change(*m, [&](double) { return low + (high - low) * bytes.byte() / 255; });
        return m;
    };
    if (has & 2) slope = per_row(-1, 1), o.alibi_slope = array_of(slope->elements());
    if (has & 4) sink = per_row(-50, 50), o.sink = array_of(sink->elements());
    if (has & 8) temperature = per_row(0.25, 4), o.temperature = array_of(temperature->elements());
    if (has & 16) o.softcap = 0.5 + bytes.byte();
    if (has & 32) o.causal = true, o.causal_offset = static_cast<std::int8_t>(bytes.byte());
    std::vector<std::int16_t> lengths;
    if (has & 64) {
        lengths.resize(s.rows());
        for (std::int16_t& n : lengths) n = static_cast<std::int16_t>(bytes.byte() % (s.length() + 1));
        const auto at_rank = [&]<std::size_t R>(std::array<std::size_t, R> e) {
            o.lengths = smx::tensor_view<const std::int16_t, R>(lengths.data(), e);
        };
        const shape p = s.per_row();
        if (s.rank == 1) at_rank(std::array{p.extents[0]});
        if (s.rank == 2) at_rank(std::array{p.extents[0], p.extents[1]});
        if (s.rank == 3) at_rank(std::array{p.extents[0], p.extents[1], p.extents[2]});
    }

    view in_view = in->elements(), out_view = out.elements();
    bool spoilt = spoil(read_defect(bytes), s, in_view, out_view, o.axis, o.scale);
    const std::uint8_t own_defect = bytes.byte();
    if (own_defect == 255) o.softcap = -1, spoilt = true;
    if (own_defect == 254 && !lengths.empty())
        lengths.back() = has % 2 != 0 ? std::int16_t{-1} : static_cast<std::int16_t>(s.length() + 1), spoilt = true;
    if (own_defect == 253 && temperature && size_of(temperature->elements()) != 0)
        change(*temperature, [](double) { return 0; }), spoilt = true;
    if (own_defect == 252 && mask && s.length() > 1) {
        view longer = mask->elements();
        longer.extents[s.axis] = s.length() + 1;
        mask_ref = array_of(longer);
        spoilt = true;
    }
    if (!run("masked_softmax", spoilt,
             {in.get(), apart.get(), mask.get(), bias.get(), slope.get(), sink.get(), temperature.get()}, {&out},
             [&] { call_masked(log, array_of(in_view), mask_ref, array_of(out_view), o); }))
        return;

    const bool wide = in_type == dtype::f64 || out_view.type == dtype::f64 ||
                      (mask && mask->elements().type == dtype::f64) || (bias && bias->elements().type == dtype::f64);
    std::size_t n = 0;
    const guarded_memory source(in->elements());  // `in` may have been written to
    store_all(source.elements(), before);
    for (std::size_t r = 0; r < s.rows(); ++r) {
        std::vector<std::size_t> index = s.index(r);
        masked_row m;
        m.scale = temperature ? o.scale / at(*temperature, index) : o.scale;
        m.softcap = o.softcap;
        if (sink) m.sink = at(*sink, index);
        const std::size_t query_axis = s.axis + 1 == s.rank ? s.rank - 2 : s.rank - 1;
        const auto query = s.rank == 1 ? 0 : static_cast<std::ptrdiff_t>(index[query_axis]);
        numbers x = row(source, s, r);
        for (std::size_t i = 0; i < x.size(); ++i) {
            index[s.axis] = i;
            masked_logit l;
            const std::ptrdiff_t distance = static_cast<std::ptrdiff_t>(i) - query - o.causal_offset;
            l.kept = (lengths.empty() || i < static_cast<std::size_t>(lengths[r])) && (!o.causal || distance <= 0);
            n = 0;
            for (std::size_t d = 0; d < s.rank; ++d) n = n * s.extents[d] + index[d];
            if (!keep.empty() && keep[n] == 0) l.kept = false;
            if (mask) l.added = at(*mask, index);
            if (bias) l.bias = at(*bias, index);
            std::vector<std::size_t> first = index;
            first[s.axis] = 0;
            if (slope) l.slope = at(*slope, first), l.distance = static_cast<double>(distance);
            m.logits.push_back(l);
        }
        check_masked_row(m, x, row(out, s, r), log, o.special == smx::special_values::ieee,
                         wide ? dtype::f64 : dtype::f32, out_view.type);
    }
}

}  // namespace softmax_test::fuzzing
