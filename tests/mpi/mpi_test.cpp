// SPDX-License-Identifier: BSL-1.0

// Rows split over the ranks that mpirun starts: every rank compares its results, bit for bit, with those of the whole row on
// one rank, which do not know how many ranks there are. Exits with 0 on all ranks, or with 1 on all.

#include <safe_softmax/mpi.hpp>
#include <safe_softmax/safe_softmax.hpp>

#include <mpi.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

int rank = 0, ranks = 1, failures = 0;

void expect(bool good, const std::string& what) {
    if (good) return;
    ++failures;
    std::fprintf(stderr, "rank %d of %d: %s\n", rank, ranks, what.c_str());
}

template <class T>
bool same_bits(const T* a, const T* b, std::size_t n) {
    return std::memcmp(a, b, n * sizeof(T)) == 0;
}

bool is_nan(double x) { return std::bit_cast<std::uint64_t>(x) << 1 > 0xffe0000000000000u; }  // under -ffast-math, too

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr std::size_t rows = 12;

template <class T>
T number(double x) {
    if constexpr (sizeof(T) == 2) return T(static_cast<float>(x));
    else return static_cast<T>(x);
}

/// All rows, the same on all ranks: ordinary, confident, masked, all -inf, +inf, a NaN.
template <class T>
std::vector<T> logits(std::size_t classes) {
    std::mt19937 engine(5);
    std::vector<T> x(rows * classes);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < classes; ++i) {
            double value = static_cast<double>(engine() % 20001) / 1000 - 10;
            if (r == 1) value = i == classes / 3 ? 60 : value;
            if (r == 2 && i % 3 != 0) value = -inf;
            if (r == 3) value = -inf;
            if (r == 4 && (i == 0 || i == classes - 1)) value = inf;
            if (r == 5 && i == classes / 2) value = std::numeric_limits<double>::quiet_NaN();
            if (r == 6) value *= 1000;
            x[r * classes + i] = number<T>(value);
        }
    }
    return x;
}

/// This rank's columns, row-major or column-major.
template <class T>
struct part_of_rows {
    smx::row_part mine;
    std::vector<T> memory;
    smx::tensor_view<T, 2> view;

    part_of_rows(smx::row_part p, bool column_major)
        : mine(p), memory(std::max<std::size_t>(rows * p.count, 1)),
          view(memory.data(), std::array<std::size_t, 2>{rows, p.count},
               column_major ? std::array<std::ptrdiff_t, 2>{1, static_cast<std::ptrdiff_t>(rows)}
                            : std::array<std::ptrdiff_t, 2>{static_cast<std::ptrdiff_t>(p.count), 1}) {}
    part_of_rows(const part_of_rows&) = delete;
    part_of_rows& operator=(const part_of_rows&) = delete;

    void take(const std::vector<T>& all, std::size_t classes) {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t i = 0; i < mine.count; ++i) view(r, i) = all[r * classes + mine.first + i];
    }
    bool same_as(const std::vector<T>& all, std::size_t classes) const {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t i = 0; i < mine.count; ++i)
                if (!same_bits(&view(r, i), &all[r * classes + mine.first + i], 1)) return false;
        return true;
    }
};

/// The same calls on MPI_COMM_SELF, which has one rank, with whole rows: the bits that all numbers of ranks have to give.
template <class In, class Out>
void check_types(std::size_t classes, double scale, smx::special_values special, const std::string& what) {
    const std::vector<In> x = logits<In>(classes);
    std::vector<Out> p(x.size()), log_p(x.size()), sums(rows), losses(rows), gradient(x.size());
    std::vector<int> targets(rows);
    for (std::size_t r = 0; r < rows; ++r) targets[r] = static_cast<int>(r == 1 ? classes / 3 : r * 37 % classes);
    targets[7] = -100;
    const smx::online_options options{.scale = scale, .special = special};
    const smx::mpi_cross_entropy_options loss_options{.scale = scale, .special = special, .dloss = 0.25};
    const smx::tensor_view<const In, 2> whole(x.data(), {rows, classes});
    const auto out_of = [&](std::vector<Out>& v) { return smx::tensor_view<Out, 2>(v.data(), {rows, classes}); };
    smx::mpi_softmax(whole, out_of(p), MPI_COMM_SELF, options);
    smx::mpi_log_softmax(whole, out_of(log_p), MPI_COMM_SELF, options);
    smx::mpi_logsumexp(whole, sums, MPI_COMM_SELF, options);
    smx::mpi_cross_entropy_with_gradient(whole, targets, 0, losses, out_of(gradient), MPI_COMM_SELF, loss_options);

    for (const bool column_major : {false, true}) {
        const smx::row_part mine =
            smx::part_of_row(classes, static_cast<std::size_t>(ranks), static_cast<std::size_t>(rank));
        part_of_rows<In> in(mine, column_major);
        part_of_rows<Out> out(mine, !column_major);
        in.take(x, classes);
        std::vector<Out> own(rows);
        smx::mpi_softmax(in.view, out.view, MPI_COMM_WORLD, options);
        expect(out.same_as(p, classes), what + ": softmax");
        smx::mpi_log_softmax(in.view, out.view, MPI_COMM_WORLD, options);
        expect(out.same_as(log_p, classes), what + ": log_softmax");
        smx::mpi_logsumexp(in.view, own, MPI_COMM_WORLD, options);
        expect(same_bits(own.data(), sums.data(), rows), what + ": logsumexp");
        smx::mpi_cross_entropy(in.view, targets, mine.first, own, MPI_COMM_WORLD, loss_options);
        expect(same_bits(own.data(), losses.data(), rows), what + ": cross_entropy");
        own.assign(rows, Out{});
        smx::mpi_cross_entropy_with_gradient(in.view, targets, mine.first, own, out.view, MPI_COMM_WORLD, loss_options);
        expect(same_bits(own.data(), losses.data(), rows), what + ": cross_entropy with gradient");
        expect(out.same_as(gradient, classes), what + ": gradient");
        if constexpr (std::is_same_v<In, Out>) {
            smx::mpi_cross_entropy_with_gradient(in.view, targets, mine.first, own, in.view, MPI_COMM_WORLD,
                                                 loss_options);
            expect(in.same_as(gradient, classes), what + ": gradient in place");
        }
    }
}

