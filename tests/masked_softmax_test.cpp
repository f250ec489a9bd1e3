// SPDX-License-Identifier: BSL-1.0

// masked_softmax and masked_log_softmax on every instruction set that this processor has, by run-time dispatch.

#include "instruction_sets.hpp"
#include "masked_calls.hpp"
#include "masked_reference.hpp"
#include "memory.hpp"
#include "reference.hpp"
#include "refusals.hpp"
#include "rows.hpp"
#include "worst_error.hpp"

#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

enum class mask_kind { none, boolean, byte, f32, f64, f16, bf16 };
constexpr mask_kind all_masks[] = {mask_kind::none, mask_kind::boolean, mask_kind::byte, mask_kind::f32,
                                   mask_kind::f64,  mask_kind::f16,     mask_kind::bf16};
constexpr bool is_added(mask_kind k) { return k >= mask_kind::f32; }
constexpr dtype type_of(mask_kind k) {
    return k == mask_kind::f64    ? dtype::f64
           : k == mask_kind::f16  ? dtype::f16
           : k == mask_kind::bf16 ? dtype::bf16
                                  : dtype::f32;
}

/// An array of numbers in memory of its own, broadcast to a shape.
class array {
public:
    array() = default;
    array(mask_kind kind, std::vector<std::size_t> extents, const std::function<double()>& value)
        : kind_(kind), extents_(std::move(extents)) {
        const std::size_t n = std::accumulate(extents_.begin(), extents_.end(), std::size_t(1), std::multiplies<>());
        bytes_.resize(std::max<std::size_t>(n, 1) * 8);
        for (std::size_t i = 0; i < n; ++i) {
            const double x = value();
            if (is_added(kind)) store(type_of(kind), bytes_.data(), static_cast<std::ptrdiff_t>(i), x);
            else if (kind == mask_kind::boolean) reinterpret_cast<bool*>(bytes_.data())[i] = x != 0;
            else bytes_[i] = static_cast<std::byte>(x != 0 ? 1 + i % 255 : 0);
        }
    }
    explicit operator bool() const { return !extents_.empty(); }

    /// Aligned at the last axis, extents of 1 repeat.
    double at(std::span<const std::size_t> index) const {
        std::size_t offset = 0;
        for (std::size_t d = 0; d < extents_.size(); ++d)
            offset = offset * extents_[d] + (extents_[d] == 1 ? 0 : index[index.size() - extents_.size() + d]);
        if (is_added(kind_)) return load(type_of(kind_), bytes_.data(), static_cast<std::ptrdiff_t>(offset));
        return bytes_[offset] != std::byte{0} ? 1 : 0;
    }
    smx::array_ref ref() const {
        if (extents_.empty()) return {};
        const auto as = [&]<class T>(T) -> smx::array_ref {
            const T* p = reinterpret_cast<const T*>(bytes_.data());
            if (extents_.size() == 1) return smx::tensor_view<const T, 1>(p, std::array{extents_[0]});
            if (extents_.size() == 2) return smx::tensor_view<const T, 2>(p, std::array{extents_[0], extents_[1]});
            return smx::tensor_view<const T, 3>(p, std::array{extents_[0], extents_[1], extents_[2]});
        };
        switch (kind_) {
            case mask_kind::boolean: return as(bool{});
            case mask_kind::byte: return as(std::uint8_t{});
            case mask_kind::f64: return as(double{});
            case mask_kind::f16: return as(smx::float16{});
            case mask_kind::bf16: return as(smx::bfloat16{});
            default: return as(float{});
        }
    }
    const std::vector<std::size_t>& extents() const { return extents_; }

private:
    mask_kind kind_ = mask_kind::none;
    std::vector<std::size_t> extents_;
    std::vector<std::byte> bytes_;
};

/// One random call: everything that it is made of, and what it must give.
struct random_call {
    bool log = false, in_place = false;
    view in, out;  // without memory
    std::size_t axis = 0;
    std::vector<double> logits;
    mask_kind mask_type = mask_kind::none;
    array mask, bias, slope, sink, temperature;
    std::vector<std::int32_t> lengths;
    smx::masked_options options;

