// SPDX-License-Identifier: BSL-1.0

// One of the objects of a program whose objects were compiled with different flags: -DOBJECT=<name>. No inline function of
// another library is called on purpose: those could be shared, and are not ours to keep apart.

#include "object.hpp"

#include <safe_softmax/safe_softmax.hpp>

namespace {

constexpr unsigned needs = 0
#if defined(__AVX512F__)
                           | needs_avx512
#endif
#if defined(__AVX2__)
                           | needs_avx2
#endif
    ;

void run(const float* logits, std::size_t n, float* results) {
    using floats = smx::tensor_view<float, 2>;
    float* out = results;
    const auto keep = [&](const auto* p, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) *out++ = static_cast<float>(p[i]);
    };
    float f[object_elements];
    double d[object_elements];
    smx::float16 h[object_elements];
    const auto reset = [&] {
        for (std::size_t i = 0; i < n; ++i) {
            f[i] = logits[i];
            d[i] = static_cast<double>(logits[i]);
            h[i] = smx::float16(logits[i]);
        }
    };
    reset();
    smx::safe_softmax(smx::strided_span<float>(f, n, 1));
    smx::safe_softmax(smx::strided_span<double>(d, n, 1));
    smx::log_softmax(smx::strided_span<smx::float16>(h, n, 1), {.scale = 0.3});
    keep(f, n), keep(d, n), keep(h, n);
    reset();
    smx::log_softmax(floats(f, {n / 4, 4}), {.axis = 0, .special = smx::special_values::ieee});
    keep(f, n);
    *out++ = smx::logsumexp(smx::strided_span<const float>(logits, n, 1));
}

bool refuses(const float* logits) {
    float out[2] = {7, 7};
#if SMX_EXCEPTIONS
    try {
        smx::safe_softmax(smx::strided_span<const float>(logits, 3, 1), smx::strided_span<float>(out, 2, 1));
    } catch (...) {
        return out[0] == 7;
    }
    return false;
#else
    static_cast<void>(logits);
    return out[0] == 7;  // it would end the program
#endif
}

}  // namespace

#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

extern const object JOIN(object_, OBJECT);
const object JOIN(object_, OBJECT) = {TEXT(OBJECT), needs, SMX_FUSED != 0, SMX_DISPATCH != 0, run, refuses};
