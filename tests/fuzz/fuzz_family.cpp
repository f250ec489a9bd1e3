// SPDX-License-Identifier: BSL-1.0

// One call of a function of masks, training, streaming or sampling from the fuzzer's bytes. Calls with a defect have to be refused
// before anything is written; results of others are judged by the tests' references where the documentation promises digits,
// and by its tables where it promises special values. Canaries guard every array.

#include "family/judged_calls.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace softmax_test::fuzzing;
    softmax_test::byte_source bytes(data, size);
    const std::uint8_t choice = bytes.byte();
    if (choice >= 192) {
        switch (choice % 4) {
            case 0: try_gumbel(bytes); break;
            case 1: try_weighted(bytes); break;
            case 2: try_logaddexp(bytes); break;
            default: try_sampling(bytes); break;
        }
        return 0;
    }
    switch (choice % 5) {
        case 0: try_backward(bytes); break;
        case 1: try_cross_entropy(bytes); break;
        case 2: try_online(bytes); break;
        default: try_masked(bytes); break;
    }
    return 0;
}