    random_call(std::uint64_t seed, dtype in_type, dtype out_type, mask_kind kind) : mask_type(kind) {
        generator g(seed);
        const auto chance = [&](std::size_t one_in) { return g.below(one_in) == 0; };
        log = chance(2);
        in_place = in_type == out_type && chance(3);
        const std::size_t rank = 1 + g.below(3);
        constexpr std::size_t lengths_to_try[] = {1,  2,  3,   5,   8,    15,   16,   17,   31,  40,
                                                  64, 65, 130, 197, 1000, 1024, 1025, 2100, 4200};
        const std::size_t length = lengths_to_try[g.below(chance(4) ? std::size(lengths_to_try) : 14)];
        axis = g.below(rank);
        std::vector<std::size_t> extents(rank);
        for (std::size_t d = 0; d < rank; ++d) extents[d] = d == axis ? length : 1 + g.below(length > 500 ? 2 : 5);
        in = tensor_view(in_type, extents);
        out = tensor_view(out_type, extents);
        options.axis = static_cast<std::ptrdiff_t>(axis) - (chance(2) ? static_cast<std::ptrdiff_t>(rank) : 0);
        if (chance(2)) options.scale = std::vector{0.125, 0.1, -1.0, 3.0, 1e-3, 0.0}[g.below(6)];

        const double reach = std::vector{1.0, 10.0, 80.0, 300.0}[g.below(4)];
        const double centre = chance(4) ? g.uniform(-1000, 1000) : 0;
        logits.resize(size_of(in));
        for (double& x : logits) x = rounded(in_type, centre + reach * g.normal());

        // Broadcast in any way: extents of 1, leading axes left out.
        const auto shape = [&](bool per_row) {
            std::vector<std::size_t> s(extents);
            if (per_row) s[axis] = 1;
            for (std::size_t& e : s)
                if (chance(4)) e = 1;
            while (!per_row && s.size() > 1 && chance(4)) s.erase(s.begin());
            return s;
        };
        if (kind != mask_kind::none) {
            const double most = chance(8) ? 2 : std::vector{0.1, 0.5, 0.9}[g.below(3)];
            mask = array(kind, shape(false), [&] {
                const bool kept = g.uniform(0, 1) < most;
                if (!is_added(kind)) return kept ? 1.0 : 0.0;
                if (kept) return chance(3) ? 0.0 : 3 * g.normal();
                return chance(3) ? -1e4 : chance(2) ? -largest_finite(type_of(kind)) : -inf;
            });
        }
        if (chance(4))
            bias = array(chance(4) ? mask_kind::f64 : mask_kind::f32, shape(false),
                         [&] { return chance(9) ? -inf : 5 * g.normal(); });
        if (chance(4))
            slope = array(mask_kind::f32, shape(true),
                          [&] { return std::ldexp(1.0, -static_cast<int>(g.below(9))) * (chance(3) ? 0.7 : 1); });
        if (chance(4))
            sink = array(mask_kind::f32, shape(true),
                         [&] { return chance(5) ? g.uniform(-500, 500) : centre * options.scale + g.normal() * 10; });
        if (chance(6)) temperature = array(mask_kind::f64, shape(true), [&] { return g.uniform(0.2, 3); });
        if (chance(6)) options.softcap = std::vector{50.0, 30.0, 0.5, 7.3}[g.below(4)];
        options.bias = bias.ref();
        options.alibi_slope = slope.ref();
        options.sink = sink.ref();
        options.temperature = temperature.ref();
        if (chance(4)) {
            options.causal = true;
            options.causal_offset = static_cast<std::ptrdiff_t>(g.below(9)) - 3;
        }
        if (chance(4)) {
            std::size_t rows = size_of(in) / std::max<std::size_t>(length, 1);
            lengths.resize(rows);
            for (std::int32_t& n : lengths) n = static_cast<std::int32_t>(g.below(length + 1));
            std::vector<std::size_t> s(extents);
            s[axis] = 1;
            if (rank == 1) options.lengths = smx::tensor_view<const std::int32_t, 1>(lengths.data(), std::array{s[0]});
            else if (rank == 2)
                options.lengths = smx::tensor_view<const std::int32_t, 2>(lengths.data(), std::array{s[0], s[1]});
            else
                options.lengths = smx::tensor_view<const std::int32_t, 3>(lengths.data(), std::array{s[0], s[1], s[2]});
        }
    }

