// SPDX-License-Identifier: BSL-1.0

// A call takes no more of the stack than its header says, compiled with optimisation, on every instruction set: measured on threads
// whose stacks are painted.

#include "instruction_sets.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#if defined(__linux__)
#include <pthread.h>
#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr bool measurable = false;
#elif defined(__has_feature)
constexpr bool measurable = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool measurable = true;
#endif

// Functions that are inlined as the compiler likes may take more than headers promise (config.hpp): only that it is not much is looked at.
#if defined(LIBRARY_IS_INLINED_AS_NEEDED)
constexpr std::size_t allowance = 1024;
#else
constexpr std::size_t allowance = 0;
#endif

class painted_stack {
public:
    painted_stack() : memory_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
    painted_stack(const painted_stack&) = delete;
    ~painted_stack() {
        if (works()) munmap(memory_, size);
    }
    bool works() const { return memory_ != MAP_FAILED; }

    /// Bytes that f takes beside those of an empty call.
    std::size_t bytes_of(const std::function<void()>& f) {
        if (nothing_ == 0) nothing_ = reached_by([] {});
        return reached_by(f) - nothing_;
    }

private:
    static constexpr std::size_t size = std::size_t(1) << 20;
    static constexpr unsigned char paint = 0x5a;

    std::size_t reached_by(std::function<void()> f) {
        std::memset(memory_, paint, size);
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        EXPECT_EQ(pthread_attr_setstack(&attributes, memory_, size), 0);
        const auto run = [](void* p) -> void* { return (*static_cast<std::function<void()>*>(p))(), nullptr; };
        EXPECT_EQ(pthread_create(&thread, &attributes, run, &f), 0);
        pthread_join(thread, nullptr);
        pthread_attr_destroy(&attributes);
        const unsigned char* const bytes = static_cast<const unsigned char*>(memory_);
        std::size_t untouched = 0;
        while (untouched < size && bytes[untouched] == paint) ++untouched;
        return size - untouched;
    }

    void* memory_;
    std::size_t nothing_ = 0;  // what an empty call takes
};

/// Rows for every path: ordinary ones, and some with nothing, infinities, a NaN or large logits.
template <class T>
std::vector<T> logits(std::size_t rows, std::size_t length) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0, 3);
    std::vector<T> x(rows * length);
    for (T& element : x) element = T(normal(engine));
    for (std::size_t i = 0; i < length; ++i) {
        x[length + i] = T(-std::numeric_limits<float>::infinity());
        if (sizeof(T) > 2) x[5 * length + i] = T(1e30f);
    }
    x[3 * length] = T(std::numeric_limits<float>::infinity());
    x[4 * length] = x[6 * length + length / 2] = T(std::numeric_limits<float>::quiet_NaN());
    // A NaN that hides the only number from some searches for the largest.
    for (std::size_t i = 0; i < length; ++i) x[7 * length + i] = T(-std::numeric_limits<float>::infinity());
    if (length > 4104) x[7 * length + 8] = T(std::numeric_limits<float>::quiet_NaN()), x[7 * length + 4104] = T(1.0f);
    return x;
}

/// Runs all tasks on the calling thread: what the caller and a task take, one on top of the other.
struct one_after_the_other {
    static std::size_t concurrency() { return 4; }
    void operator()(std::size_t tasks, const smx::parallel_task& f) const {
        for (std::size_t i = 0; i < tasks; ++i) f(i);
    }
};

