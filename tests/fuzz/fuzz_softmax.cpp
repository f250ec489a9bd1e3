// SPDX-License-Identifier: BSL-1.0

// One call of the library from the fuzzer's bytes, judged by enumeration: the addresses of all elements say whether it has
// to be refused, the reference in long double says what every output has to be.

#include "bytes.hpp"
#include "memory.hpp"
#include "reference.hpp"
#include "subject.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace softmax_test {

#if defined(SMX_FUZZ_BASE)
extern const subject subject_fuzz_base;
#endif
#if defined(SMX_FUZZ_AVX2)
extern const subject subject_fuzz_avx2;
#endif

namespace {

constexpr std::ptrdiff_t farthest = std::numeric_limits<std::ptrdiff_t>::max();
constexpr std::size_t most_elements = 2000, longest_row = 5000;  // past a piece of the passes: 4096 floats
constexpr std::ptrdiff_t longest_reach = 1 << 14;                // elements from one end of a view to the other
constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

// ---- the call

enum class way { out_of_place, in_place, returned };

struct call {
    function f;
    way how;
    view in, out;  // in place: the same
    smx::softmax_options options;
};

/// The axis that the options name, if there is such an axis.
std::optional<std::size_t> axis_of(const call& c) {
    const auto rank = static_cast<std::ptrdiff_t>(c.in.rank);
    if (c.options.axis < -rank || c.options.axis >= rank) return {};
    return static_cast<std::size_t>(c.options.axis < 0 ? c.options.axis + rank : c.options.axis);
}

bool has_elements(const view& v) { return std::find(v.extents, v.extents + v.rank, 0u) == v.extents + v.rank; }

/// Bytes from v.data on.
struct byte_reach {
    std::ptrdiff_t first = 0, last = 0;
};

/// Nothing if there are more elements, or they lie further apart, than memory has bytes.
std::optional<byte_reach> reach_of(const view& v) {
    if (!has_elements(v)) return byte_reach{};
    const auto size = static_cast<std::ptrdiff_t>(size_of(v.type));
    byte_reach r{0, size};
    std::ptrdiff_t bytes = size, distance = 0;
    for (std::size_t d = 0; d < v.rank; ++d) {
        if (__builtin_mul_overflow(bytes, v.extents[d], &bytes)) return {};
        if (v.extents[d] == 1) continue;
        if (__builtin_mul_overflow(v.strides[d], v.extents[d] - 1, &distance)) return {};
        if (__builtin_mul_overflow(distance, size, &distance)) return {};
        std::ptrdiff_t& end = distance < 0 ? r.first : r.last;
        if (__builtin_add_overflow(end, distance, &end)) return {};
    }
    if (__builtin_sub_overflow(r.last, r.first, &distance)) return {};
    return r;
}

bool fits_into_an_arena(const view& v) {
    const std::optional<byte_reach> r = reach_of(v);
    const auto limit = 2 * longest_reach * static_cast<std::ptrdiff_t>(size_of(v.type));
    return r && r->first >= -limit && r->last <= limit && (!has_elements(v) || size_of(v) <= 2 * longest_row);
}

bool fit_into_arenas(const call& c) { return fits_into_an_arena(c.in) && fits_into_an_arena(c.out); }

// ---- bytes to extents, strides, options

constexpr std::size_t huge_extent(std::size_t i) {
    const std::size_t exponents[] = {16, 28, 29, 30, 31, 32, 33, 40, 58, 59, 60, 61, 62, 63};
    return i < 4 ? i : std::size_t{1} << one_of(exponents, i - 4);
}

constexpr std::ptrdiff_t huge_stride(std::size_t i) {
    const int exponents[] = {0, 1, 27, 28, 31, 32, 40, 57, 58, 59, 60, 61, 62};
    if (i % 32 == 0) return 0;
    if (i % 32 == 1) return -farthest - 1;
    const std::ptrdiff_t size = i % 32 < 4 ? farthest : std::ptrdiff_t{1} << one_of(exponents, i / 2);
    return i % 2 != 0 ? -size : size;
}

void read_extents(view& v, byte_source& bytes, bool huge) {
    std::size_t limit = huge ? std::numeric_limits<std::size_t>::max() : most_elements;
    for (std::size_t d = 0; d < max_rank; ++d) {
        const std::uint8_t low = bytes.byte(), high = bytes.byte();
        if (d >= v.rank) continue;
        v.extents[d] = huge ? huge_extent(low % 18u) + high % 2u - (high / 2u) % 2u : low % 41u;
        if (!huge && high >= 248) {
            v.extents[d] += (high - 247u) * 620u;
            limit = longest_row;
        }
    }
    for (std::size_t d = 0; d < v.rank && !huge; ++d) {
        v.extents[d] = std::min(v.extents[d], limit);
        limit /= std::max<std::size_t>(v.extents[d], 1);
    }
}

struct nesting {
    std::size_t order[max_rank] = {2, 1, 0};  // innermost axis first
    std::size_t step = 1, padding = 0;
    unsigned negative = 0, zero = 0;  // a bit for each axis
};

void nest(view& v, nesting n) {
    for (const std::size_t d : n.order) {
        if (d >= v.rank) continue;
        const auto stride = static_cast<std::ptrdiff_t>(n.step);  // wraps for huge extents, as tensor_view's own does
        v.strides[d] = (n.zero >> d & 1) != 0 ? 0 : (n.negative >> d & 1) != 0 ? -stride : stride;
        n.step = n.step * std::max<std::size_t>(v.extents[d], 1) + n.padding;
        n.padding = 0;
    }
}

void read_strides(view& v, byte_source& bytes, bool huge, const view* other) {
    const std::uint8_t style = bytes.byte(), a[max_rank] = {bytes.byte(), bytes.byte(), bytes.byte()};
    switch (style % 8) {
        case 1: nest(v, {.order = {0, 1, 2}}); break;
        case 2: nest(v, {.step = 1 + a[0] % 8u, .padding = a[1] % 16u, .negative = huge ? 0 : a[2] % 8u}); break;
        case 3: nest(v, {.negative = huge ? 0 : a[0] % 8u}); break;
        case 4:
            for (std::size_t d = 0; d < v.rank; ++d)
                v.strides[d] = huge ? huge_stride(a[d]) : static_cast<std::int8_t>(a[d]);
            break;
        case 5: nest(v, {.zero = a[0] % 8u}); break;
        case 6:
            nest(v,
                 {.order = {a[0] % 3u, (a[0] + 1 + a[1] % 2u) % 3, (a[0] + 2 - a[1] % 2u) % 3}, .step = 1 + a[2] % 4u});
            break;
        case 7:
            if (other != nullptr) std::copy(other->strides, other->strides + max_rank, v.strides);
            else nest(v, {});
            break;
        default: nest(v, {}); break;
    }
    if (v.kind == view_kind::span) v.strides[0] = 1;
    const auto too_far = [&] {
        const std::optional<byte_reach> r = reach_of(v);
        return !r || r->last - r->first > longest_reach * static_cast<std::ptrdiff_t>(size_of(v.type));
    };
    while (!huge && too_far()) {
        for (std::ptrdiff_t& stride : v.strides) stride /= 2;
    }
    for (std::size_t d = 0; d < v.rank; ++d) {  // where nobody steps along it, a stride may be anything
        if (style >= 128 && v.kind != view_kind::span && (v.extents[d] == 1 || !has_elements(v)))
            v.strides[d] = huge_stride(a[d]);
    }
}

smx::softmax_options read_options(byte_source& bytes, std::size_t rank) {
    static const double scales[] = {1,         0.125,   -1,        0,         -0.0,  0.5,    2,      1.0 / 3,
                                    -0.1,      1e-3,    0x1p16,    0x1p-16,   65537, 1.5e-5, 1e-30,  1e30,
                                    1e-300,    1e300,   -1e-300,   5e-324,    3e-39, 700,    -1e308, 17,
                                    -0x1p-20f, 0x1p126, 0x1p-1022, nan_value, inf,   -inf};
    const auto r = static_cast<std::ptrdiff_t>(rank);
    const std::ptrdiff_t outside[] = {r, -r - 1, r + 1, 127, farthest, -farthest - 1};
    const std::uint8_t axis = bytes.byte(), scale = bytes.byte(), special = bytes.byte();
    const double raw = bytes.take<double>();
    return {.axis = axis < 240 ? axis % (2 * r) - r : one_of(outside, axis),
            .scale = scale % 32u < std::size(scales) ? scales[scale % 32u] : raw,
            .special = special % 2 != 0 ? smx::special_values::ieee : smx::special_values::safe};
}

/// What `out` should look like, but for its strides.
view result_of(const call& c, bool keeps_axis) {
    view out = c.in;
    if (c.f != function::logsumexp) return out;
    const std::size_t axis = axis_of(c).value_or(0);
    out.extents[axis] = 1;
    if (keeps_axis || c.in.rank == 1) return out;
    std::copy(out.extents + axis + 1, out.extents + out.rank, out.extents + axis);
    --out.rank;
    return out;
}

call read_call(byte_source& bytes) {
    static constexpr function functions[] = {function::softmax, function::log_softmax, function::logsumexp};
    static constexpr std::pair<dtype, dtype> types[] = {
        {dtype::f32, dtype::f32},  {dtype::f64, dtype::f64}, {dtype::f16, dtype::f16}, {dtype::bf16, dtype::bf16},
        {dtype::f32, dtype::bf16}, {dtype::f16, dtype::f64}, {dtype::f64, dtype::f16}};
    static constexpr std::pair<view_kind, std::size_t> shapes[] = {{view_kind::span, 1},
                                                                   {view_kind::strided_span, 1},
                                                                   {view_kind::tensor, 1},
                                                                   {view_kind::tensor, 2},
                                                                   {view_kind::tensor, 3}};
    call c{};
    c.f = one_of(functions, bytes.byte());
    const bool one_view = bytes.byte() % 3 == 0;
    const auto [in_type, out_type] = one_of(types, bytes.byte());
    const auto [kind, rank] = one_of(shapes, bytes.byte());
    const std::uint8_t huge = bytes.byte();  // a bit for the extents and for the strides of either view
    const auto is_huge = [&](int bit) { return huge >= 224 && (huge >> bit & 1) != 0; };

    c.in = {in_type, nullptr, kind, rank, {}, {}};
    read_extents(c.in, bytes, is_huge(0));
    const std::uint8_t other_extent = bytes.byte();
    read_strides(c.in, bytes, is_huge(0) || is_huge(1), nullptr);
    const std::uint8_t out_strides[] = {bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte()};
    c.options = read_options(bytes, rank);

    if (one_view && c.f != function::logsumexp) {
        c.how = way::in_place;
        c.out = c.in;
        return c;
    }
    c.out = result_of(c, other_extent % 2 != 0);
    c.out.type = out_type;
    if (one_view && kind != view_kind::tensor) {
        c.how = way::returned;
        c.out.type = in_type;
        c.out.strides[0] = 1;
        return c;
    }
    if (other_extent >= 224) {
        std::size_t& extent = c.out.extents[other_extent / 4u % c.out.rank];
        extent += extent == 0 || other_extent / 2 % 2 != 0 ? 1u : ~std::size_t{0};
    }
    byte_source of_out(out_strides, sizeof out_strides);
    read_strides(c.out, of_out, is_huge(0) || is_huge(2), &c.in);
    return c;
}

// ---- memory

/// Bytes on the heap: AddressSanitizer watches both ends.
class arena {
public:
    explicit arena(std::size_t size) : memory_(static_cast<std::byte*>(::operator new(size, alignment))), size_(size) {
        std::fill_n(memory_.get(), size, std::byte{0xa5});
    }
    std::span<std::byte> bytes() const { return {memory_.get(), size_}; }

private:
    static constexpr std::align_val_t alignment{64};
    struct release {
        void operator()(std::byte* p) const { ::operator delete(p, alignment); }
    };
    std::unique_ptr<std::byte, release> memory_;
    std::size_t size_;
};

/// An arena for views at these distances from each other, in bytes.
arena enclose(std::span<view* const> views, std::span<const std::ptrdiff_t> at, std::size_t margin) {
    std::ptrdiff_t first = farthest, last = -farthest;
    for (std::size_t i = 0; i < views.size(); ++i) {
        const byte_reach r = reach_of(*views[i]).value();
        first = std::min(first, at[i] + r.first);
        last = std::max(last, at[i] + r.last);
    }
    const std::ptrdiff_t shift = (static_cast<std::ptrdiff_t>(margin) - first + 7) & ~std::ptrdiff_t{7};
    arena memory(static_cast<std::size_t>(last + shift));
    for (std::size_t i = 0; i < views.size(); ++i) views[i]->data = memory.bytes().data() + (at[i] + shift);
    return memory;
}

/// The arenas of `in` and of `out`, or one for both.
std::vector<arena> place(call& c, byte_source& bytes) {
    const std::uint8_t where = bytes.byte(), margin = bytes.byte(), in_index = bytes.byte();
    const auto out_index = static_cast<std::ptrdiff_t>(bytes.take<std::int16_t>() / 8);
    std::vector<arena> arenas;
    if (!fit_into_arenas(c)) {
        arenas.emplace_back(64u);
        c.in.data = c.out.data = arenas.front().bytes().data();
        return arenas;
    }
    const auto in_size = static_cast<std::ptrdiff_t>(size_of(c.in.type));
    const auto out_size = static_cast<std::ptrdiff_t>(size_of(c.out.type));
    const auto in_at = static_cast<std::ptrdiff_t>(in_index) * in_size;
    if (c.how == way::returned || (c.how == way::out_of_place && where % 4 == 0)) {
        arenas.push_back(enclose(std::vector{&c.in}, std::vector{in_at}, margin % 64u));
        arenas.push_back(enclose(std::vector{&c.out}, std::vector{out_index * out_size}, margin / 4u));
    } else {
        const std::ptrdiff_t behind = in_at + reach_of(c.in)->last - reach_of(c.out)->first;
        std::ptrdiff_t out_at = in_at;
        if (c.how == way::out_of_place && where % 4 == 2) out_at = behind + out_index % 16 * out_size;
        if (c.how == way::out_of_place && where % 4 == 3) out_at = out_index * out_size;
        out_at = (out_at + out_size - 1) & -out_size;
        arenas.push_back(enclose(std::vector{&c.in, &c.out}, std::vector{in_at, out_at}, margin % 64u));
    }
    if (where >= 128 && !has_elements(c.in)) c.in.data = nullptr;
    if (where >= 128 && !has_elements(c.out)) c.out.data = nullptr;
    return arenas;
}

// ---- what has to happen

/// Undecided: the call would be fine if there were as much memory.
enum class verdict { accept, refuse, undecided };

struct judgement {
    verdict must;
    const char* why;
};

std::vector<const std::byte*> addresses(const view& v) {
    std::vector<const std::byte*> found;
    if (!has_elements(v)) return found;
    const auto size = static_cast<std::ptrdiff_t>(size_of(v.type));
    for_each_offset(
        v, [&](std::ptrdiff_t offset) { found.push_back(static_cast<const std::byte*>(v.data) + offset * size); });
    return found;
}

judgement judge(const call& c, std::span<const std::byte> memory_of_out) {
    if (!axis_of(c)) return {verdict::refuse, "the axis is out of range"};
    if (!std::isfinite(c.options.scale)) return {verdict::refuse, "the scale is not finite"};
    const view needed = result_of(c, c.out.rank == c.in.rank);
    if (!std::equal(needed.extents, needed.extents + needed.rank, c.out.extents))
        return {verdict::refuse, "extents do not match"};
    if (!reach_of(c.in) || !reach_of(c.out)) return {verdict::refuse, "a view is larger than memory"};
    if (!fit_into_arenas(c)) {
        for (std::size_t d = 0; d < c.out.rank; ++d) {
            if (has_elements(c.out) && c.out.extents[d] > 1 && c.out.strides[d] == 0)
                return {verdict::refuse, "out has stride 0"};
        }
        return {verdict::undecided, "there is no such memory"};
    }

    std::vector<bool> output(memory_of_out.size());
    const std::vector<const std::byte*> in = addresses(c.in), out = addresses(c.out);
    const std::size_t in_size = size_of(c.in.type), out_size = size_of(c.out.type);
    for (const std::byte* element : out) {
        for (std::size_t b = 0; b < out_size; ++b) {
            const auto at = static_cast<std::size_t>(element + b - memory_of_out.data());
            if (output[at]) return {verdict::refuse, "out overlaps itself"};
            output[at] = true;
        }
    }
    const bool may_be_same = c.f != function::logsumexp && in_size == out_size;
    // Not in == out: libFuzzer watches memcmp, and would learn addresses.
    if (may_be_same && std::mismatch(in.begin(), in.end(), out.begin()).first == in.end())
        return {verdict::accept, "in place"};
    for (const std::byte* element : in) {
        if (element < memory_of_out.data() || element >= memory_of_out.data() + memory_of_out.size()) continue;
        for (std::size_t b = 0; b < in_size; ++b) {
            if (output[static_cast<std::size_t>(element + b - memory_of_out.data())])
                return {verdict::refuse, "out overlaps in"};
        }
    }
    return {verdict::accept, "apart"};
}

/// What an output has to be: `value`, NaN, or near to `value` in ulp of `magnitude`. An exact 0 of safe_softmax is +0.
struct expectation {
    enum { nan, exact, near } rule;
    long double value = 0, magnitude = 0;

