// SPDX-License-Identifier: BSL-1.0
// Character models that count: what a network has to beat.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

/// How often each byte followed each run of `order` bytes, for all orders up to one. What an order has not seen often it
/// leaves to the order below:
///
///     p_n(c | context) = (count(context, c) + a*p_(n-1)(c | shorter context)) / (count(context) + a),    p_-1 = 1/256
class character_model {
public:
    character_model(std::size_t order, std::string_view training) : seen_(order + 1) {
        for (std::size_t n = 0; n <= order; ++n) {
            for (std::size_t i = n; i < training.size(); ++i) {
                followers& f = seen_[n][training.substr(i - n, n)];
                ++f.total;
                ++f.of[training[i]];
            }
        }
    }

    /// Mean of -log2 p over all characters of a text but the first.
    double bits_per_character(std::string_view text, double a) const {
        double bits = 0;
        for (std::size_t i = 1; i < text.size(); ++i) bits -= std::log2(probability(text, i, a));
        return bits / static_cast<double>(text.size() - 1);
    }

    /// The same with the `a` that suits this very text best: no way of choosing it beforehand could do better.
    double best_bits_per_character(std::string_view text) const {
        double best = std::numeric_limits<double>::infinity();
        for (double a = 0.125; a <= 64; a *= 2) best = std::fmin(best, bits_per_character(text, a));
        return best;
    }

private:
    struct followers {
        double total = 0;
        std::map<char, double> of;
    };

    double probability(std::string_view text, std::size_t i, double a) const {
        double p = 1.0 / 256;
        for (std::size_t n = 0; n < seen_.size() && n <= i; ++n) {
            const auto context = seen_[n].find(text.substr(i - n, n));
            if (context == seen_[n].end()) break;  // then no longer one was seen either
            const auto follower = context->second.of.find(text[i]);
            const double count = follower == context->second.of.end() ? 0 : follower->second;
            p = (count + a * p) / (context->second.total + a);
        }
        return p;
    }

    std::vector<std::unordered_map<std::string_view, followers>>
        seen_;  // views of the training text, which has to stay
};
