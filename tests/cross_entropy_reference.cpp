// SPDX-License-Identifier: BSL-1.0
#include "cross_entropy_reference.hpp"

#include "reference.hpp"

#include <algorithm>
#include <cmath>

namespace softmax_test {

exact_loss::exact_loss(const loss_row& s) {
    const reference row(s.logits, s.scale);
    const std::size_t n = s.logits.size();
    const long double lse = row.logsumexp(), keep = 1 - static_cast<long double>(s.smoothing),
                      spread = static_cast<long double>(s.smoothing) / static_cast<long double>(n);
    std::size_t top = 0;
    for (std::size_t i = 0; i < n; ++i)
        if (s.logits[i] * s.scale > s.logits[top] * s.scale) top = i;
    const long double log_sum = -row.log_softmax(s.logits[top]);
    std::vector<long double> a(n);
    long double total = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const long double w = s.weights.empty() ? 1 : s.weights[i];
        const long double q = s.soft.empty() ? (i == s.target ? 1 : 0) : s.soft[i];
        a[i] = w * (keep * q + spread);
        total += a[i];
        const long double nll = -row.log_softmax(s.logits[i]);
        if (a[i] != 0) loss += a[i] * nll;
        loss_size = std::max({loss_size, std::abs(a[i]) * (nll - log_sum), std::abs(a[i]) * log_sum});
    }
    loss += s.z_loss * lse * lse;
    const long double reach = std::max(std::abs(static_cast<long double>(s.logits[top]) * s.scale), log_sum);
    loss_size = std::max({loss_size, 2 * std::abs(s.z_loss) * reach * reach, std::abs(loss)});
    const long double c = static_cast<long double>(s.scale) * s.dloss, slope = 2 * s.z_loss * lse;
    long double others = 0;  // 1 - p at the target
    for (std::size_t i = 0; i < n; ++i)
        if (i != s.target) others += row.softmax(s.logits[i]);
    for (std::size_t i = 0; i < n; ++i) {
        const long double p = row.softmax(s.logits[i]);
        const long double slope_size = 2 * std::abs(s.z_loss) * reach * p;
        if (s.soft.empty() && i == s.target) {
            const long double rest = total - a[i];
            gradient.push_back(c * ((rest + slope) * p - a[i] * others));
            gradient_size.push_back(std::abs(c) * std::max({rest * p, slope_size, std::abs(a[i]) * others}));
        } else {
            gradient.push_back(c * ((total + slope) * p - a[i]));
            gradient_size.push_back(std::abs(c) * std::max({std::abs(total + slope) * p, slope_size, std::abs(a[i])}));
        }
    }
}

long double allowed_error(dtype out, dtype compute, double ulps, long double value, long double size) {
    return size_of(out) == 2 ? 0.52L * ulp(out, value) + ulps * ulp(compute, size)
                             : ulps * ulp(out == dtype::f64 ? compute : out, size);
}

}  // namespace softmax_test
