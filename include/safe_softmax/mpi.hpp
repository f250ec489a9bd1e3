// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/online_softmax.hpp>
#include <safe_softmax/strided_span.hpp>
#include <safe_softmax/view.hpp>
#include <safe_softmax/detail/run.hpp>

#include <mpi.h>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

/// @file
/// Rows that are split over the ranks of an MPI communicator: logits whose classes are spread over machines, as in the training
/// of large models ("vocabulary-parallel"). Each rank has some columns of all rows. Takes MPI 3 (Debian: libopenmpi-dev), the
/// CMake target MPI::MPI_CXX; only C functions of it are called.
///
/// ```cpp
/// const smx::row_part mine = smx::part_of_row(classes, ranks, rank);
/// // ... logits: a rows x mine.count view of the columns from mine.first on
/// smx::mpi_softmax(logits, probabilities, comm);
/// smx::mpi_cross_entropy(logits, targets, mine.first, losses, comm);
/// smx::mpi_cross_entropy_with_gradient(logits, targets, mine.first, losses, dlogits, comm);
/// ```
///
/// Each call is one reduction of 88 bytes for each row, with an operation of our own: it merges the states of online_softmax, which
/// is associative and commutative to the bit. So where rows are cut at multiples of online_softmax<T>::block elements, as
/// part_of_row does, all numbers of ranks, all algorithms of the MPI library and all orders of messages give the same bits; cut
/// elsewhere, results agree within the bounds of online_softmax.
///
/// All calls are collective: all ranks make them, with as many rows and the same options. Different options are refused on all
/// ranks alike. An error that only one rank sees, an `out` of another shape, say, is thrown there before anything is sent, and
/// leaves the others waiting. Ranks have to agree on the order of bytes and on having fused multiply-add. Memory for 88 bytes for each row, and
/// for one row of arithmetic, is allocated.

