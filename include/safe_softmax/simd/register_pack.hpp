// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/simd/doubled.hpp>
#include <safe_softmax/simd/native.hpp>

#include <concepts>
#include <utility>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Whether the compiler itself computes with registers R::type as with an R::value_type in each lane. Arrays have members, and their
/// lanes stay loops.
template <class R>
concept computed_by_compiler = !requires(const typename R::type v) { v.lane; } && requires(const typename R::type v) {
    { v[0] + v[0] } -> std::same_as<typename R::value_type>;
    v + v;
};

/// What compilers do with such registers: nothing that has to be inlined first, which takes half the time of compiling.
template <class R>
struct vector_access {
    using V = typename R::type;
    using T = typename R::value_type;
    template <std::size_t... Lane>
    SMX_ALWAYS_INLINE static V broadcast(T x, std::index_sequence<Lane...>) noexcept {
        return V{(static_cast<void>(Lane), x)...};
    }
    SMX_ALWAYS_INLINE static V broadcast(T x) noexcept {
        return broadcast(x, std::make_index_sequence<sizeof(V) / sizeof(T)>());
    }
    SMX_ALWAYS_INLINE static V load(const T* p) noexcept {
        V a;
        std::memcpy(&a, p, sizeof a);
        return a;
    }
    SMX_ALWAYS_INLINE static void store(T* p, V a) noexcept { std::memcpy(p, &a, sizeof a); }
};

// Loads and stores are asked for with a tag: clang converts registers of one size into each other, so that a register
// alone does not select an overload.

/// One register of the processor. R is where it comes from, for lanes of one type:
///
///   R::value_type, R::lanes          the lanes
///   R::registers                     1, or how many registers' worth of work it is
///   R::type                          the register
///   R::number                        made from a register and back, has + - * / lane by lane
///   R::broadcast(x), R::load(p), R::store(p, register)
///   R::doubles                       the same source for lanes of double
///
/// All else is done by what native:: has for the register, and where it has nothing, one lane after the other.
template <class R>
struct register_pack {
    using value_type = typename R::value_type;
    static constexpr std::size_t lanes = R::lanes;
    static constexpr std::size_t registers = R::registers;
    static constexpr bool fused = SMX_FUSED != 0;
    using tag = native::tag<value_type, lanes>;

    typename R::type v;

    SMX_ALWAYS_INLINE static register_pack broadcast(value_type x) noexcept { return {R::broadcast(x)}; }

    template <class S>
    SMX_ALWAYS_INLINE static register_pack load(const S* p) noexcept {
        if constexpr (std::is_same_v<S, value_type>) {
            return {R::load(p)};
        } else if constexpr (requires { native::load_as(tag{}, p); }) {
            return {native::load_as(tag{}, p)};
        } else {
            return load_lanes<register_pack>(p, lanes);
        }
    }
    template <class S>
    SMX_ALWAYS_INLINE static register_pack load_partial(const S* p, std::size_t n) noexcept {
        if constexpr (requires { native::load_partial_as(tag{}, p, n); }) {
            return {native::load_partial_as(tag{}, p, n)};
        } else {
            return load_lanes<register_pack>(p, n);
        }
    }
    template <class S>
    SMX_ALWAYS_INLINE static register_pack load_before(const S* p, std::size_t e, std::size_t end,
                                                       register_pack other) noexcept {
        if constexpr (requires { native::load_before_as(tag{}, p, e, end, other.v); }) {
            return {native::load_before_as(tag{}, p, e, end, other.v)};
        } else {
            const std::size_t left = end < e ? 0 : end - e < lanes ? end - e : lanes;
            return blend_first(load_partial(p, left), other, left);
        }
    }
};