template <class In, class Out>
void check(const std::string& where) {
    painted_stack stack;
    ASSERT_TRUE(stack.works());
    constexpr std::size_t rows = 9, functions = 80, others = 100;  // KiB
    constexpr std::size_t tasks = 16 + 10;                         // more, of an executor's thread and of the caller
    for (const std::size_t length : {std::size_t(8), std::size_t(40), std::size_t(300), std::size_t(5000),
                                     std::size_t(20000), std::size_t(70000)}) {
        const std::vector<In> x = logits<In>(rows, length), dy = logits<In>(rows, length);
        std::vector<Out> y(rows * length);
        std::vector<float> losses(rows), uniform(rows, 0.5f), bias(rows * length, 0.5f);
        std::vector<unsigned char> mask(rows * length, 1);
        mask[3] = 0;
        std::vector<int> targets(rows, 3), indices(rows);
        const std::vector<int> kept_of_rows{0, 1, 2, 7, 8, 5, 6, 3, 8};
        const std::vector<float> weights(length, 0.5f);
        std::mt19937_64 engine(1);
        const auto steps = static_cast<std::ptrdiff_t>(length);
        const smx::tensor_view<const In, 2> in(x.data(), {rows, length}), d(dy.data(), {rows, length});
        const smx::tensor_view<const In, 2> gaps(x.data(), {rows, length / 2}, {steps, 2});
        const smx::tensor_view<Out, 2> out(y.data(), {rows, length}),
            out_gaps(y.data(), {rows, length / 2}, {steps, 2});
        const smx::tensor_view<const In, 3> blocks(x.data(), {3, length, 3});
        const smx::tensor_view<Out, 3> out_blocks(y.data(), {3, length, 3});
        const smx::tensor_view<const float, 2> added(bias.data(), {rows, length});
        const smx::tensor_view<const unsigned char, 2> kept(mask.data(), {rows, length});
        const auto takes = [&](const char* what, std::size_t kib, const std::function<void()>& f) {
            EXPECT_LE(stack.bytes_of(f), kib * 1024 + allowance) << what << ", rows of " << length << ", " << where;
        };
        takes("safe_softmax", functions, [&] { smx::safe_softmax(in, out); });
        takes("log_softmax", functions, [&] { smx::log_softmax(in, out, {.scale = 0.3}); });
        takes("safe_softmax along the first axis", functions,
              [&] { smx::safe_softmax(in, out, {.axis = 0, .scale = 0.3}); });
        takes("log_softmax along the first axis", functions, [&] { smx::log_softmax(in, out, {.axis = 0}); });
        takes("safe_softmax of few neighbours", functions, [&] { smx::safe_softmax(blocks, out_blocks, {.axis = 1}); });
        takes("log_softmax of few neighbours", functions, [&] { smx::log_softmax(blocks, out_blocks, {.axis = 1}); });
        takes("safe_softmax of elements apart", functions, [&] { smx::safe_softmax(gaps, out_gaps); });
        takes("log_softmax of elements apart", functions, [&] { smx::log_softmax(gaps, out_gaps); });
        takes("safe_softmax of a row", functions,
              [&] { smx::safe_softmax(std::span(x.data(), length), std::span(y.data(), length)); });
        takes("logsumexp", functions, [&] { smx::logsumexp(in, losses); });
        takes("causal", functions,
              [&] { smx::masked_softmax(in, out, {.causal = true, .causal_offset = steps - std::ptrdiff_t(rows)}); });
        takes("causal, another scale", functions, [&] { smx::masked_softmax(in, out, {.scale = -1, .causal = true}); });
        takes("lengths", functions, [&] { smx::masked_softmax(in, out, {.scale = -1, .lengths = kept_of_rows}); });
        takes("causal logarithms", functions, [&] {
            smx::masked_log_softmax(in, out, {.causal = true, .causal_offset = steps - std::ptrdiff_t(rows)});
        });
        takes("a mask", functions, [&] { smx::masked_softmax(in, kept, out); });
        takes("a mask, logarithms", functions, [&] { smx::masked_log_softmax(in, kept, out); });
        takes("an added mask", functions, [&] { smx::masked_softmax(in, added, out); });
        takes("an added mask, logarithms", functions, [&] { smx::masked_log_softmax(in, added, out); });
        takes("a sink", functions, [&] { smx::masked_softmax(in, out, {.scale = -1, .sink = weights[0]}); });
        takes("temperatures", functions, [&] { smx::masked_softmax(in, out, {.temperature = uniform}); });
        takes("temperatures, logarithms", functions,
              [&] { smx::masked_log_softmax(in, out, {.temperature = uniform}); });
        takes("softcap", functions, [&] { smx::masked_softmax(in, out, {.softcap = 30}); });
        takes("softmax_backward", functions, [&] { smx::softmax_backward(in, d, out); });
        takes("log_softmax_backward", functions, [&] { smx::log_softmax_backward(in, d, out); });
        takes("masked_softmax_backward", functions,
              [&] { smx::masked_softmax_backward(in, in, d, out, {.softcap = 30}); });
        takes("cross_entropy", others, [&] { smx::cross_entropy(in, targets, losses); });
        takes("cross_entropy with all options", others, [&] {
            smx::cross_entropy(in, targets, losses, {.label_smoothing = 0.1, .class_weights = weights, .z_loss = 1e-3});
        });
        takes("cross_entropy of soft targets", others, [&] { smx::cross_entropy(in, added, losses); });
        takes("cross_entropy_backward", others, [&] { smx::cross_entropy_backward(in, targets, losses, out); });
        one_after_the_other executor;
        takes("safe_softmax of tasks", functions, [&] { smx::safe_softmax(executor, in, out); });
        takes("a mask, of tasks", functions + tasks, [&] { smx::masked_softmax(executor, in, kept, out); });
        takes("a mask along the first axis, of tasks", functions + tasks,
              [&] { smx::masked_log_softmax(executor, in, kept, out, {.axis = 0}); });
        takes("softmax_backward of tasks", functions + tasks, [&] { smx::softmax_backward(executor, in, d, out); });
        takes("cross_entropy of tasks", others + tasks, [&] { smx::cross_entropy(executor, in, targets, losses); });
        takes("a mean of tasks", others + tasks, [&] {
            float mean[1];
            smx::cross_entropy_with_gradient(executor, in, targets, mean, out,
                                             {.reduction = smx::loss_reduction::mean});
        });
        takes("top_k_softmax", others, [&] { smx::top_k_softmax(in, out, 5); });
        takes("top_p_softmax", others, [&] { smx::top_p_softmax(in, out, 0.5); });
        takes("gumbel_softmax", others, [&] { smx::gumbel_softmax(in, out, engine); });
        takes("sample", others, [&] { smx::sample(in, uniform, indices); });
        takes("online_softmax", 40, [&] {
            smx::online_softmax<std::conditional_t<std::is_same_v<In, double>, double, float>> state;
            state.push(std::span(x.data(), length));
            state.probabilities(std::span(x.data(), length), std::span(y.data(), length));
        });
    }
}

TEST(Stack, ACallTakesNoMoreThanItsHeaderSays) {
    if (!measurable) GTEST_SKIP() << "frames are larger without optimisation and under sanitizers";
    softmax_test::on_every_isa([](smx::isa level) {
        const std::string name = smx::name_of(level);
        check<float, float>("float, " + name);
        check<double, double>("double, " + name);
        check<smx::float16, smx::float16>("float16, " + name);
        check<smx::bfloat16, smx::bfloat16>("bfloat16, " + name);
        check<float, smx::bfloat16>("float to bfloat16, " + name);
    });
}

}  // namespace

#endif