    static double rounded(dtype type, double x) {
        std::byte memory[8];
        store(type, memory, 0, x);
        return load(type, memory, 0);
    }

    dtype arithmetic() const {
        const bool wide = in.type == dtype::f64 || out.type == dtype::f64 || mask_type == mask_kind::f64 ||
                          (options.bias && options.bias.type() == smx::vocabulary::scalar_type::float64);
        return wide ? dtype::f64 : dtype::f32;
    }

    /// Visits (row, the offsets of its elements) with exact results.
    void for_each_row(const std::function<void(const masked_row&, const std::vector<std::size_t>&)>& visit) const {
        std::vector<std::size_t> extents(in.extents, in.extents + in.rank), index(in.rank, 0);
        const std::size_t rows = logits.size() / extents[axis];
        for (std::size_t r = 0; r < rows; ++r) {
            masked_row row;
            row.scale = options.scale;
            row.softcap = options.softcap;
            std::size_t rest = r;
            for (std::size_t d = in.rank; d-- > 0;) {
                if (d == axis) continue;
                index[d] = rest % extents[d];
                rest /= extents[d];
            }
            const std::size_t query_axis = axis + 1 == in.rank ? in.rank - 2 : in.rank - 1;
            const auto query = in.rank == 1 ? 0 : static_cast<std::ptrdiff_t>(index[query_axis]);
            index[axis] = 0;
            if (temperature) row.scale = options.scale / temperature.at(index);
            if (sink) row.sink = sink.at(index);
            const std::size_t kept = lengths.empty() ? extents[axis] : static_cast<std::size_t>(lengths[r]);
            std::vector<std::size_t> offsets;
            for (std::size_t i = 0; i < extents[axis]; ++i) {
                index[axis] = i;
                std::size_t offset = 0;
                for (std::size_t d = 0; d < in.rank; ++d) offset = offset * extents[d] + index[d];
                offsets.push_back(offset);
                masked_logit l;
                l.x = logits[offset];
                const std::ptrdiff_t distance = static_cast<std::ptrdiff_t>(i) - query - options.causal_offset;
                l.kept = i < kept && (!options.causal || distance <= 0);
                if (mask && is_added(mask_type)) l.added = mask.at(index);
                else if (mask && mask.at(index) == 0) l.kept = false;
                if (bias) l.bias = bias.at(index);
                if (slope) {
                    std::vector<std::size_t> first = index;
                    first[axis] = 0;
                    l.slope = slope.at(first);
                    l.distance = static_cast<double>(distance);
                }
                row.logits.push_back(l);
            }
            visit(row, offsets);
        }
    }
};

// ---- accuracy