namespace smx {

/// The part of a row that a rank has.
struct row_part {
    std::size_t first;  ///< its first column, counted over all ranks
    std::size_t count;  ///< how many columns there are of it
};

/// Part `part` of a row of `length` elements in `parts` parts of whole blocks of online_softmax, as even as can be. Where there
/// are more parts than blocks, some are empty.
constexpr row_part part_of_row(std::size_t length, std::size_t parts, std::size_t part) noexcept {
    constexpr std::size_t block = vocabulary::online_block;
    const std::size_t blocks = length / block + (length % block != 0 ? 1 : 0);
    const auto begin = [&](std::size_t p) {
        const std::size_t b = blocks / parts * p + (p < blocks % parts ? p : blocks % parts);
        return b == blocks ? length : b * block;
    };
    return {begin(part), begin(part + 1) - begin(part)};
}

/// How a loss comes about; an aggregate: `{.dloss = 1.0 / rows}`. As in cross_entropy_options.
struct mpi_cross_entropy_options {
    double scale = 1.0;                             ///< the logits are multiplied by it
    special_values special = special_values::safe;  ///< what rows without a proper answer give
    std::ptrdiff_t ignore_index = -100;             ///< rows of this target have no loss and no gradient
    double dloss = 1.0;                             ///< the gradient arriving at each loss: 1.0/rows for the mean
};

namespace vocabulary {

/// What is sent of a row.
struct mpi_row {
    online_state state;
    double scale;
    double target;  ///< the logit of the target class, where owners != 0
    std::uint32_t special;
    std::uint16_t owners;   ///< how many ranks have the target class, at most 65535
    std::uint16_t differs;  ///< two ranks had different options
};
static_assert(sizeof(mpi_row) == 88 && std::is_trivially_copyable_v<mpi_row>);

}  // namespace vocabulary

inline namespace SMX_ABI {
namespace detail {

using vocabulary::mpi_row;

inline void check_mpi(int code, const char* call) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    refuse("mpi", "%s failed: %.200s", call, text);
}

/// into += from. Throws nothing: the MPI library calls it.
template <class T>
void merge_mpi_rows(const mpi_row* from, mpi_row* into, int count) noexcept {
    for (int i = 0; i < count; ++i) {
        mpi_row& a = into[i];
        const mpi_row& b = from[i];
        if (a.differs != 0 || b.differs != 0 || a.scale != b.scale || a.special != b.special) {
            a.differs = 1;
            continue;
        }
        const online_options options{a.scale, static_cast<special_values>(a.special)};
        online_softmax<T> both(a.state, options);
        both.merge(online_softmax<T>(b.state, options));
        a.state = both.state();
        if (b.owners != 0) a.target = b.target;
        const unsigned owners = unsigned(a.owners) + b.owners;
        a.owners = static_cast<std::uint16_t>(owners < 65535 ? owners : 65535);
    }
}

/// The rows of all ranks, merged, on all ranks: the one reduction.
template <class T>
void reduce_mpi_rows(const char* function, std::span<mpi_row> rows, MPI_Comm comm) {
    constexpr std::size_t at_a_time = std::size_t(1) << 20;  // an int counts them
    MPI_Datatype type;
    check_mpi(MPI_Type_contiguous(sizeof(mpi_row), MPI_BYTE, &type), "MPI_Type_contiguous");
    check_mpi(MPI_Type_commit(&type), "MPI_Type_commit");
    MPI_Op op;
    const auto merge = [](void* from, void* into, int* count, MPI_Datatype*) {
        merge_mpi_rows<T>(static_cast<const mpi_row*>(from), static_cast<mpi_row*>(into), *count);
    };
    check_mpi(MPI_Op_create(merge, 1, &op), "MPI_Op_create");
    int code = MPI_SUCCESS;
    for (std::size_t r = 0; r < rows.size() && code == MPI_SUCCESS; r += at_a_time) {
        const std::size_t n = rows.size() - r < at_a_time ? rows.size() - r : at_a_time;
        code = MPI_Allreduce(MPI_IN_PLACE, rows.data() + r, static_cast<int>(n), type, op, comm);
    }
    MPI_Op_free(&op);
    MPI_Type_free(&type);
    check_mpi(code, "MPI_Allreduce");
    for (std::size_t r = 0; r < rows.size(); ++r)
        if (rows[r].differs != 0)
            refuse(function, "options.scale or options.special differs among ranks (here: %g and %u)", rows[r].scale,
                   rows[r].special);
}

/// Some columns of all rows, of a view of rank 2, or of rank 1 for a single row.
template <class S>
class columns_of_rows {
public:
    template <class V>
    columns_of_rows(const char* function, const char* name, V& v) {
        constexpr std::size_t rank = vocabulary::rank_of<V>;
        static_assert(rank == 1 || rank == 2, "logits have rank 2, rows and columns, or rank 1 for a single row");
        check_strided(v, {function, name});
        const auto l = vocabulary::look(v);
        if (has_elements(l)) range_of(l, {function, name});  // refuses what no memory has
        data_ = l.data;
        columns = l.extent[rank - 1];
        step_ = l.stride[rank - 1];
        if constexpr (rank == 2) {
            rows = l.extent[0];
            stride_ = l.stride[0];
        }
    }

    strided_span<S> row(std::size_t r) const noexcept {
        return {data_ + static_cast<std::ptrdiff_t>(r) * stride_, columns, step_};
    }

    std::size_t rows = 1, columns = 0;

private:
    S* data_ = nullptr;
    std::ptrdiff_t step_ = 1, stride_ = 0;
};

template <class V>
using columns_of = columns_of_rows<
    const vocabulary::storage_t<std::remove_cv_t<vocabulary::element_of<const std::remove_reference_t<V>>>>>;
template <class V>
using columns_to = columns_of_rows<vocabulary::storage_t<vocabulary::element_of<V>>>;

/// The type of the online_softmax: of double as soon as either side is.
template <class In, class Out>
using mpi_arithmetic =
    std::conditional_t<format_of<std::remove_cv_t<vocabulary::element_of<const std::remove_reference_t<In>>>> ==
                               element_format::binary64 ||
                           format_of<std::remove_cv_t<vocabulary::element_of<Out>>> == element_format::binary64,
                       double, float>;

template <class T, class S>
std::vector<mpi_row> own_rows(const columns_of_rows<S>& part, const online_options& options) {
    std::vector<mpi_row> rows(part.rows);
    for (std::size_t r = 0; r < part.rows; ++r) {
        online_softmax<T> state(options);
        state.push(part.row(r));
        rows[r] = {state.state(), options.scale, 0, static_cast<std::uint32_t>(options.special), 0, 0};
    }
    return rows;
}

template <class In, class Out>
void check_same_columns(const char* function, const char* name, const In& in, const Out& out) {
    if (in.rows != out.rows) refuse(function, "%s has %zu rows, but logits has %zu", name, out.rows, in.rows);
    if (in.columns != out.columns)
        refuse(function, "%s has %zu columns, but logits has %zu", name, out.columns, in.columns);
}

/// What write() is to check before anything is sent: an empty state writes nothing but checks its views.
template <class In, class Out>
void check_memory_of_columns(const char* function, const In& in, Out& out) {
    check_strided(in, {function, "logits"});
    check_strided(out, {function, "out"});
    const auto from = vocabulary::look(in);
    const auto into = vocabulary::look(out);
    if (!has_elements(from)) return;
    using S = std::remove_cv_t<std::remove_reference_t<decltype(*from.data)>>;
    check_memory(layout<const S, vocabulary::rank_of<const In>>{from.data, from.extent, from.stride}, into, function);
}

template <class In, class Out, class F>
void run_mpi(const char* function, const In& in, Out&& out, MPI_Comm comm, const online_options& options,
             const F& write) {
    const columns_of<In> from(function, "logits", in);
    const columns_to<Out> to(function, "out", out);
    check_same_columns(function, "out", from, to);
    check_memory_of_columns(function, in, out);
    using T = mpi_arithmetic<In, Out>;
    std::vector<mpi_row> rows = own_rows<T>(from, options);
    reduce_mpi_rows<T>(function, rows, comm);
    for (std::size_t r = 0; r < from.rows; ++r)
        write(online_softmax<T>(rows[r].state, options), from.row(r), to.row(r));
}

}  // namespace detail

/// Merges the states of all ranks: afterwards each rank has what all have seen, in the same order of rows.
template <element T>
void mpi_merge(std::span<online_softmax<T>> states, MPI_Comm comm) {
    std::vector<vocabulary::mpi_row> rows(states.size());
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const online_options o = states[r].options();
        rows[r] = {states[r].state(), o.scale, 0, static_cast<std::uint32_t>(o.special), 0, 0};
    }
    detail::reduce_mpi_rows<T>("mpi_merge", rows, comm);
    for (std::size_t r = 0; r < rows.size(); ++r) states[r] = online_softmax<T>(rows[r].state, states[r].options());
}

