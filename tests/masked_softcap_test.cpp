// SPDX-License-Identifier: BSL-1.0

// softcap: cap * tanh(logit / cap).

#include "instruction_sets.hpp"
#include "masked_reference.hpp"
#include "reference.hpp"
#include "rows.hpp"

#include <safe_softmax/masked_softmax.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

/// Rows of one type with a softcap, every third element masked out if `masked`: the worst error, in ulp of the output.
template <class In, class Out>
double worst_capped(std::size_t length, bool log, bool masked, const smx::masked_options& options, double sink,
                    dtype out_type) {
    generator g(length + masked);
    std::vector<In> x(length);
    std::unique_ptr<bool[]> keep(new bool[length]);
    masked_row row;
    row.scale = options.scale;
    row.softcap = options.softcap;
    if (options.sink) row.sink = sink;
    for (std::size_t i = 0; i < length; ++i) {
        x[i] = In(static_cast<float>(40 * g.normal()));
        keep[i] = !masked || i % 3 != 1;
        masked_logit l;
        l.x = static_cast<double>(static_cast<float>(x[i]));
        l.kept = keep[i];
        row.logits.push_back(l);
    }
    std::vector<Out> y(length);
    const std::span<const bool> mask(keep.get(), length);
    if (log && masked) smx::masked_log_softmax(x, mask, y, options);
    else if (log) smx::masked_log_softmax(x, y, options);
    else if (masked) smx::masked_softmax(x, mask, y, options);
    else smx::masked_softmax(x, y, options);
    const std::vector<long double> exact = masked_softmax_of(row, log);
    double worst = 0;
    for (std::size_t i = 0; i < length; ++i) {
        const double result = static_cast<double>(static_cast<float>(y[i]));
        if (!keep[i]) EXPECT_EQ(result, log ? -inf : 0) << i;
        else
            worst = std::max(worst, error_in_ulp(log ? function::log_softmax : function::softmax, dtype::f32, out_type,
                                                 result, exact[i]));
    }
    return worst;
}

TEST(MaskedSoftcap, RightInRowsOfEveryLength) {
    on_every_isa([](smx::isa) {
        const double sink = 17.5;
        smx::masked_options with_sink{.scale = 0.3, .softcap = 30};
        with_sink.sink = sink;
        const smx::masked_options all_options[] = {{.softcap = 30}, {.scale = -0.7, .softcap = 5}, with_sink};
        for (const std::size_t length : {1u, 7u, 8u, 9u, 100u, 2048u, 2049u, 6145u, 70001u}) {
            for (const bool log : {false, true}) {
                for (const bool masked : {false, true}) {
                    SCOPED_TRACE(std::to_string(length) + (log ? ", log" : "") + (masked ? ", masked" : ""));
                    const function f = log ? function::log_softmax : function::softmax;
                    for (const smx::masked_options& options : all_options) {
                        if (length > 10000 && (!masked || &options != all_options)) continue;
                        EXPECT_LE((worst_capped<float, float>(length, log, masked, options, sink, dtype::f32)),
                                  documented_bound(f, dtype::f32));
                        if (length > 10000) continue;
                        EXPECT_LE(
                            (worst_capped<smx::float16, smx::float16>(length, log, masked, options, sink, dtype::f16)),
                            documented_bound(f, dtype::f16));
                        EXPECT_LE((worst_capped<float, smx::bfloat16>(length, log, masked, options, sink, dtype::bf16)),
                                  documented_bound(f, dtype::bf16));
                    }
                }
            }
        }
    });
}

TEST(MaskedSoftcap, NumbersOfAnySizeMayCancel) {
    const float x[] = {1, 2, 3, 4}, bias[] = {1e30f, 1e30f, 1e30f, 1e30f}, mask[] = {-1e30f, -1e30f, -1e30f, -1e30f};
    float expected[4], actual[4];
    smx::masked_softmax(x, expected, {.softcap = 10});
    smx::masked_softmax(x, mask, actual, {.softcap = 10, .bias = bias});
    for (int i = 0; i < 4; ++i) EXPECT_EQ(actual[i], expected[i]) << i;
    smx::masked_softmax(x, mask, actual, {.softcap = 10});
    for (int i = 0; i < 4; ++i) EXPECT_EQ(actual[i], expected[i]) << i;
}

TEST(MaskedSoftcap, ASmallOneMakesAllLogitsEqual) {
    for (const double cap : {5e-324, 1e-310, 1e-308, 1e-300}) {
        const float x[] = {0, 1, -2, 3}, spread[] = {0, 3e38f, -3e38f, 1};
        float y[4];
        for (const auto& row : {x, spread}) {
            smx::masked_softmax(std::span<const float>(row, 4), y, {.softcap = cap});
            for (const float p : y) EXPECT_EQ(p, 0.25f) << cap;
        }
        const double wide[] = {0, 1, -2, 1e308};
        double z[4];
        smx::masked_softmax(wide, z, {.softcap = cap});
        for (const double p : z) EXPECT_EQ(p, 0.25) << cap;
    }
}

}  // namespace
}  // namespace softmax_test
