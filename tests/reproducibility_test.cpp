// SPDX-License-Identifier: BSL-1.0

// The result for a row depends on its values, its length, its types and the options, and on nothing else: same bits.

#include "memory.hpp"
#include "rows.hpp"
#include "subjects.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

namespace softmax_test {
namespace {

using bits = std::vector<std::uint64_t>;

constexpr std::size_t lengths[] = {1,  2,  3,  4,  5,   7,   8,   9,   15,  16,  17,  31,  32,  33,   47,   63,
                                   64, 65, 96, 97, 127, 128, 129, 130, 197, 255, 256, 257, 511, 1000, 4096, 5003};

class Reproducibility : public testing::TestWithParam<std::tuple<dtype, dtype>> {
protected:
    dtype in() const { return std::get<0>(GetParam()); }
    dtype out() const { return std::get<1>(GetParam()); }

    std::vector<double> logits(family kind, std::size_t n) const { return make_row(kind, in(), n, base_seed()); }

    bits contiguous(const subject& s, function f, const std::vector<double>& row,
                    const smx::softmax_options& options = {}, std::size_t in_misalignment = 0,
                    std::size_t out_misalignment = 0) const {
        const guarded_memory from(span_view(in(), row.size()), in_misalignment);
        const guarded_memory to(f == function::logsumexp ? tensor_view(out(), {1}) : span_view(out(), row.size()),
                                out_misalignment);
        store_all(from.elements(), row);
        view source = from.elements();
        if (f == function::logsumexp) source.kind = view_kind::tensor;
        s.out_of_place(f, source, to.elements(), options);
        return load_all_bits(to.elements());
    }
};

INSTANTIATE_TEST_SUITE_P(Types, Reproducibility,
                         testing::Combine(testing::ValuesIn(all_dtypes), testing::ValuesIn(all_dtypes)),
                         [](const auto& types) {
                             return std::string(name_of(std::get<0>(types.param))) + "_to_" +
                                    name_of(std::get<1>(types.param));
                         });

constexpr function all_functions[] = {function::softmax, function::log_softmax, function::logsumexp};

std::string at(const subject& s, function f, std::size_t n) {
    return std::string(s.name) + " " + name_of(f) + " n " + std::to_string(n);
}

TEST_P(Reproducibility, EveryBuildWithFusedMultiplyAddGivesTheSameBits) {
    const subject* first = nullptr;
    for (const subject* s : runnable_subjects(in(), out())) {
        if (s->fused && first == nullptr) first = s;
    }
    ASSERT_NE(first, nullptr) << "no build with fused multiply-add runs on this processor";
    for (const subject* s : runnable_subjects(in(), out())) {
        if (!s->fused || s == first) continue;
        for (const function f : all_functions) {
            for (const family kind : all_families) {
                for (std::size_t n = 1; n <= 300; n += n < 140 ? 1 : 13) {
                    const std::vector<double> row = logits(kind, n);
                    const smx::softmax_options options{.scale = n % 2 == 0 ? 1 : 0.7};
                    ASSERT_EQ(contiguous(*s, f, row, options), contiguous(*first, f, row, options))
                        << at(*s, f, n) << " family " << name_of(kind) << ", against " << first->name;
                }
            }
            for (const std::size_t n : {1000u, 4097u, 32000u, 262147u}) {
                const std::vector<double> row = logits(family::normal_10, n);
                ASSERT_TRUE(contiguous(*s, f, row) == contiguous(*first, f, row))
                    << at(*s, f, n) << ", against " << first->name;
            }
        }
    }
}

TEST_P(Reproducibility, ANaNHasTheSameBitsEverywhere) {
    const bits expected = contiguous(*runnable_subjects(in(), out()).front(), function::softmax,
                                     {std::numeric_limits<double>::quiet_NaN()});
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const function f : all_functions) {
            for (const std::size_t n : {1u, 2u, 9u, 24u, 25u, 40u, 49u, 64u, 300u, 5000u}) {
                for (const double sign : {1.0, -1.0}) {
                    std::vector<double> row = logits(family::normal_3, n);
                    row[n / 2] = std::copysign(std::numeric_limits<double>::quiet_NaN(), sign);
                    EXPECT_EQ(contiguous(*s, f, row), bits(f == function::logsumexp ? 1 : n, expected[0]))
                        << at(*s, f, n);
                }
            }
        }
    }
}

TEST_P(Reproducibility, MisalignmentChangesNothing) {
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const function f : all_functions) {
            for (const std::size_t n : {1u, 5u, 16u, 33u, 64u, 131u, 1000u, 4099u}) {
                const std::vector<double> row = logits(family::normal_10, n);
                const bits expected = contiguous(*s, f, row);
                for (std::size_t shift = 1; shift < 33; shift += shift < 8 ? 1 : 5) {
                    ASSERT_EQ(contiguous(*s, f, row, {}, shift, 0), expected)
                        << at(*s, f, n) << " in shifted by " << shift;
                    ASSERT_EQ(contiguous(*s, f, row, {}, 0, shift), expected)
                        << at(*s, f, n) << " out shifted by " << shift;
                    ASSERT_EQ(contiguous(*s, f, row, {}, shift, 33 - shift), expected)
                        << at(*s, f, n) << " both, " << shift;
                }
            }
        }
    }
}

