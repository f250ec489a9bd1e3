// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/config.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace smx {

/// A source of random bits: the engines of <random>, and everything like them. What std::uniform_random_bit_generator says, without
/// that header.
template <class G>
concept random_engine = std::invocable<G&> && std::unsigned_integral<std::invoke_result_t<G&>> && requires {
    { (G::min)() } -> std::same_as<std::invoke_result_t<G&>>;
    { (G::max)() } -> std::same_as<std::invoke_result_t<G&>>;
    requires((G::min)() < (G::max)());
};

inline namespace SMX_ABI {
namespace detail {

/// 64 bits from a random engine: its results as the digits of a number, the first one leading, to the base of the number of its
/// values, modulo 2^64. As many draws as make 2^64 numbers possible: 1 from std::mt19937_64, 2 from std::mt19937, 3 from std::minstd_rand.
/// The standard library's distributions differ from one to the next; this does not.
template <random_engine Engine>
std::uint64_t draw_bits(Engine& engine) {
    constexpr std::uint64_t least = static_cast<std::uint64_t>((Engine::min)());
    constexpr std::uint64_t range = static_cast<std::uint64_t>((Engine::max)()) - least;  // less one
    std::uint64_t value = 0, reach = 0;                                                   // numbers possible, less one
    while (true) {
        value = value * (range + 1) + (static_cast<std::uint64_t>(engine()) - least);
        if (range == ~std::uint64_t(0) || reach >= ~std::uint64_t(0) / (range + 1)) return value;
        reach = reach * (range + 1) + range;
        if (reach == ~std::uint64_t(0)) return value;
    }
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