/// The same of one row.
template <element T>
void mpi_merge(online_softmax<T>& state, MPI_Comm comm) {
    smx::SMX_ABI::mpi_merge(std::span<online_softmax<T>>(&state, 1), comm);
}

/// safe_softmax of rows that are split over ranks.
///
/// @param logits   this rank's columns of all rows: rows x columns of any strides; or some elements of a single row. May be empty
/// @param out      the probabilities of these: the very elements of `logits`, or memory apart
///
/// Special values and bounds: online_softmax.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void mpi_softmax(const In& logits, Out&& out, MPI_Comm comm, const online_options& options = {}) {
    detail::run_mpi("mpi_softmax", logits, out, comm, options,
                    [](const auto& state, auto from, auto to) { state.probabilities(from, to); });
}

/// log_softmax, likewise.
template <readable_view In, writable_view Out>
    requires vocabulary::same_rank<In, Out>
void mpi_log_softmax(const In& logits, Out&& out, MPI_Comm comm, const online_options& options = {}) {
    detail::run_mpi("mpi_log_softmax", logits, out, comm, options,
                    [](const auto& state, auto from, auto to) { state.log_probabilities(from, to); });
}

/// logsumexp of each row, to every rank.
///
/// @param out  one element for each row
template <readable_view In, writable_view Out>
    requires(vocabulary::rank_of<Out> == 1)
