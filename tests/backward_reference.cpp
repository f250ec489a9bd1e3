// SPDX-License-Identifier: BSL-1.0
#include "backward_reference.hpp"

#include "reference.hpp"

#include <algorithm>
#include <cmath>

namespace softmax_test {

using smx::vocabulary::job_function;

exact_gradient::exact_gradient(job_function function, const std::vector<double>& ys, const std::vector<double>& dys,
                               double s)
    : y(ys), dy(dys), scale(s), f(function) {
    for (std::size_t i = 0; i < y.size(); ++i) {
        long double term, low = 0;
        if (f == job_function::softmax_backward) {
            term = static_cast<long double>(y[i]) * dy[i];
            low = fmal(y[i], dy[i], -term);
        } else {
            term = dy[i];
        }
        const long double next = sum + term, seen = next - sum;
        tail += (sum - (next - seen)) + (term - seen) + low;
        sum = next;
        magnitude += std::abs(term);
    }
}

long double exact_gradient::at(std::size_t i) const {
    if (f == job_function::softmax_backward) return scale * static_cast<long double>(y[i]) * ((dy[i] - sum) - tail);
    return scale * (dy[i] - std::exp(static_cast<long double>(y[i])) * (sum + tail));
}

long double exact_gradient::bound(std::size_t i, dtype out, bool wide) const {
    const auto n = static_cast<long double>(y.size());
    const long double of_sum = magnitude * (wide ? n * 0x1p-104L : (n / 32 + 6) * 0x1p-53L);
    const bool softmax = f == job_function::softmax_backward;
    const long double p = softmax ? static_cast<long double>(y[i]) : std::exp(static_cast<long double>(y[i]));
    const long double share = std::abs(scale) * p * (sum == 0 ? 0 : std::abs(sum));
    long double allowed = std::abs(scale) * p * of_sum;
    if (!wide) allowed += softmax ? 0 : 0x1p-36L * share;
    const long double size = std::max(
        std::abs(at(i)), wide && !softmax ? std::max(std::abs(scale * static_cast<long double>(dy[i])), share) : 0.0L);
    const long double own = wide ? 4 * ulp(dtype::f64, size) : 0.0L;
    return allowed + own + (wide && out == dtype::f64 ? 0.0L : 0.51L * ulp(out, at(i)));
}

}  // namespace softmax_test
