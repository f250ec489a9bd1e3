// SPDX-License-Identifier: BSL-1.0
#include "caller_environment.hpp"
#include "subjects.hpp"

#include <safe_softmax/isa.hpp>

namespace softmax_test {

// subject.cpp, compiled with SMX_DISPATCH.
extern const subject subject_dispatch;

namespace {

bool every_pair(dtype, dtype) { return true; }

template <smx::isa Level>
struct with_isa {
    static void out_of_place(function f, const view& in, const view& out, const smx::softmax_options& options) {
        smx::set_active_isa(Level);
        const caller_environment environment;
        subject_dispatch.out_of_place(f, in, out, options);
    }
    static void in_place(function f, const view& inout, const smx::softmax_options& options) {
        smx::set_active_isa(Level);
        const caller_environment environment;
        subject_dispatch.in_place(f, inout, options);
    }
    static void returned_logsumexp(const view& in, void* result, const smx::softmax_options& options) {
        smx::set_active_isa(Level);
        const caller_environment environment;
        subject_dispatch.returned_logsumexp(in, result, options);
    }
    static constexpr subject value = {smx::name_of(Level),
                                      Level != smx::isa::sse2 && (Level != smx::isa::scalar || SMX_FUSED),
                                      0,
                                      every_pair,
                                      out_of_place,
                                      in_place,
                                      returned_logsumexp,
                                      nullptr};
};

template <smx::isa... Levels>
std::vector<const subject*> available() {
    std::vector<const subject*> found;
    ((smx::is_available(Levels) ? found.push_back(&with_isa<Levels>::value) : void()), ...);
    return found;
}

}  // namespace

std::vector<const subject*> dispatched_subjects() {
    using enum smx::isa;
    return available<scalar, sse2, avx2, avx512, avx512bf16, neon64>();
}

}  // namespace softmax_test
