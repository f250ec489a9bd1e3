// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Probabilities of the largest logits only, and samples.

#include <safe_softmax/array_ref.hpp>
#include <safe_softmax/dynamic_array.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/random.hpp>
#include <safe_softmax/detail/run_family.hpp>

namespace smx {

/// Which logits can be sampled; an aggregate: `{.scale = 1/temperature, .top_k = 40, .top_p = 0.95}`. Filters apply in the order in which they stand
/// here, each to what the ones before it left; the largest logit always stays. Of equal logits those with the lower index come first.
struct sampling_options {
    std::ptrdiff_t axis = -1;                       ///< the axis along which a row runs; negative counts from the back
    double scale = 1.0;                             ///< the logits are multiplied by it: 1/temperature
    special_values special = special_values::safe;  ///< what rows without a proper answer give
    std::size_t top_k = 0;                          ///< the k largest logits; 0: all
    double top_p = 1.0;  ///< the fewest of the largest ones that together have at least this share of what is left
    double min_p = 0.0;  ///< those whose probability is at least this times the largest
};

/// The index of nothing; in indices of other types, all bits are set too (-1, if signed).
inline constexpr std::size_t no_index = static_cast<std::size_t>(-1);

inline namespace SMX_ABI {

/// Probabilities of the logits that options.top_k, top_p and min_p let through, +0 elsewhere:
///
///     out_i = exp(scale*in_i) / sum over kept j of exp(scale*in_j)  where i is kept,    +0 elsewhere
///
/// @param in       logits: any readable_view of rank up to 8, or a dynamic one
/// @param out      a writable_view of the same extents; the very elements of `in`, or memory apart from it
/// @param options  see sampling_options
///
/// Bit for bit what safe_softmax gives if everything else is replaced by logits of -inf, with its bounds of error and its table of special
/// values. Of +inf logits, which share the probability, top_k and top_p keep the first ones, too.
///
/// What top_p adds up are the kernel's exponentials (2.4 * 2^-24 in float, 2.1 * 2^-53 in double), in double: a set whose share is that close to top_p may count as one that
/// reaches it, or not, the same on all machines with fused multiply-add.
///
/// Nothing is sorted: time grows with the length alone. Allocates nothing; takes up to 100 KiB of stack (compiled with optimisation).
///
/// Throws std::invalid_argument, before anything is written: as safe_softmax, and if top_p or min_p is not in [0, 1].
///
/// Source: for top-k A. Fan, M. Lewis, Y. Dauphin, "Hierarchical neural story generation" (2018); for top-p A. Holtzman and others, "The
/// curious case of neural text degeneration" (2020).
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void filtered_softmax(const In& in, Out&& out, const sampling_options& options) {
    const detail::arguments_of arg{"filtered_softmax"};
    detail::run_sampling(arg.function, detail::job_function::filtered_softmax, arg(in, "in"), arg(out, "out"),
                         array_ref(), options, 0);
}

/// The probabilities of the k largest logits of each row, +0 elsewhere; k of 0 keeps all. As filtered_softmax with options.top_k = k.
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void top_k_softmax(const In& in, Out&& out, std::size_t k, sampling_options options = {}) {
    options.top_k = k;
    const detail::arguments_of arg{"top_k_softmax"};
    detail::run_sampling(arg.function, detail::job_function::filtered_softmax, arg(in, "in"), arg(out, "out"),
                         array_ref(), options, 0);
}

/// The probabilities of the smallest set of largest logits whose share reaches p, +0 elsewhere; at least one is kept. As
/// filtered_softmax with options.top_p = p.
template <vocabulary::readable_array In, vocabulary::writable_array Out>
    requires vocabulary::maybe_same_rank<In, Out>
void top_p_softmax(const In& in, Out&& out, double p, sampling_options options = {}) {
    options.top_p = p;
    const detail::arguments_of arg{"top_p_softmax"};
    detail::run_sampling(arg.function, detail::job_function::filtered_softmax, arg(in, "in"), arg(out, "out"),
                         array_ref(), options, 0);
}

namespace detail {

template <class In>
concept maybe_row = vocabulary::dynamic_array<const In> || vocabulary::rank_of<const In> == 1;

template <class In>
array_ref row_argument(const char* function, const In& in) {
    const array_ref row = arguments_of{function}(in, "in");
    if (row.rank() != 1) refuse(function, "in has rank %zu, but 1 is needed: a row", row.rank());
    return row;
}

/// Integers that can be written, or what may turn out to be that when the program runs.
template <class V>
concept maybe_indices =
    std::is_same_v<std::remove_cvref_t<V>, array_ref> ||
    (vocabulary::any_view<V> && std::integral<vocabulary::element_of<V>> &&
     !std::is_const_v<vocabulary::element_of<V>> && !std::is_same_v<vocabulary::element_of<V>, bool>) ||
    (!vocabulary::any_view<V> &&
     requires(const std::remove_reference_t<V>& v) {
         vocabulary::dynamic_traits_of<const std::remove_reference_t<V>>::look_at_any(v, "", "");
     } && vocabulary::dynamic_traits_of<V>::writable &&
     (std::is_lvalue_reference_v<V> || vocabulary::dynamic_traits_of<V>::borrowed));

template <class In, class Indices>
concept indices_of_rows = maybe_indices<Indices> && (!vocabulary::any_view<In> || !vocabulary::any_view<Indices> ||
                                                     vocabulary::reduced_rank<In, Indices>);

template <class Indices>
array_ref indices_argument(const char* function, const Indices& indices) {
    const array_ref all = arguments_of{function}.any(indices, "indices");
    if (all.rank() == 0) refuse(function, "indices must be an array, in which they are written");
    return all;
}

}  // namespace detail

/// An index drawn with the probabilities of filtered_softmax, by inverse transform, without dividing by their sum: the first
/// i for which
///
///     sum over j <= i of exp(scale*in_j)  >  u * sum over all j of exp(scale*in_j)      (of those that are kept)
///
/// @param in       logits: a row, readable_view or dynamic
/// @param u        0 <= u < 1; the index grows with it
/// @param options  see sampling_options
///
/// Never an index whose probability is 0, or below the smallest normal number of the arithmetic. no_index where the row
/// has a NaN or nothing above -inf. Among k logits of +inf, each of them with 1/k (special_values::ieee: no_index).
///
/// The index is the same on all machines with fused multiply-add. One pass for the maximum, one for the sum, one up to the index; each filter
/// takes a few more. Throws std::invalid_argument as filtered_softmax, and if u is out of range.
template <vocabulary::readable_array In>
    requires detail::maybe_row<In>
std::size_t sample(const In& in, double u, const sampling_options& options = {}) {
    std::uint64_t index[1];
    detail::run_sampling("sample", detail::job_function::sample, detail::row_argument("sample", in), array_ref(index),
                         array_ref(u), options, 0);
    return static_cast<std::size_t>(index[0]);
}

/// The same with a random engine, from which 64 bits are drawn (one draw of std::mt19937_64, two of std::mt19937): u is the first of the
/// numbers that SplitMix64 makes from that seed, its upper 53 bits times 2^-53. (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable
/// pseudorandom number generators", 2014.)
template <vocabulary::readable_array In, random_engine Engine>
    requires detail::maybe_row<In>
std::size_t sample(const In& in, Engine& engine, const sampling_options& options = {}) {
    std::uint64_t index[1];
    detail::run_sampling("sample", detail::job_function::sample, detail::row_argument("sample", in), array_ref(index),
                         array_ref(), options, detail::draw_bits(engine));
    return static_cast<std::size_t>(index[0]);
}

/// An index for each row of a batch.
///
/// @param us       floating numbers: the extents of `in` without the axis, or with extent 1 there, or what can be broadcast to them
/// @param indices  integers of any type that can hold the length: the extents of `in` without the axis, or with extent 1 there; a view, a
///                 tensor, or an array_ref of memory that may be written
template <vocabulary::readable_array In, vocabulary::readable_array Us, class Indices>
    requires detail::indices_of_rows<In, Indices>
void sample(const In& in, const Us& us, Indices&& indices, const sampling_options& options = {}) {
    const detail::arguments_of arg{"sample"};
    detail::run_sampling(arg.function, detail::job_function::sample, arg(in, "in"),
                         detail::indices_argument(arg.function, indices), arg(us, "u"), options, 0);
}

/// The same with a random engine, from which 64 bits are drawn once for each call; row r, in row-major order, takes the r-th of the numbers that
/// SplitMix64 makes from them.
template <vocabulary::readable_array In, random_engine Engine, class Indices>
    requires detail::indices_of_rows<In, Indices>
void sample(const In& in, Engine& engine, Indices&& indices, const sampling_options& options = {}) {
    const detail::arguments_of arg{"sample"};
    detail::run_sampling(arg.function, detail::job_function::sample, arg(in, "in"),
                         detail::indices_argument(arg.function, indices), array_ref(), options,
                         detail::draw_bits(engine));
}

}  // namespace SMX_ABI
}  // namespace smx