/// What one rank gives with whole rows against the library's functions that see a row at once, which agree within the bounds.
void check_meaning() {
    constexpr std::size_t classes = 10007;
    const std::vector<double> x = logits<double>(classes);
    std::vector<double> p(x.size()), q(x.size()), losses(rows), other(rows), d(x.size()), e(x.size());
    std::vector<int> targets(rows, 5);
    targets[1] = static_cast<int>(classes / 3);
    targets[7] = -100;
    const smx::tensor_view<const double, 2> in(x.data(), {rows, classes});
    const auto view = [&](std::vector<double>& v) { return smx::tensor_view<double, 2>(v.data(), {rows, classes}); };
    const auto close = [](const std::vector<double>& a, const std::vector<double>& b) {
        for (std::size_t i = 0; i < a.size(); ++i) {
            const bool nan = is_nan(a[i]) || is_nan(b[i]);
            const bool same = nan ? is_nan(a[i]) && is_nan(b[i]) : same_bits(&a[i], &b[i], 1);
            if (!same && (nan || !(std::abs(a[i] - b[i]) <= 10 * 0x1p-52 * std::abs(b[i])))) {
                std::fprintf(stderr, "element %zu of %zu is %.17g instead of %.17g\n", i, a.size(), a[i], b[i]);
                return false;
            }
        }
        return true;
    };
    smx::mpi_softmax(in, view(p), MPI_COMM_SELF);
    smx::safe_softmax(in, view(q));
    expect(close(p, q), "softmax is not safe_softmax");
    smx::mpi_log_softmax(in, view(p), MPI_COMM_SELF);
    smx::log_softmax(in, view(q));
    expect(close(p, q), "log_softmax is another");
    smx::mpi_cross_entropy_with_gradient(in, targets, 0, losses, view(d), MPI_COMM_SELF, {.dloss = 0.5});
    smx::cross_entropy_with_gradient(in, targets, other, view(e), {.dlosses = 0.5});
    expect(close(losses, other), "cross_entropy is another");
    expect(close(d, e), "the gradient of cross_entropy is another");
    expect(losses[1] > 0 && losses[1] < 1e-15, "a confidently right row has lost its digits");
}

