// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/bfloat16.hpp>
#include <safe_softmax/float16.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

namespace bench {

enum class function { softmax, log_softmax, logsumexp };

/// outer x length x inner elements, row-major, the axis in the middle. From one block of length x inner to the next there
/// are `pitch` elements. Of logsumexp, `out` has outer x inner elements.
template <class T>
struct problem {
    bench::function function;
    std::size_t outer, length, inner, pitch;
    const T* in;
    T* out;  // `in`: in place

    bool dense() const { return pitch == length * inner; }
    bool in_place() const { return in == out; }
};

/// Everything that can be done before the clock runs has been done.
using call = std::function<void()>;

/// Empty for a problem that it cannot solve.
template <class T>
using prepare = call(const problem<T>&);

/// What a row is measured for: ours; ours in another build; somebody else's; the loops without -ffast-math; the limits that
/// memory sets; ours on two threads.
enum class role { ours = 1, build = 2, peer = 4, careful = 8, copy = 16, threads = 32 };

struct competitor {
    std::string name, version;  // the version of a peer
    bench::role role;
    std::tuple<prepare<float>*, prepare<double>*, prepare<smx::float16>*, prepare<smx::bfloat16>*> types;
};

/// Every source file of competitors adds its own before main.
std::vector<competitor>& competitors();

inline bool add(competitor c) {
    competitors().push_back(std::move(c));
    return true;
}

}  // namespace bench
