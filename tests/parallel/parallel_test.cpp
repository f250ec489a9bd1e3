// SPDX-License-Identifier: BSL-1.0

// The functions of parallel.hpp give the bits of the sequential ones, for every executor: pretended ones that run the tasks
// one after the other in any order, and real threads.

#include "executors.hpp"

#include <safe_softmax/openmp.hpp>
#include <safe_softmax/safe_softmax.hpp>
#if defined(SMX_TEST_TBB)
#include <safe_softmax/tbb.hpp>
#endif

#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

enum class function { softmax, log_softmax, logsumexp };
constexpr function all_functions[] = {function::softmax, function::log_softmax, function::logsumexp};
constexpr const char* names[] = {"safe_softmax", "log_softmax", "logsumexp"};

/// A view of rank 3 in memory.
struct shape {
    const char* name;
    std::array<std::size_t, 3> extents;
    std::array<std::ptrdiff_t, 3> strides;
    std::ptrdiff_t axis;
    bool shared = true;  ///< by all numbers of threads above one
};

// With more elements than stay on the calling thread.
constexpr shape shapes[] = {
    {"rows", {1, 75, 1000}, {75000, 1000, 1}, 2},
    {"rows out of line", {1, 75, 1000}, {0, 1003, 1}, 2},
    {"rows backwards", {1, 75, 1000}, {0, -1000, -1}, 2},
    {"short rows", {1, 6001, 8}, {0, 8, 1}, 2},
    {"rows of one element", {1, 40000, 1}, {0, 1, 1}, 2},
    {"two rows", {1, 2, 30000}, {0, 30000, 1}, 2},
    {"columns", {1, 200, 333}, {0, 333, 1}, 1},
    {"few columns", {1, 1500, 40}, {0, 40, 1}, 1},
    {"a single tile of columns", {1, 3000, 19}, {0, 19, 1}, 1, false},
    {"batch of columns", {7, 100, 67}, {6700, 67, 1}, 1},
    {"batch of few columns", {600, 40, 3}, {120, 3, 1}, 1},
    {"first axis", {50, 31, 37}, {31 * 37, 37, 1}, 0},
    {"loops that do not join", {13, 29, 100}, {4000, 110, 1}, 2},
    {"many small loops", {3001, 3, 5}, {40, 11, 1}, 2},
    {"crossed", {13, 29, 100}, {1, 13, 400}, 2},
};

/// Elements from the first to the last of a view in memory, and where its element with all indices 0 is.
struct reach {
    std::size_t size, origin;
};
reach reach_of(const shape& s) {
    std::ptrdiff_t below = 0, above = 0;
    for (std::size_t d = 0; d < 3; ++d) {
        const std::ptrdiff_t all = s.strides[d] * static_cast<std::ptrdiff_t>(s.extents[d] - 1);
        (all < 0 ? below : above) += all;
    }
    return {static_cast<std::size_t>(above - below + 1), static_cast<std::size_t>(-below)};
}

template <class T>
std::vector<T> logits(std::size_t n, unsigned seed = 1) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0, 5);
    std::vector<T> x(n);
    for (T& element : x) element = T(normal(engine));
    return x;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// executor...: none, for the sequential function.
template <class In, class Out>
void call(function f, const In& in, const Out& out, const smx::softmax_options& options, auto&... executor) {
    if (f == function::softmax) smx::safe_softmax(executor..., in, out, options);
    else if (f == function::log_softmax) smx::log_softmax(executor..., in, out, options);
    else smx::logsumexp(executor..., in, out, options);
}

template <class InOut>
void call_in_place(function f, const InOut& inout, const smx::softmax_options& options, auto&... executor) {
    if (f == function::softmax) smx::safe_softmax(executor..., inout, options);
    else smx::log_softmax(executor..., inout, options);
}

/// Every byte that a call leaves behind.
template <class In, class Out>
std::vector<Out> result_of(function f, const shape& s, const std::vector<In>& in, const smx::softmax_options& options,
                           auto&... executor) {
    const reach r = reach_of(s);
    std::vector<Out> out(r.size, Out(7.0f));
    smx::softmax_options along = options;
    along.axis = s.axis;
    std::array<std::size_t, 3> extents = s.extents;
    if (f == function::logsumexp) extents[static_cast<std::size_t>(s.axis)] = 1;
    call(f, smx::tensor_view<const In, 3>(in.data() + r.origin, s.extents, s.strides),
         smx::tensor_view<Out, 3>(out.data() + r.origin, extents, s.strides), along, executor...);
    return out;
}

