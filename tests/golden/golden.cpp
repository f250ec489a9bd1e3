// SPDX-License-Identifier: BSL-1.0

// A few thousand rows through every function and type, hashed. The hash is the same for every compiler, optimisation level
// and machine with fused multiply-add; machines without have one of their own. On the way every row is computed in other
// ways too (in place, out of alignment, with strides, in a batch, along the first axis, on several threads), which have to
// give the same bits.
//
//     golden            compares; exit code 1 if anything differs
//     golden --print    prints the hashes that are compared
//     golden --short    rounding to nearest only: for slow machines
//     golden --once     like that, and every row in one way only: for slow machines that are here in another form too
//     golden --once --chosen    of the instruction set alone that run-time dispatch chooses
//
// With -DGOLDEN_FIRST_TYPES only the first types are compiled, which takes half as long; they have hashes of their own.
//
// If this turns red, results have changed: for users too, who may have stored some. If that is meant, say so in the
// release's notes and write down the hashes that --print gives; if it is not, it is a defect.

#include "golden.hpp"

#include <vector>
#if defined(SMX_GOLDEN_THREADS)
#include <thread>
#endif

namespace {

using namespace golden;

#if defined(GOLDEN_FIRST_TYPES)
constexpr std::uint64_t expected_fused = 0x341bba0a602a7a1c;
constexpr std::uint64_t expected_unfused = 0xc35bfd05d4a49bd6;
constexpr std::uint64_t expected_long_fused = 0xc6c1dd887d87fcca;
constexpr std::uint64_t expected_long_unfused = 0x5169adc8a94359c8;
#else
constexpr std::uint64_t expected_fused = 0x03690d7f0535a00a;
constexpr std::uint64_t expected_unfused = 0x55e1b0e952680788;
// Rows of more than 65536 elements, whose sum has several segments.
constexpr std::uint64_t expected_long_fused = 0xd14febec10992039;
constexpr std::uint64_t expected_long_unfused = 0xc94401e3b7c3c1b3;
#endif

enum class function { softmax, log_softmax, logsumexp };
constexpr const char* names[] = {"safe_softmax", "log_softmax", "logsumexp"};

int differences = 0;
bool one_way = false;
bool on_threads = true;  // in one environment: starting them takes longer than all the rest

/// Rows of one function, pair of types, family and option; they all have the same length.
template <class In, class Out>
class group {
public:
    group(function f, std::size_t rows, std::size_t length, const smx::softmax_options& options)
        : f_(f), rows_(rows), length_(length), results_(f == function::logsumexp ? 1 : length), options_(options) {
        in_.resize(rows * length + 1);
        first_.resize(rows * results_);
        other_.resize(rows * results_ + 1);
    }

    void fill(int family, std::uint64_t seed) {
        generator random(seed);
        for (std::size_t i = 0; i < rows_ * length_; ++i) in_[i] = element<In>(family, random, i % length_);
    }

    void run(hash& h) {
        for (std::size_t r = 0; r < rows_; ++r) call(row(in_.data(), r), out_row(first_.data(), r));
        for (const Out& x : first_) h.add(bits_of(x), sizeof(Out));
        if (one_way) return;
        compare_misaligned();
        compare_batch();
        compare_columns();
        compare_strided();
        if constexpr (std::is_same_v<In, Out>) compare_in_place();
#if defined(SMX_GOLDEN_THREADS)
        if (on_threads) compare_threads();
#endif
    }

    /// A NaN in each row makes the whole row NaN.
    void expect_nan() {
        for (std::size_t r = 0; r < rows_; ++r) in_[r * length_ + r * 5 % length_] = from_bits<In>(infinity_of<In> + 1);
        std::vector<Out> alone(first_.size());
        for (std::size_t r = 0; r < rows_; ++r) call(row(in_.data(), r), out_row(alone.data(), r));
        call(smx::tensor_view<const In, 2>(in_.data(), {rows_, length_}),
             smx::tensor_view<Out, 2>(other_.data(), {rows_, results_}));
        for (std::size_t i = 0; i < alone.size(); ++i) {
            if (is_nan(alone[i]) && is_nan(other_[i])) continue;
            ++differences;
            std::printf("%s, %zu to %zu bytes, length %zu: element %zu of a row with a NaN is none\n",
                        names[static_cast<int>(f_)], sizeof(In), sizeof(Out), length_, i % results_);
            return;
        }
    }

private:
    template <class T>
    auto row(T* data, std::size_t r) {
        return std::span<T>(data + r * length_, length_);
    }
    template <class T>
    auto out_row(T* data, std::size_t r) {
        return std::span<T>(data + r * results_, results_);
    }

