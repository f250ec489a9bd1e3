// SPDX-License-Identifier: BSL-1.0

// The golden bits of masks, streaming, training and sampling: golden.cpp says what they are for. One call of every kernel
// with the options that change its arithmetic, on rows of all families and types.

#include "golden.hpp"

#include <array>
#include <vector>

namespace {

using namespace golden;

constexpr std::uint64_t expected_fused = 0xe1f2a9b70244a567;
constexpr std::uint64_t expected_unfused = 0x9cc7ab5c462c084a;
constexpr std::uint64_t expected_long_fused = 0x9c3be2ee63f21b48;
constexpr std::uint64_t expected_long_unfused = 0x2eff03e7a39d28d4;

/// An engine of the standard library's shape; all bits of all numbers are used.
struct engine {
    using result_type = std::uint64_t;
    static constexpr result_type(min)() { return 0; }
    static constexpr result_type(max)() { return ~result_type(0); }
    result_type operator()() { return random.bits(); }
    generator random;
};

/// Two rows, with what goes along with them.
template <class T>
class rows_of_type {
    static constexpr std::size_t rows = 2;

public:
    rows_of_type(int family, std::size_t length, std::uint64_t seed, hash& h) : length_(length), random_(seed), h_(h) {
        fill(in_, family, rows * length);
        fill(bias_, 0, rows * length);
        fill(dy_, 0, rows * length);
        out_.resize(rows * length);
        keep_.resize(rows * length);
        for (std::uint8_t& k : keep_) k = random_.bits() % 4 != 0;
        for (std::size_t& n : lengths_) n = random_.bits() % (length + 1);
        for (std::size_t& t : targets_) t = random_.bits() % length;
        for (double& u : uniform_) u = (1 + random_.uniform()) / 2;
        scale_ = std::array{1.0, 0.3, -1.0}[seed % 3];
    }

    void run() {
        masks();
        gradients();
        losses();
        streams();
        sums();
        samples();
    }

private:
    void fill(std::vector<T>& v, int family, std::size_t n) {
        v.resize(n);
        for (std::size_t i = 0; i < n; ++i) v[i] = element<T>(family, random_, i % length_);
    }
    template <class U>
    auto matrix(std::vector<U>& v) {
        return smx::tensor_view<U, 2>(v.data(), {rows, length_});
    }
    template <class U>
    static auto column(std::array<U, rows>& a) {
        return smx::tensor_view<U, 2>(a.data(), {rows, 1});
    }
    template <class Range>
    void add(const Range& range) {
        for (const auto& x : range) h_.add(bits_of(x), sizeof x);
    }
    /// f runs in the environment that is active.
    template <class F>
    void call(F f) {
        {
            const in_environment scope(active);
            f();
        }
        add(out_);
    }

    void masks() {
        const auto in = matrix(in_), out = matrix(out_), bias = matrix(bias_);
        const auto keep = matrix(keep_);
        std::array<double, rows> slope{0.25, -0.0625}, sink{0, 1.5}, temperature{0.5, 3};
        std::vector<smx::masked_options> all(9);
        all[0].causal = true, all[0].causal_offset = static_cast<std::ptrdiff_t>(length_ / 2);
        all[1].lengths = lengths_;
        all[2].softcap = 5;
        all[3].bias = bias;
        all[4].alibi_slope = slope;
        all[5].sink = sink;
        all[6].temperature = temperature;
        all[7] = {.softcap = 20, .bias = bias, .alibi_slope = slope, .sink = sink, .temperature = temperature};
        for (smx::masked_options& options : all) {
            options.scale = scale_;
            call([&] { smx::masked_softmax(in, keep, out, options); });
            call([&] { smx::masked_log_softmax(in, bias, out, options); });
            call([&] { smx::masked_softmax(in, out, options); });
        }
    }

    void gradients() {
        std::vector<T> y(in_.size()), log_y(in_.size());
        const auto dy = matrix(dy_), out = matrix(out_);
        call([&] { smx::safe_softmax(matrix(in_), matrix(y)); });
        call([&] { smx::log_softmax(matrix(in_), matrix(log_y)); });
        call([&] { smx::softmax_backward(matrix(y), dy, out, {.scale = scale_}); });
        call([&] { smx::masked_softmax_backward(matrix(y), dy, out); });
        call([&] { smx::log_softmax_backward(matrix(log_y), dy, out, {.scale = scale_}); });
        call([&] { smx::masked_log_softmax_backward(matrix(log_y), dy, out); });
    }

    void losses() {
        std::array<T, rows> losses{};
        std::vector<T> weights;
        fill(weights, 0, length_);
        for (T& w : weights) w = T(1 + 0.125 * static_cast<double>(w));
        std::vector<T> soft(in_.size());
        smx::safe_softmax(matrix(bias_), matrix(soft));
        std::vector<smx::cross_entropy_options> all(4);
        all[1].label_smoothing = 0.125;
        all[2].class_weights = weights;
        all[3].z_loss = 0.0009765625;
        for (smx::cross_entropy_options& options : all) {
            options.scale = scale_;
            call([&] { smx::cross_entropy_with_gradient(matrix(in_), targets_, losses, matrix(out_), options); });
            add(losses);
            call([&] { smx::cross_entropy(matrix(in_), matrix(soft), losses, options); });
            add(losses);
        }
    }

