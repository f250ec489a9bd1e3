// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>

namespace softmax_test::fuzzing {

void fail(const std::string& what) {
    std::fprintf(stderr, "\n%s\n", what.c_str());
    std::abort();
}

bool finite(double x) { return !is_nan(x) && !std::isinf(x); }
bool all_finite(const numbers& row, double limit) {
    return std::all_of(row.begin(), row.end(), [&](double x) { return finite(x) && std::abs(x) < limit; });
}

// ---- shapes and arrays

std::size_t shape::rows() const {
    std::size_t n = 1;
    for (std::size_t d = 0; d < rank; ++d) n *= d == axis ? 1 : extents[d];
    return n;
}

std::vector<std::size_t> shape::index(std::size_t r) const {
    std::vector<std::size_t> found(rank, 0);
    for (std::size_t d = rank; d-- > 0;) {
        if (d == axis) continue;
        found[d] = r % extents[d];
        r /= extents[d];
    }
    return found;
}

shape shape::per_row() const {
    shape s = *this;
    s.extents[axis] = 1;
    return s;
}

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

double at(const guarded_memory& m, const std::vector<std::size_t>& index) {
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

defect read_defect(byte_source& bytes) {
    const std::uint8_t b = bytes.byte();
    return b < 200 ? defect::none
                   : one_of(std::array{defect::axis, defect::scale, defect::extent, defect::zero_stride,
                                       defect::overlap, defect::huge},
                            b);
}

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

}  // namespace softmax_test::fuzzing