    template <class I, class O>
    void call(const I& in, const O& out) {
        const in_environment scope(active);
        if (f_ == function::softmax) smx::safe_softmax(in, out, options_);
        else if (f_ == function::log_softmax) smx::log_softmax(in, out, options_);
        else smx::logsumexp(in, out, options_);
    }

    void compare(const char* way, const Out* others) {
        for (std::size_t i = 0; i < first_.size(); ++i) {
            if (bits_of(first_[i]) == bits_of(others[i])) continue;
            ++differences;
            std::printf("%s, %zu to %zu bytes, length %zu, %s: element %zu of row %zu has bits %llx, by itself %llx\n",
                        names[static_cast<int>(f_)], sizeof(In), sizeof(Out), length_, way, i % results_, i / results_,
                        static_cast<unsigned long long>(bits_of(others[i])),
                        static_cast<unsigned long long>(bits_of(first_[i])));
            return;
        }
    }

    void compare_misaligned() {
        std::vector<In> in(in_.size() + 1);
        std::memcpy(static_cast<void*>(in.data() + 1), in_.data(), in_.size() * sizeof(In));
        for (std::size_t r = 0; r < rows_; ++r) call(row(in.data() + 1, r), out_row(other_.data() + 1, r));
        compare("out of alignment", other_.data() + 1);
    }
    /// Twice as many rows: some loops take eight and more.
    void compare_batch() {
        std::vector<In> in(2 * rows_ * length_);
        for (std::size_t i = 0; i < in.size(); ++i) in[i] = in_[i % (rows_ * length_)];
        std::vector<Out> out(2 * first_.size());
        call(smx::tensor_view<const In, 2>(in.data(), {2 * rows_, length_}),
             smx::tensor_view<Out, 2>(out.data(), {2 * rows_, results_}));
        compare("in a batch", out.data());
        compare("in a batch", out.data() + first_.size());
    }
    void compare_columns() {
        std::vector<In> in(in_.size());
        std::vector<Out> out(first_.size()), back(first_.size());
        for (std::size_t r = 0; r < rows_; ++r)
            for (std::size_t i = 0; i < length_; ++i) in[i * rows_ + r] = in_[r * length_ + i];
        smx::softmax_options options = options_;
        options.axis = 0;
        std::swap(options, options_);
        call(smx::tensor_view<const In, 2>(in.data(), {length_, rows_}),
             smx::tensor_view<Out, 2>(out.data(), {results_, rows_}));
        std::swap(options, options_);
        for (std::size_t r = 0; r < rows_; ++r)
            for (std::size_t i = 0; i < results_; ++i) back[r * results_ + i] = out[i * rows_ + r];
        compare("along the first axis", back.data());
    }
    void compare_strided() {
        std::vector<In> in(3 * in_.size());
        std::vector<Out> out(3 * first_.size() + 3);
        for (std::size_t i = 0; i < in_.size(); ++i) in[3 * i] = in_[i];
        for (std::size_t r = 0; r < rows_; ++r) {  // the output runs backwards
            const std::size_t last = results_ == 0 ? 0 : results_ - 1;
            call(smx::strided_span<const In>(in.data() + 3 * r * length_, length_, 3),
                 smx::strided_span<Out>(out.data() + 3 * (r * results_ + last), results_, -3));
            for (std::size_t i = 0; i < results_; ++i) other_[r * results_ + i] = out[3 * (r * results_ + last - i)];
        }
        compare("with strides", other_.data());
    }
    void compare_in_place() {
        if (f_ == function::logsumexp) return;
        const in_environment scope(active);
        std::vector<In> in = in_;
        const smx::tensor_view<In, 2> view(in.data(), {rows_, length_});
        if (f_ == function::softmax) smx::safe_softmax(view, options_);
        else smx::log_softmax(view, options_);
        compare("in place", in.data());
    }
#if defined(SMX_GOLDEN_THREADS)
    void compare_threads() {
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < 3; ++t)
            threads.emplace_back([this, t] {
                for (std::size_t r = t; r < rows_; r += 3) call(row(in_.data(), r), out_row(other_.data(), r));
            });
        for (std::thread& t : threads) t.join();
        compare("on three threads", other_.data());
    }
#endif