    void streams() {
        smx::online_softmax<T> whole({.scale = scale_}), part({.scale = scale_});
        const std::size_t cut = length_ / 3;
        const std::span<T> in(in_.data(), length_), out(out_.data(), length_);
        std::array<typename smx::online_softmax<T>::arithmetic, 5> numbers{};
        call([&] {
            numbers[0] = whole.push(in.first(cut));
            part.push(in.subspan(cut));
            numbers[1] = whole.merge(part);
            numbers[2] = part.rescale_to(whole);
            numbers[3] = whole.sum();
            numbers[4] = whole.inverse_sum();
        });
        add(numbers);
        h_.add(bits_of(whole.logsumexp()), sizeof(T));
        if (smx::SMX_ABI::detail::is_nan(whole.sum())) return;  // refuses rows with a NaN
        call([&] { whole.probabilities(in, out); });
        call([&] { whole.log_probabilities(in, out); });
        call([&] { whole.weights(in, out); });
    }

    void sums() {
        std::array<T, rows> sum{}, sign{};
        call([&] { smx::weighted_logsumexp(matrix(in_), sum, sign, {.scale = scale_, .weights = matrix(bias_)}); });
        add(sum);
        add(sign);
        call([&] { smx::logaddexp(matrix(in_), matrix(bias_), matrix(out_)); });
        call([&] { smx::softmin(matrix(in_), matrix(out_)); });
        call([&] { sum[0] = smx::logaddexp(in_[0], bias_[0]); });
        add(sum);
    }

    void samples() {
        engine random{generator(length_)};
        std::array<std::int64_t, rows> indices{};
        call([&] { smx::gumbel_softmax(matrix(in_), matrix(out_), random, {.temperature = 0.75}); });
        call([&] { smx::gumbel_softmax(matrix(in_), matrix(out_), random, {.hard = true}); });
        const smx::sampling_options all[] = {{.scale = scale_},
                                             {.scale = scale_, .top_k = 3},
                                             {.scale = scale_, .top_p = 0.75},
                                             {.scale = scale_, .top_k = 40, .top_p = 0.5, .min_p = 0.125}};
        for (const smx::sampling_options& options : all) {
            call([&] { smx::filtered_softmax(matrix(in_), matrix(out_), options); });
            call([&] { smx::sample(matrix(in_), uniform_, indices, options); });
            add(indices);
            call([&] { smx::sample(matrix(in_), random, indices, options); });
            add(indices);
        }
    }

    std::size_t length_;
    generator random_;
    hash& h_;
    double scale_ = 1;
    std::vector<T> in_, bias_, dy_, out_;
    std::vector<std::uint8_t> keep_;
    std::array<std::size_t, rows> lengths_{}, targets_{};
    std::array<double, rows> uniform_{};
};

template <class T>
void rows_of(hash& h) {
    std::uint64_t seed = 100 * sizeof(T);
    for (const std::size_t length : {1u, 2u, 7u, 16u, 33u, 130u, 1000u})
        for (int family = 0; family < (length == 1000 ? 3 : families); ++family)
            rows_of_type<T>(family, length, ++seed, h).run();
}

std::uint64_t hash_of_all_rows() {
    hash h;
    rows_of<float>(h);
    rows_of<double>(h);
    rows_of<smx::float16>(h);
    rows_of<smx::bfloat16>(h);
    return h.value();
}

/// Rows in several pieces, and of several segments.
std::uint64_t hash_of_long_rows() {
    hash h;
    for (const std::size_t length : {4100u, 70001u}) {
        rows_of_type<float>(1, length, length, h).run();
        rows_of_type<double>(1, length, length, h).run();
        rows_of_type<smx::bfloat16>(1, length, length, h).run();
    }
    return h.value();
}

/// True if a hash is the expected one.
bool check(const char* name, const char* what, std::uint64_t found, std::uint64_t expected, bool print) {
    if (print || found != expected)
        std::printf("%s, %s: hash of the family is 0x%016llx\n", name, what, static_cast<unsigned long long>(found));
    return found == expected;
}

bool check(const char* name, bool fused, bool print, bool brief) {
    bool good = true;
    std::size_t count = 0;
    for (const environment& e : environments) {
        active = e;
        good &= check(name, e.name, hash_of_all_rows(), fused ? expected_fused : expected_unfused, print);
        ++count;
        if (brief) break;
    }
    active = environments[0];
    if (!brief)
        good &=
            check(name, "long rows", hash_of_long_rows(), fused ? expected_long_fused : expected_long_unfused, print);
    std::printf("%s: the family in %zu environments, %s\n", name, count,
                good ? "the golden bits" : "NOT the golden bits: results have changed, see golden.cpp");
    return good;
}

}  // namespace

int main(int argc, char** argv) {
    const bool print = argc > 1 && std::strcmp(argv[1], "--print") == 0;
    const bool brief = argc > 1 && (std::strcmp(argv[1], "--short") == 0 || std::strcmp(argv[1], "--once") == 0);
    return on_every_instruction_set(argc, argv,
                                    [=](const char* name, bool fused) { return check(name, fused, print, brief); })
               ? 0
               : 1;
}
