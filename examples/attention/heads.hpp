// SPDX-License-Identifier: BSL-1.0
// Queries, keys and values of several heads from the bytes of a text.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace attention {

inline constexpr std::size_t width = 32;  ///< features of a head

/// Heads that look for the places where the same byte stood before and take what followed it there, as "induction heads"
/// of language models do: the query comes from a byte, the key from the byte before, the value from the byte itself. They
/// differ in how sharply they look: query * key / sqrt(width) is about `sharpness` where the bytes are the same, and normally
/// distributed around 0 where not.
class heads {
public:
    heads(std::string_view text, const std::vector<double>& sharpness, unsigned long long seed)
        : count_(sharpness.size()), length_(text.size()) {
        std::mt19937_64 random(seed);
        for (const double s : sharpness) {
            std::vector<float> bytes = features(256, random), values = features(256, random);
            const float gain = static_cast<float>(std::sqrt(s / std::sqrt(static_cast<double>(width))));
            for (float& x : bytes) x *= gain;
            for (std::size_t i = 0; i < length_; ++i) {
                append(queries_, bytes, text[i]);
                append(keys_, bytes, i == 0 ? '\0' : text[i - 1]);
                append(values_, values, text[i]);
            }
        }
    }

    std::size_t count() const { return count_; }
    std::size_t length() const { return length_; }
    std::span<const float, width> query(std::size_t h, std::size_t i) const { return row(queries_, h, i); }
    std::span<const float, width> key(std::size_t h, std::size_t i) const { return row(keys_, h, i); }
    std::span<const float, width> value(std::size_t h, std::size_t i) const { return row(values_, h, i); }

    /// With their magnitudes in place of the values.
    heads with_values_not_negative() const {
        heads result = *this;
        for (float& x : result.values_) x = std::fabs(x);
        return result;
    }

private:
    /// Rows of about normally distributed numbers, each of length sqrt(width).
    static std::vector<float> features(std::size_t rows, std::mt19937_64& random) {
        std::vector<float> result(rows * width);
        for (std::size_t r = 0; r < rows; ++r) {
            double squares = 0;
            const std::span<float> row = std::span(result).subspan(r * width, width);
            for (float& x : row) {
                double sum = -6;
                for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
                x = static_cast<float>(sum);
                squares += sum * sum;
            }
            for (float& x : row) x *= static_cast<float>(std::sqrt(static_cast<double>(width) / squares));
        }
        return result;
    }

    static void append(std::vector<float>& to, const std::vector<float>& table, char byte) {
        const auto row = table.begin() + static_cast<std::ptrdiff_t>(static_cast<unsigned char>(byte) * width);
        to.insert(to.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    std::span<const float, width> row(const std::vector<float>& of, std::size_t h, std::size_t i) const {
        return std::span<const float>(of).subspan((h * length_ + i) * width).first<width>();
    }

    std::size_t count_, length_;
    std::vector<float> queries_, keys_, values_;
};

}  // namespace attention