void measure(const random_call& c, std::uint64_t seed, worst_error& worst) {
    const guarded_memory from(c.in, seed % 7), apart(c.out, seed % 5);
    store_all(from.elements(), c.logits);
    const guarded_memory& to = c.in_place ? from : apart;
    masked_call(c.log, from.elements(), c.mask.ref(), to.elements(), c.options);
    ASSERT_EQ(from.damage(), "");
    ASSERT_EQ(to.damage(), "");
    const std::vector<double> actual = load_all(to.elements());
    const function f = c.log ? function::log_softmax : function::softmax;
    c.for_each_row([&](const masked_row& row, const std::vector<std::size_t>& offsets) {
        const std::vector<long double> exact = [&] {
            const bool any = std::any_of(row.logits.begin(), row.logits.end(), [](const masked_logit& l) {
                return l.kept && !std::isinf(l.added) && !std::isinf(l.bias);
            });
            return any ? masked_softmax_of(row, c.log) : std::vector<long double>(offsets.size(), c.log ? -inf : 0.0L);
        }();
        for (std::size_t i = 0; i < offsets.size(); ++i) {
            const double y = actual[offsets[i]];
            if (std::isinf(exact[i]) || exact[i] == 0) {
                if (exact[i] == 0 && !c.log && row.logits[i].kept && !std::isinf(row.logits[i].added) &&
                    !std::isinf(row.logits[i].bias))
                    continue;  // vanishes
                ASSERT_EQ(y, static_cast<double>(exact[i])) << "seed " << seed << " element " << i;
                ASSERT_FALSE(!c.log && std::signbit(y)) << "seed " << seed;
                continue;
            }
            const double error = error_in_ulp(f, c.arithmetic(), c.out.type, y, exact[i]);
            worst.take(error, [&] {
                return "seed " + std::to_string(seed) + " element " + std::to_string(i) + ": " +
                       testing::PrintToString(y) + " instead of " +
                       testing::PrintToString(static_cast<double>(exact[i]));
            });
        }
    });
}

class Masked : public testing::TestWithParam<mask_kind> {};
INSTANTIATE_TEST_SUITE_P(Mask, Masked, testing::ValuesIn(all_masks), [](const auto& kind) {
    return std::string(
        std::vector{"none", "bool", "byte", "f32", "f64", "f16", "bf16"}[static_cast<std::size_t>(kind.param)]);
});

TEST_P(Masked, RandomCallsAgreeWithTheReference) {
    on_every_isa([&](smx::isa level) {
        constexpr std::pair<dtype, dtype> types[] = {
            {dtype::f32, dtype::f32}, {dtype::f64, dtype::f64},  {dtype::f16, dtype::f16}, {dtype::bf16, dtype::bf16},
            {dtype::f16, dtype::f32}, {dtype::f32, dtype::bf16}, {dtype::f64, dtype::f32}};
        for (const auto& [in, out] : types) {
            worst_error worst[2];
            for (std::uint64_t i = 0; i < 120; ++i) {
                const std::uint64_t seed = base_seed() + 1000 * i + static_cast<std::uint64_t>(GetParam());
                const random_call c(seed, in, out, GetParam());
                measure(c, seed, worst[c.log ? 1 : 0]);
                if (HasFatalFailure()) return;
            }
            for (const bool log : {false, true}) {
                EXPECT_LE(worst[log].error, documented_bound(log ? function::log_softmax : function::softmax, out))
                    << name_of(in) << " to " << name_of(out) << (log ? " log " : " ") << worst[log].where;
                std::printf("%s %s to %s%s: %.3f ulp: %s\n", smx::name_of(level), name_of(in), name_of(out),
                            log ? " log" : "", worst[log].error, worst[log].where.c_str());
            }
        }
    });
}

TEST_P(Masked, EveryFusedInstructionSetGivesTheSameBits) {
    for (const dtype type : all_dtypes) {
        for (std::uint64_t i = 0; i < 60; ++i) {
            const std::uint64_t seed = base_seed() + 77 * i;
            const random_call c(seed, type, type, GetParam());
            std::vector<std::uint64_t> first;
            on_every_fused_isa([&](smx::isa) {
                const guarded_memory from(c.in), to(c.out, i % 3);
                store_all(from.elements(), c.logits);
                masked_call(c.log, from.elements(), c.mask.ref(), to.elements(), c.options);
                const std::vector<std::uint64_t> bits = load_all_bits(to.elements());
                if (first.empty()) first = bits;
                EXPECT_EQ(bits, first) << name_of(type) << " seed " << seed;
            });
        }
    }
}

// ---- every option changes what it says