template <class T>
std::vector<T> result_in_place(function f, const shape& s, const std::vector<T>& in,
                               const smx::softmax_options& options, auto&... executor) {
    std::vector<T> inout = in;
    smx::softmax_options along = options;
    along.axis = s.axis;
    call_in_place(f, smx::tensor_view<T, 3>(inout.data() + reach_of(s).origin, s.extents, s.strides), along,
                  executor...);
    return inout;
}

/// What the sequential functions make of an input.
template <class In, class Out>
struct sequential_results {
    std::vector<Out> out[std::size(all_functions)], in_place[2];  // logsumexp has nothing in place

    sequential_results(const shape& s, const std::vector<In>& in, const smx::softmax_options& options = {}) {
        for (std::size_t f = 0; f < std::size(out); ++f) out[f] = result_of<In, Out>(all_functions[f], s, in, options);
        if constexpr (std::is_same_v<In, Out>)
            for (std::size_t f = 0; f < std::size(in_place); ++f)
                in_place[f] = result_in_place(all_functions[f], s, in, options);
    }
};

template <class In, class Out>
void expect_same(const sequential_results<In, Out>& expected, const shape& s, const std::vector<In>& in,
                 const smx::softmax_options& options, auto&& executor, const std::string& where) {
    for (std::size_t f = 0; f < std::size(all_functions); ++f) {
        ASSERT_TRUE(same_bits(expected.out[f], result_of<In, Out>(all_functions[f], s, in, options, executor)))
            << names[f] << ' ' << s.name << ' ' << where;
        if constexpr (std::is_same_v<In, Out>) {
            if (f == std::size(expected.in_place)) continue;
            ASSERT_TRUE(same_bits(expected.in_place[f], result_in_place(all_functions[f], s, in, options, executor)))
                << names[f] << " in place " << s.name << ' ' << where;
        }
    }
}

template <class In, class Out>
void expect_same(const shape& s, const std::vector<In>& in, const smx::softmax_options& options, auto&& executor,
                 const std::string& where) {
    expect_same(sequential_results<In, Out>(s, in, options), s, in, options, executor, where);
}

template <class Types>
class Parallel : public testing::Test {};

template <class A, class B>
struct types {
    using in = A;
    using out = B;
};
using tested_types = testing::Types<types<float, float>, types<double, double>, types<smx::bfloat16, smx::bfloat16>,
                                    types<float, smx::float16>>;
class type_names {
public:
    template <class T>
    static std::string GetName(int i) {
        constexpr const char* name[] = {"f32", "f64", "bf16", "f32_to_f16"};
        return name[i];
    }
};
TYPED_TEST_SUITE(Parallel, tested_types, type_names);

TYPED_TEST(Parallel, EveryNumberOfThreadsAndOrderOfTasksGivesTheSameBits) {
    using In = typename TypeParam::in;
    using Out = typename TypeParam::out;
    for_each_isa([](const char* isa, bool) {
        for (const shape& s : shapes) {
            const std::vector<In> in = logits<In>(reach_of(s).size);
            const sequential_results<In, Out> expected(s, in);
            for (const std::size_t threads : {1u, 2u, 3u, 4u, 7u, 64u}) {
                for (const order o : {order::forward, order::backward, order::shuffled}) {
                    pretended_executor executor{threads, o};
                    expect_same(expected, s, in, {}, executor, isa + (" threads " + std::to_string(threads)));
                    EXPECT_EQ(executor.calls == 0, threads == 1 || !s.shared) << s.name << ' ' << threads;
                }
            }
        }
    });
}

template <class In, class Out, class E>
void expect_same_on_real_threads(E&& executor, const std::string& what) {
    const smx::softmax_options options{.scale = 0.7};
    for (const shape& s : shapes) {
        const std::vector<In> in = logits<In>(reach_of(s).size);
        const sequential_results<In, Out> expected(s, in, options);
        for (int i = 0; i < 3; ++i) expect_same(expected, s, in, options, executor, what);
    }
}

TYPED_TEST(Parallel, ThreadsOfTheDocumentation) {
    for (const std::size_t threads : {2u, 5u})
        expect_same_on_real_threads<typename TypeParam::in, typename TypeParam::out>(
            thread_executor{threads}, std::to_string(threads) + " threads");
}

TYPED_TEST(Parallel, APool) {
    pool threads(3);
    expect_same_on_real_threads<typename TypeParam::in, typename TypeParam::out>(pool_executor<pool>{threads}, "pool");
}

