// SPDX-License-Identifier: BSL-1.0
// masked_softmax beside safe_softmax of the same logits, and the logarithms. How to run it: README.md beside this file.
#include "bars.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

/// Queries and keys; `batch` of such matrices.
struct shape {
    std::size_t batch, rows, length;
};
constexpr shape shapes[] = {{64, 64, 64}, {1, 512, 512}, {1, 1000, 1000}, {1, 256, 4096}, {1, 64, 32000}};

template <class T>
class calls {
public:
    explicit calls(shape s)
        : in_(s.batch * s.rows * s.length), out_(in_.size()), added_(in_.size()), keep_(in_.size()),
          lengths_(s.batch * s.rows), slopes_(s.batch * s.rows), warmth_(s.batch * s.rows),
          extents_{s.batch, s.rows, s.length}, per_row_{s.batch, s.rows},
          // The diagonal leaves half of the elements, as it does where there are as many queries as keys.
          offset_(s.rows == s.length
                      ? 0
                      : static_cast<std::ptrdiff_t>(s.length / 2) - static_cast<std::ptrdiff_t>(s.rows / 2)) {
        std::mt19937 engine(1);
        std::normal_distribution<float> normal(0, 3);
        for (T& x : in_) x = T(normal(engine));
        for (T& x : added_) x = T(normal(engine));
        for (std::uint8_t& k : keep_) k = engine() % 8 != 0;
        for (std::size_t& n : lengths_) n = s.length - engine() % 4;
        for (float& x : warmth_) x = 4 + static_cast<float>(engine() % 64) / 8;
        for (float& x : slopes_) x = 1 / static_cast<float>(2u << engine() % 8);
    }

    std::vector<bench::contender> contenders() {
        using smx::masked_options;
        const smx::tensor_view<const T, 3> in(in_.data(), extents_), added(added_.data(), extents_);
        const smx::tensor_view<T, 3> out(out_.data(), extents_);
        const smx::tensor_view<const std::uint8_t, 3> bytes(keep_.data(), extents_);
        const smx::tensor_view<const bool, 3> truths(reinterpret_cast<const bool*>(keep_.data()), extents_);
        const smx::tensor_view<const std::size_t, 2> lengths(lengths_.data(), per_row_);
        const smx::tensor_view<const float, 2> slopes(slopes_.data(), per_row_), warmth(warmth_.data(), per_row_);
        const masked_options plain{.scale = 0.125}, causal{.scale = 0.125, .causal = true, .causal_offset = offset_},
            by_length{.scale = 0.125, .lengths = lengths}, bias{.scale = 0.125, .bias = added},
            sink{.scale = 0.125, .sink = 0.5}, temperature{.temperature = 8.0}, temperatures{.temperature = warmth},
            capped{.scale = 0.125, .softcap = 30};
        masked_options sloped = causal;
        sloped.alibi_slope = slopes;
        return {{"softmax", [=] { smx::safe_softmax(in, out, {.scale = 0.125}); }},
                {"causal", [=] { smx::masked_softmax(in, out, causal); }},
                {"lengths", [=] { smx::masked_softmax(in, out, by_length); }},
                {"bool mask", [=] { smx::masked_softmax(in, truths, out, plain); }},
                {"byte mask", [=] { smx::masked_softmax(in, bytes, out, plain); }},
                {"added mask", [=] { smx::masked_softmax(in, added, out, plain); }},
                {"bias", [=] { smx::masked_softmax(in, out, bias); }},
                {"bool mask and bias", [=] { smx::masked_softmax(in, truths, out, bias); }},
                {"sink", [=] { smx::masked_softmax(in, out, sink); }},
                {"temperature", [=] { smx::masked_softmax(in, out, temperature); }},
                {"temperature of each row", [=] { smx::masked_softmax(in, out, temperatures); }},
                {"causal, slopes", [=] { smx::masked_softmax(in, out, sloped); }},
                {"softcap", [=] { smx::masked_softmax(in, out, capped); }},
                {"log", [=] { smx::log_softmax(in, out, {.scale = 0.125}); }},
                {"log, causal", [=] { smx::masked_log_softmax(in, out, causal); }},
                {"log, bool mask", [=] { smx::masked_log_softmax(in, truths, out, plain); }},
                {"log, added mask", [=] { smx::masked_log_softmax(in, added, out, plain); }}};
    }

private:
    std::vector<T> in_, out_, added_;
    std::vector<std::uint8_t> keep_;
    std::vector<std::size_t> lengths_;
    std::vector<float> slopes_, warmth_;
    std::array<std::size_t, 3> extents_;
    std::array<std::size_t, 2> per_row_;
    std::ptrdiff_t offset_;
};

template <class T>
void measure(bench::bars& bars, const std::string& type) {
    // Half of the elements are to take at most 0.65 of the time; masks and biases are elements that are read, too.
    const auto bar = [&](const char* what, const char* against, double share, double limit) {
        return bench::bar{type + " " + what, what, against, share, limit};
    };
    const std::vector<bench::bar> asked{bar("causal", "softmax", 1, 0.65),
                                        bar("lengths", "softmax", 1, 1.25),
                                        bar("bool mask", "softmax", 2, 1.25),
                                        bar("byte mask", "softmax", 2, 1.25),
                                        bar("added mask", "softmax", 2, 1.25),
                                        bar("bias", "softmax", 2, 1.25),
                                        bar("bool mask and bias", "softmax", 3, 1.25),
                                        bar("sink", "softmax", 1, 1.25),
                                        bar("temperature", "softmax", 1, 1.25),
                                        bar("temperature of each row", "softmax", 1, 1.25),
                                        bar("causal, slopes", "softmax", 1, 1.25),
                                        bar("softcap", "softmax", 1, 1.25),
                                        bar("log, causal", "log", 1, 0.65),
                                        bar("log, bool mask", "log", 2, 1.25),
                                        bar("log, added mask", "log", 2, 1.25)};
    for (const shape& s : shapes) {
        calls<T> data(s);
        bars.measure(std::to_string(s.length), data.contenders(), asked);
    }
}

}  // namespace

int main(int argc, char** argv) {
    bench::bars bars(argc, argv);
    measure<float>(bars, "f32");
    measure<double>(bars, "f64");
    measure<smx::float16>(bars, "f16");
    measure<smx::bfloat16>(bars, "bf16");
    return bars.finish();
}