void mpi_logsumexp(const In& logits, Out&& out, MPI_Comm comm, const online_options& options = {}) {
    const detail::columns_of<In> from("mpi_logsumexp", "logits", logits);
    const detail::columns_to<Out> to("mpi_logsumexp", "out", out);
    if (to.columns != from.rows)
        detail::refuse("mpi_logsumexp", "out has %zu elements, but logits has %zu rows", to.columns, from.rows);
    using R = vocabulary::storage_t<vocabulary::element_of<Out>>;
    using T = std::conditional_t<std::is_same_v<detail::mpi_arithmetic<In, Out>, double>, double, R>;  // rounded once
    std::vector<vocabulary::mpi_row> rows = detail::own_rows<T>(from, options);
    detail::reduce_mpi_rows<T>("mpi_logsumexp", rows, comm);
    const auto results = to.row(0);
    for (std::size_t r = 0; r < from.rows; ++r)
        results[r] = static_cast<R>(online_softmax<T>(rows[r].state, options).logsumexp());
}

namespace detail {

/// dlogits: null for losses alone.
template <class In, class Targets, class Losses, class Gradient>
void run_mpi_cross_entropy(const char* function, const In& logits, const Targets& targets, std::size_t first,
                           Losses&& losses, Gradient* dlogits, MPI_Comm comm,
                           const mpi_cross_entropy_options& options) {
    const columns_of<In> from(function, "logits", logits);
    const columns_to<Losses> to(function, "losses", losses);
    using index = const std::remove_cv_t<vocabulary::element_of<const Targets>>;
    const auto target_layout = vocabulary::traits_of<const Targets>::look(targets);
    const strided_span<index> target(target_layout.data, target_layout.extent[0], target_layout.stride[0]);
    if (target.size() != from.rows)
        refuse(function, "targets has %zu elements, but logits has %zu rows", target.size(), from.rows);
    if (to.columns != from.rows)
        refuse(function, "losses has %zu elements, but logits has %zu rows", to.columns, from.rows);
    if (!is_finite(options.dloss)) refuse(function, "options.dloss is %g, but it must be finite", options.dloss);
    if (dlogits != nullptr) check_same_columns(function, "dlogits", from, *dlogits);

    using T = mpi_arithmetic<In, Losses>;
    const online_options online{options.scale, options.special};
    std::vector<mpi_row> rows = own_rows<T>(from, online);
    const auto ignored = [&](std::size_t r) { return static_cast<std::ptrdiff_t>(target[r]) == options.ignore_index; };
    const auto own_index = [&](std::size_t r) {  // columns: not here
        const auto t = target[r];
        if (ignored(r) || t < 0 || static_cast<std::size_t>(t) < first ||
            static_cast<std::size_t>(t) - first >= from.columns)
            return from.columns;
        return static_cast<std::size_t>(t) - first;
    };
    for (std::size_t r = 0; r < from.rows; ++r) {
        const std::size_t own = own_index(r);
        if (own == from.columns) continue;
        rows[r].owners = 1;
        rows[r].target = static_cast<double>(static_cast<T>(from.row(r)[own]));
    }
    reduce_mpi_rows<T>(function, rows, comm);
    for (std::size_t r = 0; r < from.rows; ++r)
        if (!ignored(r) && rows[r].owners != 1)
            refuse(function,
                   "element %zu of targets is %lld: %u ranks have this class, but one has to (or it is "
                   "options.ignore_index, %td)",
                   r, static_cast<long long>(target[r]), unsigned(rows[r].owners), options.ignore_index);

    using L = vocabulary::storage_t<vocabulary::element_of<Losses>>;
    const double factor = options.scale * options.dloss;
    std::vector<T> p(dlogits != nullptr ? from.columns : 0);
    const auto results = to.row(0);
    for (std::size_t r = 0; r < from.rows; ++r) {
        const online_softmax<T> state(rows[r].state, online);
        const T z[1] = {static_cast<T>(rows[r].target)};
        T log_p[1] = {0};
        if (ignored(r)) {
            results[r] = static_cast<L>(T(0));
        } else {
            state.log_probabilities(z, log_p);
            L own[1];
            state.log_probabilities(z, own);  // rounded once
            results[r] = magnitude_bits(static_cast<T>(own[0])) == 0 ? static_cast<L>(T(0))
                                                                     : static_cast<L>(-static_cast<T>(own[0]));
        }
        if (dlogits == nullptr) continue;
        auto gradient = dlogits->row(r);
        using G = std::remove_reference_t<decltype(gradient[0])>;
        const bool nothing = ignored(r) || (state.empty() && options.special == special_values::safe);
        const std::size_t own = own_index(r);
        const bool masked = !is_finite(z[0]) && is_negative(z[0]) != (options.scale < 0);  // as any other class of -inf
        if (!nothing) state.probabilities(from.row(r), p);
        for (std::size_t i = 0; i < from.columns; ++i) {
            const double share = nothing               ? 0
                                 : i == own && !masked ? std::expm1(static_cast<double>(log_p[0]))
                                                       : static_cast<double>(p[i]);
            gradient[i] = static_cast<G>(static_cast<T>(magnitude_bits(share) == 0 ? 0 : factor * share));
        }
    }
}

}  // namespace detail