TEST(MaskedOptions, Each) {
    on_every_isa([](smx::isa) {
        const std::vector<double> flat(6, 0.0);
        const auto at = [&](const smx::masked_options& o,
                            const std::vector<double>& logits = std::vector<double>(6, 0.0)) {
            return masked_results(false, dtype::f64, logits, {}, o, {2, 3});
        };
        const double third = at({})[0];
        EXPECT_NEAR(third, 1.0 / 3, 1e-16);
        expect_same(at({}), std::vector<double>(6, third), "none");
        expect_same(at({.axis = 0}), std::vector<double>(6, 0.5), "axis");
        expect_same(at({.causal = true}), {1, 0, 0, 0.5, 0.5, 0}, "causal");
        expect_same(at({.causal = true, .causal_offset = 1}), {0.5, 0.5, 0, third, third, third}, "offset");
        expect_same(at({.causal = true, .causal_offset = -1}), {0, 0, 0, 1, 0, 0}, "negative offset");
        expect_same(at({.causal = true, .causal_offset = std::numeric_limits<std::ptrdiff_t>::max()}),
                    std::vector<double>(6, third), "huge offset");
        expect_same(at({.causal = true, .causal_offset = std::numeric_limits<std::ptrdiff_t>::min()}), flat,
                    "least offset");
        expect_same(at({.axis = 0, .causal = true}), {1, 0.5, 0.5, 0, 0.5, 0.5}, "queries are the other axis");
        const std::int64_t lengths[] = {2, 1};
        expect_same(at({.lengths = lengths}), {0.5, 0.5, 0, 1, 0, 0}, "lengths");
        expect_same(at({.lengths = 2}), {0.5, 0.5, 0, 0.5, 0.5, 0}, "one length");
        const double ln2 = std::log(2.0);
        const double bias[] = {ln2, 0, -inf};
        expect_same(at({.bias = smx::array_ref(-inf)}), flat, "one bias");
        expect_same(at({.sink = 0.0}), std::vector<double>(6, 0.25), "sink");
        const float sinks[] = {0, -std::numeric_limits<float>::infinity()};
        expect_same(at({.sink = sinks}), {0.25, 0.25, 0.25, third, third, third}, "a sink for each row");

        const auto near = [&](const std::vector<double>& actual, std::vector<double> weights) {
            for (std::size_t r = 0; r < 2; ++r) {
                const double sum = weights[3 * r] + weights[3 * r + 1] + weights[3 * r + 2];
                for (std::size_t i = 3 * r; i < 3 * r + 3; ++i) EXPECT_NEAR(actual[i], weights[i] / sum, 1e-15) << i;
            }
        };
        const std::vector<double> logits = {1, 2, 3, 3, 1, -1};
        const auto weights = [&](auto f) {
            std::vector<double> w(6);
            for (std::size_t i = 0; i < 6; ++i) w[i] = std::exp(f(logits[i], i / 3, static_cast<double>(i % 3)));
            return w;
        };
        near(at({.bias = bias}), {2, 1, 0, 2, 1, 0});
        near(at({.scale = 0.5}, logits), weights([](double x, std::size_t, double) { return x / 2; }));
        near(at({.softcap = 2}, logits), weights([](double x, std::size_t, double) { return 2 * std::tanh(x / 2); }));
        near(at({.scale = 3, .softcap = 2}, logits),
             weights([](double x, std::size_t, double) { return 2 * std::tanh(3 * x / 2); }));
        near(at({.alibi_slope = 0.25}, logits),
             weights([](double x, std::size_t q, double k) { return x + 0.25 * (k - static_cast<double>(q)); }));
        const double slopes[] = {0.5, 2};
        near(at({.alibi_slope = slopes}, logits),
             weights([&](double x, std::size_t q, double k) { return x + slopes[q] * (k - static_cast<double>(q)); }));
        const double temperatures[] = {2, 0.5};
        near(at({.temperature = temperatures}, logits),
             weights([&](double x, std::size_t q, double) { return x / temperatures[q]; }));
        near(at({.scale = 3, .bias = bias}, logits),
             weights([&](double x, std::size_t, double k) { return 3 * x + bias[static_cast<std::size_t>(k)]; }));
        near(at({.scale = 3, .softcap = 2, .bias = bias}, logits), weights([&](double x, std::size_t, double k) {
                 return 2 * std::tanh(3 * x / 2) + bias[static_cast<std::size_t>(k)];
             }));
    });
}