TEST_P(Reproducibility, StridesChangeNothing) {
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const function f : {function::softmax, function::log_softmax}) {
            for (const std::size_t n : lengths) {
                const std::vector<double> row = logits(family::normal_10, n);
                const bits expected = contiguous(*s, f, row);
                for (const std::ptrdiff_t in_stride : {1, 2, 3, -1, -3, 37}) {
                    for (const std::ptrdiff_t out_stride : {1, 2, -1, -3}) {
                        const guarded_memory from(strided_view(in(), n, in_stride));
                        const guarded_memory to(strided_view(out(), n, out_stride));
                        store_all(from.elements(), row);
                        s->out_of_place(f, from.elements(), to.elements(), {});
                        ASSERT_EQ(load_all_bits(to.elements()), expected)
                            << at(*s, f, n) << " strides " << in_stride << ", " << out_stride;
                    }
                }
            }
        }
    }
}

TEST_P(Reproducibility, ABroadcastElementIsARowOfEqualElements) {
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const function f : {function::softmax, function::log_softmax}) {
            for (const std::size_t n : lengths) {
                const guarded_memory from(strided_view(in(), n, 0)), to(strided_view(out(), n, 1));
                store_all(from.elements(), std::vector<double>(n, 1.25));
                s->out_of_place(f, from.elements(), to.elements(), {});
                ASSERT_EQ(load_all_bits(to.elements()), contiguous(*s, f, std::vector<double>(n, 1.25)))
                    << at(*s, f, n);
            }
        }
    }
}

TEST_P(Reproducibility, InPlaceIsOutOfPlace) {
    if (in() != out()) return;  // there is no in-place call with two types
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const function f : {function::softmax, function::log_softmax}) {
            for (const std::size_t n : lengths) {
                const std::vector<double> row = logits(family::normal_10, n);
                const bits expected = contiguous(*s, f, row);
                for (const std::ptrdiff_t stride : {0, 1, 2, -3}) {  // 0: as a span
                    const guarded_memory inout(stride == 0 ? span_view(in(), n) : strided_view(in(), n, stride));
                    store_all(inout.elements(), row);
                    s->in_place(f, inout.elements(), {});
                    ASSERT_EQ(load_all_bits(inout.elements()), expected) << at(*s, f, n) << " stride " << stride;
                    store_all(inout.elements(), row);
                    s->out_of_place(f, inout.elements(), inout.elements(), {});
                    ASSERT_EQ(load_all_bits(inout.elements()), expected)
                        << at(*s, f, n) << " both arguments, stride " << stride;
                }
            }
        }
    }
}

// Past 65536 elements the sum is that of several segments.
TEST_P(Reproducibility, LongRowsHaveTheSameBitsHoweverTheyLie) {
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const std::size_t n : {65537u, 200001u}) {
            const std::vector<double> row = logits(family::normal_3, n);
            constexpr std::size_t columns = 5;
            std::vector<double> transposed(n * columns);
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < columns; ++j) transposed[i * columns + j] = row[i] + (j == 2 ? 0 : 1);
            for (const function f : all_functions) {
                const bits expected = contiguous(*s, f, row);
                const std::size_t results = expected.size();
                const guarded_memory from(softmax_test::tensor_view(in(), {n, columns}));
                const guarded_memory to(softmax_test::tensor_view(out(), {results, columns}));
                store_all(from.elements(), transposed);
                s->out_of_place(f, from.elements(), to.elements(), {.axis = 0});
                ASSERT_TRUE(load_all_bits(row_of(to.elements(), 0, {0, 2})) == expected)
                    << at(*s, f, n) << " as a column";
                if (f == function::logsumexp) continue;
                const guarded_memory stepped(strided_view(in(), n, -2)), stepped_out(strided_view(out(), n, 3));
                store_all(stepped.elements(), row);
                s->out_of_place(f, stepped.elements(), stepped_out.elements(), {});
                ASSERT_TRUE(load_all_bits(stepped_out.elements()) == expected) << at(*s, f, n) << " with strides";
                if (in() != out()) continue;
                const guarded_memory inout(span_view(in(), n));
                store_all(inout.elements(), row);
                s->in_place(f, inout.elements(), {});
                ASSERT_TRUE(load_all_bits(inout.elements()) == expected) << at(*s, f, n) << " in place";
            }
        }
    }
}

TEST_P(Reproducibility, TheReturnedLogsumexpIsTheWrittenOne) {
    if (in() != out()) return;  // what is returned has the type of the input
    for (const subject* s : runnable_subjects(in(), out())) {
        for (const std::size_t n : lengths) {
            const std::vector<double> row = logits(family::normal_10, n);
            const bits expected = contiguous(*s, function::logsumexp, row);
            for (const std::ptrdiff_t stride : {0, 1, 2, -3}) {
                const guarded_memory from(stride == 0 ? span_view(in(), n) : strided_view(in(), n, stride));
                store_all(from.elements(), row);
                std::byte result[8];
                s->returned_logsumexp(from.elements(), result, {});
                EXPECT_EQ(load_bits(in(), result, 0), expected[0])
                    << at(*s, function::logsumexp, n) << " stride " << stride;
            }
        }
    }
}

}  // namespace
}  // namespace softmax_test
