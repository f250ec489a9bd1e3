// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Softmax of rows that are seen in chunks, by threads or machines.

#include <safe_softmax/online_state.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run_online.hpp>

namespace smx {

/// How the logits of an online_softmax are taken; an aggregate: `{.scale = 0.125}`. As in softmax_options.
struct online_options {
    double scale = 1.0;                             ///< the logits are multiplied by it
    special_values special = special_values::safe;  ///< what rows without a proper answer give
};

inline namespace SMX_ABI {

/// Softmax of a row that is seen in chunks, or by several threads or machines, each of them a part: the largest logit so far
/// and the sum of exponentials below it.
///
/// ```cpp
/// smx::online_softmax<float> whole;
/// for (std::span<const float> chunk : chunks) whole.push(chunk);      // or, after each thread has pushed some:
/// for (const smx::online_softmax<float>& part : parts) whole.merge(part);
/// const float total = whole.logsumexp();
/// for (std::size_t c = 0; c < chunks.size(); ++c) whole.probabilities(chunks[c], out[c]);  // once all have been pushed
/// ```
///
/// T is the type of the logits. Arithmetic is in float; in double for double. Chunks may be of any element type, but those of
/// double need an online_softmax<double>.
///
/// **Order does not matter.** A state is the exact sum of its parts (online_state says how), so that
///
/// - merge is associative and commutative to the bit: any tree, any order of the same pushes gives the same state;
/// - where a row is cut at multiples of `block` elements, counted from its beginning, all ways of cutting it give the same
///   state, and the same bits of all results: one thread or many, one machine or many. Cut elsewhere, results agree
///   within the bounds below;
/// - a state that has seen nothing, or only -inf, changes no other (with special_values::ieee, a row of -inf alone is NaN).
///
/// **Error**, whatever was cut and merged, for up to 2^28 logits: as the functions that see the row at once. logsumexp at most 3 ulp, of the
/// largest of |max|, |log sum exp(x - max)| and |result|; probabilities 5 ulp, log_probabilities 3 ulp, weights 5 ulp; rescale factors 1 ulp;
/// all of them 0.52 ulp where the result has 16 bits. Largest seen, by tests/online_softmax_test.cpp, which has the rows and enforces this,
/// in float and double: logsumexp 1.05, 1.14 (41.7 times two extremes; 3 wide logits); probabilities 2.46 (-z of 61 from U(-80,80)), 3.15
/// (0.1*z of 700 from -5e4+N(0,10)); log_probabilities 1.25, 1.32; weights 2.34, 2.54; 0.500 in 16 bits. A probability or weight below the smallest normal number of the arithmetic
/// may come out as +0, and so may a factor.
///
/// | logits seen, times the scale | logsumexp     | sum   | probabilities (log_probabilities)            | weights               |
/// | ---------------------------- | ------------- | ----- | -------------------------------------------- | --------------------- |
/// | a NaN                        | NaN           | NaN   | all NaN                                      | all NaN               |
/// | none above -inf              | -inf (*)      | 0 (*) | all +0 (all -inf) (*)                        | all +0 (*)            |
/// | +inf k times, no NaN         | +inf (*)      | k (*) | 1/k there, +0 elsewhere (-log k, -inf) (*)   | 1 there, +0 elsewhere (*) |
/// | -inf among others            | finite        |       | exactly +0 (-inf) there                      | exactly +0 there      |
///
/// (*) NaN with special_values::ieee, where logits of -inf have been seen, or +inf.
///
/// Trivially copyable, 80 bytes (76 where double is aligned to 4): the state, the scale, special_values. Bits as safe_softmax: the same on
/// all machines with fused multiply-add. At most 2^40 logits. One object is for one thread at a time. Allocates nothing; takes up to 40 KiB of stack.
///
/// Attention, keys and values in blocks, as it is done without a row of scores for all keys. What has been summed up
/// is relative to the maximum so far; where a block raises it, the factor that push returns makes up for that:
///
/// ```cpp
/// smx::online_softmax<float> row({.scale = 1 / std::sqrt(double(dim))});
/// std::vector<float> sum(dim), scores(block);
/// for (std::size_t k = 0; k < keys; k += block) {
///     const std::size_t n = std::min(block, keys - k);
///     const std::span<float> s(scores.data(), n);
///     for (std::size_t j = 0; j < n; ++j) s[j] = dot(query, key(k + j));
///     const float rescale = row.push(s);
///     row.weights(s, s);                                    // exp(score - maximum), in place
///     for (float& x : sum) x *= rescale;
///     for (std::size_t j = 0; j < n; ++j)
///         for (std::size_t d = 0; d < dim; ++d) sum[d] += s[j] * value(k + j)[d];
/// }
/// for (float& x : sum) x *= row.inverse_sum();              // 0 where everything was masked out
/// ```
///
/// Two such sums of different keys are put together likewise:
///
/// ```cpp
/// const smx::online_softmax<float> both = merged(a, b);
/// sum[d] = sum_a[d] * a.rescale_to(both) + sum_b[d] * b.rescale_to(both);
/// ```
///
/// Source: M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax" (2018); the sum: after J. Demmel, H. D.
/// Nguyen, "Parallel reproducible summation", IEEE Trans. Comput. 64 (2015), for one pass and positive summands.
template <element T>
class online_softmax {
    static constexpr bool wide = format_of<T> == element_format::binary64;
    template <class U>
    static constexpr bool suits = wide || format_of<std::remove_cv_t<U>> != element_format::binary64;
    template <class V>
    static constexpr bool suits_view = suits<vocabulary::element_of<const std::remove_reference_t<V>>>;
    using function = vocabulary::job_function;

public:
    using element_type = T;                                      ///< of the logits
    using arithmetic = std::conditional_t<wide, double, float>;  ///< of factors and sums

    /// Elements that are summed up together.
    static constexpr std::size_t block = vocabulary::online_block;

    /// Nothing seen yet. Throws std::invalid_argument if the scale is not finite.
    explicit online_softmax(const online_options& options = {}) : online_softmax(online_state{}, options) {}

    /// What state() of another with these options was.
    online_softmax(const online_state& state, const online_options& options)
        : state_(state), scale_(options.scale), special_(options.special) {
        detail::check_online_scale("online_softmax", options.scale);
    }

    /// Takes the logits of a chunk in. Returns exp(max before - max now): 1 where the maximum stayed, 0 if nothing had been
    /// seen, NaN once a NaN has.
    template <readable_view Chunk>
        requires(vocabulary::rank_of<const Chunk> == 1 && suits_view<Chunk>)
    arithmetic push(const Chunk& chunk) {
        const detail::row_of_view in = detail::look_at_row("online_softmax::push", "chunk", chunk);
        return static_cast<arithmetic>(run(function::online_push, &in, nullptr, &state_, nullptr).factor);
    }

    /// Takes in what another has seen; it may be *this. Returns what push does. Throws std::invalid_argument if the other has
    /// another scale or other special_values.
    arithmetic merge(const online_softmax& other) {
        check_same("online_softmax::merge", other);
        return static_cast<arithmetic>(run(function::online_merge, nullptr, nullptr, &state_, &other.state_).factor);
    }

    /// exp(own max - max of `later`), where `later` came about from this state and others.
    arithmetic rescale_to(const online_softmax& later) const {
        check_same("online_softmax::rescale_to", later);
        return static_cast<arithmetic>(read(&later.state_).factor);
    }

    /// Nothing above -inf has been seen.
    bool empty() const noexcept { return vocabulary::is_nothing(state_); }

    /// The largest scaled logit, rounded; state().max is exact. -inf if empty().
    arithmetic(max)() const noexcept {
        if (!detail::is_finite(state_.max)) return static_cast<arithmetic>(state_.max);
        return static_cast<arithmetic>(state_.max * detail::magnitude_of(scale_));
    }

    /// The sum of exp(scaled logit - max), at least 1 unless it is empty.
    arithmetic sum() const { return static_cast<arithmetic>(read(nullptr).sum); }

    /// 1/sum(), but 0 if empty (with special_values::safe).
    arithmetic inverse_sum() const { return static_cast<arithmetic>(read(nullptr).inverse_sum); }

    /// log(sum of exp(scaled logit)).
    T logsumexp() const {
        vocabulary::storage_t<T> result;
        const detail::operand to{&result, sizeof result, vocabulary::scalar_type_of<T>()};
        online_state copy = state_;
        run(function::online_read, nullptr, &to, &copy, nullptr);
        return vocabulary::bit_cast<T>(result);
    }

    /// The probabilities of logits that have been pushed, here or where this was merged from. `out` is the very elements of
    /// `in`, or memory apart from it, of any element type but double, unless T is double. Throws std::invalid_argument, before anything is written,
    /// if extents differ, views overlap, or `in` has a NaN or a logit that is larger than all pushed ones.
    template <readable_view In, writable_view Out>
        requires(vocabulary::rank_of<const In> == 1 && vocabulary::same_rank<In, Out> && suits_view<In> &&
                 suits_view<Out>)
    void probabilities(const In& in, Out&& out) const {
        write("online_softmax::probabilities", function::online_probabilities, in, out);
    }

    /// Their logarithms, right to the last digits near 0.
    template <readable_view In, writable_view Out>
        requires(vocabulary::rank_of<const In> == 1 && vocabulary::same_rank<In, Out> && suits_view<In> &&
                 suits_view<Out>)
    void log_probabilities(const In& in, Out&& out) const {
        write("online_softmax::log_probabilities", function::online_log_probabilities, in, out);
    }

    /// exp(scaled logit - max): probabilities not yet divided by sum(), for sums that grow with further chunks.
    template <readable_view In, writable_view Out>
        requires(vocabulary::rank_of<const In> == 1 && vocabulary::same_rank<In, Out> && suits_view<In> &&
                 suits_view<Out>)
    void weights(const In& in, Out&& out) const {
        write("online_softmax::weights", function::online_weights, in, out);
    }

    /// What it knows, as plain data.
    const online_state& state() const noexcept { return state_; }
    /// As they were given.
    online_options options() const noexcept { return {scale_, special_}; }

private:
    vocabulary::online_call run(function f, const detail::row_of_view* in, const detail::operand* out,
                                online_state* state, const online_state* other) const noexcept {
        vocabulary::online_call call{state, other, 1, 0, 0, false};
        detail::run_online(f, in, out, scale_, special_, wide, call);
        return call;
    }
    vocabulary::online_call read(const online_state* later) const noexcept {
        online_state copy = state_;
        return run(function::online_read, nullptr, nullptr, &copy, later);
    }
    template <class In, class Out>
    void write(const char* name, function f, const In& in, Out& out) const {
        const detail::row_of_view from = detail::look_at_row(name, "in", in),
                                  to = detail::look_at_row(name, "out", out);
        detail::check_rows(name, from, to);
        online_state copy = state_;
        if (run(f, &from, &to.elements, &copy, nullptr).refused)
            detail::refuse(name, "in has a NaN or a logit that is larger than the largest pushed (times the scale: %g)",
                           static_cast<double>((max)()));
    }
    void check_same(const char* name, const online_softmax& other) const {
        if (scale_ != other.scale_)
            detail::refuse(name, "the other's options.scale is %g, but the own is %g", other.scale_, scale_);
        if (special_ != other.special_)
            detail::refuse(name, "the other's options.special is %d, but the own is %d",
                           static_cast<int>(other.special_), static_cast<int>(special_));
    }

    online_state state_;
    double scale_;
    special_values special_;
};

/// What both have seen.
template <element T>
online_softmax<T> merged(online_softmax<T> a, const online_softmax<T>& b) {
    a.merge(b);
    return a;
}

}  // namespace SMX_ABI
}  // namespace smx
