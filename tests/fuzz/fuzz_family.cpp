// SPDX-License-Identifier: BSL-1.0

// One call of a function of masks, training or streaming from the fuzzer's bytes. Calls with a defect have to be refused
// before anything is written; results of others are judged by the tests' references where the documentation promises digits,
// and by its tables where it promises special values. Canaries guard every array.

#include "bytes.hpp"
#include "family_calls.hpp"

#include "../backward_reference.hpp"
#include "../cross_entropy_reference.hpp"
#include "../array_of.hpp"
#include "../masked_reference.hpp"
#include "../reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

using smx::vocabulary::job_function;
using numbers = std::vector<double>;

constexpr double inf = std::numeric_limits<double>::infinity();

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "\n%s\n", what.c_str());
    std::abort();
}

bool finite(double x) { return !is_nan(x) && !std::isinf(x); }
bool all_finite(const numbers& row, double limit = 1e300) {
    return std::all_of(row.begin(), row.end(), [&](double x) { return finite(x) && std::abs(x) < limit; });
}

// ---- shapes and arrays

/// Rows along one axis of up to three.
struct shape {
    std::size_t rank = 1, axis = 0;
    std::size_t extents[max_rank] = {1, 1, 1};

    std::size_t length() const { return extents[axis]; }
    std::size_t rows() const {
        std::size_t n = 1;
        for (std::size_t d = 0; d < rank; ++d) n *= d == axis ? 1 : extents[d];
        return n;
    }
    /// Of the r-th row: row-major without the axis.
    std::vector<std::size_t> index(std::size_t r) const {
        std::vector<std::size_t> found(rank, 0);
        for (std::size_t d = rank; d-- > 0;) {
            if (d == axis) continue;
            found[d] = r % extents[d];
            r /= extents[d];
        }
        return found;
    }
    shape per_row() const {
        shape s = *this;
        s.extents[axis] = 1;
        return s;
    }
};

shape read_shape(byte_source& bytes) {
    shape s;
    s.rank = 1 + bytes.byte() % 3u;
    s.axis = bytes.byte() % s.rank;
    const std::uint8_t length = bytes.byte(), others = bytes.byte();
    for (std::size_t d = 0; d < s.rank; ++d) s.extents[d] = (others >> 2 * d) % 4u + (length % 70u < 40 ? 1u : 0u);
    s.extents[s.axis] = length < 210 ? length % 70u : (length - 209u) * 113u;  // past pieces of 4096
    if (length >= 210)
        for (std::size_t d = 0; d < s.rank; ++d) s.extents[d] = d == s.axis ? s.extents[d] : 1 + d % 2;
    return s;
}

/// Of this shape, with any strides.
view read_layout(dtype type, const shape& s, byte_source& bytes) {
    const std::uint8_t style = bytes.byte();
    view v{type, nullptr, view_kind::tensor, s.rank, {}, {}};
    std::ptrdiff_t stride = 1 + (style / 2 % 4 == 3 ? 2 : 0);
    for (std::size_t k = 0; k < s.rank; ++k) {
        const std::size_t d = style % 2 == 0 ? s.rank - 1 - k : k;
        v.extents[d] = s.extents[d];
        v.strides[d] = (style >> (3 + d)) % 2 != 0 && style >= 128 ? -stride : stride;
        stride =
            stride * static_cast<std::ptrdiff_t>(std::max<std::size_t>(v.extents[d], 1)) + (style / 8 % 8 == 5 ? 3 : 0);
    }
    return v;
}

dtype read_type(byte_source& bytes) { return one_of(all_dtypes, bytes.byte()); }

using memory = std::unique_ptr<guarded_memory>;

memory make(dtype type, const shape& s, byte_source& bytes) {
    return std::make_unique<guarded_memory>(read_layout(type, s, bytes), bytes.byte() % 17u);
}

memory make_logits(dtype type, const shape& s, byte_source& bytes) {
    memory m = make(type, s, bytes);
    write_logits(m->elements(), bytes);
    return m;
}

void change(const guarded_memory& m, const std::function<double(double)>& f) {
    numbers values = load_all(m.elements());
    for (double& x : values) x = f(x);
    store_all(m.elements(), values);
}

numbers row(const guarded_memory& m, const shape& s, std::size_t r) {
    return load_all(row_of(m.elements(), s.axis, s.index(r)));
}

