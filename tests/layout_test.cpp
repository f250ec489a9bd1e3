// SPDX-License-Identifier: BSL-1.0

// Every axis of every tensor: the right rows, all of them, and not a byte beside the output's elements. What a row must
// give is asked of the 1-D function, which the accuracy tests judge.

#include "memory.hpp"
#include "rows.hpp"
#include "subjects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace softmax_test {
namespace {

using extents = std::vector<std::size_t>;
using strides = std::vector<std::ptrdiff_t>;
constexpr function elementwise[] = {function::softmax, function::log_softmax};

std::vector<std::uint64_t> one_row(const subject& s, function f, dtype out, const view& row,
                                   smx::softmax_options options) {
    const guarded_memory from(span_view(row.type, row.extents[0]));
    const guarded_memory to(f == function::logsumexp ? tensor_view(out, {1}) : span_view(out, row.extents[0]));
    store_all(from.elements(), load_all(row));
    view source = from.elements();
    if (f == function::logsumexp) source.kind = view_kind::tensor;
    options.axis = -1;
    s.out_of_place(f, source, to.elements(), options);
    return load_all_bits(to.elements());
}

/// Calls visit(index) for each row along the axis; index[axis] is 0.
template <class Visit>
void for_each_row(const view& v, std::size_t axis, const Visit& visit) {
    extents limits(v.extents, v.extents + v.rank), index(v.rank, 0);
    limits[axis] = 1;
    if (std::count(limits.begin(), limits.end(), 0u) != 0) return;
    for (;;) {
        visit(index);
        std::size_t d = v.rank;
        while (d > 0 && ++index[d - 1] == limits[d - 1]) index[--d] = 0;
        if (d == 0) return;
    }
}

view flat(const view& out, std::size_t axis, std::size_t in_rank) {  // with the axis put back, extent 1
    if (out.rank == in_rank) return out;
    extents e(out.extents, out.extents + out.rank);
    strides s(out.strides, out.strides + out.rank);
    e.insert(e.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    s.insert(s.begin() + static_cast<std::ptrdiff_t>(axis), 0);
    view kept = tensor_view(out.type, e, s);
    kept.data = out.data;
    return kept;
}

enum class rows { plain, some_special, some_large };

std::vector<double> logits_of(const view& in, rows kind) {
    std::vector<double> x = make_row(family::normal_3, in.type, size_of(in), base_seed());
    if (kind == rows::some_special) {
        const double infinity = std::numeric_limits<double>::infinity();
        x[x.size() / 9] = -infinity;
        x[x.size() / 5] = 1e30;
        x[x.size() / 3] = std::numeric_limits<double>::quiet_NaN();
        x[x.size() / 2] = infinity;
        x[x.size() - 1] = -1e5;
    }
    if (kind == rows::some_large) {  // too far from 0 for the short way to their exponentials
        for (std::size_t i = x.size() / 3; i < x.size() / 2; ++i) x[i] = 40 * x[i] + 900;
    }
    return x;
}

void check(const subject& s, function f, const view& in, const view& out_layout, std::ptrdiff_t axis, double scale = 1,
           rows kind = rows::plain) {
    if (!s.takes(in.type, out_layout.type)) return;  // another build does
    const guarded_memory from(in, 3), to(out_layout, 1);
    store_all(from.elements(), logits_of(in, kind));
    const smx::softmax_options options{.axis = axis, .scale = scale};
    s.out_of_place(f, from.elements(), to.elements(), options);
    const std::string where =
        std::string(s.name) + " " + name_of(f) + " extents " +
        testing::PrintToString(extents(in.extents, in.extents + in.rank)) + " strides " +
        testing::PrintToString(strides(in.strides, in.strides + in.rank)) + " -> " +
        testing::PrintToString(strides(out_layout.strides, out_layout.strides + out_layout.rank)) + " axis " +
        std::to_string(axis) + " " + name_of(in.type) + " -> " + name_of(out_layout.type);
    ASSERT_EQ(to.damage(), "") << where;
    const std::size_t d = static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(in.rank) : axis);
    const view result = flat(to.elements(), d, in.rank);
    for_each_row(from.elements(), d, [&](const extents& index) {
        ASSERT_EQ(load_all_bits(row_of(result, d, index)),
                  one_row(s, f, result.type, row_of(from.elements(), d, index), options))
            << where << " row " << testing::PrintToString(index);
    });
}

TEST(Layout, EveryAxisOfRowMajorTensors) {
    for (const subject* s : runnable_subjects()) {
        for (const extents& e : {extents{7},
                                 {1},
                                 {3, 5},
                                 {1, 9},
                                 {9, 1},
                                 {17, 33},
                                 {2, 130},
                                 {130, 3},
                                 {40, 67},
                                 {63, 21},
                                 {64, 70},
                                 {2, 3, 5},
                                 {5, 1, 7},
                                 {3, 70, 2},
                                 {2, 9, 65},
                                 {33, 4, 3},
                                 {1, 1, 1},
                                 {2, 19, 129}}) {
            for (std::size_t axis = 0; axis < e.size(); ++axis) {
                for (const dtype type : all_dtypes) {
                    const std::ptrdiff_t a = static_cast<std::ptrdiff_t>(axis),
                                         back = a - static_cast<std::ptrdiff_t>(e.size());
                    for (const function f : elementwise) {
                        check(*s, f, tensor_view(type, e), tensor_view(type, e), a);
                        check(*s, f, tensor_view(type, e), tensor_view(dtype::f32, e), back, 0.5);
                    }
                }
            }
        }
    }
}

void check_in_place(const subject& s, function f, const view& layout, std::ptrdiff_t axis, rows kind = rows::plain) {
    const guarded_memory from(layout), to(layout), inout(layout);
    const std::vector<double> logits = logits_of(layout, kind);
    store_all(from.elements(), logits);
    store_all(inout.elements(), logits);
    s.out_of_place(f, from.elements(), to.elements(), {.axis = axis});
    s.in_place(f, inout.elements(), {.axis = axis});
    ASSERT_EQ(load_all_bits(inout.elements()), load_all_bits(to.elements())) << s.name << " axis " << axis;
    ASSERT_EQ(inout.damage(), "") << s.name;
}

// Enough rows for every path of short ones: turned over 64 and 16 at a time, the rest a few at a time.
TEST(Layout, ManyRowsOfEveryShortLength) {
    for (const subject* s : runnable_subjects()) {
        for (std::size_t n = 1; n <= 34; ++n) {
            const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(n) + 3;
            for (const dtype type : all_dtypes) {
                const dtype other = type == dtype::bf16 ? dtype::f32 : dtype::bf16;
                for (const function f : elementwise) {
                    const rows kind = n % 3 == 1 ? rows::some_special : rows::plain;
                    check(*s, f, tensor_view(type, {87, n}), tensor_view(type, {87, n}), 1, n % 4 == 3 ? 0.3 : 1, kind);
                    check(*s, f, tensor_view(type, {39, n}, {pitch, 1}), tensor_view(type, {39, n}, {pitch + 2, 1}), 1);
                    check(*s, f, tensor_view(type, {39, n}), tensor_view(other, {39, n}), 1, 1, kind);
                    check_in_place(*s, f, tensor_view(type, {81, n}), 1, kind);
                }
            }
        }
    }
}

TEST(Layout, BlocksOfFewNeighbouringRows) {
    for (const subject* s : runnable_subjects()) {
        for (const std::size_t neighbours : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u}) {
            for (const std::size_t n : {2u, 7u, 31u, 64u, 200u, 1024u, 1025u}) {
                if (n > 1000 && neighbours != 3 && neighbours != 8) continue;
                const std::ptrdiff_t c = static_cast<std::ptrdiff_t>(neighbours),
                                     block = c * static_cast<std::ptrdiff_t>(n);
                const extents e = {n < 64 ? 37u : n < 1000 ? 18u : 5u, n, neighbours};
                for (const dtype type : all_dtypes) {
                    const dtype other = type == dtype::f16 ? dtype::f32 : dtype::f16;
                    for (const function f : elementwise) {
                        const rows kind = n % 2 == 1 ? rows::some_special : rows::plain;
                        check(*s, f, tensor_view(type, e), tensor_view(type, e), 1, 1, kind);
                        check(*s, f, tensor_view(type, e, {block + 7, c, 1}), tensor_view(other, e), 1, 0.7,
                              n < 1000 ? rows::plain : rows::some_large);
                        check_in_place(*s, f, tensor_view(type, e), 1, kind);
                    }
                }
            }
        }
    }
}

