// SPDX-License-Identifier: BSL-1.0
// Every shape that is measured.
#include "cells.hpp"

#include <algorithm>
#include <iterator>

namespace bench {
namespace {

constexpr type types[] = {type::f32, type::f64, type::f16, type::bf16};
const char* const type_names[] = {"f32", "f64", "f16", "bf16"};

constexpr int ours = static_cast<int>(role::ours), builds = static_cast<int>(role::build),
              peers = static_cast<int>(role::peer), careful = static_cast<int>(role::careful),
              copies = static_cast<int>(role::copy), threads = static_cast<int>(role::threads);

struct shape {
    std::size_t outer, length, inner;
};

constexpr shape page[] = {{1, 10, 1},      {4096, 8, 1},    {4096, 16, 1},    {4096, 64, 1},  {1024, 128, 1},
                          {1024, 197, 1},  {512, 512, 1},   {512, 1000, 1},   {256, 4096, 1}, {64, 32000, 1},
                          {16, 128256, 1}, {1, 1048576, 1}, {1, 16777216, 1}, {8, 1000, 64}};
constexpr std::size_t short_lengths[] = {2, 3, 4, 5, 7, 10, 12, 20, 32};
constexpr std::size_t inner_sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 1000};

/// Elements of a batch that fills the second-level cache of most processors.
constexpr std::size_t batch = std::size_t(1) << 18;
constexpr std::size_t growing[] = {2,    3,    4,     6,     8,     10,     13,     16,     20,     32,
                                   50,   64,   100,   128,   200,   256,    500,    512,    1000,   2000,
                                   4096, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000};
constexpr std::size_t odd[] = {64,  65,  96,  97,   100,  101,  127,  128,  129,  255,  256,   257,
                               511, 512, 513, 1000, 1001, 1023, 1024, 1025, 4096, 4097, 10006, 10007};

class list {
public:
    std::vector<group> groups;

    void page_of(type t) {
        for (const shape& s : page) {
            add({"softmax", function::softmax, t, s.outer, s.length, s.inner,
                 ours | builds | peers | careful | copies});
            add({"log_softmax", function::log_softmax, t, s.outer, s.length, s.inner,
                 ours | builds | peers | careful | copies});
        }
        for (const shape& s : page) {
            add({"logsumexp", function::logsumexp, t, s.outer, s.length, s.inner, ours | builds | peers | copies});
            add({"softmax_in_place", function::softmax, t, s.outer, s.length, s.inner, ours | peers, true});
            add({"log_softmax_in_place", function::log_softmax, t, s.outer, s.length, s.inner, ours | peers, true});
        }
    }

    void short_rows_of(type t) {
        for (const std::size_t n : short_lengths) {
            add({"softmax", function::softmax, t, 4096, n, 1, ours | builds | peers});
            add({"log_softmax", function::log_softmax, t, 4096, n, 1, ours | peers});
        }
    }

    void other_axes_of(type t) {
        add({"softmax", function::softmax, t, 1, 30000, 8, ours | peers});
        for (const std::size_t inner : inner_sizes)
            add({"softmax", function::softmax, t, std::max<std::size_t>(1, batch / 100 / inner), 100, inner,
                 ours | peers});
    }

    void growth_of(type t) {
        group batches, single;
        for (const std::size_t n : growing) {
            batches.push_back(
                {"growth", function::softmax, t, std::max<std::size_t>(1, batch / n), n, 1, ours | peers | copies});
            if (n >= 1000) single.push_back({"single", function::softmax, t, 1, n, 1, ours});
        }
        groups.push_back(batches);
        groups.push_back(single);
    }

    /// Neighbouring lengths, rows that begin anywhere, and rows as far apart as the cache has sets.
    void cliffs_of(type t) {
        group g;
        for (const std::size_t n : odd) g.push_back({"odd", function::softmax, t, batch / n, n, 1, ours});
        for (const std::size_t n : {64u, 197u, 512u, 1000u, 4096u})
            for (const std::size_t m : {0u, 1u, 7u})
                g.push_back({"misaligned", function::softmax, t, batch / n, n, 1, ours, false, 0, m});
        const std::size_t element = t == type::f32 ? 4 : t == type::f64 ? 8 : 2, half_page = 2048 / element;
        for (const std::size_t apart : {half_page - 12, half_page, half_page + 32, 2 * half_page, 2 * half_page + 32})
            g.push_back({"apart", function::softmax, t, 256, half_page - 12, 1, ours, false, apart});
        groups.push_back(g);
    }

    void threads_of(type t) {
        for (const shape& s : {shape{4096, 64, 1}, {4096, 1000, 1}, {64, 32000, 1}, {1, 1048576, 1}, {1, 16777216, 1}})
            add({"threads", function::softmax, t, s.outer, s.length, s.inner, threads});
        for (std::size_t rows = 32; rows <= 2048; rows *= 2)
            add({"threads", function::softmax, t, rows, 64, 1, threads});
    }

private:
    void add(const cell& c) { groups.push_back({c}); }
};

}  // namespace

std::string cell::name() const {
    std::string shape = std::to_string(length);
    if (outer != 1 || inner == 1) shape = std::to_string(outer) + "x" + shape;
    if (table == "softmax" && length == 100 && inner == 1) shape += "x1-axis1";
    else if (inner != 1) shape += "x" + std::to_string(inner) + (outer == 1 ? "-axis0" : "-axis1");
    if (pitch != 0) shape += "-pitch" + std::to_string(pitch);
    if (misaligned != 0) shape += "-at" + std::to_string(misaligned);
    return table + "/" + type_names[static_cast<int>(type)] + "/" + shape;
}

std::vector<group> all_groups() {
    list l;
    for (const type t : types) l.page_of(t);
    for (const type t : types) l.short_rows_of(t);
    for (const type t : types) l.other_axes_of(t);
    for (const type t : types) l.growth_of(t);
    for (const type t : types) l.cliffs_of(t);
    for (const type t : {type::f32, type::bf16}) l.threads_of(t);
    return std::move(l.groups);
}

}  // namespace bench
