// SPDX-License-Identifier: BSL-1.0
// A function that takes tensors of any framework that speaks DLPack, without a copy: type, rank and strides as they come. Exits with
// 0 if a transposed bfloat16 tensor gave float probabilities, and one on a GPU a clear refusal.
#include <safe_softmax/dlpack.hpp>
#include <safe_softmax/safe_softmax.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace {

/// What a library would export: logits and probabilities belong to the caller.
void softmax(const DLManagedTensor* logits, DLManagedTensor* probabilities, int axis) {
    smx::safe_softmax(logits->dl_tensor, probabilities->dl_tensor, {.axis = axis});
}

DLManagedTensor tensor(void* data, DLDataType type, std::int64_t* shape, std::int64_t* strides) {
    DLManagedTensor t{};
    t.dl_tensor.data = data;
    t.dl_tensor.device = {kDLCPU, 0};
    t.dl_tensor.ndim = 2;
    t.dl_tensor.dtype = type;
    t.dl_tensor.shape = shape;
    t.dl_tensor.strides = strides;
    return t;
}

}  // namespace

int main() {
    smx::bfloat16 memory[6];  // 3 x 2, seen as 2 x 3
    for (int i = 0; i < 6; ++i) memory[i] = smx::bfloat16(static_cast<float>(100 * i));
    float out[6];
    std::int64_t shape[] = {2, 3}, turned[] = {1, 2};
    DLManagedTensor logits = tensor(memory, {kDLBfloat, 16, 1}, shape, turned),
                    probabilities = tensor(out, {kDLFloat, 32, 1}, shape, nullptr);
    softmax(&logits, &probabilities, 1);
    for (int r = 0; r < 2; ++r) std::printf("%g %g %g\n", out[3 * r], out[3 * r + 1], out[3 * r + 2]);

    logits.dl_tensor.device.device_type = static_cast<DLDeviceType>(2);
    try {
        softmax(&logits, &probabilities, 1);
    } catch (const std::invalid_argument& e) {
        std::printf("%s\n", e.what());
        return out[2] == 1 && std::strstr(e.what(), "device of type 2") != nullptr ? 0 : 1;
    }
    return 1;
}
