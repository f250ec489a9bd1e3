// SPDX-License-Identifier: BSL-1.0
#pragma once

// Executors, and every instruction set, for the tests of what is shared by threads.

#include <safe_softmax/isa.hpp>
#include <safe_softmax/parallel.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <future>
#include <latch>
#include <mutex>
#include <numeric>
#include <queue>
#include <random>
#include <thread>
#include <vector>

namespace {

#include "documented_executors.hpp"  // as parallel.hpp shows them

enum class order { forward, backward, shuffled };

/// Pretends to have threads: runs the tasks here, one after the other.
struct pretended_executor {
    std::size_t threads;
    order tasks_order = order::forward;
    std::size_t calls = 0, tasks_seen = 0;

    std::size_t concurrency() const { return threads; }
    void operator()(std::size_t tasks, const auto& f) {
        ++calls;
        tasks_seen += tasks;
        std::vector<std::size_t> index(tasks);
        std::iota(index.begin(), index.end(), std::size_t(0));
        if (tasks_order == order::backward) std::reverse(index.begin(), index.end());
        if (tasks_order == order::shuffled)
            std::shuffle(index.begin(), index.end(), std::mt19937(static_cast<unsigned>(tasks)));
        for (const std::size_t i : index) f(i);
    }
};

/// A pool such as many programs have.
class [[maybe_unused]] pool {
public:
    explicit pool(std::size_t threads) {
        for (std::size_t t = 0; t < threads; ++t) threads_.emplace_back([this] { run(); });
    }
    ~pool() {
        {
            const std::scoped_lock lock(mutex_);
            stopped_ = true;
        }
        changed_.notify_all();
        for (std::thread& t : threads_) t.join();
    }
    std::size_t size() const { return threads_.size(); }
    void submit(std::function<void()> g) {
        {
            const std::scoped_lock lock(mutex_);
            waiting_.push(std::move(g));
        }
        changed_.notify_one();
    }

private:
    void run() {
        for (;;) {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
            if (waiting_.empty()) return;
            const std::function<void()> g = std::move(waiting_.front());
            waiting_.pop();
            lock.unlock();
            g();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::queue<std::function<void()>> waiting_;
    std::vector<std::thread> threads_;
    bool stopped_ = false;
};

/// check(name, whether it is the one that was chosen) under every instruction set that there is.
[[maybe_unused]] void for_each_isa(const std::function<void(const char*, bool)>& check) {
#if !SMX_DISPATCH
    check(smx::name_of(smx::active_isa()), true);
#else
    using enum smx::isa;
    const smx::isa before = smx::active_isa();
    for (const smx::isa i : {scalar, sse2, avx2, avx512, avx512bf16, neon64})
        if (smx::set_active_isa(i)) check(smx::name_of(i), i == before);
    smx::set_active_isa(before);
#endif
}

}  // namespace
