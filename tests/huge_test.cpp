// SPDX-License-Identifier: BSL-1.0

// Views of more than 2^31 elements and offsets of more than 2^32 bytes, over memory that is mostly not there: pages that
// are only read, or never touched, cost nothing.

#include "subjects.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <cmath>
#if defined(__linux__) && __SIZEOF_POINTER__ == 8
#include <sys/mman.h>
#include <unistd.h>

namespace softmax_test {
namespace {

/// Zeros that take memory only where they are written to. Null if the system does not grant the addresses.
class sparse_memory {
public:
    explicit sparse_memory(std::size_t bytes) : bytes_(bytes) {
        void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        data_ = p == MAP_FAILED ? nullptr : p;
        // Huge pages would be filled with zeros one by one.
        if (data_ != nullptr) madvise(data_, bytes, MADV_NOHUGEPAGE);
    }
    ~sparse_memory() {
        if (data_ != nullptr) munmap(data_, bytes_);
    }
    sparse_memory(const sparse_memory&) = delete;
    sparse_memory& operator=(const sparse_memory&) = delete;
    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    std::size_t bytes_;
    void* data_;
};

/// Zeros, of which the first ones are the same few pages again and again: what is written to one place is in others, too. The last
/// 64 MiB are memory as usual. Null if the system does not grant it.
class repeated_memory {
public:
    explicit repeated_memory(std::size_t bytes) : bytes_((bytes + part - 1) / part * part) {
        void* const p = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return;
        data_ = static_cast<char*>(p);
        const int pages = memfd_create("repeated", 0);
        granted_ = pages >= 0 && ftruncate(pages, part) == 0;
        const std::size_t repeated = bytes_ - 2 * part;
        for (std::size_t at = 0; at < repeated && granted_; at += part) map(at, part, MAP_SHARED, pages);
        if (granted_) map(repeated, 2 * part, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        if (pages >= 0) close(pages);
    }
    ~repeated_memory() {
        if (data_ != nullptr) munmap(data_, bytes_);
    }
    repeated_memory(const repeated_memory&) = delete;
    repeated_memory& operator=(const repeated_memory&) = delete;
    template <class T>
    T* as() const {
        return granted_ ? reinterpret_cast<T*>(data_) : nullptr;
    }

private:
    static constexpr std::size_t part = std::size_t(32) << 20;
    void map(std::size_t at, std::size_t bytes, int flags, int file) {
        void* const there = mmap(data_ + at, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED | MAP_POPULATE, file, 0);
        granted_ = there == data_ + at;
    }

    std::size_t bytes_;
    char* data_ = nullptr;
    bool granted_ = false;
};

constexpr std::size_t two_to_31 = std::size_t(1) << 31;

#define SKIP_WITHOUT(memory) \
    if ((memory).as<void>() == nullptr) GTEST_SKIP() << "the system does not grant so many addresses"

TEST(Huge, ARowOfMoreThanTwoToThe31Elements) {
    constexpr std::size_t n = two_to_31 + 77;
    const repeated_memory memory(n * sizeof(smx::bfloat16));
    SKIP_WITHOUT(memory);
    smx::bfloat16* row = memory.as<smx::bfloat16>();
    double sum[1];
    const std::span<const smx::bfloat16> in(row, n);
    smx::logsumexp(in, sum);
    EXPECT_NEAR(sum[0], std::log(static_cast<double>(n)), 4e-15);
    row[n - 2] = smx::bfloat16(64.0f);  // past 2^31 elements and 2^32 bytes
    smx::logsumexp(in, sum);
    EXPECT_DOUBLE_EQ(sum[0], 64 + std::log1p(std::exp(-64.0) * static_cast<double>(n - 1)));
}

TEST(Huge, StridesOfMoreThanTwoToThe32Bytes) {
    constexpr std::size_t stride = two_to_31 + 5;  // elements
    const sparse_memory memory(4 * stride * sizeof(float));
    SKIP_WITHOUT(memory);
    float* data = memory.as<float>();
    for (std::size_t i = 0; i < 4; ++i) data[i * stride] = 1000 + static_cast<float>(i);
    smx::safe_softmax(smx::strided_span<float>(data, 4, static_cast<std::ptrdiff_t>(stride)));
    float expected[4] = {1000, 1001, 1002, 1003};
    smx::safe_softmax(expected);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(data[i * stride], expected[i]) << i;
}

TEST(Huge, RowsBeyondTwoToThe31Elements) {
    constexpr std::size_t rows = 3, stride = two_to_31 + 16;
    const sparse_memory memory(rows * stride * sizeof(smx::float16));
    SKIP_WITHOUT(memory);
    smx::float16* data = memory.as<smx::float16>();
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < 5; ++i) data[r * stride + i] = smx::float16(static_cast<float>(i * (r + 1)));
    smx::log_softmax(smx::tensor_view<smx::float16, 2>(data, {rows, 5}, {static_cast<std::ptrdiff_t>(stride), 1}));
    for (std::size_t r = 0; r < rows; ++r) {
        smx::float16 expected[5];
        for (std::size_t i = 0; i < 5; ++i) expected[i] = smx::float16(static_cast<float>(i * (r + 1)));
        smx::log_softmax(expected);
        for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(data[r * stride + i].bits(), expected[i].bits()) << r << ' ' << i;
    }
}

TEST(Huge, AProbabilityForEachOfMoreThanTwoToThe31Elements) {
    constexpr std::size_t n = two_to_31 + 77, bytes = n * sizeof(smx::bfloat16);
    const repeated_memory from(bytes), to(bytes);
    SKIP_WITHOUT(from);
    SKIP_WITHOUT(to);
    from.as<smx::bfloat16>()[n - 2] = smx::bfloat16(20.0f);
    const smx::bfloat16* const row = to.as<smx::bfloat16>();
    smx::safe_softmax(std::span<const smx::bfloat16>(from.as<smx::bfloat16>(), n),
                      std::span<smx::bfloat16>(to.as<smx::bfloat16>(), n));
    const double total = static_cast<double>(n - 1) + std::exp(20.0);
    const double each = static_cast<double>(row[0]), top = static_cast<double>(row[n - 2]);
    EXPECT_NEAR(each * total, 1, 0x1p-8);
    EXPECT_NEAR(top * total / std::exp(20.0), 1, 0x1p-8);
    for (std::size_t i = 0; i < n; i += 1000003) EXPECT_EQ(row[i].bits(), row[0].bits()) << i;
    EXPECT_EQ(row[n - 1].bits(), row[0].bits());
    EXPECT_EQ(row[n - 3].bits(), row[0].bits());
}

}  // namespace
}  // namespace softmax_test

#endif