// Rows that are computed a few at a time, in blocks of one to eight: fewer and more than three blocks.
TEST(Layout, SeveralRowsOfLongerLengths) {
    std::size_t turn = 0;
    for (const subject* s : runnable_subjects()) {
        for (const std::size_t n :
             {16u,  17u,  31u,  33u,  48u,  63u,   64u,   65u,   100u,  127u,  128u,  129u,  255u,
              256u, 257u, 511u, 512u, 513u, 1000u, 1024u, 1025u, 2047u, 2049u, 4096u, 4097u, 5000u}) {
            const std::size_t many = n < 64 ? 27 : n < 256 ? 19 : n < 1100 ? 9 : 4;
            for (const dtype type : all_dtypes) {
                const dtype other = type == dtype::bf16 ? dtype::f32 : type == dtype::f32 ? dtype::f16 : dtype::f32;
                for (const function f : {function::softmax, function::log_softmax, function::logsumexp}) {
                    const rows kind = rows(turn % 3);
                    const double scale = turn % 5 == 0 ? 0.3 : turn % 7 == 0 ? -1 : 1;
                    const std::size_t count = turn % 4 == 3 ? turn % many + 2 : many;
                    ++turn;
                    const extents e = {count, n}, results = {count, f == function::logsumexp ? 1 : n};
                    check(*s, f, tensor_view(type, e), tensor_view(type, results), 1, scale, kind);
                    check(*s, f, tensor_view(type, e), tensor_view(other, results), 1, scale, kind);
                    if (f != function::logsumexp) check_in_place(*s, f, tensor_view(type, e), 1, kind);
                }
            }
        }
    }
}