TYPED_TEST(Parallel, OpenMp) {
#if !defined(_OPENMP)
    EXPECT_EQ(smx::openmp_executor{}.concurrency(), 1u);
#else
    EXPECT_EQ(smx::openmp_executor{3}.concurrency(), 3u);
    EXPECT_EQ(smx::openmp_executor{}.concurrency(), static_cast<std::size_t>(omp_get_max_threads()));
    int inside = 0;
#pragma omp parallel num_threads(2) reduction(max : inside)
    inside = static_cast<int>(smx::openmp_executor{3}.concurrency());
    EXPECT_EQ(inside, 1) << "in a parallel region";
#endif
    expect_same_on_real_threads<typename TypeParam::in, typename TypeParam::out>(smx::openmp_executor{}, "OpenMP");
    expect_same_on_real_threads<typename TypeParam::in, typename TypeParam::out>(smx::openmp_executor{3},
                                                                                 "OpenMP, 3 threads");
}

#if defined(SMX_TEST_TBB)
TYPED_TEST(Parallel, Tbb) {
    tbb::task_arena arena(3);
    arena.execute([] {
        EXPECT_EQ(smx::tbb_executor{}.concurrency(), 3u);
        expect_same_on_real_threads<typename TypeParam::in, typename TypeParam::out>(smx::tbb_executor{}, "TBB");
    });
}
#endif

// Rows that are shared by segments: more than 65536 elements, fewer rows than threads. From 2^22 on segments are longer.
constexpr shape huge_shapes[] = {
    {"a row", {1, 1, 65537}, {0, 0, 1}, 2},
    {"a row of whole segments", {1, 1, 131072}, {0, 0, 1}, 2},
    {"a row of longer segments", {1, 1, 4194304 + 5}, {0, 0, 1}, 2},
    {"a row backwards, with gaps", {1, 1, 300001}, {0, 0, -2}, 2},
    {"a row and a half for each of two threads", {1, 3, 200000}, {0, 200003, 1}, 2},
    {"three columns", {100001, 1, 3}, {3, 3, 1}, 0},
    {"three rows in two loops", {3, 70000, 1}, {70000 * 3, 3, 1}, 1},
    {"columns", {70001, 1, 32}, {32, 32, 1}, 0},
};

TYPED_TEST(Parallel, SharedRows) {
    using In = typename TypeParam::in;
    using Out = typename TypeParam::out;
    for_each_isa([](const char* isa, bool chosen) {
        for (const shape& s : huge_shapes) {
            if (s.extents[2] > 1000000 && !chosen) continue;
            const std::vector<In> in = logits<In>(reach_of(s).size);
            for (const double scale : {1.0, -0.3}) {
                const sequential_results<In, Out> expected(s, in, {.scale = scale});
                for (const std::size_t threads :
                     scale == 1 ? std::vector<std::size_t>{2} : std::vector<std::size_t>{3, 64}) {
                    const order o = threads == 2 ? order::backward : order::shuffled;
                    pretended_executor executor{threads, o};
                    expect_same(expected, s, in, {.scale = scale}, executor,
                                isa + (" threads " + std::to_string(threads)));
                    EXPECT_GT(executor.calls, 0u) << s.name;
                }
            }
        }
    });
}

TYPED_TEST(Parallel, SharedRowsOnRealThreads) {
    using In = typename TypeParam::in;
    using Out = typename TypeParam::out;
    for (const shape& s : huge_shapes) {
        if (s.extents[2] > 1000000) continue;
        const std::vector<In> in = logits<In>(reach_of(s).size);
        const sequential_results<In, Out> expected(s, in);
        expect_same(expected, s, in, {}, thread_executor{4}, "4 threads");
#if defined(SMX_TEST_TBB)
        expect_same(expected, s, in, {}, smx::tbb_executor{}, "TBB");
#endif
        expect_same(expected, s, in, {}, smx::openmp_executor{3}, "OpenMP");
    }
}

