// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../array_of.hpp"
#include "../../backward_reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace softmax_test::fuzzing {

using smx::vocabulary::job_function;

void try_backward(byte_source& bytes) {
    static constexpr job_function functions[] = {job_function::softmax_backward, job_function::log_softmax_backward,
                                                 job_function::masked_log_softmax_backward};
    const shape s = read_shape(bytes);
    const job_function f = one_of(functions, bytes.byte());
    const bool logarithms = f != job_function::softmax_backward;
    const std::uint8_t how = bytes.byte();
    const memory y = make_logits(read_type(bytes), s, bytes), dy = make_logits(read_type(bytes), s, bytes),
                 apart = make(read_type(bytes), s, bytes);
    change(*y, [&](double x) {
        return is_nan(x)    ? x
               : logarithms ? -std::abs(x)
                            : std::exp2(-std::min(std::abs(x), 60.0)) * (std::abs(x) < 1e3);
    });
    const guarded_memory& dx = how % 4 == 0 ? *dy : how % 4 == 1 ? *y : *apart;
    std::vector<numbers> ys, dys;
    for (std::size_t r = 0; r < s.rows(); ++r) ys.push_back(row(*y, s, r)), dys.push_back(row(*dy, s, r));

    smx::softmax_options o{.axis = static_cast<std::ptrdiff_t>(s.axis), .scale = read_scale(bytes)};
    view dy_view = dy->elements(), dx_view = dx.elements();
    const bool spoilt = spoil(read_defect(bytes), s, dy_view, dx_view, o.axis, o.scale);
    if (!run("softmax_backward", spoilt, {y.get(), dy.get(), apart.get()}, {&dx},
             [&] { call_backward(f, array_of(y->elements()), array_of(dy_view), array_of(dx_view), o); }))
        return;
    const bool wide = y->elements().type == dtype::f64 || dy_view.type == dtype::f64 || dx_view.type == dtype::f64;
    for (std::size_t r = 0; r < s.rows(); ++r) {
        const numbers result = row(dx, s, r);
        const auto nothing = [&](double p) { return logarithms ? p == -inf : p == 0; };
        bool nan = false;
        for (std::size_t i = 0; i < result.size(); ++i)
            nan |= !nothing(ys[r][i]) && (is_nan(ys[r][i]) || (is_nan(dys[r][i])));
        for (std::size_t i = 0; i < result.size(); ++i) {
            const bool none = nothing(ys[r][i]);
            if (none && f != job_function::log_softmax_backward)
                expect("backward", is_positive_zero(result[i]), result[i]);
            if (nan && !none && !logarithms) expect("backward", is_nan(result[i]), result[i]);
        }
        if (!all_finite(ys[r], 1e4) || !all_finite(dys[r], wide ? 1e200 : 1e300)) continue;
        const exact_gradient exact(f, ys[r], dys[r], o.scale);
        const int smallest = format_of(wide ? dtype::f64 : dtype::f32).min_exponent;
        for (std::size_t i = 0; i < result.size(); ++i) {
            const long double value = exact.at(i), limit = std::ldexp(1.0L, format_of(dx_view.type).max_exponent);
            // Where nothing underflows or overflows on the way.
            if (std::abs(value) < std::ldexp(std::max(1.0L, exact.magnitude), smallest + 60) || std::abs(value) > limit)
                continue;
            if (wide && exact.magnitude < 1e-250L) continue;
            expect_near("backward", result[i], value,
                        static_cast<double>(std::abs(result[i] - value) / exact.bound(i, dx_view.type, wide)), 1);
        }
    }
}

}  // namespace softmax_test::fuzzing
