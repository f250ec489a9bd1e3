// SPDX-License-Identifier: BSL-1.0
// What the textbook formula and safe_softmax give for the same logits, in float, float16 and bfloat16, side by side with
// their errors. Exits with 0 if safe_softmax kept within its bounds everywhere, else with 1.
#include <safe_softmax/safe_softmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace {

template <class T>
struct type_facts;
template <>
struct type_facts<float> {
    static constexpr const char* name = "float";
    static constexpr double promised_ulp = 5;
};
template <>
struct type_facts<smx::float16> {
    static constexpr const char* name = "float16";
    static constexpr double promised_ulp = 0.52;
};
template <>
struct type_facts<smx::bfloat16> {
    static constexpr const char* name = "bfloat16";
    static constexpr double promised_ulp = 0.52;
};

/// How one formula did in one type, over all tables.
struct tally {
    int rows = 0, rows_with_nan = 0;
    double worst_ulp = 0;  ///< of the rows without NaN
};

struct tallies {
    tally textbook, safe;
};

/// Of all tables, per type of the probabilities.
struct summary {
    tallies in_float, in_float16, in_bfloat16;
};

template <class T>
double value(T x) {
    return static_cast<double>(static_cast<float>(x));
}

/// Softmax in long double of what is stored; without an answer (NaN) if a logit is infinite.
template <class T>
std::vector<long double> reference(const std::vector<T>& logits, double scale) {
    std::vector<long double> result(logits.size());
    std::transform(logits.begin(), logits.end(), result.begin(), [&](T x) { return value(x) * 1.0L * scale; });
    const long double row_max = *std::max_element(result.begin(), result.end());
    for (long double& x : result) x = std::exp(x - row_max);
    const long double sum_exp = std::accumulate(result.begin(), result.end(), 0.0L);
    for (long double& x : result) x /= sum_exp;
    return result;
}

/// |x - exact| in units of the last place that T has at `exact`.
template <class T>
double ulp_error(T x, long double exact) {
    using limits = std::numeric_limits<T>;
    constexpr int smallest = limits::min_exponent - 1;
    const int exponent = exact > 0 ? std::max(std::ilogb(exact), smallest) : smallest;
    return static_cast<double>(std::abs(std::ldexp(value(x) - exact, limits::digits - 1 - exponent)));
}

/// A number, or NaN without the sign that some C libraries print before it.
std::string text(long double x, const char* format = "%.6Lg") {
    if (std::isnan(x)) return "NaN";
    std::array<char, 32> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), format, x);
    return {buffer.data(), static_cast<std::size_t>(length)};
}

/// "-" where there is nothing to compare, or nothing to compare with.
std::string text_if_any(long double x, const char* format = "%.6Lg") { return std::isnan(x) ? "-" : text(x, format); }

template <class T>
void count(tally& total, const std::vector<T>& result, const std::vector<long double>& exact) {
    ++total.rows;
    const bool nan = std::any_of(result.begin(), result.end(), [](T y) { return std::isnan(value(y)); });
    total.rows_with_nan += nan ? 1 : 0;
    if (nan) return;
    for (std::size_t i = 0; i < result.size(); ++i) {
        total.worst_ulp = std::fmax(total.worst_ulp, ulp_error(result[i], exact[i]));  // fmax passes over NaN
    }
}

/// What a user of the textbook formula does about a scale: multiply the logits by it first, in their own type.
template <class T>
std::vector<T> scaled(std::vector<T> logits, double scale) {
    for (T& x : logits) x = static_cast<T>(value(x) * scale);
    return logits;
}

struct row {
    std::vector<double> logits;
    double scale = 1;
    std::size_t shown = 4;  ///< so many of its elements are printed
};

/// Logits held in In, probabilities in Out.
template <class In, class Out>
void compare(const row& r, tallies& totals) {
    std::vector<In> logits;
    for (const double x : r.logits) logits.push_back(static_cast<In>(x));
    std::vector<Out> textbook(logits.size()), safe(logits.size());

    smx::naive_softmax(scaled(logits, r.scale), textbook);
    smx::safe_softmax(logits, safe, {.scale = r.scale});

    const std::vector<long double> exact = reference(logits, r.scale);
    count(totals.textbook, textbook, exact);
    count(totals.safe, safe, exact);
    for (std::size_t i = 0; i < std::min(r.shown, logits.size()); ++i) {
        std::printf("  %-9s %11s %12s %12s %8s %13s %7s\n", i == 0 ? type_facts<Out>::name : "",
                    text(value(logits[i])).c_str(), text_if_any(exact[i]).c_str(), text(value(textbook[i])).c_str(),
                    text_if_any(ulp_error(textbook[i], exact[i]), "%.2Lf").c_str(), text(value(safe[i])).c_str(),
                    text_if_any(ulp_error(safe[i], exact[i]), "%.2Lf").c_str());
    }
}