TYPED_TEST(Parallel, SharedRowsOfAllKinds) {
    using In = typename TypeParam::in;
    using Out = typename TypeParam::out;
    constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    const shape contiguous{"a row", {1, 1, 200001}, {0, 0, 1}, 2},
        stepped{"a row with gaps", {1, 1, 200001}, {0, 0, 2}, 2};
    struct kind {
        const char* name;
        double everywhere, here, there;
    };
    constexpr double no = 12345;  // what was there
    const kind kinds[] = {
        {"a NaN", no, nan, no},
        {"a NaN at the end", no, no, nan},
        {"+inf", no, inf, no},
        {"+inf twice", no, inf, inf},
        {"NaN and +inf", no, nan, inf},
        {"all -inf", -inf, no, no},
        {"all -inf but one", -inf, no, 1},
        {"all -inf and a NaN", -inf, nan, no},
        {"all +inf", inf, no, no},
        {"-inf among others", no, -inf, -inf},
        {"ties", 3, 50, 50},
        {"all equal", 3, no, no},
        {"far from 0", no, 30000, 29999},
    };
    for (const shape& s : {contiguous, stepped}) {
        for (const kind& k : kinds) {
            std::vector<In> in = logits<In>(reach_of(s).size);
            const std::size_t step = static_cast<std::size_t>(s.strides[2]);
            if (k.everywhere != no) std::fill(in.begin(), in.end(), In(static_cast<float>(k.everywhere)));
            if (k.here != no) in[70000 * step] = In(static_cast<float>(k.here));
            if (k.there != no) in.back() = In(static_cast<float>(k.there));
            for (const smx::special_values special : {smx::special_values::safe, smx::special_values::ieee}) {
                for (const double scale : {1.0, -1.0, 1e30}) {
                    pretended_executor executor{4, order::backward};
                    expect_same<In, Out>(s, in, {.scale = scale, .special = special}, executor, k.name);
                    const bool in_place = std::is_same_v<In, Out>;
                    EXPECT_EQ(executor.calls, in_place ? 14u : 8u) << "three stages, two of logsumexp";
                }
            }
        }
    }
}

const shape& rows = shapes[0];

TEST(ParallelCalls, SmallWorkStaysOnTheCallingThread) {
    pretended_executor executor{8};
    std::vector<float> x = logits<float>(32768);
    smx::safe_softmax(executor, smx::tensor_view<float, 2>(x.data(), {1, 32767}));
    smx::safe_softmax(executor, smx::tensor_view<float, 2>(x.data(), {32767, 1}));
    smx::log_softmax(executor, std::span<float>(x).first(100));
    EXPECT_EQ(smx::logsumexp(executor, std::span<const float>(x).first(100)),
              smx::logsumexp(std::span<const float>(x).first(100)));
    smx::safe_softmax(executor, smx::tensor_view<float, 2>(x.data(), {0, 32768}));
    float sums[3] = {7, 7, 7};
    smx::logsumexp(executor, smx::tensor_view<const float, 2>(x.data(), {3, 0}), sums);
    EXPECT_EQ(sums[2], -std::numeric_limits<float>::infinity());
    EXPECT_EQ(executor.calls, 0u);
    smx::safe_softmax(executor, smx::tensor_view<float, 2>(x.data(), {128, 256}));
    EXPECT_EQ(executor.calls, 1u);
    EXPECT_EQ(executor.tasks_seen, 4u) << "8192 elements each";
}

TEST(ParallelCalls, LargeWorkIsFourTasksToAThread) {
    for (const std::size_t threads : {2u, 7u}) {
        pretended_executor executor{threads};
        const std::vector<float> in = logits<float>(1000000);
        result_of<float, float>(function::softmax, {"", {1, 1000, 1000}, {0, 1000, 1}, 2}, in, {}, executor);
        EXPECT_EQ(executor.tasks_seen, 4 * threads);
    }
}

TEST(ParallelCalls, NothingStartsBeforeTheChecks) {
    pretended_executor executor{4};
    const std::vector<float> in(100000);
    std::vector<float> out(99999, 7.0f), reduced(2, 7.0f);
    EXPECT_THROW(smx::safe_softmax(executor, in, out), std::invalid_argument);
    EXPECT_THROW(smx::log_softmax(executor, in, out), std::invalid_argument);
    EXPECT_THROW(smx::logsumexp(executor, in, reduced), std::invalid_argument);
    EXPECT_THROW(smx::safe_softmax(executor, out, {.axis = 1}), std::invalid_argument);
    EXPECT_THROW(smx::log_softmax(executor, out, {.scale = std::numeric_limits<double>::infinity()}),
                 std::invalid_argument);
    EXPECT_THROW((void)smx::logsumexp(executor, in, {.axis = -2}), std::invalid_argument);
    EXPECT_THROW(
        smx::safe_softmax(executor, std::span<const float>(out).first(90000), std::span<float>(out).last(90000)),
        std::invalid_argument);
    EXPECT_EQ(executor.calls, 0u);
    EXPECT_EQ(std::count(out.begin(), out.end(), 7.0f), 99999);
    EXPECT_EQ(std::count(reduced.begin(), reduced.end(), 7.0f), 2);
}

