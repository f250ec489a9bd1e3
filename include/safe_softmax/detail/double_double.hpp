// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/scaling.hpp>
#include <safe_softmax/detail/sum.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// An unevaluated sum of two doubles, about 106 bits, for the few places where one double is not enough: once a row, or in
/// loops that nobody is in a hurry about. T. J. Dekker, "A floating-point technique for extending the available precision",
/// Numer. Math. 18 (1971).
struct double_double {
    double head, tail;
};

SMX_ALWAYS_INLINE double_double normalised(double a, double b) noexcept {
    double_double r;
    r.head = two_sum(a, b, r.tail);
    return r;
}
SMX_ALWAYS_INLINE double_double add(double_double a, double_double b) noexcept {
    const double_double s = normalised(a.head, b.head), t = normalised(a.tail, b.tail);
    const double_double u = normalised(s.head, fence(s.tail + t.head));
    return normalised(u.head, fence(u.tail + t.tail));
}
SMX_ALWAYS_INLINE double_double negated(double_double a) noexcept { return {-a.head, -a.tail}; }
SMX_ALWAYS_INLINE double_double mul(double_double a, double b) noexcept {
    const split_double p = two_product(a.head, b);
    return normalised(p.head, fma(a.tail, b, p.tail));
}
SMX_ALWAYS_INLINE double_double mul(double_double a, double_double b) noexcept {
    const split_double p = two_product(a.head, b.head);
    return normalised(p.head, fma(a.tail, b.head, fma(a.head, b.tail, p.tail)));
}
SMX_ALWAYS_INLINE double_double divide(double_double a, double_double b) noexcept {
    const double first = fence(a.head / b.head);
    const double_double rest = add(a, negated(mul(b, first)));
    const double second = fence(rest.head / b.head);
    const double third = fence(add(rest, negated(mul(b, second))).head / b.head);
    return add(normalised(first, second), {third, 0});
}

/// exp(x) - 1 for |x| <= 700, to 2^-97 of exp(x), and of the result where x is small: Taylor's series of x - k*ln 2,
/// halved nine times, and as many times (1 + s)^2 - 1 = 2*s + s*s.
SMX_NOINLINE inline double_double expm1(double_double x) noexcept {
    constexpr double_double ln2{0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
    constexpr double inverse_factorial[][2] = {{0x1p-1, 0},
                                               {0x1.5555555555555p-3, 0x1.5555555555555p-57},
                                               {0x1.5555555555555p-5, 0x1.5555555555555p-59},
                                               {0x1.1111111111111p-7, 0x1.1111111111111p-63},
                                               {0x1.6c16c16c16c17p-10, -0x1.f49f49f49f49fp-65},
                                               {0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-73},
                                               {0x1.a01a01a01a01ap-16, 0x1.a01a01a01a01ap-76}};
    constexpr double to_integer = 0x1.8p52;
    const double k = fence(fma(x.head, 0x1.71547652b82fep0, to_integer) - to_integer);
    double_double r = add(x, negated(mul(ln2, k)));
    r = {r.head * 0x1p-9, r.tail * 0x1p-9};
    double_double s{inverse_factorial[6][0], inverse_factorial[6][1]};
    for (int i = 6; i-- > 0;) s = add(mul(s, r), {inverse_factorial[i][0], inverse_factorial[i][1]});
    s = add(mul(mul(s, r), r), r);
    for (int i = 0; i < 9; ++i) s = add({2 * s.head, 2 * s.tail}, mul(s, s));
    if (k == 0) return s;
    const double power = power_of_two(static_cast<int>(k));
    s = add(s, {1, 0});
    return add({s.head * power, s.tail * power}, {-1, 0});
}

/// exp(x) for |x| <= 700, as a pair.
SMX_ALWAYS_INLINE double_double exp(double_double x) noexcept { return add(expm1(x), {1, 0}); }

/// Where exp(x) is the smallest normal number.
inline constexpr double least_exponent = -0x1.6232bdd7abcd2p+9;

/// exp(x) for x from least_exponent to 700, to 2.1 * 2^-53: the reduction and the polynomial of exp.hpp.
SMX_ALWAYS_INLINE double exp_of(double_double x) noexcept {
    using constants = exp_constants<double>;
    constexpr double c = 0x1.71547652b82fep3, c_rest = 0x1.777d0ffda0d24p-53;  // 8*log2(e)
    const double t = fence(fma(x.head, c, constants::round) + 8 * constants::bias);
    const double k = fence(fence(t - 8 * constants::bias) - constants::round);
    const split_double product = two_product(x.head, c);
    const double r = fma(x.tail, c, fence(fence(product.head - k) + fence(product.tail + rounded(x.head * c_rest))));
    double p = constants::full[7];
    for (int i = 7; i-- > 0;) p = fma(p, r, constants::full[i]);
    const double power = power_of_eighths(t);
    return fma(power, p, power);
}

/// tanh(x), to 2^-97.
SMX_ALWAYS_INLINE double_double tanh(double_double x) noexcept {
    if (x.head > 40) return {1, 0};
    if (x.head < -40) return {-1, 0};
    const double_double e = expm1({2 * x.head, 2 * x.tail});
    return divide(e, add(e, {2, 0}));
}

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
