// SPDX-License-Identifier: BSL-1.0

// A few thousand rows through every function and type, hashed. The hash is the same for every compiler, optimisation level
// and machine with fused multiply-add; machines without have one of their own. On the way every row is computed in other
// ways too (in place, out of alignment, with strides, in a batch, along the first axis, on several threads), which have to
// give the same bits.
//
//     golden            compares; exit code 1 if anything differs
//     golden --print    prints the hashes that are compared
//     golden --short    rounding to nearest only: for slow machines
//
// If this turns red, results have changed: for users too, who may have stored some. If that is meant, say so in the
// release's notes and write down the hashes that --print gives; if it is not, it is a defect.

#include <safe_softmax/safe_softmax.hpp>

#include <cfenv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>
#if defined(SMX_GOLDEN_THREADS)
#include <thread>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace {

constexpr std::uint64_t expected_fused = 0xc399b456ed95e32b;
constexpr std::uint64_t expected_unfused = 0xfad77db1aa249640;
// Rows of more than 65536 elements, whose sum has several segments.
constexpr std::uint64_t expected_long_fused = 0x227738e056a2d2d9;
constexpr std::uint64_t expected_long_unfused = 0xb7dfd2bdb982d3e4;

/// Whole numbers only, so that every machine makes the same logits.
class generator {
public:
    explicit generator(std::uint64_t seed) : state_(seed) {}
    std::uint64_t bits() {  // SplitMix64 (Steele, Lea, Flood 2014)
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }
    /// In [-1, 1), a multiple of 2^-29.
    double uniform() { return static_cast<double>(static_cast<std::int64_t>(bits() >> 34) - (std::int64_t(1) << 29)) * 0x1p-29; }
    /// Nearly normal: exact, a multiple of 2^-29.
    double bell() { return uniform() + uniform() + uniform() + uniform(); }

private:
    std::uint64_t state_;
};

constexpr int families = 12;

double logit(int family, generator& random, std::size_t i) {
    switch (family) {
        case 0: return random.bell();
        case 1: return 8 * random.bell();
        case 2: return 80 * random.uniform();
        case 3: return 1000 + random.bell();
        case 4: return -30000 + 4 * random.bell();
        case 5: return static_cast<double>(random.bits() % 4) * 1.5;
        case 6: return static_cast<double>(i) * 0.25;
        case 8: return 0x1p100 * random.uniform();  // infinite in float16
        case 9: return random.bits() % 8 == 0 ? -0x1p1000 : random.bell();
        case 10: return random.bits() % 64 == 0 ? 0x1p1000 : random.bell();
        default: return random.bits() % 4 != 0 ? -0x1p1000 : i % 7 == 3 ? 600 : -600;
    }
}


template <class T>
T from_bits(std::uint64_t bits) {
    T result;
    if constexpr (sizeof(T) == 8) std::memcpy(&result, &bits, 8);
    else if constexpr (sizeof(T) == 4) { const auto b = static_cast<std::uint32_t>(bits); std::memcpy(&result, &b, 4); }
    else { const auto b = static_cast<std::uint16_t>(bits); std::memcpy(static_cast<void*>(&result), &b, 2); }
    return result;
}

/// A logit as an element. Infinities and subnormal numbers by their bits: some builds know no infinity, and some
/// processors are told to have no subnormals.
template <class T>
T element(int family, generator& random, std::size_t i) {
    constexpr std::uint64_t sign = std::uint64_t(1) << (8 * sizeof(T) - 1);
    constexpr std::uint64_t infinity = std::is_same_v<T, float>          ? 0x7f800000u
                                       : std::is_same_v<T, double>       ? 0x7ff0000000000000u
                                       : std::is_same_v<T, smx::float16> ? 0x7c00u
                                                                         : 0x7f80u;
    constexpr std::uint64_t fraction = (infinity & ~(infinity << 1)) - 1;  // below the lowest bit of the exponent
    if (family == 7) return from_bits<T>(random.bits() & (sign | fraction));
    const double x = logit(family, random, i);
    const double limit = std::is_same_v<T, smx::float16> ? 65504 : 0x1p900;
    if (x > limit) return from_bits<T>(infinity);
    if (x < -limit) return from_bits<T>(sign | infinity);
    return T(x);
}

template <class T>
std::uint64_t bits_of(const T& x) {
    if constexpr (sizeof(T) == 8) { std::uint64_t b; std::memcpy(&b, &x, 8); return b; }
    else if constexpr (sizeof(T) == 4) { std::uint32_t b; std::memcpy(&b, &x, 4); return b; }
    else { std::uint16_t b; std::memcpy(&b, &x, 2); return b; }
}

