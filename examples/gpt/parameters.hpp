// SPDX-License-Identifier: BSL-1.0
// All parameters of a transformer in one array of numbers: the optimiser, the checkpoint and the check of gradients need
// not know what they are.
#pragma once

#include "matrix.hpp"

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace gpt {

/// A text is a row of bytes, which are the alphabet.
inline constexpr index alphabet = 256;

struct shape {
    index layers = 3;
    index heads = 4;
    index width = 128;    ///< features of a position, a multiple of heads
    index context = 128;  ///< positions that are looked at together
};

/// A matrix among the parameters; a vector is a matrix of one row.
struct parameter_group {
    std::string name;
    index rows, columns;
    index offset;         ///< in the array of all
    double first_spread;  ///< standard deviation of the numbers it begins with; below 0: it begins with ones

    index size() const { return rows * columns; }
};

/// The parameters of a shape, in the order in which the network takes them.
class parameter_layout {
public:
    explicit parameter_layout(const shape& s) {
        const double spread = 1 / std::sqrt(static_cast<double>(s.width));
        // What the layers add to the features stays about as large as the features, however many layers there are.
        const double added = spread / std::sqrt(2 * static_cast<double>(s.layers));
        add("token embedding", alphabet, s.width, 0.1);
        add("position embedding", s.context, s.width, 0.1);
        for (index l = 0; l < s.layers; ++l) {
            const std::string layer = "layer " + std::to_string(l + 1) + " ";
            add_norm(layer + "attention norm", s.width);
            add_linear(layer + "query, key, value", s.width, 3 * s.width, spread);
            add_linear(layer + "attention output", s.width, s.width, added);
            add_norm(layer + "mlp norm", s.width);
            add_linear(layer + "mlp up", s.width, 4 * s.width, spread);
            add_linear(layer + "mlp down", 4 * s.width, s.width, added / 2);
        }
        add_norm("final norm", s.width);
        add_linear("head", s.width, alphabet, spread / 2);
    }

    const std::vector<parameter_group>& groups() const { return groups_; }
    index size() const { return size_; }

    template <class Real>
    numbers<Real> first_values(unsigned long long seed) const {
        numbers<Real> values = numbers<Real>::Zero(size_);
        std::mt19937_64 random(seed);
        for (const parameter_group& g : groups_) {
            auto own = values.segment(g.offset, g.size());
            if (g.first_spread < 0) own.setOnes();
            else
                for (Real& x : own) x = static_cast<Real>(g.first_spread * normal(random));
        }
        return values;
    }

private:
    void add(const std::string& name, index rows, index columns, double first_spread) {
        groups_.push_back({name, rows, columns, size_, first_spread});
        size_ += (rows * columns + alignment - 1) / alignment * alignment;
    }
    void add_norm(const std::string& name, index width) {
        add(name + " gain", 1, width, -1);
        add(name + " bias", 1, width, 0);
    }
    void add_linear(const std::string& name, index in, index out, double spread) {
        add(name + " weight", in, out, spread);
        add(name + " bias", 1, out, 0);
    }

    /// Normally distributed, near enough, and the same with every standard library, which std::normal_distribution is not.
    static double normal(std::mt19937_64& random) {
        double sum = -6;
        for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
        return sum;
    }

    std::vector<parameter_group> groups_;
    index size_ = 0;
};

/// What a layer computes with and where its gradient goes.
template <class Real>
struct parameter {
    const_matrix_view<Real> value;
    matrix_view<Real> gradient;
};

/// Hands out the parameters one after the other.
template <class Real>
class parameter_reader {
public:
    parameter_reader(const parameter_layout& layout, const Real* values, Real* gradients)
        : next_(layout.groups().begin()), values_(values), gradients_(gradients) {}

    parameter<Real> next() {
        const parameter_group& g = *next_++;
        return {{values_ + g.offset, g.rows, g.columns}, {gradients_ + g.offset, g.rows, g.columns}};
    }

private:
    std::vector<parameter_group>::const_iterator next_;
    const Real* values_;
    Real* gradients_;
};

}  // namespace gpt