/// Broadcast: extents of 1 repeat.
double at(const guarded_memory& m, std::vector<std::size_t> index) {
    const view& v = m.elements();
    std::ptrdiff_t offset = 0;
    for (std::size_t d = 0; d < v.rank; ++d)
        offset += v.extents[d] == 1 ? 0 : static_cast<std::ptrdiff_t>(index[d]) * v.strides[d];
    return load(v.type, v.data, offset);
}

shape read_broadcast(shape s, byte_source& bytes) {
    const std::uint8_t ones = bytes.byte();
    for (std::size_t d = 0; d < s.rank; ++d)
        if (ones >= 192 && (ones >> d) % 2 != 0) s.extents[d] = 1;
    return s;
}

// ---- calls

/// Runs the call, which has to be refused if it has a defect, then leaving `outputs` as they are. False if it was refused.
bool run(const char* what, bool defect, const std::vector<const guarded_memory*>& all,
         const std::vector<const guarded_memory*>& outputs, const std::function<void()>& call) {
    std::vector<std::vector<std::uint64_t>> before;
    for (const guarded_memory* m : outputs) before.push_back(load_all_bits(m->elements()));
    std::optional<std::string> error;
    try {
        call();
    } catch (const std::invalid_argument& e) {
        error = e.what();
    }
    for (const guarded_memory* m : all)
        if (m != nullptr && !m->damage().empty()) fail(std::string(what) + ": WRITTEN OUTSIDE: " + m->damage());
    if (error.has_value() != defect) fail(std::string(what) + (defect ? ": NOT REFUSED" : ": REFUSED: " + *error));
    if (error && !error->starts_with("smx::")) fail("ERROR WITHOUT ITS FUNCTION: " + *error);
    for (std::size_t i = 0; error && i < outputs.size(); ++i)
        if (load_all_bits(outputs[i]->elements()) != before[i])
            fail(std::string(what) + ": WRITTEN before it was refused");
    return !error;
}

/// What may be wrong with the views of any of the functions.
enum class defect { none, axis, scale, extent, zero_stride, overlap, huge };

defect read_defect(byte_source& bytes) {
    const std::uint8_t b = bytes.byte();
    return b < 200 ? defect::none
                   : one_of(std::array{defect::axis, defect::scale, defect::extent, defect::zero_stride,
                                       defect::overlap, defect::huge},
                            b);
}

/// Puts the defect into the call; whether it could be.
bool spoil(defect d, const shape& s, view& in, view& out, std::ptrdiff_t& axis, double& scale) {
    std::size_t along = s.rank;
    for (std::size_t k = 0; k < s.rank; ++k)
        if (s.extents[k] > 1) along = k;
    const bool some = s.rows() * s.length() != 0;
    switch (d) {
        case defect::none: return false;
        case defect::axis:
            axis = axis % 2 == 0 ? static_cast<std::ptrdiff_t>(s.rank) : -static_cast<std::ptrdiff_t>(s.rank) - 1;
            return true;
        case defect::scale: scale = axis % 2 == 0 ? inf : std::numeric_limits<double>::quiet_NaN(); return true;
        case defect::extent: ++out.extents[s.axis]; return true;
        case defect::zero_stride:
            if (!some || along == s.rank) return false;
            out.strides[along] = 0;
            return true;
        case defect::overlap:
            if (!some || along == s.rank || in.type != out.type) return false;
            out = in;
            out.data =
                static_cast<std::byte*>(in.data) + in.strides[along] * static_cast<std::ptrdiff_t>(size_of(in.type));
            return true;
        case defect::huge:
            if (s.rank < 2) return false;
            for (std::size_t k = 0; k < s.rank; ++k) in.extents[k] = out.extents[k] = std::size_t{1} << 33;
            return true;
    }
    return false;
}

void expect_near(const char* what, double actual, long double exact, double error, double bound) {
    if (error <= bound) return;
    char text[256];
    std::snprintf(text, sizeof text, "WRONG RESULT of %s: %.17g (%a), about %.21Lg expected: %g of %g allowed", what,
                  actual, actual, exact, error, bound);
    fail(text);
}

void expect(const char* what, bool right, double actual) {
    if (right) return;
    char text[128];
    std::snprintf(text, sizeof text, "WRONG SPECIAL VALUE of %s: %.17g (%a)", what, actual, actual);
    fail(text);
}