// ---- sameness

TEST(MaskedSameness, AMaskThatHidesNothingChangesNoBit) {
    on_every_isa([](smx::isa) {
        for (const dtype type : all_dtypes) {
            for (const std::size_t n : {1u, 7u, 31u, 32u, 33u, 100u, 1000u, 5000u, 9000u}) {
                const std::vector<double> logits = make_row(family::normal_10, type, n, n);
                const auto keep = std::make_unique<bool[]>(n);
                std::fill_n(keep.get(), n, true);
                const guarded_memory from(span_view(type, n)), plain(span_view(type, n)), masked(span_view(type, n)),
                    causal(tensor_view(type, {1, n}));
                store_all(from.elements(), logits);
                const auto same = [&](auto t, bool log) {
                    using T = decltype(t);
                    const std::span<const T> in(static_cast<const T*>(from.elements().data), n);
                    const std::span<T> out(static_cast<T*>(plain.elements().data), n);
                    if (log) smx::log_softmax(in, out);
                    else smx::safe_softmax(in, out);
                };
                for (const bool log : {false, true}) {
                    if (type == dtype::f32) same(float{}, log);
                    else if (type == dtype::f64) same(double{}, log);
                    else if (type == dtype::f16) same(smx::float16{}, log);
                    else same(smx::bfloat16{}, log);
                    masked_call(log, from.elements(), std::span<const bool>(keep.get(), n), masked.elements(), {});
                    EXPECT_EQ(load_all_bits(masked.elements()), load_all_bits(plain.elements()))
                        << name_of(type) << " " << n;
                    masked_call(log, from.elements(), {}, masked.elements(),
                                {.causal = true, .causal_offset = static_cast<std::ptrdiff_t>(n) - 1});
                    EXPECT_EQ(load_all_bits(masked.elements()), load_all_bits(plain.elements()))
                        << name_of(type) << " " << n;
                }
            }
        }
    });
}

TEST(MaskedSameness, StridesAxesAndBroadcastingChangeNoBit) {
    on_every_isa([](smx::isa) {
        for (const dtype type : {dtype::f32, dtype::bf16}) {
            for (const mask_kind kind : {mask_kind::boolean, mask_kind::f32}) {
                generator g(5);
                const std::size_t n = 70;
                const std::vector<double> logits = make_row(family::normal_3, type, 2 * n, 3);
                const array mask(kind, {n},
                                 [&] { return is_added(kind) ? g.normal() : static_cast<double>(g.below(2)); });
                const std::vector<double> rows = masked_results(false, type, logits, mask.ref(), {}, {2, n});
                std::vector<double> turned(2 * n);
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t r = 0; r < 2; ++r) turned[2 * i + r] = logits[r * n + i];
                // {n, 2} with axis 0: the mask needs extents {n, 1}.
                const smx::array_ref m = mask.ref();
                const auto column = [&](auto t) -> smx::array_ref {
                    using T = decltype(t);
                    return smx::tensor_view<const T, 2>(static_cast<const T*>(m.data()), std::array{n, std::size_t(2)},
                                                        std::array{std::ptrdiff_t(1), std::ptrdiff_t(0)});
                };
                const std::vector<double> columns =
                    masked_results(false, type, turned, kind == mask_kind::boolean ? column(bool{}) : column(float{}),
                                   {.axis = 0}, {n, 2});
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t r = 0; r < 2; ++r) EXPECT_EQ(columns[2 * i + r], rows[r * n + i]) << i;
                // Backwards in memory, every third element.
                const guarded_memory from(tensor_view(type, {2, n}, {400, -3})),
                    to(tensor_view(type, {2, n}, {-500, 2}));
                store_all(from.elements(), logits);
                masked_call(false, from.elements(), mask.ref(), to.elements(), {});
                EXPECT_EQ(load_all(to.elements()), rows);
                EXPECT_EQ(to.damage(), "");
            }
        }
    });
}

