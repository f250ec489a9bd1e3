// SPDX-License-Identifier: BSL-1.0
// `three_loops` is defined as the name of the build, see CMakeLists.txt.
#include "competitors.hpp"

#include <cmath>
#include <vector>

namespace bench {

template <class T>
void three_loops(function f, const T* in, T* out, std::size_t rows, std::size_t length, std::size_t inner) {
    using real = std::conditional_t<sizeof(T) == 8, double, float>;
    std::vector<real> term(length);
    for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t start = row / inner * inner * length + row % inner;
        const T* x = in + start;
        T* y = out + start;
        real max = static_cast<real>(x[0]);
        for (std::size_t i = 1; i < length; ++i) {
            const real v = static_cast<real>(x[i * inner]);
            max = v > max ? v : max;
        }
        real sum = 0;
        if (f == function::softmax) {
            for (std::size_t i = 0; i < length; ++i) {
                term[i] = std::exp(static_cast<real>(x[i * inner]) - max);
                sum += term[i];
            }
            const real share = 1 / sum;
            for (std::size_t i = 0; i < length; ++i) y[i * inner] = T(term[i] * share);
        } else {
            for (std::size_t i = 0; i < length; ++i) sum += std::exp(static_cast<real>(x[i * inner]) - max);
            const real total = max + std::log(sum);
            for (std::size_t i = 0; i < length; ++i) y[i * inner] = T(static_cast<real>(x[i * inner]) - total);
        }
    }
}

template loops<float> three_loops<float>;
template loops<double> three_loops<double>;
template loops<smx::float16> three_loops<smx::float16>;
template loops<smx::bfloat16> three_loops<smx::bfloat16>;

}  // namespace bench