// Longer than the parts that a row's sum is made of.
TEST(Layout, SeveralRowsOfManyElements) {
    for (const subject* s : runnable_subjects()) {
        for (const function f : {function::softmax, function::log_softmax, function::logsumexp}) {
            for (const rows kind : {rows::plain, rows::some_special, rows::some_large}) {
                for (const double scale : {1.0, 0.3}) {
                    const extents e = {5, 66000}, results = {5, f == function::logsumexp ? 1u : 66000u};
                    check(*s, f, tensor_view(dtype::f32, e), tensor_view(dtype::f32, results), 1, scale, kind);
                }
            }
        }
    }
}

TEST(Layout, StridedTensors) {
    for (const subject* s : runnable_subjects()) {
        const extents e = {3, 5, 37};
        const strides layouts[] = {{185, 37, 1},    {200, 40, 1},  {1, 3, 15},   {37, 111, 1}, {370, 74, 2},
                                   {-185, -37, -1}, {185, -37, 1}, {1, -120, 3}, {5, 1, 15},   {600, 111, -3}};
        for (const strides& in : layouts) {
            for (const strides& out : layouts) {
                for (const std::ptrdiff_t axis : {0, 1, 2}) {
                    check(*s, function::softmax, tensor_view(dtype::f32, e, in), tensor_view(dtype::f32, e, out), axis);
                    check(*s, function::log_softmax, tensor_view(dtype::bf16, e, in), tensor_view(dtype::f16, e, out),
                          axis);
                }
            }
        }
    }
}

TEST(Layout, ZeroStridesBroadcastTheInput) {
    for (const subject* s : runnable_subjects()) {
        for (const strides& in : {strides{0, 0, 0}, {0, 19, 1}, {19, 0, 1}, {5, 1, 0}, {0, 0, 1}, {0, 0, -2}}) {
            for (const std::ptrdiff_t axis : {0, 1, 2}) {
                for (const dtype type : all_dtypes) {
                    check(*s, function::softmax, tensor_view(type, {4, 5, 19}, in), tensor_view(type, {4, 5, 19}),
                          axis);
                }
            }
        }
    }
}