// ---- errors

/// What is given in 16 bits counts as its values do in float; and so does a number for each row in double, which does not decide on the
/// arithmetic.
TEST(MaskedSameness, TypesOfWhatIsAddedAndOfNumbersForRows) {
    constexpr std::size_t rows = 4, n = 70;
    const std::vector<double> logits = make_row(family::normal_3, dtype::f32, rows * n, base_seed());
    const std::vector<float> x(logits.begin(), logits.end());
    const auto of = [&](const smx::masked_options& o) {
        std::vector<float> out(rows * n), log(rows * n);
        const smx::tensor_view<const float, 2> in(x.data(), {rows, n});
        smx::masked_softmax(in, smx::tensor_view<float, 2>(out.data(), {rows, n}), o);
        smx::masked_log_softmax(in, smx::tensor_view<float, 2>(log.data(), {rows, n}), o);
        out.insert(out.end(), log.begin(), log.end());
        return out;
    };
    std::vector<float> added(n);
    for (std::size_t i = 0; i < n; ++i) added[i] = static_cast<float>(static_cast<int>(i % 19) - 9) / 4;
    const std::vector<float> each{0.5f, -1.25f, 2, 0.125f}, positive{0.5f, 1.25f, 2, 0.125f};
    const std::vector<float> bias = of({.bias = added}), sink = of({.sink = each}), slope = of({.alibi_slope = each}),
                             temperature = of({.temperature = positive});
    const auto check = [&]<class T>(T) {
        const auto as = [](const std::vector<float>& values) {
            std::vector<T> all;
            for (const float v : values) all.push_back(T(v));
            return all;
        };
        const std::vector<T> each_as = as(each), positive_as = as(positive), added_as = as(added);
        EXPECT_EQ(of({.sink = each_as}), sink);
        EXPECT_EQ(of({.alibi_slope = each_as}), slope);
        EXPECT_EQ(of({.temperature = positive_as}), temperature);
        if constexpr (sizeof(T) == 2) {
            EXPECT_EQ(of({.bias = added_as}), bias);
        }
    };
    check(0.0);
    check(smx::float16(0.0f));
    check(smx::bfloat16(0.0f));
    const std::vector<float> plain = of({});
    for (const std::vector<float>* one : {&bias, &sink, &slope, &temperature}) EXPECT_NE(*one, plain);
}

/// Distances up to 2^22 are exact in float arithmetic, others take another path: which one, no other row decides.
TEST(MaskedSameness, ALiBiFarFromTheKeysOfOtherRows) {
    constexpr std::size_t rows = 40, n = 301;
    const std::vector<double> logits = make_row(family::normal_3, dtype::f32, rows * n, base_seed());
    const std::vector<float> x(logits.begin(), logits.end());
    for (const double slope : {1e-3, -0x1p-20}) {
        for (const std::ptrdiff_t offset :
             {(std::ptrdiff_t(1) << 22) - 20, -(std::ptrdiff_t(1) << 22) - 20, std::ptrdiff_t(1) << 24}) {
            std::vector<float> batch(x.size()), one(n);
            smx::masked_softmax(smx::tensor_view<const float, 2>(x.data(), {rows, n}),
                                smx::tensor_view<float, 2>(batch.data(), {rows, n}),
                                {.causal_offset = offset, .alibi_slope = slope});
            for (std::size_t r = 0; r < rows; ++r) {
                smx::masked_softmax(std::span(x).subspan(r * n, n), one,
                                    {.causal_offset = offset + static_cast<std::ptrdiff_t>(r), .alibi_slope = slope});
                for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(batch[r * n + i], one[i]) << offset << ' ' << r;
            }
        }
    }
}