smx::special_values read_special(byte_source& bytes) {
    return bytes.byte() % 4 == 0 ? smx::special_values::ieee : smx::special_values::safe;
}
double read_scale(byte_source& bytes) {
    static constexpr double scales[] = {1, 0.125, -1, 0, 0.1, 3, -0.37, 1e-3, 700, 0x1p-40};
    return one_of(scales, bytes.byte());
}

// ---- masked_softmax

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

// ---- gradients

void try_backward(byte_source& bytes) {
    static constexpr job_function functions[] = {job_function::softmax_backward, job_function::log_softmax_backward,
                                                 job_function::masked_log_softmax_backward};
    const shape s = read_shape(bytes);
    const job_function f = one_of(functions, bytes.byte());
    const bool logarithms = f != job_function::softmax_backward;
    const std::uint8_t how = bytes.byte();
    const memory y = make_logits(read_type(bytes), s, bytes), dy = make_logits(read_type(bytes), s, bytes),
                 apart = make(read_type(bytes), s, bytes);
    change(*y, [&](double x) {
        return is_nan(x)    ? x
               : logarithms ? -std::abs(x)
                            : std::exp2(-std::min(std::abs(x), 60.0)) * (std::abs(x) < 1e3);
    });
    const guarded_memory& dx = how % 4 == 0 ? *dy : how % 4 == 1 ? *y : *apart;
    std::vector<numbers> ys, dys;
    for (std::size_t r = 0; r < s.rows(); ++r) ys.push_back(row(*y, s, r)), dys.push_back(row(*dy, s, r));

    smx::softmax_options o{.axis = static_cast<std::ptrdiff_t>(s.axis), .scale = read_scale(bytes)};
    view dy_view = dy->elements(), dx_view = dx.elements();
    const bool spoilt = spoil(read_defect(bytes), s, dy_view, dx_view, o.axis, o.scale);
    if (!run("softmax_backward", spoilt, {y.get(), dy.get(), apart.get()}, {&dx},
             [&] { call_backward(f, array_of(y->elements()), array_of(dy_view), array_of(dx_view), o); }))
        return;
    const bool wide = y->elements().type == dtype::f64 || dy_view.type == dtype::f64 || dx_view.type == dtype::f64;
    for (std::size_t r = 0; r < s.rows(); ++r) {
        const numbers result = row(dx, s, r);
        const auto nothing = [&](double p) { return logarithms ? p == -inf : p == 0; };
        bool nan = false;
        for (std::size_t i = 0; i < result.size(); ++i)
            nan |= !nothing(ys[r][i]) && (is_nan(ys[r][i]) || (is_nan(dys[r][i])));
        for (std::size_t i = 0; i < result.size(); ++i) {
            const bool none = nothing(ys[r][i]);
            if (none && f != job_function::log_softmax_backward)
                expect("backward", is_positive_zero(result[i]), result[i]);
            if (nan && !none && !logarithms) expect("backward", is_nan(result[i]), result[i]);
        }
        if (!all_finite(ys[r], 1e4) || !all_finite(dys[r], wide ? 1e200 : 1e300)) continue;
        const exact_gradient exact(f, ys[r], dys[r], o.scale);
        const int smallest = format_of(wide ? dtype::f64 : dtype::f32).min_exponent;
        for (std::size_t i = 0; i < result.size(); ++i) {
            const long double value = exact.at(i), limit = std::ldexp(1.0L, format_of(dx_view.type).max_exponent);
            // Where nothing underflows or overflows on the way.
            if (std::abs(value) < std::ldexp(std::max(1.0L, exact.magnitude), smallest + 60) || std::abs(value) > limit)
                continue;
            if (wide && exact.magnitude < 1e-250L) continue;
            expect_near("backward", result[i], value,
                        static_cast<double>(std::abs(result[i] - value) / exact.bound(i, dx_view.type, wide)), 1);
        }
    }
}

// ---- cross_entropy