TEST(Layout, EmptyTensorsWriteNothing) {
    for (const subject* s : runnable_subjects()) {
        for (const extents& e : {extents{0, 5, 7}, {5, 0, 7}, {5, 7, 0}, {0, 0, 0}}) {
            for (const std::ptrdiff_t axis : {0, 1, 2}) {
                for (const function f : elementwise)
                    check(*s, f, tensor_view(dtype::f32, e), tensor_view(dtype::f32, e), axis);
            }
        }
        for (const function f : elementwise) check(*s, f, span_view(dtype::f16, 0), span_view(dtype::f32, 0), -1);
    }
}

TEST(Layout, CanariesAroundEveryLength) {
    for (const subject* s : runnable_subjects()) {
        for (const dtype in : all_dtypes) {
            for (const dtype out : all_dtypes) {
                for (std::size_t n = 1; n <= 140; ++n) {
                    for (const function f : elementwise) {
                        check(*s, f, span_view(in, n), span_view(out, n), -1);
                        check(*s, f, strided_view(in, n, 1), strided_view(out, n, n % 2 == 0 ? 3 : -2), 0);
                    }
                }
            }
        }
    }
}

TEST(Layout, InPlaceTensorsAreTheOutOfPlaceOnes) {
    for (const subject* s : runnable_subjects()) {
        for (const dtype type : all_dtypes) {
            for (const strides& layout : {strides{185, 37, 1}, {1, 3, 15}, {400, 80, 2}, {-185, 37, -1}}) {
                for (const std::ptrdiff_t axis : {0, 1, 2}) {
                    for (const function f : elementwise) {
                        check_in_place(*s, f, tensor_view(type, {3, 5, 37}, layout), axis);
                    }
                }
            }
        }
    }
}

TEST(Layout, LogsumexpWithTheAxisRemovedOrKept) {
    for (const subject* s : runnable_subjects()) {
        for (const dtype in : all_dtypes) {
            for (const dtype out : all_dtypes) {
                for (const extents& e : {extents{4, 6}, {1, 70}, {70, 1}, {5, 3, 11}, {2, 40, 65}, {1, 1, 1}}) {
                    for (std::size_t axis = 0; axis < e.size(); ++axis) {
                        extents removed = e, kept = e;
                        removed.erase(removed.begin() + static_cast<std::ptrdiff_t>(axis));
                        kept[axis] = 1;
                        const std::ptrdiff_t a = static_cast<std::ptrdiff_t>(axis);
                        check(*s, function::logsumexp, tensor_view(in, e), tensor_view(out, removed), a);
                        check(*s, function::logsumexp, tensor_view(in, e), tensor_view(out, kept), a, -0.5);
                        check(*s, function::logsumexp, tensor_view(in, e), tensor_view(out, removed),
                              a - static_cast<std::ptrdiff_t>(e.size()));
                    }
                }
                check(*s, function::logsumexp, tensor_view(in, {3, 5, 7}, {-1, 30, 3}),
                      tensor_view(out, {3, 7}, {-20, 2}), 1);
            }
        }
    }
}

TEST(Layout, LogsumexpOfEmptyRowsIsMinusInfinityAndOfNoRowsNothing) {
    for (const subject* s : runnable_subjects()) {
        const guarded_memory in(tensor_view(dtype::f32, {3, 0})), out(tensor_view(dtype::f32, {3})),
            none(tensor_view(dtype::f32, {0}));
        s->out_of_place(function::logsumexp, in.elements(), out.elements(), {.axis = 1});
        EXPECT_EQ(load_all(out.elements()), std::vector<double>(3, -std::numeric_limits<double>::infinity()))
            << s->name;
        EXPECT_EQ(out.damage(), "") << s->name;
        s->out_of_place(function::logsumexp, in.elements(), none.elements(), {.axis = 0});
        EXPECT_EQ(none.damage(), "") << s->name;
    }
}

}  // namespace
}  // namespace softmax_test