    bool admits(const call& c, double actual) const {
        if (rule == nan) return is_nan(actual);
        if (rule == exact) return c.f == function::softmax && value == 0 ? is_positive_zero(actual) : actual == value;
        const double error = c.f == function::logsumexp ? error_in_ulp(c.out.type, actual, value, magnitude)
                                                        : error_in_ulp(c.f, c.in.type, c.out.type, actual, value);
        return error <= documented_bound(c.f, c.out.type);
    }
};

/// The table of special rows in the headers, and real arithmetic for the others.
std::vector<expectation> expected_row(const call& c, std::span<const double> logits) {
    constexpr long double infinity = std::numeric_limits<long double>::infinity();
    const bool reduces = c.f == function::logsumexp, is_log = c.f == function::log_softmax;
    const std::size_t results = reduces ? 1 : logits.size();
    const auto is_top = [&](double x) { return std::isinf(x) && (x < 0) == (c.options.scale < 0); };
    std::vector<double> finite;
    std::copy_if(logits.begin(), logits.end(), std::back_inserter(finite), [](double x) { return std::isfinite(x); });
    const auto tops = static_cast<long double>(std::count_if(logits.begin(), logits.end(), is_top));

    if (logits.empty()) return std::vector<expectation>(results, {expectation::exact, -infinity});
    if (std::any_of(logits.begin(), logits.end(), is_nan)) return std::vector<expectation>(results, {expectation::nan});
    if (tops > 0 || finite.empty()) {
        if (c.options.special == smx::special_values::ieee)
            return std::vector<expectation>(results, {expectation::nan});
        if (reduces) return {{expectation::exact, tops > 0 ? infinity : -infinity}};
    }
    const expectation nothing{expectation::exact, is_log ? -infinity : 0};
    const expectation share = tops == 1 ? expectation{expectation::exact, is_log ? 0.0L : 1.0L}
                                        : expectation{expectation::near, is_log ? -std::log(tops) : 1 / tops};
    const reference exactly(finite, c.options.scale);
    if (reduces) {
        if (logits.size() == 1 && c.options.scale == 1) {
            return {{expectation::exact, static_cast<long double>(rounded_to(c.out.type, logits[0]))}};
        }
        return {{expectation::near, exactly.logsumexp(), exactly.logsumexp_magnitude()}};
    }
    std::vector<expectation> row;
    for (const double x : logits) {
        if (is_top(x)) row.push_back(share);
        else if (tops > 0 || !std::isfinite(x)) row.push_back(nothing);
        else if (logits.size() == 1) row.push_back({expectation::exact, is_log ? 0.0L : 1.0L});
        else row.push_back({expectation::near, exactly.of(c.f, x)});
    }
    return row;
}

/// In row-major order of `out`, as the logits are in that of `in`.
std::vector<expectation> expected_results(const call& c, std::span<const double> logits) {
    std::vector<expectation> results(size_of(c.out), {expectation::nan});
    const std::size_t axis = axis_of(c).value(), length = c.in.extents[axis];
    std::size_t inner = 1, outer = 1;
    for (std::size_t d = 0; d < c.in.rank; ++d) {
        if (d != axis) (d < axis ? outer : inner) *= c.in.extents[d];
    }
    std::vector<double> row(length);
    for (std::size_t j = 0; j < outer * inner; ++j) {
        const std::size_t first = j / inner * inner * length + j % inner;
        for (std::size_t i = 0; i < length; ++i) row[i] = logits[first + i * inner];
        const std::vector<expectation> expected = expected_row(c, row);
        if (c.f == function::logsumexp) results[j] = expected[0];
        else
            for (std::size_t i = 0; i < length; ++i) results[first + i * inner] = expected[i];
    }
    return results;
}

// ---- what happens

std::string address_of(const void* p) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", p);
    return text;
}

