// SPDX-License-Identifier: BSL-1.0

// What lengths and the causal diagonal hide is not read: it lies in memory that cannot be.

#if __has_include(<sys/mman.h>)

#include "memory.hpp"
#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace softmax_test {
namespace {

/// Rows of T whose kept elements end where memory does: row r keeps first + r*growth of them, and behind those is a page that nobody can
/// read.
template <class T>
class rows_before_a_wall {
public:
    rows_before_a_wall(std::size_t rows, std::size_t first, std::size_t growth)
        : rows_(rows), page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), pitch_(pages * page_), first_(first),
          growth_(growth), memory_(static_cast<std::byte*>(mmap(nullptr, rows * pitch_, PROT_READ | PROT_WRITE,
                                                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        for (std::size_t r = 0; r < rows; ++r) protected_ = mprotect(wall(r), page_, PROT_NONE) == 0 && protected_;
    }
    rows_before_a_wall(const rows_before_a_wall&) = delete;
    ~rows_before_a_wall() { munmap(memory_, rows_ * pitch_); }

    bool works() const { return memory_ != MAP_FAILED && protected_; }
    std::size_t kept(std::size_t r) const { return first_ + r * growth_; }
    T* row(std::size_t r) const { return reinterpret_cast<T*>(wall(r)) - kept(r); }
    /// `length` elements to a row, most of which may not be there.
    smx::tensor_view<const T, 2> view(std::size_t length) const {
        return {row(0), {rows_, length}, {static_cast<std::ptrdiff_t>(pitch_ / sizeof(T) - growth_), 1}};
    }

private:
    static constexpr std::size_t pages = 6;
    std::byte* wall(std::size_t r) const { return memory_ + r * pitch_ + (pages - 1) * page_; }

    std::size_t rows_, page_, pitch_, first_, growth_;
    std::byte* memory_;
    bool protected_ = true;
};

template <class T>
T number(double x) {
    return T(static_cast<float>(x));
}
template <>
bool number<bool>(double x) {
    return x > -1;
}

template <class T>
void check_walls(std::size_t first, std::size_t growth) {
    constexpr std::size_t rows = 9;  // eight and more go by loops of their own
    const rows_before_a_wall<T> logits(rows, first, growth), numbers(rows, first, growth);
    const rows_before_a_wall<bool> truths(rows, first, growth);
    ASSERT_TRUE(logits.works() && numbers.works() && truths.works());
    generator random(first + 100 * growth);
    std::vector<std::size_t> lengths;
    for (std::size_t r = 0; r < rows; ++r) {
        lengths.push_back(logits.kept(r));
        for (std::size_t i = 0; i < lengths[r]; ++i) {
            logits.row(r)[i] = number<T>(random.normal());
            numbers.row(r)[i] = number<T>(random.normal());
            truths.row(r)[i] = number<bool>(random.normal());
        }
    }
    const std::size_t length = lengths.back() + 50;
    std::vector<T> out(rows * length), alone(length);
    const smx::tensor_view<T, 2> to(out.data(), {rows, length});
    const smx::array_ref none, added = numbers.view(length), keep = truths.view(length);
    for (const bool log : {false, true}) {
        for (const smx::array_ref& mask : {none, keep, added}) {
            for (const bool bias : {false, true}) {
                for (const bool causal : {false, true}) {
                    if (causal && growth != 1) continue;
                    smx::masked_options o{.scale = 0.5};
                    if (bias) o.bias = added;
                    if (causal) o.causal = true, o.causal_offset = static_cast<std::ptrdiff_t>(first) - 1;
                    else o.lengths = lengths;
                    if (log) smx::masked_log_softmax(logits.view(length), mask, to, o);
                    else smx::masked_softmax(logits.view(length), mask, to, o);
                    // Each row alone, as long as what is kept of it.
                    for (std::size_t r = 0; r < rows; ++r) {
                        const std::size_t n = lengths[r];
                        const std::span<const T> from(logits.row(r), n);
                        const std::span<T> expected(alone.data(), n);
                        smx::masked_options one{.scale = 0.5};
                        if (bias) one.bias = std::span<const T>(numbers.row(r), n);
                        smx::array_ref m;
                        if (mask && mask.data() == keep.data()) m = std::span<const bool>(truths.row(r), n);
                        else if (mask) m = std::span<const T>(numbers.row(r), n);
                        if (log) smx::masked_log_softmax(from, m, expected, one);
                        else smx::masked_softmax(from, m, expected, one);
                        EXPECT_EQ(std::memcmp(out.data() + r * length, alone.data(), n * sizeof(T)), 0)
                            << n << " of " << length << " log " << log;
                        for (std::size_t i = n; i < length; ++i)
                            EXPECT_EQ(static_cast<double>(static_cast<float>(out[r * length + i])),
                                      log ? -std::numeric_limits<double>::infinity() : 0.0);
                    }
                }
            }
        }
    }
}

class Walls : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Kept, Walls,
                         testing::Values(0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 63, 64, 65, 127, 200, 256, 257,
                                         1000));

TEST_P(Walls, NothingBehindThemIsRead) {
    for (const std::size_t growth : {std::size_t(0), std::size_t(1), std::size_t(3)}) {
        check_walls<float>(GetParam(), growth);
        check_walls<double>(GetParam(), growth);
        check_walls<smx::float16>(GetParam(), growth);
        check_walls<smx::bfloat16>(GetParam(), growth);
    }
}

}  // namespace
}  // namespace softmax_test

#endif
