// SPDX-License-Identifier: BSL-1.0

// Runs every object that this processor can run and compares their results, bit for bit: objects with fused multiply-add
// among each other, objects without among each other.

#include "object.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>

// Written by CMake: OBJECTS(X) is X(name) X(name) …
#include "objects.inc"

#define DECLARE(name) extern const object object_##name;
OBJECTS(DECLARE)

namespace {

unsigned features() {
    unsigned found = 0;
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found |= needs_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        found |= needs_avx512;
#endif
    return found;
}

}  // namespace

int main() {
    const object* objects[] = {
#define ADDRESS(name) &object_##name,
        OBJECTS(ADDRESS)};
    float logits[object_elements];
    for (std::size_t i = 0; i < object_elements; ++i)
        logits[i] = static_cast<float>((i * 2654435761u) % 1000) / 16 - 30;
    const unsigned found = features();
    static float results[2][object_results];
    const char* first[2] = {nullptr, nullptr};
    int failures = 0, ran = 0;
    for (const object* o : objects) {
        if ((o->needs & ~found) != 0) {
            std::printf("%s: SKIPPED, this processor lacks what it needs\n", o->name);
            continue;
        }
        float mine[object_results];
        o->run(logits, object_elements, mine);
        const bool fused = o->dispatches ? (found & needs_avx2) != 0 : o->fused;
        bool same = true;
        if (first[fused] == nullptr) {
            first[fused] = o->name;
            std::memcpy(results[fused], mine, sizeof mine);
        } else {
            same = std::memcmp(results[fused], mine, sizeof mine) == 0;
        }
        const bool refuses = o->refuses(logits);
        std::printf("%s (%s fma): %s %s%s\n", o->name, fused ? "with" : "without",
                    same ? "same bits as" : "OTHER BITS THAN", first[fused],
                    refuses ? "" : ", and DOES NOT REFUSE a wrong extent");
        failures += !same + !refuses;
        ++ran;
    }
    std::printf("%d objects ran, %d failures\n", ran, failures);
    return failures == 0 && ran >= 4 ? 0 : 1;
}
