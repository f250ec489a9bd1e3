// SPDX-License-Identifier: BSL-1.0

// What can be handed over: containers, spans, strided views, tensors, everything shaped like std::mdspan, in any mix.

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace {

// The members of std::mdspan<T, std::dextents<int, Rank>, std::layout_stride> that describe its shape.
template <class T, std::size_t Rank>
class mdspan_shaped {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using index_type = int;
    using size_type = unsigned;
    using rank_type = std::size_t;
    using data_handle_type = T*;
    using reference = T&;

    mdspan_shaped(T* data, std::array<int, Rank> extents, std::array<int, Rank> strides)
        : data_(data), extents_(extents), strides_(strides) {}

    static constexpr rank_type rank() noexcept { return Rank; }
    constexpr index_type extent(rank_type axis) const { return extents_[axis]; }
    constexpr index_type stride(rank_type axis) const { return strides_[axis]; }
    constexpr size_type size() const { return 0; }  // a member that std::mdspan has, too; not the way to its elements
    constexpr bool empty() const { return size() == 0; }
    constexpr data_handle_type const& data_handle() const { return data_; }
    static constexpr bool is_always_strided() { return true; }
    constexpr bool is_strided() const { return true; }

private:
    T* data_;
    std::array<int, Rank> extents_, strides_;
};

struct foreign_half {
    std::uint16_t bits;
};
struct foreign_bfloat {
    std::uint16_t bits;
};

}  // namespace

template <>
inline constexpr smx::element_format smx::format_of<foreign_half> = smx::element_format::binary16;
template <>
inline constexpr smx::element_format smx::format_of<foreign_bfloat> = smx::element_format::bfloat16;

