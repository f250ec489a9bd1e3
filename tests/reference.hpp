// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the functions would give in real arithmetic, and the distance of a result from it.

#include "element_types.hpp"
#include "subject.hpp"

#include <cstddef>
#include <span>

namespace softmax_test {

/// softmax, log_softmax and logsumexp of finite logits times a finite scale, in long double.
///
/// Products and differences are pairs of long doubles (Dekker's product, Knuth's sum), so that x*scale - max carries
/// more than 120 bits; the maximum stays out of the sum, log(n_max + rest) is log(n_max) + log1p(rest / n_max), and the
/// sum is compensated. Relative error below 2^-60, a hundredth of an ulp of double.
class reference {
public:
    /// counts: how often each of the logits is in the row; empty: once.
    reference(std::span<const double> logits, double scale, std::span<const std::size_t> counts = {});

    long double softmax(double logit) const;
    long double log_softmax(double logit) const;
    long double of(function f, double logit) const;
    long double logsumexp() const;
    /// The largest of |max|, |log sum exp(x - max)| and |logsumexp|: logsumexp is measured in its ulp.
    long double logsumexp_magnitude() const;

private:
    struct pair {
        long double high;
        long double low;
    };
    static pair product(double a, double b);
    pair below_max(double logit) const;  // logit * scale - max

    double scale_;
    pair max_{};
    long double log_sum_exp_ = 0;  // of x - max
    long double sum_exp_ = 0;
};

/// The spacing of `type` at `value`, the smallest spacing for subnormals, the largest beyond the largest finite.
long double ulp(dtype type, long double value);

/// |actual - expected| in units of ulp(out, magnitude); NaN is infinitely far away, an overflow counts as 2^(emax + 1).
double error_in_ulp(dtype out, double actual, long double expected, long double magnitude);

/// The same for an element of softmax or log_softmax. A probability below the smallest normal number of the compute
/// type may be +0; -0 is no probability.
double error_in_ulp(function f, dtype in, dtype out, double actual, long double expected);

/// The error in ulp that the library's documentation promises.
double documented_bound(function f, dtype out);

}  // namespace softmax_test
