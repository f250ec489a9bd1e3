// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/masked_group.hpp>
#include <safe_softmax/detail/prefix_rows.hpp>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Room for what rows of the three blocks of a pipeline have of their own, unless it has that itself.
template <class T, bool Needed>
class numbers_room {
protected:
    SMX_ALWAYS_INLINE block_numbers<T>* of_blocks() noexcept { return of_block_; }

private:
    block_numbers<T> of_block_[3];
};
template <class T>
class numbers_room<T, false> {
protected:
    SMX_ALWAYS_INLINE block_numbers<T>* of_blocks() noexcept { return nullptr; }
};

/// masked_softmax or (Log) masked_log_softmax of rows as prefix_rows has them, but with numbers of their own: a temperature, or a sink (not Log).
/// What the pipeline does not take, or gives back, goes to masked_group, row by row. In and out have elements of type S.
template <class B, class T, class S, bool Log,
          class Rows = row_pipeline<B, S, S, Log ? function::log_softmax : function::softmax>>
class numbered_rows : private numbers_room<T, !Rows::has_room_for_numbers> {
    static constexpr function F = Log ? function::log_softmax : function::softmax;

public:
    numbered_rows(const job& j, const recipe<T>& r) noexcept
        : job_(j), group_(j), rows_(r, static_cast<bool>(j.op[masked::temperature]),
                                    static_cast<bool>(j.op[masked::sink]), this->of_blocks(), &take_back, this) {
        group_.use_room(rows_.room().data);
    }
    numbered_rows(const numbered_rows&) = delete;

    /// What follows are rows of a run (for_each_run) that begins with these operands.
    SMX_ALWAYS_INLINE void begin_run(const operand* op) noexcept {
        temperature_.begin(op[masked::temperature], run_stride(job_, masked::temperature));
        sink_.begin(op[masked::sink], run_stride(job_, masked::sink));
    }
    /// Row i of the run, kept >= 1.
    SMX_ALWAYS_INLINE void add(const S* in, S* out, std::size_t i, std::size_t query, std::size_t kept) noexcept {
        const double scale = temperature_ ? fence(job_.scale / temperature_.at(i)) : job_.scale;
        if (!is_plain_scale(scale) || !kernels<B, S, S>::template takes_pipeline<F>(kept) ||
            kept > Rows::longest_numbered) {
            if constexpr (Rows::has_room_for_numbers) rows_.flush();  // whose room for terms the group has
            return add_to_group(in, out, query, kept, temperature_.place(i), sink_.place(i));
        }
        const double sink = sink_ ? sink_.at(i) : minus_infinity<double>();
        rows_.add(in, out, kept, {scale, sink, {temperature_.place(i), sink_.place(i)}});
    }
    SMX_ALWAYS_INLINE void flush() noexcept { rows_.flush(); }

private:
    /// A number that each row has, or all rows have together.
    class number_of_rows {
    public:
        SMX_ALWAYS_INLINE void begin(const operand& of_first, std::ptrdiff_t stride) noexcept {
            of_first_ = of_first;
            stride_ = stride;
            if (of_first && stride == 0) of_all_ = number_at<double>(of_first.data, of_first.type);
        }
        SMX_ALWAYS_INLINE explicit operator bool() const noexcept { return static_cast<bool>(of_first_); }
        SMX_ALWAYS_INLINE const void* place(std::size_t i) const noexcept {
            return moved(of_first_.data, static_cast<std::ptrdiff_t>(i) * stride_);
        }
        SMX_ALWAYS_INLINE double at(std::size_t i) const noexcept {
            return stride_ == 0 ? of_all_ : number_at<double>(place(i), of_first_.type);
        }

    private:
        operand of_first_ = {};
        std::ptrdiff_t stride_ = 0;
        double of_all_ = 0;
    };

    SMX_NOINLINE void add_to_group(const S* in, S* out, std::size_t query, std::size_t kept, const void* temperature,
                                   const void* sink) noexcept {
        operand op[vocabulary::max_operands] = {};
        const auto set = [&](std::size_t o, const void* data) { op[o] = {data, job_.op[o].step, job_.op[o].type}; };
        set(masked::in, in);
        set(masked::out, out);
        set(masked::temperature, temperature);
        set(masked::sink, sink);
        group_.add(op, query, kept);
    }
    static SMX_NOINLINE void take_back(void* self, const S* in, S* out, std::size_t kept, const row_numbers<T>& own,
                                       const waiting_terms<T>& room) noexcept {
        numbered_rows& rows = *static_cast<numbered_rows*>(self);
        rows.group_.use_room(room.data);
        rows.add_to_group(in, out, 0, kept, own.from[0], own.from[1]);
        rows.group_.use_room(rows.rows_.room().data);
    }

    const job& job_;
    number_of_rows temperature_, sink_;
    masked_group<B, T, kept_logits<B, T>, masked_in_place<S>, S, Log, 1> group_;
    Rows rows_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