template <class R, class S>
SMX_ALWAYS_INLINE void store(S* p, register_pack<R> a) noexcept {
    if constexpr (std::is_same_v<S, typename R::value_type>) {
        R::store(p, a.v);
    } else if constexpr (requires { native::store_as(typename register_pack<R>::tag{}, p, a.v); }) {
        native::store_as(typename register_pack<R>::tag{}, p, a.v);
    } else {
        store_lanes(p, a, a.lanes);
    }
}
template <class R, class S>
SMX_ALWAYS_INLINE void store_partial(S* p, register_pack<R> a, std::size_t n) noexcept {
    if constexpr (requires { native::store_partial_as(typename register_pack<R>::tag{}, p, a.v, n); }) {
        native::store_partial_as(typename register_pack<R>::tag{}, p, a.v, n);
    } else {
        store_lanes(p, a, n);
    }
}

/// What a register holds, for what is done one lane after the other.
template <class T, std::size_t Lanes>
struct lane_array {
    T lane[Lanes];
    SMX_ALWAYS_INLINE T& operator[](std::size_t l) noexcept { return lane[l]; }
    SMX_ALWAYS_INLINE const T& operator[](std::size_t l) const noexcept { return lane[l]; }
};

template <class R>
SMX_ALWAYS_INLINE lane_array<typename R::value_type, R::lanes> spread(register_pack<R> a) noexcept {
    if constexpr (requires { a.v.lane; }) {
        return a.v;
    } else {
        lane_array<typename R::value_type, R::lanes> lanes;
        R::store(lanes.lane, a.v);
        return lanes;
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> gathered(const lane_array<typename R::value_type, R::lanes>& lanes) noexcept {
    if constexpr (requires(register_pack<R> a) { a.v.lane; }) return {lanes};
    else return {R::load(lanes.lane)};
}

/// f(lane of a, lane of others ...) in every lane. By index where registers have one: g++ takes twice as long, and as much code, for
/// the way through memory.
template <class R, class F, class... A>
SMX_ALWAYS_INLINE register_pack<R> map_lanes(F f, register_pack<R> a, A... others) noexcept {
    if constexpr (requires { a.v[0]; }) {
        for (std::size_t l = 0; l < R::lanes; ++l) a.v[l] = f(a.v[l], others.v[l]...);
        return a;
    } else {
        return [&](auto lanes, const auto&... other) SMX_INLINE_LAMBDA {
            for (std::size_t l = 0; l < R::lanes; ++l) lanes.lane[l] = f(lanes.lane[l], other.lane[l]...);
            return gathered<R>(lanes);
        }(spread(a), spread(others)...);
    }
}

template <class R>
SMX_ALWAYS_INLINE register_pack<R> add(register_pack<R> a, register_pack<R> b) noexcept {
    if constexpr (computed_by_compiler<R>) return {fence(a.v + b.v)};
    else return {fence(static_cast<typename R::type>(typename R::number(a.v) + typename R::number(b.v)))};
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> sub(register_pack<R> a, register_pack<R> b) noexcept {
    if constexpr (computed_by_compiler<R>) return {fence(a.v - b.v)};
    else return {fence(static_cast<typename R::type>(typename R::number(a.v) - typename R::number(b.v)))};
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> mul(register_pack<R> a, register_pack<R> b) noexcept {
    if constexpr (computed_by_compiler<R>) return {fence(a.v * b.v)};
    else return {fence(static_cast<typename R::type>(typename R::number(a.v) * typename R::number(b.v)))};
}
template <class R>
    requires std::is_same_v<typename R::value_type, double>
SMX_ALWAYS_INLINE register_pack<R> div(register_pack<R> a, register_pack<R> b) noexcept {
    if constexpr (computed_by_compiler<R>) return {fence(a.v / b.v)};
    else return {fence(static_cast<typename R::type>(typename R::number(a.v) / typename R::number(b.v)))};
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> product(register_pack<R> a, register_pack<R> b) noexcept {
    return {rounded(mul(a, b).v)};
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> in_register(register_pack<R> a) noexcept {
    return {held(a.v)};
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> fma(register_pack<R> a, register_pack<R> b, register_pack<R> c) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::fma(a.v, b.v, c.v); }) {
        return {fence(native::fma(a.v, b.v, c.v))};
    } else if constexpr (!register_pack<R>::fused) {
        return add(mul(a, b), c);
    } else {
        return map_lanes([](T x, T y, T z) SMX_INLINE_LAMBDA { return fma(x, y, z); }, a, b, c);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> maximum(register_pack<R> a, register_pack<R> b) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::maximum(a.v, b.v); }) {
        return {native::maximum(a.v, b.v)};
    } else {
        return map_lanes([](T x, T y) SMX_INLINE_LAMBDA { return x < y ? y : x; }, a, b);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> blend_first(register_pack<R> a, register_pack<R> b, std::size_t n) noexcept {
    if constexpr (requires { native::blend_first(a.v, b.v, n); }) {
        return {native::blend_first(a.v, b.v, n)};
    } else {
        auto lanes = spread(b);
        store_lanes(lanes.lane, a, n);
        return gathered<R>(lanes);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> zero_where_less(register_pack<R> a, register_pack<R> t,
                                                   register_pack<R> limit) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::zero_where_less(a.v, t.v, limit.v); }) {
        return {native::zero_where_less(a.v, t.v, limit.v)};
    } else {
        return map_lanes([](T x, T y, T z) SMX_INLINE_LAMBDA { return is_less(y, z) ? T(0) : x; }, a, t, limit);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> zero_where_equal(register_pack<R> a, register_pack<R> x,
                                                    register_pack<R> y) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::zero_where_equal(a.v, x.v, y.v); }) {
        return {native::zero_where_equal(a.v, x.v, y.v)};
    } else {
        return map_lanes([](T p, T q, T r) SMX_INLINE_LAMBDA { return is_equal(q, r) ? T(0) : p; }, a, x, y);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> where_nonzero(const std::uint8_t* m, register_pack<R> a,
                                                 register_pack<R> b) noexcept {
    if constexpr (requires { native::where_nonzero(m, a.v, b.v); }) {
        return {native::where_nonzero(m, a.v, b.v)};
    } else {
        auto lanes = spread(a), other = spread(b);
        for (std::size_t l = 0; l < R::lanes; ++l) lanes.lane[l] = selected(m[l] != 0, lanes.lane[l], other.lane[l]);
        return gathered<R>(lanes);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> where_nonzero_before(const std::uint8_t* m, std::size_t e, std::size_t end,
                                                        register_pack<R> a, register_pack<R> b) noexcept {
    if constexpr (requires { native::where_nonzero_before(m, e, end, a.v, b.v); }) {
        return {native::where_nonzero_before(m, e, end, a.v, b.v)};
    } else {
        if (end >= e + R::lanes) return where_nonzero(m, a, b);
        std::uint8_t bytes[R::lanes] = {};
        for (std::size_t l = 0; e + l < end; ++l) bytes[l] = m[l];
        return where_nonzero(bytes, a, b);
    }
}
template <class R>
SMX_ALWAYS_INLINE std::size_t count_equal(register_pack<R> x, register_pack<R> y) noexcept {
    if constexpr (requires { native::count_equal(x.v, y.v); }) {
        return native::count_equal(x.v, y.v);
    } else {
        const auto one = spread(x), other = spread(y);
        std::size_t count = 0;
        for (std::size_t l = 0; l < R::lanes; ++l) count += is_equal(one.lane[l], other.lane[l]) ? 1u : 0u;
        return count;
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> truncate_half(register_pack<R> a) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::truncate_half(a.v); }) {
        return {native::truncate_half(a.v)};
    } else {
        return map_lanes([](T x) SMX_INLINE_LAMBDA { return truncated_half(x); }, a);
    }
}
template <class R>
SMX_ALWAYS_INLINE register_pack<R> exp2_eighths(register_pack<R> t) noexcept {
    using T = typename R::value_type;
    if constexpr (requires { native::exp2_eighths(t.v); }) {
        return {native::exp2_eighths(t.v)};
    } else {
        return map_lanes([](T x) SMX_INLINE_LAMBDA { return power_of_eighths(x); }, t);
    }
}
template <class R>
SMX_ALWAYS_INLINE typename R::value_type reduce_max(register_pack<R> a) noexcept {
    if constexpr (requires { native::reduce_max(a.v); }) return native::reduce_max(a.v);
    else return largest_of(spread(a).lane);
}
template <class R>
SMX_ALWAYS_INLINE double reduce_add(register_pack<R> a) noexcept {
    if constexpr (requires { native::reduce_add(a.v); }) {
        return native::reduce_add(a.v);
    } else {
        auto lanes = spread(a);
        return sum_by_halving(lanes.lane);
    }
}
template <class R>
SMX_ALWAYS_INLINE double reduce_add(register_pack<R> a, register_pack<R> e, double& error) noexcept {
    if constexpr (requires { native::reduce_add(a.v, e.v, error); }) {
        return native::reduce_add(a.v, e.v, error);
    } else {
        auto sums = spread(a), errors = spread(e);
        fold_by_halves(sums.lane, errors.lane);
        error = errors.lane[0];
        return sums.lane[0];
    }
}
template <class R>
SMX_ALWAYS_INLINE void reduce_max_each(typename R::value_type* to, const register_pack<R> (&a)[8]) noexcept {
    const typename R::type v[8] = {a[0].v, a[1].v, a[2].v, a[3].v, a[4].v, a[5].v, a[6].v, a[7].v};
    if constexpr (requires { native::reduce_max_each(to, v); }) native::reduce_max_each(to, v);
    else
        for (std::size_t i = 0; i < (R::lanes < 8 ? 8 : R::lanes); ++i) to[i] = i < 8 ? reduce_max(a[i]) : to[0];
}
template <class R>
SMX_ALWAYS_INLINE void reduce_add_each(double* to, const register_pack<R> (&a)[8]) noexcept {
    const typename R::type v[8] = {a[0].v, a[1].v, a[2].v, a[3].v, a[4].v, a[5].v, a[6].v, a[7].v};
    if constexpr (requires { native::reduce_add_each(to, v); }) native::reduce_add_each(to, v);
    else
        for (std::size_t i = 0; i < 8; ++i) to[i] = reduce_add(a[i]);
}
/// Lanes First, First + 2, ... by way of their bits.
template <std::size_t First, class R>
SMX_ALWAYS_INLINE register_pack<typename R::doubles> every_second_as_double(register_pack<R> a) noexcept {
    const auto lanes = spread(a);
    lane_array<double, R::lanes / 2> doubles;
    for (std::size_t l = 0; l < R::lanes / 2; ++l) doubles.lane[l] = bits_as_double(lanes.lane[2 * l + First]);
    return gathered<typename R::doubles>(doubles);
}
template <class R>
SMX_ALWAYS_INLINE register_pack<typename R::doubles> even_as_double(register_pack<R> a) noexcept {
    if constexpr (requires { native::even_as_double(a.v); }) return {native::even_as_double(a.v)};
    else return every_second_as_double<0>(a);
}
template <class R>
SMX_ALWAYS_INLINE register_pack<typename R::doubles> odd_as_double(register_pack<R> a) noexcept {
    if constexpr (requires { native::odd_as_double(a.v); }) return {native::odd_as_double(a.v)};
    else return every_second_as_double<1>(a);
}

/// The packs that kernels ask for, out of registers from R.
template <template <class> class R>
struct register_backend {
    using f32 = typename widened<register_pack<R<float>>, 16>::type;
    using f64 = typename widened<register_pack<R<double>>, 8>::type;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
