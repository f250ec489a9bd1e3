// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "cells.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <vector>

namespace bench {

/// Logits from N(0,3) and room for the results.
template <class T>
class arrays {
public:
    explicit arrays(const cell& c)
        : cell_(c), pitch_(c.pitch == 0 ? c.length * c.inner : c.pitch), size_(c.outer * pitch_),
          bytes_((size_ + c.misaligned) * sizeof(T)),
          // Apart in the lower 12 bits of the address: what is written to one does not delay what is read from the other.
          in_(c.in_place ? bytes_ : bytes_ + apart), out_(bytes_ + apart),
          data_{
              c.function, c.outer, c.length, c.inner, pitch_, in_.at(0) + c.misaligned, out_.at(apart) + c.misaligned} {
        std::mt19937 engine(1);
        std::normal_distribution<float> normal(0, 3);
        std::vector<T> logits(std::min<std::size_t>(size_, 100003));
        for (T& x : logits) x = T(normal(engine));
        for (std::size_t i = 0; i < size_; i += logits.size())
            std::copy_n(logits.data(), std::min(logits.size(), size_ - i), in_.at(0) + c.misaligned + i);
        if (c.in_place) data_.in = data_.out;
        clear();
    }

    const problem<T>& data() const { return data_; }

    /// The logits where results overwrote them.
    void restore() {
        if (cell_.in_place) std::memcpy(data_.out, in_.at(0) + cell_.misaligned, size_ * sizeof(T));
    }

    /// As before the first call: no result of anybody else is left.
    void clear() {
        std::fill_n(out_.at(apart), size_ + cell_.misaligned, T(0));
        restore();
    }

    /// Whether the results are right, more or less: a wrong call must not pass for a fast one. Looks at some elements of the
    /// first row, the last and some between.
    bool plausible() {
        if (expected_.empty())
            for (std::size_t k = 0; k < checked; ++k) expected_.push_back(total(row(k)));
        for (std::size_t k = 0; k < checked; ++k)
            if (!plausible(row(k), expected_[k])) return false;
        return true;
    }

private:
    static constexpr std::size_t apart = 1088;

    class block {
    public:
        explicit block(std::size_t bytes) : data_(static_cast<char*>(::operator new(bytes, std::align_val_t(4096)))) {}
        T* at(std::size_t byte) const { return reinterpret_cast<T*>(data_.get() + byte); }

    private:
        struct release {
            void operator()(char* p) const { ::operator delete(p, std::align_val_t(4096)); }
        };
        std::unique_ptr<char, release> data_;
    };

    std::size_t row(std::size_t k) const { return k * (cell_.outer * cell_.inner - 1) / (checked - 1); }
    std::size_t start(std::size_t row) const { return row / cell_.inner * pitch_ + row % cell_.inner; }
    const T* logits(std::size_t row) const { return in_.at(0) + cell_.misaligned + start(row); }

    /// The logarithm of the sum of exponentials.
    double total(std::size_t row) const {
        const T* x = logits(row);
        double max = -INFINITY, sum = 0;
        for (std::size_t i = 0; i < cell_.length; ++i) max = std::max(max, static_cast<double>(x[i * cell_.inner]));
        for (std::size_t i = 0; i < cell_.length; ++i) sum += std::exp(static_cast<double>(x[i * cell_.inner]) - max);
        return max + std::log(sum);
    }

    bool plausible(std::size_t row, double total) const {
        const auto near = [](double value, double expected, double floor) {
            return std::abs(value - expected) <= 0.02 * std::abs(expected) + floor;
        };
        if (cell_.function == function::logsumexp) return near(static_cast<double>(data_.out[row]), total, 0.01);
        const T* x = logits(row);
        const T* y = data_.out + start(row);
        const std::size_t step = cell_.length / 1000 + 1;
        for (std::size_t i = 0; i < cell_.length; i += i + step < cell_.length ? step : 1) {
            const double logit = static_cast<double>(x[i * cell_.inner]),
                         result = static_cast<double>(y[i * cell_.inner]);
            if (cell_.function == function::softmax
                    ? !near(result, std::exp(logit - total), sizeof(T) == 2 ? 1e-7 : 1e-30)
                    : !near(result, logit - total, 0.01))
                return false;
        }
        return true;
    }

    static constexpr std::size_t checked = 4;

    cell cell_;
    std::size_t pitch_, size_, bytes_;
    block in_, out_;
    problem<T> data_;
    std::vector<double> expected_;  // the totals of the rows that are looked at
};

}  // namespace bench
