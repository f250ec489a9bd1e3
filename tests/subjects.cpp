// SPDX-License-Identifier: BSL-1.0
#include "subjects.hpp"

#include "subject_list.hpp"  // written by CMake: SMX_SUBJECT_LIST(X) is X(name) X(name) …

#include <cstdio>
#include <stdexcept>
#include <vector>

namespace softmax_test {

#define SMX_DECLARE(name) extern const subject subject_##name;
SMX_SUBJECT_LIST(SMX_DECLARE)
#undef SMX_DECLARE

namespace {

unsigned features() {
    unsigned found = 0;
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx2")) found |= needs_avx2;
    if (__builtin_cpu_supports("fma")) found |= needs_fma;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        found |= needs_avx512;
    }
    if (__builtin_cpu_supports("avx512bf16")) found |= needs_avx512bf16;
#endif
    return found;
}

std::vector<const subject*> find_runnable() {
    std::vector<const subject*> runnable;
    const unsigned found = features();
    [[maybe_unused]] const auto consider = [&](const subject& candidate) {
        const bool runs = (candidate.needs & ~found) == 0;
        std::printf("subject %s: %s\n", candidate.name, runs ? "runs" : "SKIPPED, this processor lacks what it needs");
        if (runs) runnable.push_back(&candidate);
    };
#define SMX_CONSIDER(name) consider(subject_##name);
    SMX_SUBJECT_LIST(SMX_CONSIDER)
#undef SMX_CONSIDER
    for (const subject* dispatched : dispatched_subjects()) {
        std::printf("subject %s by dispatch: runs\n", dispatched->name);
        runnable.push_back(dispatched);
    }
    if (runnable.empty()) throw std::runtime_error("softmax_test: no build of the library runs on this processor");
    return runnable;
}

}  // namespace

std::span<const subject* const> runnable_subjects() {
    static const std::vector<const subject*> runnable = find_runnable();
    return runnable;
}

std::vector<const subject*> runnable_subjects(dtype in, dtype out) {
    std::vector<const subject*> taking;
    for (const subject* s : runnable_subjects()) {
        if (s->takes(in, out)) taking.push_back(s);
    }
    if (taking.empty()) throw std::runtime_error("softmax_test: no build of the library takes this pair of types");
    return taking;
}

const subject& any_subject() { return *runnable_subjects().front(); }

}  // namespace softmax_test