void try_cross_entropy(byte_source& bytes) {
    const shape s = read_shape(bytes);
    const dtype logits_type = read_type(bytes), losses_type = read_type(bytes), gradient_type = read_type(bytes),
                soft_type = read_type(bytes);
    const std::uint8_t has = bytes.byte(), how = bytes.byte();
    const bool is_soft = has % 2 != 0, in_place = how % 4 == 0;
    if (!is_soft && s.length() == 0) return;  // no class can be named
    const memory logits = make_logits(logits_type, s, bytes), losses = make(losses_type, s.per_row(), bytes),
                 apart = make(gradient_type, s, bytes);
    const guarded_memory& gradient = in_place ? *logits : *apart;
    smx::cross_entropy_options o{.axis = static_cast<std::ptrdiff_t>(s.axis),
                                 .scale = read_scale(bytes),
                                 .special = read_special(bytes),
                                 .ignore_index = -7};
    memory soft, weights;
    std::vector<std::int16_t> targets;
    smx::array_ref targets_ref;
    if (is_soft) {
        soft = make_logits(soft_type, s, bytes);
        change(*soft,
               [](double x) { return finite(x) ? std::exp2(-std::min(std::abs(x), 30.0)) * (std::abs(x) < 100) : 0; });
        targets_ref = array_of(soft->elements());
    } else {
        targets.resize(s.rows());
        for (std::int16_t& t : targets) {
            const std::uint8_t b = bytes.byte();
            t = b >= 240 ? std::int16_t{-7} : static_cast<std::int16_t>(b % s.length());
        }
    }
    if (has & 2) {
        weights =
            std::make_unique<guarded_memory>(strided_view(has & 4 ? dtype::f64 : dtype::f32, s.length(), 1 + has / 64));
        store_all(weights->elements(), [&] {
            numbers w(s.length());
            for (double& x : w) x = bytes.byte() / 64.0;
            return w;
        }());
        o.class_weights = array_of(weights->elements());
    }
    if (has & 8) o.label_smoothing = bytes.byte() / 255.0;
    if (has & 16) o.z_loss = std::ldexp(1.0, -static_cast<int>(bytes.byte() % 12u));
    if (has & 32) o.dlosses = (1 + bytes.byte()) / 64.0;

    view logits_view = logits->elements(), gradient_view = gradient.elements();
    bool spoilt = spoil(read_defect(bytes), s, logits_view, gradient_view, o.axis, o.scale);
    const std::uint8_t own_defect = bytes.byte();
    if (own_defect == 255) o.label_smoothing = 1.5, spoilt = true;
    if (own_defect == 254) o.z_loss = inf, spoilt = true;
    if (own_defect == 253 && !targets.empty()) targets.back() = static_cast<std::int16_t>(s.length()), spoilt = true;
    const shape p = s.per_row();
    if (!is_soft) {
        if (s.rank == 1) targets_ref = smx::tensor_view<const std::int16_t, 1>(targets.data(), {p.extents[0]});
        if (s.rank == 2)
            targets_ref = smx::tensor_view<const std::int16_t, 2>(targets.data(), {p.extents[0], p.extents[1]});
        if (s.rank == 3)
            targets_ref =
                smx::tensor_view<const std::int16_t, 3>(targets.data(), {p.extents[0], p.extents[1], p.extents[2]});
    }
    std::vector<numbers> rows;
    for (std::size_t r = 0; r < s.rows(); ++r) rows.push_back(row(*logits, s, r));
    if (!run("cross_entropy", spoilt, {logits.get(), losses.get(), apart.get(), soft.get(), weights.get()},
             {losses.get(), &gradient}, [&] {
                 call_cross_entropy(array_of(logits_view), targets_ref, array_of(losses->elements()),
                                    array_of(gradient_view), o);
             }))
        return;

    const bool wide = logits_type == dtype::f64 || losses_type == dtype::f64 || gradient_view.type == dtype::f64 ||
                      (soft && soft_type == dtype::f64) || (weights && weights->elements().type == dtype::f64);
    const dtype compute = wide ? dtype::f64 : dtype::f32;
    const numbers loss = load_all(losses->elements());
    for (std::size_t r = 0; r < s.rows() && s.length() != 0; ++r) {
        const numbers g = row(gradient, s, r), &x = rows[r];
        if (!is_soft && targets[r] == -7) {
            expect("cross_entropy", loss[r] == 0, loss[r]);
            for (const double d : g) expect("cross_entropy", is_positive_zero(d), d);
            continue;
        }
        if (std::any_of(x.begin(), x.end(), is_nan)) {
            expect("cross_entropy", is_nan(loss[r]), loss[r]);
            for (const double d : g) expect("cross_entropy", is_nan(d), d);
            continue;
        }
        if (!all_finite(x, 1e30)) continue;
        loss_row exactly{x, soft ? row(*soft, s, r) : numbers(), soft ? 0 : static_cast<std::size_t>(targets[r]),
                         weights ? load_all(weights->elements()) : numbers()};
        exactly.scale = o.scale, exactly.smoothing = o.label_smoothing, exactly.z_loss = o.z_loss;
        exactly.dloss = o.dlosses ? *static_cast<const double*>(o.dlosses.data()) : 1;
        const exact_loss exact(exactly);
        // What a probability, which must not be subnormal, is multiplied by at most: W + 2*z_loss*logsumexp.
        long double most_factor = 1, most_logit = 0;
        for (const double w : exactly.weights) most_factor += std::abs(w);
        for (const double v : x)
            most_logit = std::max(most_logit, std::abs(static_cast<long double>(v) * exactly.scale));
        most_factor += 2 * std::abs(exactly.z_loss) * (most_logit + std::log(static_cast<long double>(x.size())));
        const auto compare = [&](dtype type, double actual, long double value, long double size, double ulps) {
            const long double limit = std::ldexp(1.0L, format_of(type).max_exponent);
            const long double smallest =
                std::ldexp(std::abs(exactly.scale * exactly.dloss) * most_factor + 16, format_of(compute).min_exponent);
            if (std::abs(value) > limit || size > std::ldexp(1.0L, format_of(compute).max_exponent - 20) ||
                std::abs(value) < smallest)
                return;
            expect_near("cross_entropy", actual, value,
                        static_cast<double>(std::abs(actual - value) / allowed_error(type, compute, ulps, value, size)),
                        1);
        };
        compare(losses_type, loss[r], exact.loss, exact.loss_size, 3);
        for (std::size_t i = 0; i < g.size(); ++i)
            compare(gradient_view.type, g[i], exact.gradient[i], exact.gradient_size[i], 5);
    }
}

