// SPDX-License-Identifier: BSL-1.0

// float16 and bfloat16: every bit pattern, every boundary between two neighbours, in the types and in the kernels.

#include "conversion_oracle.hpp"
#include "memory.hpp"
#include "rows.hpp"
#include "subjects.hpp"

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace softmax_test {
namespace {

template <class T>
constexpr dtype dtype_of = std::is_same_v<T, smx::float16> ? dtype::f16 : dtype::bf16;

template <class T>
class Conversion : public testing::Test {
protected:
    const conversion_oracle oracle{dtype_of<T>};
    static constexpr int dropped_bits = dtype_of<T> == dtype::f16 ? 13 : 16;  // of a float's fraction
    static constexpr std::uint16_t infinity = dtype_of<T> == dtype::f16 ? 0x7c00 : 0x7f80;
    static constexpr std::uint16_t quiet_bit = dtype_of<T> == dtype::f16 ? 0x0200 : 0x0040;

    static bool nan_bits(std::uint16_t bits) { return (bits & 0x7fff) > infinity; }

    /// The float or double in the middle between neighbours, and just beside it.
    template <class A>
    std::vector<A> boundaries() const {
        std::vector<A> values;
        const std::vector<double>& magnitudes = oracle.magnitudes();
        for (std::size_t i = 0; i + 1 < magnitudes.size(); ++i) {
            const A exact = static_cast<A>(magnitudes[i]),
                    middle = static_cast<A>((magnitudes[i] + magnitudes[i + 1]) / 2);
            constexpr A high = std::numeric_limits<A>::infinity(), low = -high;
            for (const A value : {exact, middle}) {
                for (const A near : {std::nextafter(value, low), value, std::nextafter(value, high)}) {
                    values.push_back(near);
                    values.push_back(-near);
                }
            }
        }
        values.insert(values.end(), {std::numeric_limits<A>::max(), std::numeric_limits<A>::lowest(),
                                     std::numeric_limits<A>::infinity(), -std::numeric_limits<A>::infinity()});
        return values;
    }
};

using types = testing::Types<smx::float16, smx::bfloat16>;
TYPED_TEST_SUITE(Conversion, types, );

TYPED_TEST(Conversion, EveryBitPatternToFloatAndDoubleIsExact) {
    for (std::uint32_t b = 0; b <= 0xffff; ++b) {
        const std::uint16_t bits = static_cast<std::uint16_t>(b);
        const TypeParam value = TypeParam::from_bits(bits);
        ASSERT_EQ(value.bits(), bits);
        const float as_float = static_cast<float>(value);
        if (this->nan_bits(bits)) {
            const std::uint32_t sign = (b & 0x8000u) << 16, payload = (b & (this->quiet_bit * 2u - 1u))
                                                                      << this->dropped_bits;
            ASSERT_EQ(std::bit_cast<std::uint32_t>(as_float), sign | 0x7fc00000u | payload) << std::hex << b;
            ASSERT_TRUE(is_nan(static_cast<double>(value))) << std::hex << b;
            continue;
        }
        const double expected = this->oracle.value_of(bits);
        ASSERT_EQ(static_cast<double>(as_float), expected) << std::hex << b;
        ASSERT_EQ(static_cast<double>(value), expected) << std::hex << b;
        ASSERT_EQ(std::signbit(as_float), (b & 0x8000u) != 0) << std::hex << b;
    }
}

TYPED_TEST(Conversion, EveryBitPatternComesBack) {
    for (std::uint32_t b = 0; b <= 0xffff; ++b) {
        const std::uint16_t bits = static_cast<std::uint16_t>(b);
        const TypeParam value = TypeParam::from_bits(bits);
        const std::uint16_t expected = this->nan_bits(bits) ? static_cast<std::uint16_t>(bits | this->quiet_bit) : bits;
        ASSERT_EQ(TypeParam(static_cast<float>(value)).bits(), expected);
        ASSERT_EQ(TypeParam(static_cast<double>(value)).bits(), expected);
    }
}

TYPED_TEST(Conversion, FloatsAtEveryBoundaryAreRoundedToNearestEven) {
    for (const float value : this->template boundaries<float>()) {
        ASSERT_EQ(TypeParam(value).bits(), this->oracle.nearest(static_cast<double>(value))) << std::hexfloat << value;
    }
}

TYPED_TEST(Conversion, DoublesAtEveryBoundaryAreRoundedOnce) {
    for (const double value : this->template boundaries<double>()) {
        ASSERT_EQ(TypeParam(value).bits(), this->oracle.nearest(value)) << std::hexfloat << value;
    }
}

TYPED_TEST(Conversion, RandomDoublesAreRoundedOnce) {
    generator random(base_seed());
    for (int i = 0; i < 1000000; ++i) {
        const double value = std::ldexp(random.uniform(-2, 2), static_cast<int>(random.below(300)) - 150);
        ASSERT_EQ(TypeParam(value).bits(), this->oracle.nearest(value)) << std::hexfloat << value;
    }
}

// Every step-th float of either sign, NaN included.
template <class T>
void sweep(const conversion_oracle& oracle, std::uint32_t step, std::uint16_t infinity, std::uint16_t quiet_bit,
           int dropped) {
    std::size_t position = 0;
    for (std::uint64_t b = 0; b < 0x80000000u; b += step) {
        const std::uint32_t bits = static_cast<std::uint32_t>(b);
        const float value = std::bit_cast<float>(bits);
        std::uint16_t expected = 0;
        if (bits <= 0x7f800000u) expected = oracle.nearest_ascending(static_cast<double>(value), position);
        else expected = static_cast<std::uint16_t>(infinity | quiet_bit | ((bits >> dropped) & (quiet_bit * 2u - 1u)));
        const std::uint16_t negative = static_cast<std::uint16_t>(expected | 0x8000u);
        const std::uint16_t plus = T(value).bits(), minus = T(std::bit_cast<float>(bits | 0x80000000u)).bits();
        if (plus != expected || minus != negative) {
            FAIL() << "bits " << std::hex << bits << ": " << plus << " and " << minus << " instead of " << expected;
        }
    }
}

TYPED_TEST(Conversion, FloatsFromAllOverTheRange) {
    sweep<TypeParam>(this->oracle, 641, this->infinity, this->quiet_bit, this->dropped_bits);
}

TYPED_TEST(Conversion, ExhaustiveEveryFloat) {
    sweep<TypeParam>(this->oracle, 1, this->infinity, this->quiet_bit, this->dropped_bits);
}

/// logsumexp of rows of one element is the element: along the first axis of {1, n}, along the last of {n, 1}.
std::vector<std::uint64_t> through_kernel(const subject& s, dtype in, dtype out, const std::vector<double>& values,
                                          bool columns) {
    const std::size_t n = values.size();
    const guarded_memory from(columns ? tensor_view(in, {1, n}) : tensor_view(in, {n, 1})), to(tensor_view(out, {n}));
    store_all(from.elements(), values);
    s.out_of_place(function::logsumexp, from.elements(), to.elements(), {.axis = columns ? 0 : 1});
    return load_all_bits(to.elements());
}

TYPED_TEST(Conversion, EveryBitPatternThroughTheKernels) {
    constexpr dtype type = dtype_of<TypeParam>;
    const guarded_memory patterns(tensor_view(type, {1, 0x10000}));
    auto* const data = static_cast<std::uint16_t*>(patterns.elements().data);
    for (std::uint32_t b = 0; b <= 0xffff; ++b) data[b] = static_cast<std::uint16_t>(b);
    for (const std::ptrdiff_t axis : {0, 1}) {
        for (const dtype out : all_dtypes) {
            for (const subject* s : runnable_subjects(type, out)) {
                view in = patterns.elements();
                if (axis == 1) in.extents[0] = 0x10000, in.extents[1] = 1, in.strides[0] = 1;
                const guarded_memory to(tensor_view(out, {0x10000}));
                s->out_of_place(function::logsumexp, in, to.elements(), {.axis = axis});
                const std::vector<double> result = load_all(to.elements());
                for (std::uint32_t b = 0; b <= 0xffff; ++b) {
                    const std::uint16_t bits = static_cast<std::uint16_t>(b);
                    double expected = 0;
                    store(out, &expected, 0, this->oracle.value_of(bits));
                    if (this->nan_bits(bits)) ASSERT_TRUE(is_nan(result[b])) << s->name << std::hex << " " << b;
                    else
                        ASSERT_EQ(result[b], load(out, &expected, 0))
                            << s->name << std::hex << " " << b << " axis " << axis;
                }
            }
        }
    }
}

TYPED_TEST(Conversion, FloatsAtEveryBoundaryThroughTheKernels) {
    std::vector<double> values;
    for (const float value : this->template boundaries<float>()) values.push_back(static_cast<double>(value));
    for (const subject* s : runnable_subjects(dtype::f32, dtype_of<TypeParam>)) {
        for (const bool columns : {false, true}) {
            const std::vector<std::uint64_t> result =
                through_kernel(*s, dtype::f32, dtype_of<TypeParam>, values, columns);
            for (std::size_t i = 0; i < values.size(); ++i) {
                const std::uint16_t expected = this->oracle.nearest(values[i]);
                if ((expected & 0x7fff) == 0) ASSERT_EQ(result[i] & 0x7fff, 0u) << s->name << " " << values[i];
                else ASSERT_EQ(result[i], expected) << s->name << " " << std::hexfloat << values[i];
            }
        }
    }
}

}  // namespace
}  // namespace softmax_test
