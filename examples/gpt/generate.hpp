// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "trainer.hpp"

#include <safe_softmax/sampling.hpp>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>

namespace gpt {

/// Goes on from `prompt`, one byte at a time, each drawn with smx::sample from the logits of what follows.
template <class Real, class Score>
std::string generate(trainer<Real, Score>& model, std::string_view prompt, std::size_t count,
                     const smx::sampling_options& options, unsigned long long seed) {
    std::mt19937_64 random(seed);
    std::string result(prompt);
    for (std::size_t i = 0; i < count; ++i) {
        const bytes so_far(reinterpret_cast<const unsigned char*>(result.data()), result.size());
        const std::size_t next = smx::sample(model.logits_after(so_far), random, options);
        if (next == smx::no_index) throw std::runtime_error("the logits have a NaN: this model is broken");
        result += static_cast<char>(next);
    }
    return result.substr(prompt.size());
}

/// Bytes that a terminal would obey, or that are no UTF-8, as '?'.
inline std::string printable(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x80) {
            result += (c >= ' ' && c != 0x7f) || c == '\n' || c == '\t' ? text[i] : '?';
            continue;
        }
        const std::size_t more = c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : 1;
        bool whole = c >= 0xc2 && c < 0xf5 && i + more < text.size();
        for (std::size_t j = 1; whole && j <= more; ++j)
            whole = (static_cast<unsigned char>(text[i + j]) & 0xc0) == 0x80;
        result += whole ? std::string(text.substr(i, more + 1)) : "?";
        if (whole) i += more;
    }
    return result;
}

}  // namespace gpt