namespace {

constexpr float e0 = 0.09003057f, e1 = 0.24472848f, e2 = 0.66524094f;  // softmax of {0, 1, 2}

void expect_softmax(std::span<const float> result) {
    ASSERT_EQ(result.size(), 3u);
    EXPECT_FLOAT_EQ(result[0], e0);
    EXPECT_FLOAT_EQ(result[1], e1);
    EXPECT_FLOAT_EQ(result[2], e2);
}

TEST(Interface, ContiguousRanges) {
    const std::vector<float> vector = {0, 1, 2};
    const std::array<double, 3> array = {0, 1, 2};
    const float c_array[3] = {0, 1, 2};
    std::vector<float> out(3);
    smx::safe_softmax(vector, out);
    expect_softmax(out);

    std::array<float, 3> out_array{};
    smx::safe_softmax(array, out_array);
    expect_softmax(out_array);

    float out_c_array[3] = {};
    smx::safe_softmax(c_array, out_c_array);
    expect_softmax(out_c_array);

    out.assign(3, 0);
    smx::safe_softmax(std::span<const float, 3>(c_array), std::span<float>(out));
    expect_softmax(out);
}

TEST(Interface, InPlace) {
    std::vector<float> vector = {0, 1, 2};
    smx::safe_softmax(vector);
    expect_softmax(vector);
    float c_array[] = {2, 1, 0};
    smx::safe_softmax(c_array, {.scale = -1});  // {-2, -1, 0}
    expect_softmax(c_array);
    std::array<float, 3> array = {0, 1, 2};
    smx::safe_softmax(std::span<float>(array));
    expect_softmax(array);
    std::vector<double> logs = {5, 5};
    smx::log_softmax(logs);
    EXPECT_DOUBLE_EQ(logs[0], -0.6931471805599453);
}

TEST(Interface, StridedSpansMixWithRanges) {
    const float interleaved[] = {0, -9, 1, -9, 2, -9};
    std::vector<float> out(3);
    smx::safe_softmax(smx::strided_span<const float>(interleaved, 3, 2), out);
    expect_softmax(out);
    float backwards[] = {9, 9, 9};
    smx::safe_softmax(std::vector<float>{0, 1, 2}, smx::strided_span<float>(backwards + 2, 3, -1));
    EXPECT_FLOAT_EQ(backwards[0], e2);
    EXPECT_FLOAT_EQ(backwards[2], e0);
}

TEST(Interface, TensorsOfAnyRank) {
    const std::vector<float> logits = {0, 1, 2, 0, 1, 2};
    std::vector<float> out(6);
    smx::safe_softmax(smx::tensor_view(logits.data(), {2, 3}), smx::tensor_view(out.data(), {2, 3}));
    expect_softmax(std::span(out).first(3));
    expect_softmax(std::span(out).last(3));
    out.assign(6, 0);
    smx::safe_softmax(smx::tensor_view(logits.data(), {1, 1, 2, 3, 1}), smx::tensor_view(out.data(), {1, 1, 2, 3, 1}),
                      {.axis = 3});
    expect_softmax(std::span(out).last(3));
    out.assign(6, 0);
    smx::safe_softmax(smx::tensor_view(logits.data(), {6}), smx::tensor_view(out.data(), {6}));
    EXPECT_FLOAT_EQ(out[5], e2 / 2);
}

TEST(Interface, TypesShapedLikeMdspan) {
    std::vector<float> logits = {0, 0, 1, 1, 2, 2};  // 3 x 2, rows along axis 0
    std::vector<double> out(6);
    const mdspan_shaped<const float, 2> in(logits.data(), {3, 2}, {2, 1});
    smx::safe_softmax(in, mdspan_shaped<double, 2>(out.data(), {3, 2}, {1, 3}), {.axis = 0});
    EXPECT_FLOAT_EQ(static_cast<float>(out[0]), e0);
    EXPECT_FLOAT_EQ(static_cast<float>(out[5]), e2);
    smx::log_softmax(in, smx::tensor_view<double, 2>(out.data(), {3, 2}), {.axis = 0});
    EXPECT_DOUBLE_EQ(out[4], -0.4076059644443803);
    smx::safe_softmax(mdspan_shaped<float, 2>(logits.data(), {3, 2}, {2, 1}), {.axis = 0});
    EXPECT_FLOAT_EQ(logits[4], e2);
    std::vector<float> one_row = {0, 1, 2}, result(3);
    smx::safe_softmax(mdspan_shaped<float, 1>(one_row.data(), {3}, {1}), result);
    expect_softmax(result);
}

TEST(Interface, LogsumexpReturnsTheTypeOfItsInput) {
    constexpr float expected = 2.407606f;
    const std::vector<float> floats = {0, 1, 2};
    const std::array<double, 3> doubles = {0, 1, 2};
    const smx::float16 halves[] = {smx::float16(0), smx::float16(1), smx::float16(2)};
    static_assert(std::is_same_v<decltype(smx::logsumexp(floats)), float>);
    static_assert(std::is_same_v<decltype(smx::logsumexp(doubles)), double>);
    static_assert(std::is_same_v<decltype(smx::logsumexp(halves)), smx::float16>);
    EXPECT_FLOAT_EQ(smx::logsumexp(floats), expected);
    EXPECT_DOUBLE_EQ(smx::logsumexp(doubles), 2.40760596444438);
    EXPECT_EQ(smx::logsumexp(halves).bits(), smx::float16(expected).bits());
    EXPECT_FLOAT_EQ(smx::logsumexp(smx::strided_span<const float>(floats.data() + 2, 3, -1)), expected);
    EXPECT_FLOAT_EQ(smx::logsumexp(floats, {.scale = 0}), 1.0986123f);
}

TEST(Interface, LogsumexpOfATensor) {
    const std::vector<float> logits = {0, 1, 2, 2, 1, 0};
    std::vector<smx::bfloat16> out(2);
    const smx::tensor_view<const float, 2> in(logits.data(), {2, 3});
    smx::logsumexp(in, out);
    EXPECT_EQ(out[0].bits(), smx::bfloat16(2.407606f).bits());
    EXPECT_EQ(out[1].bits(), out[0].bits());
    std::vector<double> kept(3);
    smx::logsumexp(in, smx::tensor_view(kept.data(), {1, 3}), {.axis = 0});
    EXPECT_DOUBLE_EQ(kept[1], 1.6931471805599454);
}

template <class T>
T from_bits(std::uint16_t bits) {
    return std::bit_cast<T>(bits);
}

template <class T, class Own>
void expect_like_own_type() {
    std::vector<T> logits(40);
    std::vector<Own> own(40);
    for (std::size_t i = 0; i < 40; ++i) {
        own[i] = Own(static_cast<float>(i % 7));
        logits[i] = from_bits<T>(own[i].bits());
    }
    std::vector<T> out(40);
    std::vector<Own> expected(40);
    smx::safe_softmax(logits, out, {.scale = 0.5});
    smx::safe_softmax(own, expected, {.scale = 0.5});
    for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(std::bit_cast<std::uint16_t>(out[i]), expected[i].bits()) << i;

    std::vector<float> wide(40), expected_wide(40);
    smx::log_softmax(logits, wide);
    smx::log_softmax(own, expected_wide);
    EXPECT_EQ(wide, expected_wide);

    const T sum = smx::logsumexp(logits);
    EXPECT_EQ(std::bit_cast<std::uint16_t>(sum), smx::logsumexp(own).bits());
    smx::safe_softmax(logits, {.scale = 0.5});
    for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(std::bit_cast<std::uint16_t>(logits[i]), expected[i].bits()) << i;
}

TEST(Interface, ForeignTypesTakePartOnceRegistered) {
    expect_like_own_type<foreign_half, smx::float16>();
    expect_like_own_type<foreign_bfloat, smx::bfloat16>();
}

// The compiler's own type, where smx registers one: __FLT16_MAX__ alone does not say that (clang 14 has it on x86 without
// a _Float16 to go with it).
#if defined(__FLT16_MAX__) && defined(__SSE2__) && (!defined(__clang__) || __clang_major__ >= 15)
TEST(Interface, Float16OfTheCompilerIsRegistered) { expect_like_own_type<_Float16, smx::float16>(); }
#endif
#if defined(__BFLT16_MAX__)
TEST(Interface, Bfloat16OfTheCompilerIsRegistered) { expect_like_own_type<__bf16, smx::bfloat16>(); }
#endif

// What is refused at compile time.
template <class... A>
concept safe_softmax_takes = requires(A&&... a) { smx::safe_softmax(std::forward<A>(a)...); };
template <class... A>
concept log_softmax_takes = requires(A&&... a) { smx::log_softmax(std::forward<A>(a)...); };
template <class... A>
concept logsumexp_takes = requires(A&&... a) { smx::logsumexp(std::forward<A>(a)...); };

template <class... A>
constexpr bool elementwise_take = safe_softmax_takes<A...> && log_softmax_takes<A...>;
template <class... A>
constexpr bool elementwise_refuse = !safe_softmax_takes<A...> && !log_softmax_takes<A...>;

using floats = std::vector<float>;
template <class T, std::size_t Rank>
using tensor = smx::tensor_view<T, Rank>;

static_assert(elementwise_take<const floats&, floats&>);
static_assert(elementwise_take<floats&> && elementwise_take<floats&, smx::softmax_options>);
static_assert(elementwise_take<tensor<const double, 4>, tensor<smx::bfloat16, 4>, smx::softmax_options>);

static_assert(elementwise_refuse<const std::vector<int>&, floats&>, "elements that are no logits");
static_assert(elementwise_refuse<const floats&, std::vector<int>&>, "elements that are no probabilities");
static_assert(elementwise_refuse<const floats&, std::vector<std::uint16_t>&>, "16 bits of unknown meaning");
static_assert(elementwise_refuse<const std::vector<long double>&, floats&>, "no kernel for it");
static_assert(elementwise_refuse<const std::vector<bool>&, floats&>, "elements that do not lie next to each other");
static_assert(elementwise_refuse<const floats&, const floats&>, "an output that cannot be written");
static_assert(elementwise_refuse<const floats&> && elementwise_refuse<std::span<const float>>, "the same in place");
static_assert(elementwise_refuse<const floats&, floats>, "an output that dies at once");
static_assert(elementwise_refuse<const floats&, std::span<const float>>, "an output that cannot be written");
static_assert(elementwise_refuse<tensor<float, 2>, tensor<float, 3>>, "ranks that differ");
static_assert(elementwise_refuse<tensor<float, 2>, floats&>, "ranks that differ");
static_assert(elementwise_refuse<const float*, float*>, "pointers without a length");
static_assert(elementwise_refuse<tensor<const float, 2>, tensor<const float, 2>>, "an output that cannot be written");

static_assert(logsumexp_takes<const floats&> && logsumexp_takes<tensor<float, 3>, tensor<float, 2>>);
static_assert(logsumexp_takes<tensor<float, 3>, tensor<double, 3>>);
static_assert(!logsumexp_takes<tensor<float, 3>, tensor<float, 1>>, "two axes cannot vanish");
static_assert(!logsumexp_takes<tensor<float, 2>>, "many results cannot be returned");
static_assert(!logsumexp_takes<const std::vector<int>&>, "elements that are no logits");

template <class A>
concept array_ref_takes = requires(A&& a) { smx::array_ref(std::forward<A>(a)); };
static_assert(array_ref_takes<const floats&> && array_ref_takes<std::span<float>> && array_ref_takes<int (&)[3]> &&
              array_ref_takes<double>);
static_assert(!array_ref_takes<floats> && !array_ref_takes<const floats>, "elements that die at once");

}  // namespace