TEST(MaskedErrors, NameFunctionArgumentAndValue) {
    std::vector<double> values(6, 1.0);
    const guarded_memory from(tensor_view(dtype::f32, {2, 3})), to(tensor_view(dtype::f32, {2, 3})),
        small(tensor_view(dtype::f32, {2, 2}));
    store_all(from.elements(), values);
    const std::vector<std::uint64_t> before = load_all_bits(to.elements());
    const auto text = [&](const smx::array_ref& mask, const smx::masked_options& o) {
        return error_of([&] { masked_call(false, from.elements(), mask, to.elements(), o); });
    };
    bool mask[6] = {};
    const std::string f = "smx::masked_softmax: ";
    EXPECT_EQ(text({}, {.axis = 2}), f + "options.axis is 2, but in has rank 2: -2 to 1 are allowed");
    EXPECT_EQ(text({}, {.scale = inf}), f + "options.scale is inf, but it must be finite");
    EXPECT_EQ(text({}, {.softcap = -1}), f + "options.softcap is -1, but it must be 0 or a positive number");
    EXPECT_EQ(text({}, {.lengths = 4}), f + "options.lengths has 4 at place 0, but 0 to 3 is allowed");
    EXPECT_EQ(text({}, {.lengths = -1}), f + "options.lengths has -1 at place 0, but 0 to 3 is allowed");
    EXPECT_EQ(text({}, {.lengths = 2.0}), f + "options.lengths must have integer elements");
    EXPECT_EQ(text({}, {.alibi_slope = inf}), f + "options.alibi_slope has inf at place 0, but it must be finite");
    EXPECT_EQ(text({}, {.temperature = 0.0}),
              f + "options.temperature has 0 at place 0, but it must be positive and finite");
    const double temperatures[] = {1, -2};
    EXPECT_EQ(text({}, {.temperature = temperatures}),
              f + "options.temperature has -2 at place 1, but it must be positive and finite");
    EXPECT_EQ(text(smx::tensor_view(mask, {2, 2}), {}),
              f + "extent 1 of mask is 2, but that of in is 3 there (1 is allowed, too)");
    EXPECT_EQ(text(smx::tensor_view(mask, {1, 2, 3}), {}), f + "mask has rank 3, but in only 2");
    const int wrong[6] = {};
    EXPECT_EQ(
        text(smx::tensor_view(wrong, {2, 3}), {}),
        f + "mask must have elements of bool, of an unsigned byte or of a floating type (it has integers of 4 bytes)");
    EXPECT_EQ(text({}, {.bias = smx::tensor_view(wrong, {2, 3})}),
              f + "options.bias must have floating elements, but they are integers");
    EXPECT_EQ(error_of([&] { masked_call(true, from.elements(), {}, small.elements(), {}); }),
              "smx::masked_log_softmax: extent 1 of out is 2, but that of in is 3");
    // The output over the mask.
    const float* p = static_cast<const float*>(to.elements().data);
    EXPECT_NE(text(smx::tensor_view(p, {2, 3}), {}).find("overlaps mask"), std::string::npos);
    EXPECT_NE(text({}, {.bias = smx::tensor_view(p + 1, {1, 3})}).find("overlaps options.bias"), std::string::npos);
    EXPECT_EQ(load_all_bits(to.elements()), before);
    EXPECT_EQ(text(smx::tensor_view(mask, {2, 3}), {}), nothing_thrown);
}

TEST(MaskedErrors, NoElementsAreNoError) {
    for (const auto& extents : {std::vector<std::size_t>{0, 3}, std::vector<std::size_t>{3, 0}}) {
        const guarded_memory from(tensor_view(dtype::f32, extents)), to(tensor_view(dtype::f32, extents));
        EXPECT_NO_THROW(masked_call(false, from.elements(), {}, to.elements(), {.causal = true}));
        EXPECT_EQ(to.damage(), "");
    }
}

}  // namespace
}  // namespace softmax_test
