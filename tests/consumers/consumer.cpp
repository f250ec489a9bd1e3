// SPDX-License-Identifier: BSL-1.0

// What a program of a user looks like: the umbrella header, and a call of each of the three main functions.

#include <safe_softmax/safe_softmax.hpp>

#include <array>
#include <cmath>
#include <cstdio>

#define SMX_TEXT_(a) #a
#define SMX_TEXT(a) SMX_TEXT_(a)

int main() {
    const std::array<float, 3> logits = {1000.0f, 1001.0f, 1002.0f};
    std::array<float, 3> probabilities{}, logs{};
    smx::safe_softmax(logits, probabilities);
    smx::log_softmax(logits, logs);
    const float total = smx::logsumexp(logits);

    const std::array<double, 3> expected = {0.09003057317038046, 0.24472847105479764, 0.6652409557748219};
    bool right = std::fabs(total - 1002.4076059644444) < 1e-4;
    for (std::size_t i = 0; i < 3; ++i) {
        right = right && std::fabs(probabilities[i] - expected[i]) < 1e-6;
        right = right && std::fabs(logs[i] - std::log(expected[i])) < 1e-6;
    }
    std::printf("safe_softmax %s with %s: %s\n",
                SMX_TEXT(SMX_VERSION_MAJOR) "." SMX_TEXT(SMX_VERSION_MINOR) "." SMX_TEXT(SMX_VERSION_PATCH),
                SMX_XSIMD ? "xsimd" : "the scalar backend", right ? "right" : "WRONG");
    return right ? 0 : 1;
}