std::string describe(const view& v) {
    static constexpr const char* kinds[] = {"span", "strided_span", "tensor_view"};
    std::string extents, strides;
    for (std::size_t d = 0; d < v.rank; ++d) {
        extents += (d == 0 ? "" : ", ") + std::to_string(v.extents[d]);
        strides += (d == 0 ? "" : ", ") + std::to_string(v.strides[d]);
    }
    return std::string(kinds[static_cast<int>(v.kind)]) + " of " + name_of(v.type) + " {" + extents + "} strides {" +
           strides + "} at " + address_of(v.data);
}

std::string describe(const call& c) {
    static constexpr const char* ways[] = {"out of place", "in place", "returned"};
    char options[128];
    std::snprintf(options, sizeof options, "axis %td, scale %a (%.17g), %s", c.options.axis, c.options.scale,
                  c.options.scale, c.options.special == smx::special_values::ieee ? "ieee" : "safe");
    return std::string(name_of(c.f)) + " " + ways[static_cast<int>(c.how)] + ", " + options +
           "\n  in:  " + describe(c.in) + "\n  out: " + describe(c.out);
}

[[noreturn]] void fail(const call& c, const subject& s, const std::string& what) {
    std::fprintf(stderr, "\n%s, build %s\n  %s\n", what.c_str(), s.name, describe(c).c_str());
    std::abort();
}

