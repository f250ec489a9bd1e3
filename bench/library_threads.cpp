// SPDX-License-Identifier: BSL-1.0
// The library on two threads: through its executors, and as two halves whatever the size, which shows where the second
// thread begins to pay.
#include "competitor.hpp"

#if defined(_OPENMP)
#include <safe_softmax/openmp.hpp>
#endif
#if defined(BENCH_TBB)
#include <safe_softmax/tbb.hpp>

#include <oneapi/tbb/global_control.h>
#endif
#include <safe_softmax/parallel.hpp>
#include <safe_softmax/safe_softmax.hpp>

#include <span>

namespace bench {
namespace {

/// run(f) calls f(executor).
template <class T>
call whole(const problem<T>& p, auto run) {
    if (p.function != function::softmax || p.inner != 1 || !p.dense()) return {};
    if (p.outer == 1) {
        const std::span<const T> in(p.in, p.length);
        const std::span<T> out(p.out, p.length);
        return [=] { run([&](auto& executor) { smx::safe_softmax(executor, in, out); }); };
    }
    const smx::tensor_view<const T, 2> in(p.in, {p.outer, p.length});
    const smx::tensor_view<T, 2> out(p.out, {p.outer, p.length});
    return [=] { run([&](auto& executor) { smx::safe_softmax(executor, in, out); }); };
}

template <class T>
call halves(const problem<T>& p, auto run) {
    if (p.function != function::softmax || p.inner != 1 || !p.dense() || p.outer % 2 != 0) return {};
    const auto half = [p](std::size_t i) {
        const std::size_t rows = p.outer / 2, start = i * rows * p.length;
        const smx::tensor_view<const T, 2> in(p.in + start, {rows, p.length});
        const smx::tensor_view<T, 2> out(p.out + start, {rows, p.length});
        smx::safe_softmax(in, out);
    };
    return [=] { run([&](auto& executor) { executor(2, smx::parallel_task(half)); }); };
}

struct one_thread {
    std::size_t concurrency() const { return 1; }
    void operator()(std::size_t tasks, const auto& f) const {
        for (std::size_t i = 0; i < tasks; ++i) f(i);
    }
};

template <class T>
call alone(const problem<T>& p) {
    return whole(p, [](auto f) {
        one_thread executor;
        f(executor);
    });
}
const bool added =
    add({"1_thread", "", role::threads, {alone<float>, alone<double>, alone<smx::float16>, alone<smx::bfloat16>}});

#if defined(_OPENMP)
constexpr auto with_openmp = [](auto f) {
    smx::openmp_executor executor{2};
    f(executor);
};
template <class T>
call openmp(const problem<T>& p) {
    return whole(p, with_openmp);
}
template <class T>
call openmp_halves(const problem<T>& p) {
    return halves(p, with_openmp);
}
const bool added_openmp =
    add({"openmp", "", role::threads, {openmp<float>, openmp<double>, openmp<smx::float16>, openmp<smx::bfloat16>}}) &&
    add({"openmp_halves",
         "",
         role::threads,
         {openmp_halves<float>, openmp_halves<double>, openmp_halves<smx::float16>, openmp_halves<smx::bfloat16>}});
#endif

#if defined(BENCH_TBB)
constexpr auto with_tbb = [](auto f) {
    static const tbb::global_control two(tbb::global_control::max_allowed_parallelism, 2);
    smx::tbb_executor executor;
    f(executor);
};
template <class T>
call tbb_two(const problem<T>& p) {
    return whole(p, with_tbb);
}
template <class T>
call tbb_halves(const problem<T>& p) {
    return halves(p, with_tbb);
}
const bool added_tbb =
    add({"tbb", "", role::threads, {tbb_two<float>, tbb_two<double>, tbb_two<smx::float16>, tbb_two<smx::bfloat16>}}) &&
    add({"tbb_halves",
         "",
         role::threads,
         {tbb_halves<float>, tbb_halves<double>, tbb_halves<smx::float16>, tbb_halves<smx::bfloat16>}});
#endif

}  // namespace
}  // namespace bench
