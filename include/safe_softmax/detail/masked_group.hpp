// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/kept_logits.hpp>
#include <safe_softmax/detail/masked_pairs.hpp>
#include <safe_softmax/detail/part_logits.hpp>
#include <safe_softmax/detail/rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// What part_logits and kept_logits of a job's rows are made of. Where rows have the same scale and slope, factors are made once.
template <class B, class T>
class masked_factors {
    using factor = typename scaling<T>::factor;

public:
    explicit masked_factors(const job& j) noexcept
        : job_(j), shared_(j.scale == 1.0 ? no_scaling<T> : make_scaling<T>(j.scale)),
          in_place_(j.op[masked::in].data == j.op[masked::out].data), suits_(part_logits<B, T>::suits(j, j.scale)) {
        set_factor<T>(shared_factor_, j.scale);
    }

    /// What belongs to a row alone.
    struct of_parts {
        factor x, distance;
    };
    struct of_kept {
        scaling<T> scale;
    };
    template <class Logits>
    using of_row = std::conditional_t<std::is_same_v<Logits, part_logits<B, T>>, of_parts, of_kept>;
    /// False: the row is none for part_logits.
    SMX_ALWAYS_INLINE bool make(part_logits<B, T>& logits, of_parts& own, const operand* op,
                                std::size_t query) noexcept {
        const factor* x = &shared_factor_;
        if (op[masked::temperature]) {
            const double scale = scale_at(job_, op[masked::temperature]);
            if (!part_logits<B, T>::suits(job_, scale)) return false;
            set_factor<T>(own.x, scale);
            x = &own.x;
        } else if (!suits_) {
            return false;
        }
        const factor* distance = nullptr;
        double diagonal = 0;
        if (op[masked::slope]) {
            const double slope = number_at<double>(op[masked::slope].data, op[masked::slope].type);
            if (!made_ || slope != last_.value) set_factor<T>(last_, slope), made_ = true;
            own.distance = last_;
            distance = &own.distance;
            diagonal = fence(static_cast<double>(query) + static_cast<double>(job_.causal_offset));
        }
        logits.begin(*x, distance, diagonal, in_place_);
        return true;
    }
    SMX_ALWAYS_INLINE bool make(kept_logits<B, T>& logits, of_kept& own, const operand* op, std::size_t) noexcept {
        const scaling<T>* s = &shared_;
        if (op[masked::temperature])
            own.scale = make_scaling<T>(scale_at(job_, op[masked::temperature])), s = &own.scale;
        logits = kept_logits<B, T>(*s);
        return true;
    }

private:
    const job& job_;
    scaling<T> shared_;
    factor shared_factor_, last_;
    bool in_place_, suits_, made_ = false;
};

/// Contiguous rows of Out up to this length are worked on in groups.
template <class Out>
inline constexpr std::size_t longest_grouped_row = sizeof(Out) == 2 ? 1024 : 256;
inline constexpr std::size_t rows_in_group = 4;

/// Rows of masked_softmax or (Log) masked_log_softmax whose logits are of the kind Logits, a few at a time: the largest of all of
/// them, then all sums, then all results. From: masked_in_place<S>, then the results are of S, too; or
/// masked_by_copy, one row at a time.
template <class B, class T, class Logits, class From, class O, bool Log, std::size_t Rows = rows_in_group>
class masked_group {
    static constexpr bool by_copy = From::by_copy;
    static constexpr bool in_output = std::is_same_v<O, T> && !by_copy;
    static constexpr std::size_t grouped = by_copy ? 0 : longest_grouped_row<O>;
    static constexpr std::size_t rows = by_copy ? 1 : Rows;
    static constexpr precision Q = !by_copy && sizeof(O) == 2 && sizeof(T) == 4 ? precision::half : precision::full;
    using pass = passes<B, T>;

public:
    explicit masked_group(const job& j) noexcept : job_(j), factors_(j), soon_(j) {}