    function f_;
    std::size_t rows_, length_, results_;
    smx::softmax_options options_;
    std::vector<In> in_;
    std::vector<Out> first_, other_;
};

std::size_t total_rows = 0;

template <class In, class Out>
void pair_of_types(hash& h) {
    constexpr std::size_t lengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 197, 1000, 4097};
    constexpr double scales[] = {1, 0.125, 0.3, -1, 1e-7, 3e5, 0};
    std::uint64_t seed = sizeof(In) * 16 + sizeof(Out);
    for (const function f : {function::softmax, function::log_softmax, function::logsumexp}) {
        for (const std::size_t length : lengths) {
            const std::size_t rows = length < 100 ? 5 : length < 1000 ? 2 : 1;
            for (int family = 0; family < families; ++family) {
                smx::softmax_options options;
                options.scale = family % 3 == 2 ? scales[seed % 7] : 1;
                if (seed % 5 == 4) options.special = smx::special_values::ieee;
                group<In, Out> g(f, rows, length, options);
                g.fill(family, ++seed);
                g.run(h);
                g.expect_nan();
                total_rows += rows;
            }
        }
    }
}

std::uint64_t hash_of_all_rows() {
    hash h;
    total_rows = 0;
    pair_of_types<float, float>(h);
    pair_of_types<double, double>(h);
    pair_of_types<smx::float16, smx::float16>(h);
#if !defined(GOLDEN_FIRST_TYPES)
    pair_of_types<smx::bfloat16, smx::bfloat16>(h);
    pair_of_types<float, smx::bfloat16>(h);
    pair_of_types<smx::float16, double>(h);
#endif
    return h.value();
}

template <class In, class Out>
void long_rows(hash& h) {
    std::uint64_t seed = sizeof(In) * 16 + sizeof(Out);
    for (const function f : {function::softmax, function::log_softmax, function::logsumexp}) {
        for (const std::size_t length : {70001u, 200001u}) {
            const std::size_t rows = length < 100000 ? 4 : 1;  // 4: enough for columns
            group<In, Out> g(f, rows, length, {});
            ++seed;
            g.fill(static_cast<int>(seed % 3 * 2 + 1), seed);
            g.run(h);
            total_rows += rows;
        }
    }
}

std::uint64_t hash_of_long_rows() {
    hash h;
    total_rows = 0;
    long_rows<float, float>(h);
    long_rows<double, double>(h);
#if !defined(GOLDEN_FIRST_TYPES)
    long_rows<float, smx::bfloat16>(h);
#endif
    return h.value();
}

/// True if the hash is the expected one in every environment.
bool check(bool fused, bool print, bool brief, const char* name) {
    const std::uint64_t expected = fused ? expected_fused : expected_unfused;
    bool good = true;
    differences = 0;
    const std::size_t count = brief ? 1 : std::size(environments);
    for (const environment& e : std::span(environments).first(count)) {
        active = e;
        on_threads = e.name == environments[0].name;
        const std::uint64_t found = hash_of_all_rows();
        if (print || found != expected)
            std::printf("%s, %s: hash %s fma is 0x%016llx\n", name, e.name, fused ? "with" : "without",
                        static_cast<unsigned long long>(found));
        good = good && found == expected;
    }
    const std::size_t short_rows = total_rows;
    active = environments[0];
    on_threads = true;
    const std::uint64_t expected_long = fused ? expected_long_fused : expected_long_unfused,
                        found_long = hash_of_long_rows();
    if (print || found_long != expected_long)
        std::printf("%s: hash of long rows %s fma is 0x%016llx\n", name, fused ? "with" : "without",
                    static_cast<unsigned long long>(found_long));
    good = good && found_long == expected_long;
    std::printf("%s: %zu rows in %zu environments and %zu long ones, %s, %d ways differ\n", name, short_rows, count,
                total_rows, good ? "the golden bits" : "NOT the golden bits: results have changed, see golden.cpp",
                differences);
    return good && differences == 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bool print = argc > 1 && std::strcmp(argv[1], "--print") == 0;
    one_way = argc > 1 && std::strcmp(argv[1], "--once") == 0;
    const bool brief = one_way || (argc > 1 && std::strcmp(argv[1], "--short") == 0);
    return on_every_instruction_set(argc, argv,
                                    [=](const char* name, bool fused) { return check(fused, print, brief, name); })
               ? 0
               : 1;
}
