// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the fuzz targets make their calls from.

#include "../memory.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace softmax_test {

/// The fuzzer's bytes from the front; zeros after the last one.
class byte_source {
public:
    byte_source(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    template <class T>
    T take() {
        struct {
            std::uint8_t bytes[sizeof(T)];
        } raw{};
        const std::size_t n = std::min(sizeof raw, rest_.size());
        std::copy_n(rest_.begin(), n, raw.bytes);
        rest_ = rest_.subspan(n);
        return std::bit_cast<T>(raw);
    }
    std::uint8_t byte() { return take<std::uint8_t>(); }
    std::span<const std::uint8_t> rest() const { return rest_; }

private:
    std::span<const std::uint8_t> rest_;
};

template <class List>
auto one_of(const List& list, std::size_t choice) {
    return list[choice % std::size(list)];
}

/// Logits for `in`: notable numbers, numbers in a range, or the bytes as they are, again and again.
void write_logits(const view& in, byte_source& bytes);

}  // namespace softmax_test