/// Cross-entropy of rows that are split over ranks, to every rank:
///
///     loss = -log softmax(scale*logits)_target
///
/// @param logits   this rank's columns of all rows; may be empty
/// @param targets  integers: the class of each row, counted over all ranks, the same on all ranks
/// @param first    the class of this rank's first column
/// @param losses   one element for each row; every rank gets them
///
/// A target that no rank has, or two, is refused on all ranks alike. A confidently right row has its digits, as in
/// cross_entropy, from which results may differ within the bounds: 3 ulp. No label smoothing, weights or z-loss.
template <readable_view In, vocabulary::any_view Targets, writable_view Losses>
    requires(vocabulary::rank_of<Losses> == 1 && vocabulary::rank_of<const Targets> == 1 &&
             std::integral<std::remove_cv_t<vocabulary::element_of<const Targets>>>)
void mpi_cross_entropy(const In& logits, const Targets& targets, std::size_t first, Losses&& losses, MPI_Comm comm,
                       const mpi_cross_entropy_options& options = {}) {
    using none = detail::columns_of_rows<float>;
    detail::run_mpi_cross_entropy("mpi_cross_entropy", logits, targets, first, losses, static_cast<none*>(nullptr),
                                  comm, options);
}

/// The same with the gradient at this rank's logits:
///
///     dlogits_j = scale*dloss * (p_j - [j == target])
///
/// where p_target - 1 does not cancel. `dlogits` is the very elements of `logits`, or memory apart. +0 in rows that are ignored or
/// all -inf, and at logits of -inf.
template <readable_view In, vocabulary::any_view Targets, writable_view Losses, writable_view DLogits>
    requires(vocabulary::rank_of<Losses> == 1 && vocabulary::rank_of<const Targets> == 1 &&
             vocabulary::same_rank<In, DLogits> &&
             std::integral<std::remove_cv_t<vocabulary::element_of<const Targets>>>)
void mpi_cross_entropy_with_gradient(const In& logits, const Targets& targets, std::size_t first, Losses&& losses,
                                     DLogits&& dlogits, MPI_Comm comm, const mpi_cross_entropy_options& options = {}) {
    constexpr const char* name = "mpi_cross_entropy_with_gradient";
    detail::check_memory_of_columns(name, logits, dlogits);
    detail::columns_to<DLogits> gradient(name, "dlogits", dlogits);
    detail::run_mpi_cross_entropy(name, logits, targets, first, losses, &gradient, comm, options);
}

}  // namespace SMX_ABI
}  // namespace smx
