// SPDX-License-Identifier: BSL-1.0

// std::mdspan, or that of Kokkos where SMX_KOKKOS_MDSPAN is defined: all of the standard's layouts, slices, extents known when
// compiled and not, and accessors. Without a test framework, whose library would be that of another standard library.

#include <safe_softmax/safe_softmax.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <vector>
#if defined(SMX_KOKKOS_MDSPAN)
#include <mdspan/mdspan.hpp>
namespace md = Kokkos;
#else
#include <mdspan>
namespace md = std;
#endif

namespace {

int failures = 0;

void expect(bool good, const char* what, int line) {
    if (good) return;
    ++failures;
    std::fprintf(stderr, "mdspan_check.cpp:%d: %s\n", line, what);
}
#define EXPECT(x) expect((x), #x, __LINE__)

constexpr std::size_t rows = 5, length = 60;

std::vector<float> logits() {
    std::vector<float> x(rows * length);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 7;
    return x;
}

/// An element of either, since Kokkos' has operator() where the language has no multidimensional operator[].
template <class M>
decltype(auto) at(const M& m, std::size_t r, std::size_t i) {
    return m.accessor().access(m.data_handle(),
                               static_cast<std::size_t>(m.mapping()(static_cast<typename M::index_type>(r),
                                                                    static_cast<typename M::index_type>(i))));
}

template <class Layout, class Extents>
void check_layout(const typename Layout::template mapping<Extents>& mapping) {
    const std::vector<float> x = logits();
    const std::size_t size = static_cast<std::size_t>(mapping.required_span_size());
    std::vector<float> expected(x.size()), from(size), to(size);
    smx::safe_softmax(smx::tensor_view(x.data(), {rows, length}), smx::tensor_view(expected.data(), {rows, length}));
    const md::mdspan<float, Extents, Layout> in(from.data(), mapping), out(to.data(), mapping);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < length; ++i) at(in, r, i) = x[r * length + i];
    const md::mdspan<const float, Extents, Layout> read_only = in;
    smx::safe_softmax(read_only, out, {.axis = 1});
    bool same = true;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < length; ++i)
            same = same && std::memcmp(&at(out, r, i), &expected[r * length + i], 4) == 0;
    EXPECT(same);
    std::vector<float> sums(rows), expected_sums(rows);
    smx::logsumexp(read_only, md::mdspan<float, md::dextents<int, 1>>(sums.data(), static_cast<int>(rows)),
                   {.axis = 1});
    smx::logsumexp(smx::tensor_view(x.data(), {rows, length}), expected_sums);
    EXPECT(sums == expected_sums);
    smx::safe_softmax(in);  // in place
    EXPECT(at(in, 2, 3) == at(out, 2, 3));
    static_assert(!smx::writable_view<md::mdspan<const float, Extents, Layout>>);
}

/// An accessor that doubles what it reads is no view of elements.
struct doubling {
    using offset_policy = doubling;
    using element_type = const float;
    using reference = float;
    using data_handle_type = const float*;
    reference access(data_handle_type p, std::size_t i) const { return 2 * p[i]; }
    data_handle_type offset(data_handle_type p, std::size_t i) const { return p + i; }
};

}  // namespace

int main() {
    using dynamic = md::dextents<std::size_t, 2>;
    using fixed = md::extents<int, rows, length>;
    check_layout<md::layout_right, dynamic>(md::layout_right::mapping<dynamic>(dynamic(rows, length)));
    check_layout<md::layout_left, dynamic>(md::layout_left::mapping<dynamic>(dynamic(rows, length)));
    check_layout<md::layout_right, fixed>({});
    check_layout<md::layout_left, fixed>({});
    check_layout<md::layout_stride, dynamic>(
        md::layout_stride::mapping<dynamic>(dynamic(rows, length), std::array<std::size_t, 2>{2, 3 * rows}));
    check_layout<md::layout_stride, fixed>(
        md::layout_stride::mapping<fixed>(fixed(), std::array<int, 2>{int(length) + 3, 1}));
    static_assert(!smx::readable_view<md::mdspan<const float, dynamic, md::layout_right, doubling>>);
    static_assert(!smx::readable_view<md::mdspan<int, dynamic>>);

#if defined(SMX_KOKKOS_MDSPAN)
    // Slices: every second column of some rows.
    std::vector<float> x = logits(), y(x.size(), 7.0f), one(length / 2), expected(length / 2);
    const md::mdspan<float, dynamic> in(x.data(), rows, length), out(y.data(), rows, length);
    const auto slice = [](const auto& m) {
        return md::submdspan(m, std::pair<std::size_t, std::size_t>{1, 4},
                             md::strided_slice<std::size_t, std::size_t, std::size_t>{1, length - 1, 2});
    };
    smx::safe_softmax(slice(in), slice(out), {.axis = 1});
    for (std::size_t i = 0; i < length / 2; ++i) one[i] = x[2 * length + 1 + 2 * i];
    smx::safe_softmax(one, expected);
    for (std::size_t i = 0; i < length / 2; ++i)
        EXPECT(y[2 * length + 1 + 2 * i] == expected[i] && y[2 * length + 2 * i] == 7.0f);
    smx::safe_softmax(md::submdspan(in, md::full_extent, std::size_t(3)),
                      md::submdspan(out, md::full_extent, std::size_t(3)));
#endif

    // Sizes and errors as with any other view.
    std::vector<float> a(6), b(6, 7.0f);
    bool refused = false;
    try {
        smx::safe_softmax(md::mdspan<float, dynamic>(a.data(), 2, 3), md::mdspan<float, dynamic>(b.data(), 3, 2));
    } catch (const std::invalid_argument&) {
        refused = true;
    }
    EXPECT(refused && b == std::vector<float>(6, 7.0f));
    if (failures == 0) std::puts("mdspan: all as in plain memory");
    return failures == 0 ? 0 : 1;
}
