// SPDX-License-Identifier: BSL-1.0
#include "accuracy.hpp"

#include "memory.hpp"
#include "reference.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace softmax_test {

struct typed_row {
    std::vector<std::byte> bytes;
    view elements;

    typed_row(dtype type, std::size_t n)
        : bytes(std::max<std::size_t>(n, 1) * size_of(type)), elements(span_view(type, n)) {
        elements.data = bytes.data();
    }
};

namespace {

constexpr std::size_t chunk = 4096;

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

/// A row and what is exact about it. Of a long one of 16 bits there are few different elements: each is worked out once.
class exact_row {
public:
    exact_row(const typed_row& row, std::span<const double> logits, double scale)
        : logits_(logits), codes_(codes_of(row, logits.size())), exact_(sum_up(scale)) {}

    const reference& exact() const { return exact_; }

    /// What f gives for the elements from `first` on. In order: `first` is 0 where an f begins.
    void expect(function f, std::size_t first, std::span<long double> expected) {
        if (first == 0) known_.assign(codes_.empty() ? 0 : kinds, false);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double logit = logits_[first + i];
            if (codes_.empty()) {
                expected[i] = exact_.of(f, logit);
                continue;
            }
            const std::uint16_t code = codes_[first + i];
            if (!known_[code]) of_code_[code] = exact_.of(f, logit);
            known_[code] = true;
            expected[i] = of_code_[code];
        }
    }

private:
    static constexpr std::size_t kinds = 65536;

    static std::vector<std::uint16_t> codes_of(const typed_row& row, std::size_t n) {
        if (size_of(row.elements.type) != sizeof(std::uint16_t) || n <= kinds) return {};
        std::vector<std::uint16_t> codes(n);
        std::memcpy(codes.data(), row.bytes.data(), n * sizeof(std::uint16_t));
        return codes;
    }
    reference sum_up(double scale) {
        if (codes_.empty()) return {logits_, scale};
        of_code_.resize(kinds);
        std::vector<std::size_t> count(kinds), counts;
        std::vector<double> value(kinds), values;
        for (std::size_t i = 0; i < codes_.size(); ++i) {
            ++count[codes_[i]];
            value[codes_[i]] = logits_[i];
        }
        for (std::size_t code = 0; code < kinds; ++code) {
            if (count[code] == 0) continue;
            counts.push_back(count[code]);
            values.push_back(value[code]);
        }
        return {values, scale, counts};
    }

    std::span<const double> logits_;
    std::vector<std::uint16_t> codes_;  // empty: each element by itself
    std::vector<long double> of_code_;
    std::vector<bool> known_;
    reference exact_;
};

void accuracy_report::measure_elements(const row_case& row, std::span<const double> logits, const typed_row& in,
                                       exact_row& exact, dtype out) {
    std::vector<long double> expected(std::min(chunk, row.n));
    for (const function f : {function::softmax, function::log_softmax}) {
        const std::vector<distinct_output> outputs = run_everywhere(f, row, in, out);
        for (std::size_t first = 0; first < row.n; first += chunk) {
            const std::size_t count = std::min(chunk, row.n - first);
            exact.expect(f, first, std::span(expected).first(count));
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
    typed_row in(row.type, row.n);
    store_all(in.elements, logits);
    exact_row exact(in, logits, row.scale);
    for (const dtype out : outputs) {
        measure_elements(row, logits, in, exact, out);
        measure_logsumexp(row, in.elements, exact.exact(), out);
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