std::string error_of(const std::function<void()>& f) {
    try {
        f();
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "nothing was refused";
}

/// Errors that all ranks see, so that none is left waiting.
void check_errors() {
    std::vector<float> x(6), y(6), losses(2);
    const smx::tensor_view<float, 2> in(x.data(), {2, 3}), out(y.data(), {2, 3});
    const std::size_t first = static_cast<std::size_t>(rank) * 3;
    if (ranks > 1) {
        const smx::online_options own{.scale = rank == 0 ? 1.0 : 2.0};
        const std::string e = error_of([&] { smx::mpi_softmax(in, out, MPI_COMM_WORLD, own); });
        expect(e.starts_with("smx::mpi_softmax: options.scale or options.special differs among ranks (here: "), e);
    }
    const int nowhere[] = {0, 3 * ranks};
    std::string e = error_of([&] { smx::mpi_cross_entropy(in, nowhere, first, losses, MPI_COMM_WORLD); });
    expect(e == "smx::mpi_cross_entropy: element 1 of targets is " + std::to_string(3 * ranks) +
                    ": 0 ranks have this class, but one has to (or it is options.ignore_index, -100)",
           e);
    const int zeros[] = {0, 0};
    if (ranks > 1) {
        e = error_of([&] { smx::mpi_cross_entropy(in, zeros, 0, losses, MPI_COMM_WORLD); });
        expect(e.find(": " + std::to_string(ranks) + " ranks have this class, but one has to") != std::string::npos, e);
    }
    // On every rank, before anything is sent.
    e = error_of([&] { smx::mpi_softmax(in, smx::tensor_view<float, 2>(y.data(), {3, 2}), MPI_COMM_WORLD); });
    expect(e == "smx::mpi_softmax: out has 3 rows, but logits has 2", e);
    e = error_of([&] { smx::mpi_softmax(in, smx::tensor_view<float, 2>(y.data(), {2, 2}), MPI_COMM_WORLD); });
    expect(e == "smx::mpi_softmax: out has 2 columns, but logits has 3", e);
    e = error_of([&] { smx::mpi_softmax(in, out, MPI_COMM_WORLD, {.scale = inf}); });
    expect(e == "smx::online_softmax: options.scale is inf, but it must be finite", e);
    e = error_of([&] { smx::mpi_softmax(in, smx::tensor_view<float, 2>(y.data(), {2, 3}, {0, 1}), MPI_COMM_WORLD); });
    expect(e.starts_with("smx::mpi_softmax: out has stride 0 in axis 0"), e);
    e = error_of([&] { smx::mpi_logsumexp(in, y, MPI_COMM_WORLD); });
    expect(e == "smx::mpi_logsumexp: out has 6 elements, but logits has 2 rows", e);
    e = error_of([&] { smx::mpi_cross_entropy(in, std::vector<int>(3), first, losses, MPI_COMM_WORLD); });
    expect(e == "smx::mpi_cross_entropy: targets has 3 elements, but logits has 2 rows", e);
    expect(y == std::vector<float>(6), "something was written");
}

void check_parts() {
    for (const std::size_t length : std::initializer_list<std::size_t>{0, 1, 2047, 2048, 2049, 10007, 128256}) {
        for (const std::size_t parts : std::initializer_list<std::size_t>{1, 2, 3, 4, 7, 100}) {
            std::size_t at = 0, largest = 0, smallest = length + 1;
            for (std::size_t p = 0; p < parts; ++p) {
                const smx::row_part part = smx::part_of_row(length, parts, p);
                expect(part.first == at && (part.first % 2048 == 0 || part.first == length),
                       "part_of_row leaves a gap");
                at += part.count;
                largest = std::max(largest, part.count);
                smallest = std::min(smallest, part.count);
            }
            expect(at == length && largest <= smallest + 2 * 2048 - 1, "part_of_row is uneven");
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc > 1 && ranks != std::stoi(argv[1])) {
        std::fprintf(stderr, "%d ranks instead of %s\n", ranks, argv[1]);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    using smx::special_values;
    check_parts();
    check_meaning();
    // 10007: not a whole number of blocks. 3000: with 3 ranks and more, some have nothing.
    for (const std::size_t classes : std::initializer_list<std::size_t>{10007, 3000, 16384}) {
        const std::string n = std::to_string(classes) + " classes";
        check_types<float, float>(classes, 1, special_values::safe, n + ", float");
        check_types<float, float>(classes, -0.7, special_values::ieee, n + ", float, scaled, ieee");
        check_types<double, double>(classes, 0.3, special_values::safe, n + ", double");
        check_types<smx::bfloat16, float>(classes, 1, special_values::safe, n + ", bfloat16 to float");
        check_types<smx::float16, smx::float16>(classes, 1, special_values::safe, n + ", float16");
    }
    {  // States that ranks made by themselves, in another order.
        std::vector<smx::online_softmax<float>> states(3);
        const std::vector<float> x = logits<float>(8192);
        smx::online_softmax<float> whole;
        whole.push(std::span<const float>(x).first(8192));
        for (int b = ranks - 1 - rank; b < 4; b += ranks)
            states[1].push(std::span<const float>(x).subspan(static_cast<std::size_t>(b) * 2048, 2048));
        smx::mpi_merge(std::span<smx::online_softmax<float>>(states), MPI_COMM_WORLD);
        expect(std::bit_cast<std::array<std::uint64_t, 8>>(states[1].state()) ==
                   std::bit_cast<std::array<std::uint64_t, 8>>(whole.state()),
               "mpi_merge");
        expect(states[0].empty() && states[2].empty(), "mpi_merge of nothing");
    }
    check_errors();
    int all = 0;
    MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        std::printf("%d rank%s: %s\n", ranks, ranks == 1 ? "" : "s", all == 0 ? "the bits of one" : "failed");
    MPI_Finalize();
    return all == 0 ? 0 : 1;
}