// ---- online_softmax

void try_online(byte_source& bytes) {
    shape s = read_shape(bytes);
    const std::size_t n = s.length();
    s = shape{};
    s.extents[0] = n;
    const dtype type = read_type(bytes);
    const smx::online_options o{read_scale(bytes), read_special(bytes)};
    const memory in = make_logits(type, s, bytes), logsumexp = make(type, shape{}, bytes);
    const memory p = make(type, s, bytes), log_p = make(type, s, bytes), w = make(type, s, bytes);
    std::vector<std::size_t> chunks;
    for (std::size_t left = n; left != 0; left -= chunks.back())
        chunks.push_back(bytes.rest().empty() ? left : std::min<std::size_t>(left, bytes.byte() * (1u + n / 64)));
    const numbers x = load_all(in->elements());
    run("online_softmax", false, {in.get(), p.get(), log_p.get(), w.get(), logsumexp.get()}, {}, [&] {
        call_online(in->elements(), chunks, bytes.rest(), o,
                    {p->elements(), log_p->elements(), w->elements(), logsumexp->elements()});
    });
    const double total = load_all(logsumexp->elements())[0];
    const numbers of_p = load_all(p->elements()), of_log = load_all(log_p->elements()), of_w = load_all(w->elements());
    if (!all_finite(x) || n == 0) return;
    const reference exact(x, o.scale);
    expect_near("logsumexp", total, exact.logsumexp(),
                error_in_ulp(type, total, exact.logsumexp(), exact.logsumexp_magnitude()),
                documented_bound(function::logsumexp, type));
    const long double top =
        exact.softmax(o.scale < 0 ? *std::min_element(x.begin(), x.end()) : *std::max_element(x.begin(), x.end()));
    const auto compare = [&](const char* what, function f, double actual, long double value) {
        expect_near(what, actual, value, error_in_ulp(f, type, type, actual, value), documented_bound(f, type));
    };
    for (std::size_t i = 0; i < n; ++i) {
        compare("probabilities", function::softmax, of_p[i], exact.softmax(x[i]));
        compare("log_probabilities", function::log_softmax, of_log[i], exact.log_softmax(x[i]));
        compare("weights", function::softmax, of_w[i], exact.softmax(x[i]) / top);
    }
}

}  // namespace
}  // namespace softmax_test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    softmax_test::byte_source bytes(data, size);
    switch (bytes.byte() % 5) {
        case 0: softmax_test::try_backward(bytes); break;
        case 1: softmax_test::try_cross_entropy(bytes); break;
        case 2: softmax_test::try_online(bytes); break;
        default: softmax_test::try_masked(bytes); break;
    }
    return 0;
}