    SMX_ALWAYS_INLINE void add(const operand* op, std::size_t query, std::size_t kept) noexcept {
        if (kept > grouped && count_ != 0) run();
        member& m = member_[count_];
        for (std::size_t o = 0; o < vocabulary::max_operands; ++o) m.data[o] = op[o].data;
        m.query = query;
        m.kept = kept;
        if constexpr (!by_copy) {
            m.row = From::row(op, kept > fetched_ahead ? soon_.long_row : kept > grouped ? soon_.row : soon_.group);
        }
        m.makes = factors_.make(m.logits, m.own, op, query);
        ++count_;
        if (count_ == rows || kept > grouped) run();
    }
    SMX_ALWAYS_INLINE void flush() noexcept {
        if (count_ != 0) run();
    }
    /// Where terms may wait that do not wait in the output, instead of on the stack, if rows come one by one: those of the row,
    /// or a piece of them.
    SMX_ALWAYS_INLINE void use_room(T* room) noexcept {
        static_assert(rows == 1);
        room_ = room;
    }

private:
    /// Long rows fetch what is so many elements ahead in them, others the next one, or one of the next group.
    static constexpr std::size_t fetched_ahead = 1024;
    struct lookahead {
        std::ptrdiff_t long_row[masked::bias + 1] = {}, row[masked::bias + 1] = {}, group[masked::bias + 1] = {};
        explicit lookahead(const job& j) noexcept {
            for (const std::size_t o : {masked::in, masked::out, masked::mask, masked::bias}) {
                const bool bytes = j.op[o] && !is_floating(j.op[o].type);
                long_row[o] =
                    static_cast<std::ptrdiff_t>(fetched_ahead) * (bytes ? 1 : static_cast<std::ptrdiff_t>(sizeof(O)));
                row[o] = run_stride(j, o);
                group[o] = row[o] * static_cast<std::ptrdiff_t>(rows);
            }
        }
    };

    struct member {
        const void* data[vocabulary::max_operands];
        std::size_t query, kept;
        masked_piece<O> row;  // by_copy: not used
        typename masked_factors<B, T>::template of_row<Logits> own;
        Logits logits;
        sink_of_row sink;
        bool makes;  // factors
        bool has_sink;
        bool open;       // its results are still to be written
        bool otherwise;  // it is written by other means
        double sum;
        std::size_t ties;

        SMX_ALWAYS_INLINE O* out() const noexcept { return static_cast<O*>(const_cast<void*>(data[masked::out])); }
    };
    /// The arguments of a row as they were given.
    struct arguments {
        operand op[vocabulary::max_operands];
        SMX_ALWAYS_INLINE arguments(const job& j, const member& m) noexcept {
            for (std::size_t o = 0; o < vocabulary::max_operands; ++o) op[o] = {m.data[o], j.op[o].step, j.op[o].type};
        }
    };
    /// Calls f(row) with the row as its passes see it.
    template <class F>
    SMX_ALWAYS_INLINE void with_row(const member& m, F f) const noexcept {
        if constexpr (by_copy) {
            const arguments given(job_, m);
            f(From(given.op));
        } else {
            f(From(m.row));
        }
    }
    SMX_ALWAYS_INLINE operand sink_of(const member& m) const noexcept {
        return {m.data[masked::sink], 0, job_.op[masked::sink].type};
    }

    SMX_NOINLINE void run() noexcept {
        run_steps();
        // Not from within the steps, whose buffers would be on the stack beside theirs.
        for (std::size_t i = 0; i < count_; ++i)
            if (member_[i].otherwise) write_otherwise(member_[i]);
        count_ = 0;
    }

    SMX_NOINLINE void run_steps() noexcept {
        if constexpr (Log || in_output) {
            steps(nullptr, 0);
        } else {
            if constexpr (!by_copy && rows == 1) {
                if (room_ != nullptr) return steps_in_room();
            }
            steps_on_stack();
        }
    }
    SMX_NOINLINE void steps_in_room() noexcept { steps(room_, 0); }
    SMX_NOINLINE void steps_on_stack() noexcept {
        if constexpr (by_copy) {
            alignas(64) T buffer[piece_elements<T>];
            steps(buffer, 0);
        } else if (member_[0].kept > grouped) {
            alignas(64) T buffer[piece_elements<T>];
            steps(buffer, 0);
        } else {
            alignas(64) T buffer[rows * (grouped == 0 ? 1 : grouped)];
            steps(buffer, grouped);
        }
    }

    /// Terms of row i come to buffer + i*pitch where they do not come to the output.
    SMX_ALWAYS_INLINE void steps(T* buffer, std::size_t pitch) noexcept {
        for (std::size_t i = 0; i < count_; ++i) member_[i].open = begin(member_[i]);
        for (std::size_t i = 0; i < count_; ++i)
            if (member_[i].open) add_up(member_[i], buffer + i * pitch);
        if constexpr (Log) {
            for (std::size_t i = 0; i < count_; ++i)
                if (member_[i].open) take_logarithm(member_[i]);
        }
        for (std::size_t i = 0; i < count_; ++i)
            if (member_[i].open) write(member_[i], buffer + i * pitch);
    }

