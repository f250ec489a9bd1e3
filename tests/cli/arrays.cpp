// SPDX-License-Identifier: BSL-1.0

#include "arrays.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <vector>

namespace cli_test {

using smx::element_format;

element_format format_of_size(std::size_t size) {
    return size == 2 ? element_format::binary16 : size == 4 ? element_format::binary32 : element_format::binary64;
}

std::string elements(std::size_t size, std::size_t count, unsigned seed) {
    std::mt19937 engine(seed);
    std::string bytes(count * size, '\0');
    for (std::size_t i = 0; i < count; ++i) {
        const float x = static_cast<float>(engine() % 4001) / 200 - 10;
        const auto put = [&](auto value) { std::memcpy(bytes.data() + i * size, &value, size); };
        if (size == 2) put(smx::float16(x));
        else if (size == 4) put(x);
        else put(static_cast<double>(x) * 1.0000001);
    }
    return bytes;
}

std::string swapped(std::string bytes, std::size_t size, bool big_endian) {
    if (big_endian != (std::endian::native == std::endian::big))
        for (std::size_t i = 0; i < bytes.size(); i += size)
            std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                         bytes.begin() + static_cast<std::ptrdiff_t>(i + size));
    return bytes;
}

std::string npy_file(const npy::header& h, const std::string& native) {
    return npy::header_bytes(h) + swapped(native, h.item_size, h.big_endian);
}

array parse(const std::string& file) {
    std::size_t at = 0;
    array a;
    a.header = npy::read_header([&](std::size_t n) {
        const std::string bytes = file.substr(std::min(at, file.size()), n);
        at += bytes.size();
        return bytes;
    });
    a.data = swapped(file.substr(at), a.header.item_size, a.header.big_endian);
    return a;
}

std::string expected(const std::string& function, const npy::header& h, const std::string& data, std::ptrdiff_t axis,
                     std::size_t out_size, bool keepdims, const smx::softmax_options& base) {
    std::vector<std::size_t> shape = h.shape;
    const auto strides_of = [&](const std::vector<std::size_t>& extents) {
        std::vector<std::ptrdiff_t> strides(extents.size());
        std::ptrdiff_t stride = 1;
        for (std::size_t i = 0; i < extents.size(); ++i) {
            const std::size_t d = h.fortran_order ? i : extents.size() - 1 - i;
            strides[d] = stride;
            stride *= static_cast<std::ptrdiff_t>(extents[d]);
        }
        return strides;
    };
    std::vector<std::size_t> results = shape;
    const std::size_t at = static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(shape.size()) : axis);
    if (function == "logsumexp" && !shape.empty()) {
        if (keepdims) results[at] = 1;
        else results.erase(results.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::size_t count = 1;
    for (const std::size_t n : results) count *= n;
    std::string out(count * out_size, '\0');
    smx::softmax_options options = base;
    options.axis = axis;
    const smx::const_dynamic_view x(data.data(), format_of_size(h.item_size), shape, strides_of(shape));
    const smx::dynamic_view y(out.data(), format_of_size(out_size), results, strides_of(results));
    if (function == "softmax") smx::safe_softmax(x, y, options);
    else if (function == "log_softmax") smx::log_softmax(x, y, options);
    else smx::logsumexp(x, y, options);
    return out;
}

}  // namespace cli_test