void print_title(const char* title) {
    std::printf("\n%s\n\n  %-9s %11s %12s %12s %8s %13s %7s\n", title, "type", "logit", "exact", "textbook", "ulp",
                "safe_softmax", "ulp");
}

/// Logits and probabilities in the same type.
void show(summary& totals, const row& r, const char* title) {
    print_title(title);
    compare<float, float>(r, totals.in_float);
    compare<smx::float16, smx::float16>(r, totals.in_float16);
    compare<smx::bfloat16, smx::bfloat16>(r, totals.in_bfloat16);
}

/// Logits in float, as matrix products are accumulated, probabilities in each type.
void show_from_float(summary& totals, const row& r, const char* title) {
    print_title(title);
    compare<float, float>(r, totals.in_float);
    compare<float, smx::float16>(r, totals.in_float16);
    compare<float, smx::bfloat16>(r, totals.in_bfloat16);
}

/// One query times four keys, 64 channels each, all of them 32 but for the last channel of key i, which is `last - i`.
row attention(double last) {
    constexpr std::size_t channels = 64, keys = 4;
    const std::vector<double> query(channels, 32.0);
    row result{.logits = {}, .scale = 0.125};  // 1/sqrt(channels)
    for (std::size_t i = 0; i < keys; ++i) {
        std::vector<double> key(channels, 32.0);
        key.back() = last - static_cast<double>(i);
        result.logits.push_back(std::inner_product(query.begin(), query.end(), key.begin(), 0.0));
    }
    return result;
}

summary show_rows() {
    summary totals;
    show(totals, {.logits = {1, 2, 3}}, "Ordinary logits: both formulas are right, but for rounding.");
    show(totals, {.logits = {1000, 1001, 1002}},
         "exp(1000) is infinite in every type, and infinity / infinity is NaN.\n"
         "(bfloat16 has 8 bits: what it stores for 1001 and 1002 is 1000.)");
    show(totals, {.logits = {1e3, 1e-3, -1e3}}, "One large logit is enough.");
    show(totals, {.logits = {-1000, -1001, -1002}}, "Very negative logits: every exp is 0, and 0 / 0 is NaN.");
    show(totals, {.logits = std::vector<double>(1000, 0.0), .shown = 1},
         "A thousand equal logits, of which the first is shown. Nothing overflows, but a sum of ones\n"
         "in bfloat16 ends at 256: adding 1 rounds back to 256.");
    show(totals, attention(31),
         "Attention, softmax(q.k / sqrt(64)), with products q.k just within float16's 65504: they can be\n"
         "stored, but their exp cannot. (bfloat16 stores them 256 apart: as four equal ones.)");
    show(totals, attention(33),
         "The products a little larger: float16 stores the first two as infinity, and what they were is lost\n"
         "before any softmax. The textbook formula makes that NaN; safe_softmax shares 1 among the infinite.");
    show_from_float(totals, attention(33),
                    "The same products left in float, in which they were summed; only the probabilities are rounded\n"
                    "to each type: safe_softmax(scores, probabilities, {.scale = 0.125}). Nothing is lost.");
    return totals;
}

void print_tally(const char* type, const char* formula, const tally& t) {
    std::printf("  %-9s %-13s %4d of %d %17.2f ulp\n", type, formula, t.rows_with_nan, t.rows, t.worst_ulp);
}

template <class T>
bool print_tallies(const tallies& totals) {
    print_tally(type_facts<T>::name, "textbook", totals.textbook);
    print_tally("", "safe_softmax", totals.safe);
    return totals.safe.rows_with_nan == 0 && totals.safe.worst_ulp <= type_facts<T>::promised_ulp;
}

bool print_summary(const summary& totals) {
    std::printf("\nAll tables:\n\n  %-9s %-13s %9s %21s\n", "type", "formula", "NaN rows", "largest other error");
    const bool kept[] = {print_tallies<float>(totals.in_float), print_tallies<smx::float16>(totals.in_float16),
                         print_tallies<smx::bfloat16>(totals.in_bfloat16)};
    const bool all_kept = std::all_of(std::begin(kept), std::end(kept), [](bool k) { return k; });
    std::printf("\nPromised for safe_softmax: no NaN; at most %g ulp in float, %g ulp in float16 and bfloat16: %s.\n",
                type_facts<float>::promised_ulp, type_facts<smx::float16>::promised_ulp, all_kept ? "kept" : "BROKEN");
    return all_kept;
}

}  // namespace

int main() {
    std::printf(
        "Softmax of the logits as each type stores them. exact: in long double. ulp: the error in units\n"
        "of the last place of that type.\n");
    return print_summary(show_rows()) ? 0 : 1;
}