    /// The largest logit. False: the row has been or will be written by other means.
    SMX_ALWAYS_INLINE bool begin(member& m) noexcept {
        m.otherwise = !m.makes;
        if (m.otherwise) return false;
        bool finite = false, nothing = false;
        with_row(m, [&](const From& from) SMX_INLINE_LAMBDA {
            finite = m.logits.find_constants(from, m.kept, !Log && !sink_of(m));
            if (!finite) nothing = m.logits.is_nothing(from, m.kept);
            else if constexpr (Log) m.logits.find_reference(from, m.kept);
        });
        if (!finite) {
            if (nothing && job_.special == special_values::safe && !sink_of(m))
                put_nothing(arguments(job_, m).op[masked::out], 0, m.kept, Log);
            else m.otherwise = true;
            return false;
        }
        m.has_sink = m.logits.take_sink(sink_at(sink_of(m)), m.sink);
        if (!m.has_sink || is_finite(m.sink.above_max.head)) return true;
        // Only a row without a NaN is decided by its sink.
        if (Logits::can_retry) m.otherwise = true;
        else write_by_sink(job_, arguments(job_, m).op, m.kept, m.sink);
        return false;
    }

    SMX_ALWAYS_INLINE void add_up(member& m, T* buffer) noexcept {
        m.ties = 0;
        with_row(m, [&](const From& from) SMX_INLINE_LAMBDA {
            m.sum = sum_of_row<B, T>(
                m.kept, [&](row_sum<B, T>& total, std::size_t first, std::size_t length) SMX_INLINE_LAMBDA {
                    for_pieces<T>(first, length, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                        if constexpr (Log) m.logits.add_other_terms(total, m.ties, from.read(i, n), n);
                        else if constexpr (in_output) add_terms(m, total, from.read(i, n), m.out() + i, n);
                        else add_terms(m, total, from.read(i, n), buffer, n);
                    });
                });
        });
        if (!sum_is_nan(m.sum)) return;
        if (Logits::can_retry) m.otherwise = true;
        else write_nan(job_, arguments(job_, m).op, m.kept);
        m.open = false;
    }
    template <class Piece>
    SMX_ALWAYS_INLINE void add_terms(const member& m, row_sum<B, T>& total, const Piece& from, T* to,
                                     std::size_t n) const noexcept {
        if (by_copy && sizeof(T) == 4 && size_of(job_.op[masked::out].type) == 2) {
            constexpr precision half = sizeof(T) == 4 ? precision::half : precision::full;
            m.logits.template add_terms<half>(total, from, to, n);
        } else {
            m.logits.template add_terms<Q>(total, from, to, n);
        }
    }

    SMX_ALWAYS_INLINE void take_logarithm(member& m) noexcept {
        m.sum =
            log_of_sum_with_sink<T>(m.sum, static_cast<double>(m.ties) - 1, m.logits.top_term(), m.has_sink, m.sink);
    }

    SMX_ALWAYS_INLINE void write(member& m, T* buffer) noexcept {
        if constexpr (!Log) {
            if (m.kept == 1 && !m.has_sink) return put_number(arguments(job_, m).op[masked::out], 0, 1.0);
        }
        const T number = Log ? static_cast<T>(m.sum) : share_of<T>(m.has_sink ? fence(m.sum + m.sink.term) : m.sum);
        if constexpr (in_output && !Log) {
            pass::scale(m.out(), m.out(), m.kept, number);
        } else if constexpr (!by_copy) {
            for_pieces<T>(0, m.kept, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                results_of(m, From(m.row), buffer, m.out() + i, i, n, number);
            });
        } else {
            const arguments given(job_, m);
            const From from(given.op);
            alignas(64) T results[Log ? piece_elements<T> : 1];
            const operand_writer<B, T, true> to{given.op[masked::out], Log ? results : buffer};
            for_pieces<T>(0, m.kept, [&](std::size_t i, std::size_t n) SMX_INLINE_LAMBDA {
                results_of(m, from, buffer, to.piece(i), i, n, number);
                to.written(i, n);
            });
        }
    }
    template <class To>
    SMX_ALWAYS_INLINE void results_of(member& m, const From& from, T* buffer, To* to, std::size_t i, std::size_t n,
                                      T number) const noexcept {
        if constexpr (Log) {
            m.logits.subtract(from.read(i, n), to, n, number);
        } else {
            if (m.kept > piece_elements<T>) {  // the buffer has the last piece
                row_sum<B, T> again;
                add_terms(m, again, from.read(i, n), buffer, n);
            }
            pass::scale(buffer, to, n, number);
        }
    }

    /// A row without a finite maximum, with a NaN in its sum, by its sink, or not for part_logits.
    SMX_NOINLINE void write_otherwise(const member& m) const noexcept {
        const arguments given(job_, m);
        if constexpr (!Logits::can_retry) {
            write_special(job_, given.op, m.kept);
        } else {
            if constexpr (sizeof(T) == 4) {
                if (masked_pairs<B, float>::run(job_, given.op, m.query, m.kept)) return;
            }
            masked_pairs<B, double>::run(job_, given.op, m.query, m.kept);
        }
    }

    const job& job_;
    masked_factors<B, T> factors_;
    lookahead soon_;
    std::size_t count_ = 0;
    T* room_ = nullptr;
    member member_[rows];
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