/// The text of the error, if there is one.
std::optional<std::string> run(const subject& s, const call& c) {
    try {
        switch (c.how) {
            case way::out_of_place: s.out_of_place(c.f, c.in, c.out, c.options); break;
            case way::in_place: s.in_place(c.f, c.in, c.options); break;
            case way::returned: s.returned_logsumexp(c.in, c.out.data, c.options); break;
        }
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

void check_results(const subject& s, const call& c, std::span<const double> logits,
                   std::span<const expectation> expected) {
    const std::vector<double> actual = load_all(c.out);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (expected[i].admits(c, actual[i])) continue;
        char text[256];
        std::snprintf(text, sizeof text, "WRONG RESULT: [%zu] is %.17g (%a), expected %s%.21Lg", i, actual[i],
                      actual[i],
                      expected[i].rule == expectation::nan     ? "NaN instead of "
                      : expected[i].rule == expectation::exact ? "exactly "
                                                               : "about ",
                      expected[i].value);
        std::string row = text;
        for (std::size_t j = 0; j < std::min<std::size_t>(logits.size(), 64); ++j) {
            std::snprintf(text, sizeof text, "%s%a", j == 0 ? "; in, row-major: " : " ", logits[j]);
            row += text;
        }
        fail(c, s, row);
    }
}

void check_untouched(const subject& s, const call& c, const arena& memory, std::vector<std::byte> expected,
                     bool refused) {
    const std::span<const std::byte> after = memory.bytes();
    const std::size_t size = size_of(c.out.type);
    if (!refused) {
        for (const std::byte* element : addresses(c.out)) {
            if (element < after.data() || element >= after.data() + after.size()) continue;
            std::copy_n(element, size, expected.begin() + (element - after.data()));
        }
    }
    if (std::equal(after.begin(), after.end(), expected.begin())) return;
    const auto at = std::mismatch(after.begin(), after.end(), expected.begin()).first - after.begin();
    fail(c, s,
         "WRITTEN TO " + std::string(refused ? "before it was refused" : "outside of out") + ": byte " +
             std::to_string(at) + " of an arena from " + address_of(after.data()));
}

std::vector<const subject*> runnable() {
    std::vector<const subject*> found;
#if defined(SMX_FUZZ_BASE)
    found.push_back(&subject_fuzz_base);
#endif
#if defined(SMX_FUZZ_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&subject_fuzz_avx2);
#endif
    if (found.empty()) {
        std::fputs("fuzz_softmax was built for another processor: configure with -DSMX_FUZZ_SUBJECTS=base\n", stderr);
        std::exit(2);
    }
    return found;
}

void try_call(byte_source bytes) {
    static const std::vector<const subject*> subjects = runnable();
    call c = read_call(bytes);
    const std::vector<arena> arenas = place(c, bytes);
    const judgement judged = judge(c, arenas.back().bytes());
    if (judged.must == verdict::undecided) return;
    if (has_elements(c.in) && fit_into_arenas(c)) write_logits(c.in, bytes);
    std::vector<std::vector<std::byte>> before;
    for (const arena& a : arenas) before.emplace_back(a.bytes().begin(), a.bytes().end());
    std::vector<double> logits;
    std::vector<expectation> expected;
    if (judged.must == verdict::accept && has_elements(c.out)) {
        logits = load_all(c.in);
        expected = expected_results(c, logits);
    }

    for (const subject* s : subjects) {
        for (std::size_t i = 0; i < arenas.size(); ++i)
            std::copy(before[i].begin(), before[i].end(), arenas[i].bytes().begin());
        const std::optional<std::string> error = run(*s, c);
        const std::string beginning = std::string("smx::") + name_of(c.f) + ": ";
        if (error && !error->starts_with(beginning)) fail(c, *s, "ERROR WITHOUT ITS FUNCTION: " + *error);
        if (error && judged.must == verdict::accept)
            fail(c, *s, std::string("REFUSED, though ") + judged.why + ": " + *error);
        if (!error && judged.must == verdict::refuse) fail(c, *s, std::string("NOT REFUSED, though ") + judged.why);
        for (std::size_t i = 0; i < arenas.size(); ++i) check_untouched(*s, c, arenas[i], before[i], error.has_value());
        if (!error && has_elements(c.out)) check_results(*s, c, logits, expected);
    }
}

}  // namespace
}  // namespace softmax_test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    softmax_test::try_call({data, size});
    return 0;
}
