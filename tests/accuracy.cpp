// SPDX-License-Identifier: BSL-1.0
#include "accuracy.hpp"

#include "memory.hpp"
#include "reference.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace softmax_test {
namespace {

constexpr std::size_t chunk = 4096;

struct typed_row {
    std::vector<std::byte> bytes;
    view elements;

    typed_row(dtype type, std::size_t n)
        : bytes(std::max<std::size_t>(n, 1) * size_of(type)), elements(span_view(type, n)) {
        elements.data = bytes.data();
    }
};

/// One output, and everybody who gave exactly these bits.
struct distinct_output {
    typed_row result;
    bool in_place;
    std::vector<const subject*> subjects;
};

void keep_distinct(std::vector<distinct_output>& outputs, const subject& from, typed_row&& result, bool in_place) {
    for (distinct_output& seen : outputs) {
        if (seen.result.bytes == result.bytes) {
            if (std::find(seen.subjects.begin(), seen.subjects.end(), &from) == seen.subjects.end()) {
                seen.subjects.push_back(&from);
            }
            return;
        }
    }
    outputs.push_back({std::move(result), in_place, {&from}});
}

std::vector<distinct_output> run_everywhere(function f, const row_case& row, const typed_row& in, dtype out) {
    std::vector<distinct_output> outputs;
    const smx::softmax_options options{.scale = row.scale};
    for (const subject* s : runnable_subjects(row.type, out)) {
        typed_row result(out, row.n);
        s->out_of_place(f, in.elements, result.elements, options);
        keep_distinct(outputs, *s, std::move(result), false);
        if (out != row.type) continue;
        typed_row inout(out, row.n);
        std::copy(in.bytes.begin(), in.bytes.end(), inout.bytes.begin());
        s->in_place(f, inout.elements, options);
        keep_distinct(outputs, *s, std::move(inout), true);
    }
    return outputs;
}

void update(witness& worst, const witness& candidate) {
    if (candidate.error > worst.error) worst = candidate;
}

std::string describe(const witness& w) {
    char text[512];
    std::snprintf(text, sizeof text,
                  "%.4f ulp: family %s, n %zu, seed %llu, scale %.17g, %s, [%zu] = %.17g -> %.17g, exactly %.21Lg",
                  w.error, name_of(w.row.kind), w.row.n, static_cast<unsigned long long>(w.row.seed), w.row.scale,
                  w.in_place ? "in place" : "out of place", w.index, w.logit, w.actual, w.expected);
    return text;
}

}  // namespace

void accuracy_report::measure_elements(const row_case& row, std::span<const double> logits, const reference& exact,
                                       dtype out) {
    typed_row in(row.type, row.n);
    store_all(in.elements, logits);
    std::vector<long double> expected(std::min(chunk, row.n));
    for (const function f : {function::softmax, function::log_softmax}) {
        const std::vector<distinct_output> outputs = run_everywhere(f, row, in, out);
        for (std::size_t first = 0; first < row.n; first += chunk) {
            const std::size_t count = std::min(chunk, row.n - first);
            for (std::size_t i = 0; i < count; ++i) expected[i] = exact.of(f, logits[first + i]);
            for (const distinct_output& output : outputs) {
                witness here;
                for (std::size_t i = 0; i < count; ++i) {
                    const double actual = load(out, output.result.bytes.data(), static_cast<std::ptrdiff_t>(first + i));
                    const double error = error_in_ulp(f, row.type, out, actual, expected[i]);
                    if (error > here.error) {
                        here = {error, row, first + i, logits[first + i], actual, expected[i], output.in_place};
                    }
                }
                for (const subject* s : output.subjects) update(worst_[{f, row.type, out, s}], here);
            }
        }
    }
}

void accuracy_report::measure_logsumexp(const row_case& row, const view& in, const reference& exact, dtype out) {
    if (row.n == 0) return;  // -inf: a special row
    const smx::softmax_options options{.scale = row.scale};
    const auto record = [&](const subject* s, const typed_row& result) {
        const double actual = load(out, result.bytes.data(), 0);
        const double error = error_in_ulp(out, actual, exact.logsumexp(), exact.logsumexp_magnitude());
        update(worst_[{function::logsumexp, row.type, out, s}],
               {error, row, 0, load(row.type, in.data, 0), actual, exact.logsumexp(), false});
    };
    for (const subject* s : runnable_subjects(row.type, out)) {
        typed_row result(out, 1);
        view as_tensor = in;
        as_tensor.kind = view_kind::tensor;
        s->out_of_place(function::logsumexp, as_tensor, result.elements, options);
        record(s, result);
        if (out != row.type) continue;
        typed_row returned(out, 1);
        s->returned_logsumexp(in, returned.bytes.data(), options);
        record(s, returned);
    }
}

void accuracy_report::measure(const row_case& row, std::span<const dtype> outputs) {
    const std::vector<double> logits = make_row(row.kind, row.type, row.n, row.seed);
    const reference exact(logits, row.scale);
    typed_row in(row.type, row.n);
    store_all(in.elements, logits);
    for (const dtype out : outputs) {
        measure_elements(row, logits, exact, out);
        measure_logsumexp(row, in.elements, exact, out);
    }
}

void accuracy_report::print() const {
    std::map<std::string, std::string> subjects_of;
    std::vector<std::string> lines;
    for (const auto& [where, worst] : worst_) {
        const auto& [f, in, out, s] = where;
        char head[96];
        std::snprintf(head, sizeof head, "%s %s -> %s: ", name_of(f), name_of(in), name_of(out));
        const std::string line = head + describe(worst);
        std::string& subjects = subjects_of[line];
        if (subjects.empty()) lines.push_back(line);
        subjects += std::string(subjects.empty() ? "" : " ") + s->name;
    }
    for (const std::string& line : lines) std::printf("%s (%s)\n", line.c_str(), subjects_of[line].c_str());
}

std::string accuracy_report::violations() const {
    std::string text = worst_.empty() ? "nothing was measured\n" : "";
    for (const auto& [where, worst] : worst_) {
        const auto& [f, in, out, s] = where;
        if (worst.error <= documented_bound(f, out)) continue;
        text += std::string(s->name) + " " + name_of(f) + " " + name_of(in) + " -> " + name_of(out) + " " +
                describe(worst) + "\n";
    }
    return text;
}

}  // namespace softmax_test
