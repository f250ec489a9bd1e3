// SPDX-License-Identifier: BSL-1.0

// Nothing behind the last row of a batch is read, whatever is in its rows: there lies memory that cannot be.

#if __has_include(<sys/mman.h>)

#include "instruction_sets.hpp"
#include "rows.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace softmax_test {
namespace {

/// Elements that end where memory does.
template <class T>
class before_a_wall {
public:
    explicit before_a_wall(const std::vector<T>& elements)
        : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
          bytes_((elements.size() * sizeof(T) / page_ + 2) * page_),
          memory_(static_cast<std::byte*>(
              mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        if (!works()) return;
        data_ = reinterpret_cast<T*>(memory_ + bytes_ - page_) - elements.size();
        std::memcpy(static_cast<void*>(data_), elements.data(), elements.size() * sizeof(T));
        protected_ = mprotect(memory_ + bytes_ - page_, page_, PROT_NONE) == 0;
    }
    before_a_wall(const before_a_wall&) = delete;
    ~before_a_wall() {
        if (memory_ != MAP_FAILED) munmap(memory_, bytes_);
    }
    bool works() const { return memory_ != MAP_FAILED && protected_; }
    T* data() const { return data_; }

private:
    std::size_t page_, bytes_;
    std::byte* memory_;
    T* data_ = nullptr;
    bool protected_ = true;
};

template <class T>
void check(std::size_t rows, std::size_t length, std::size_t special_row, double special) {
    generator random(rows * 1000 + length);
    std::vector<T> x(rows * length), expected(x.size());
    for (T& element : x) element = T(static_cast<float>(3 * random.normal()));
    x[special_row * length + random.below(length)] = T(static_cast<float>(special));
    std::vector<std::uint8_t> keep(x.size());
    for (std::uint8_t& k : keep) k = random.below(4) != 0;
    std::vector<std::uint32_t> lengths(rows);
    for (std::uint32_t& l : lengths) l = static_cast<std::uint32_t>(random.below(length + 1));
    const before_a_wall<T> in(x);
    const before_a_wall<std::uint8_t> mask(keep);
    ASSERT_TRUE(in.works() && mask.works());

    const std::array<std::size_t, 2> extents{rows, length};
    const smx::tensor_view<const T, 2> from(in.data(), extents), copy(x.data(), extents);
    const smx::tensor_view<const std::uint8_t, 2> kept(mask.data(), extents), kept_copy(keep.data(), extents);
    smx::masked_options o;
    o.lengths = smx::tensor_view<const std::uint32_t, 1>(lengths.data(), {rows});
    const auto same = [&](const char* what, auto f) {
        const before_a_wall<T> out(x);  // results end at a wall, too
        f(from, kept, smx::tensor_view<T, 2>(out.data(), extents));
        f(copy, kept_copy, smx::tensor_view<T, 2>(expected.data(), extents));
        EXPECT_EQ(std::memcmp(out.data(), expected.data(), x.size() * sizeof(T)), 0)
            << what << ", " << rows << "x" << length << ", " << special << " in row " << special_row;
    };
    same("safe_softmax", [](auto logits, auto, auto out) { smx::safe_softmax(logits, out); });
    same("log_softmax", [](auto logits, auto, auto out) { smx::log_softmax(logits, out); });
    same("a mask", [](auto logits, auto truths, auto out) { smx::masked_softmax(logits, truths, out); });
    same("lengths", [&](auto logits, auto, auto out) { smx::masked_softmax(logits, out, o); });
    same("lengths and a mask",
         [&](auto logits, auto truths, auto out) { smx::masked_softmax(logits, truths, out, o); });
}

TEST(BatchMemory, NothingBehindItIsRead) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    on_every_isa([](smx::isa) {
        for (const std::size_t length : {7u, 16u, 17u, 33u, 64u, 70u, 128u, 300u})
            for (const std::size_t rows : {8u, 17u, 29u})
                for (const std::size_t special_row : {std::size_t(0), std::size_t(7), rows - 8, rows - 1})
                    for (const double special : {1.0, 30000.0, nan}) {
                        check<float>(rows, length, special_row, special);
                        check<double>(rows, length, special_row, special);
                        check<smx::float16>(rows, length, special_row, special);
                        check<smx::bfloat16>(rows, length, special_row, special);
                    }
    });
}

}  // namespace
}  // namespace softmax_test

#endif