class hash {  // FNV-1a, byte by byte from the low end
public:
    void add(std::uint64_t bits, std::size_t bytes) {
        for (std::size_t i = 0; i < bytes; ++i) value_ = (value_ ^ (bits >> 8 * i & 0xff)) * 0x100000001b3u;
    }
    std::uint64_t value() const { return value_; }

private:
    std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// How the processor was told to compute when the library is called; it makes no difference to the results.
struct environment {
    const char* name;
    int rounding;
    bool flushes;  // subnormal numbers to zero; x86 only
};
constexpr environment environments[] = {
    {"rounding to nearest", FE_TONEAREST, false},
#if defined(FE_UPWARD) && defined(FE_DOWNWARD) && defined(FE_TOWARDZERO)
    {"rounding up", FE_UPWARD, false},
    {"rounding down", FE_DOWNWARD, false},
    {"rounding to zero", FE_TOWARDZERO, false},
#endif
#if defined(__SSE__)
    {"flushing subnormal numbers to zero", FE_TONEAREST, true},
#endif
};
environment active = environments[0];

class in_environment {
public:
    explicit in_environment(const environment& e) {
        std::fesetround(e.rounding);
#if defined(__SSE__)
        before_ = _mm_getcsr();
        _mm_setcsr(e.flushes ? before_ | 0x8040 : before_ & ~0x8040u);
#endif
    }
    ~in_environment() {
#if defined(__SSE__)
        _mm_setcsr(before_);
#endif
        std::fesetround(FE_TONEAREST);
    }
    in_environment(const in_environment&) = delete;
    in_environment& operator=(const in_environment&) = delete;

private:
    unsigned before_ = 0;
};

enum class function { softmax, log_softmax, logsumexp };
constexpr const char* names[] = {"safe_softmax", "log_softmax", "logsumexp"};

int differences = 0;

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
        compare_misaligned();
        compare_batch();
        compare_columns();
        compare_strided();
        if constexpr (std::is_same_v<In, Out>) compare_in_place();
#if defined(SMX_GOLDEN_THREADS)
        compare_threads();
#endif
    }

private:
    template <class T>
    auto row(T* data, std::size_t r) { return std::span<T>(data + r * length_, length_); }
    template <class T>
    auto out_row(T* data, std::size_t r) { return std::span<T>(data + r * results_, results_); }

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
                        static_cast<unsigned long long>(bits_of(others[i])), static_cast<unsigned long long>(bits_of(first_[i])));
            return;
        }
    }

    void compare_misaligned() {
        std::vector<In> in(in_.size() + 1);
        std::memcpy(static_cast<void*>(in.data() + 1), in_.data(), in_.size() * sizeof(In));
        for (std::size_t r = 0; r < rows_; ++r) call(row(in.data() + 1, r), out_row(other_.data() + 1, r));
        compare("out of alignment", other_.data() + 1);
    }
    void compare_batch() {
        call(smx::tensor_view<const In, 2>(in_.data(), {rows_, length_}), smx::tensor_view<Out, 2>(other_.data(), {rows_, results_}));
        compare("in a batch", other_.data());
    }
    void compare_columns() {
        std::vector<In> in(in_.size());
        std::vector<Out> out(first_.size()), back(first_.size());
        for (std::size_t r = 0; r < rows_; ++r)
            for (std::size_t i = 0; i < length_; ++i) in[i * rows_ + r] = in_[r * length_ + i];
        smx::softmax_options options = options_;
        options.axis = 0;
        std::swap(options, options_);
        call(smx::tensor_view<const In, 2>(in.data(), {length_, rows_}), smx::tensor_view<Out, 2>(out.data(), {results_, rows_}));
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
    pair_of_types<smx::bfloat16, smx::bfloat16>(h);
    pair_of_types<float, smx::bfloat16>(h);
    pair_of_types<smx::float16, double>(h);
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
    long_rows<float, smx::bfloat16>(h);
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
        const std::uint64_t found = hash_of_all_rows();
        if (print || found != expected)
            std::printf("%s, %s: hash %s fma is 0x%016llx\n", name, e.name, fused ? "with" : "without",
                        static_cast<unsigned long long>(found));
        good = good && found == expected;
    }
    const std::size_t short_rows = total_rows;
    active = environments[0];
    const std::uint64_t expected_long = fused ? expected_long_fused : expected_long_unfused, found_long = hash_of_long_rows();
    if (print || found_long != expected_long)
        std::printf("%s: hash of long rows %s fma is 0x%016llx\n", name, fused ? "with" : "without",
                    static_cast<unsigned long long>(found_long));
    good = good && found_long == expected_long;
    std::printf("%s: %zu rows in %zu environments and %zu long ones, %s, %d ways differ\n", name, short_rows, count, total_rows,
                good ? "the golden bits" : "NOT the golden bits: results have changed, see golden.cpp", differences);
    return good && differences == 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bool print = argc > 1 && std::strcmp(argv[1], "--print") == 0;
    const bool brief = argc > 1 && std::strcmp(argv[1], "--short") == 0;
    bool good = true;
#if SMX_DISPATCH
    for (const smx::isa level : {smx::isa::scalar, smx::isa::sse2, smx::isa::avx2, smx::isa::avx512, smx::isa::avx512bf16,
                                 smx::isa::neon64}) {
        if (!smx::set_active_isa(level)) continue;
        const bool fused = level != smx::isa::sse2 && (level != smx::isa::scalar || SMX_FUSED);
        good &= check(fused, print, brief, smx::name_of(level));
    }
#else
    good = check(SMX_FUSED, print, brief, smx::name_of(smx::active_isa()));
#endif
    return good ? 0 : 1;
}
