// SPDX-License-Identifier: BSL-1.0
// What a user writes who has no library: a loop for the maximum, one for exponentials and their sum, one for the results.
// BENCH_NAME and BENCH_ROLE are those of the build, see CMakeLists.txt.
#include "competitor.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace bench {
namespace {

// 16-bit elements without regard to NaN, so that the compiler can vectorise the loops.
float to_real(float x) { return x; }
double to_real(double x) { return x; }
float to_real(smx::bfloat16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits()) << 16); }
void round_to(float x, float& y) { y = x; }
void round_to(double x, double& y) { y = x; }
void round_to(float x, smx::bfloat16& y) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    y = smx::bfloat16::from_bits(static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16));
}
float to_real(smx::float16 x) {
    const std::uint32_t bits = x.bits();
    return std::bit_cast<float>((bits & 0x7fffu) << 13 | (bits & 0x8000u) << 16) * 0x1p112f;
}
void round_to(float x, smx::float16& y) {  // below 65504
    const auto bits = std::bit_cast<std::uint32_t>(x), magnitude = bits & 0x7fffffffu;
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    y = smx::float16::from_bits(
        static_cast<std::uint16_t>((magnitude < 0x38800000u ? subnormal : normal) | (bits >> 16 & 0x8000u)));
}

/// One row. Exponentials are kept in `term`: the results themselves, or a buffer for 16-bit ones.
template <class T, class R>
void row(function f, const T* x, T* y, R* term, std::size_t length, std::size_t inner, std::size_t term_step) {
    R max = to_real(x[0]);
    for (std::size_t i = 1; i < length; ++i) {
        const R v = to_real(x[i * inner]);
        max = v > max ? v : max;
    }
    R sum = 0;
    if (f == function::softmax) {
        for (std::size_t i = 0; i < length; ++i) {
            const R e = std::exp(to_real(x[i * inner]) - max);
            term[i * term_step] = e;
            sum += e;
        }
        const R share = 1 / sum;
        for (std::size_t i = 0; i < length; ++i) round_to(term[i * term_step] * share, y[i * inner]);
        return;
    }
    for (std::size_t i = 0; i < length; ++i) sum += std::exp(to_real(x[i * inner]) - max);
    const R total = max + std::log(sum);
    if (f == function::logsumexp) return round_to(total, y[0]);
    for (std::size_t i = 0; i < length; ++i) round_to(to_real(x[i * inner]) - total, y[i * inner]);
}

/// The compiler sees that nothing overlaps in other ways, and that the last axis is contiguous.
template <bool InPlace, bool Contiguous, class T>
void rows(const problem<T>& p, auto* buffer) {
    using real = std::remove_pointer_t<decltype(buffer)>;
    const std::size_t inner = Contiguous ? 1 : p.inner;
    const bool reduces = p.function == function::logsumexp;
    for (std::size_t o = 0; o < p.outer; ++o)
        for (std::size_t i = 0; i < inner; ++i) {
            T* const y = p.out + (reduces ? o * inner : o * p.length * inner) + i;
            const T* const x = InPlace ? y : p.in + o * p.length * inner + i;
            if constexpr (std::is_same_v<T, real>) row(p.function, x, y, y, p.length, inner, inner);
            else row(p.function, x, y, buffer, p.length, inner, std::size_t(1));
        }
}

template <class T>
call three_loops(const problem<T>& p) {
    using real = std::conditional_t<sizeof(T) == 8, double, float>;
    if (!p.dense()) return {};
    const std::shared_ptr<real[]> buffer(sizeof(T) == 2 ? new real[p.length] : nullptr);
    if (p.in_place() && p.inner == 1) return [=] { rows<true, true>(p, buffer.get()); };
    if (p.in_place()) return [=] { rows<true, false>(p, buffer.get()); };
    if (p.inner == 1) return [=] { rows<false, true>(p, buffer.get()); };
    return [=] { rows<false, false>(p, buffer.get()); };
}

const bool added =
    add({BENCH_NAME,
         "",
         role::BENCH_ROLE,
         {three_loops<float>, three_loops<double>, three_loops<smx::float16>, three_loops<smx::bfloat16>}});

}  // namespace
}  // namespace bench