TEST(ParallelCalls, SpecialRowsAndOptions) {
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (const smx::special_values special : {smx::special_values::safe, smx::special_values::ieee}) {
        for (const shape& s : {shapes[0], shapes[3], shapes[6]}) {
            std::vector<float> in = logits<float>(reach_of(s).size);
            for (std::size_t i = 0; i < in.size() / 5; ++i) in[i] = -inf;
            in[in.size() / 2] = std::numeric_limits<float>::quiet_NaN();
            in[in.size() / 3] = inf;
            pretended_executor executor{3};
            expect_same<float, float>(s, in, {.special = special}, executor, "special");
            expect_same<float, float>(s, in, {.scale = -1e20, .special = special}, executor, "special, scaled");
        }
    }
}

TEST(ParallelCalls, ExecutorsOfManyKinds) {
    const std::vector<float> in = logits<float>(75000);
    std::vector<float> expected(in.size()), out(in.size());
    const auto view = [](auto& x) {
        return smx::tensor_view<std::remove_reference_t<decltype(x[0])>, 2>(x.data(), {75, 1000});
    };
    smx::safe_softmax(view(in), view(expected));

    struct plain {  // no template, an int, not const
        int used = 0;
        int concurrency() { return 2; }
        void operator()(std::size_t tasks, const std::function<void(std::size_t)>& f) {
            for (std::size_t i = 0; i < tasks; ++i) f(i), ++used;
        }
    } e;
    smx::safe_softmax(e, view(in), view(out));
    EXPECT_TRUE(same_bits(out, expected));
    EXPECT_EQ(e.used, 8);

    const pretended_executor none{0};
    static_assert(!smx::parallel_executor<decltype(none)>, "its tasks cannot be called through const");
    smx::safe_softmax(pretended_executor{0}, view(in), view(out));
    EXPECT_TRUE(same_bits(out, expected));

    out = in;
    const thread_executor threads{2};
    smx::safe_softmax(threads, view(out));
    EXPECT_TRUE(same_bits(out, expected));
}

TEST(ParallelCalls, WhatAThreadHasSetMattersNotAndIsKept) {
    struct rounding_upward {
        std::size_t concurrency() const { return 4; }
        void operator()(std::size_t tasks, const smx::parallel_task& f) const {
            std::fesetround(FE_UPWARD);
            for (std::size_t i = 0; i < tasks; ++i) f(i);
            EXPECT_EQ(std::fegetround(), FE_UPWARD);
            std::fesetround(FE_TONEAREST);
        }
    };
    for (const shape& s : shapes)
        expect_same<float, float>(s, logits<float>(reach_of(s).size), {}, rounding_upward{}, "rounding upward");
    for (const shape& s : {huge_shapes[0], huge_shapes[4]})
        expect_same<double, double>(s, logits<double>(reach_of(s).size), {.scale = 0.3}, rounding_upward{},
                                    "rounding upward");
}

#if SMX_DISPATCH
TEST(ParallelCalls, AnotherInstructionSetInBetween) {
    struct fickle {
        std::size_t concurrency() const { return 4; }
        void operator()(std::size_t tasks, const smx::parallel_task& f) const {
            for (std::size_t i = 0; i < tasks; ++i) {
                smx::set_active_isa(i % 2 == 0 ? smx::isa::sse2 : best);
                f(i);
            }
            smx::set_active_isa(best);
        }
        smx::isa best = smx::active_isa();
    };
    expect_same<float, float>(rows, logits<float>(reach_of(rows).size), {}, fickle{}, "changing instruction sets");
    expect_same<float, float>(huge_shapes[0], logits<float>(reach_of(huge_shapes[0]).size), {}, fickle{},
                              "changing instruction sets");
}
#endif

TEST(ParallelCalls, WhatAnExecutorThrowsPassesThrough) {
    struct throwing {
        std::size_t concurrency() const { return 4; }
        void operator()(std::size_t, const smx::parallel_task& f) const {
            f(0);
            throw std::runtime_error("no threads today");
        }
    };
    const std::vector<float> in = logits<float>(reach_of(rows).size);
    throwing executor;
    EXPECT_THROW((result_of<float, float>(function::softmax, rows, in, {}, executor)), std::runtime_error);
}

}  // namespace
