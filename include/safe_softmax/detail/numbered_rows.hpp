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
        : job_(j), scale_(r.scale), group_(j),
          rows_(r, static_cast<bool>(j.op[masked::temperature]), static_cast<bool>(j.op[masked::sink]),
                this->of_blocks(), &take_back, this) {
        group_.use_room(rows_.room().data);
    }
    numbered_rows(const numbered_rows&) = delete;

    /// kept >= 1
    SMX_ALWAYS_INLINE void add(const operand* op, std::size_t query, std::size_t kept) noexcept {
        const operand& t = op[masked::temperature];
        if (t) set_scale(scale_at(job_, t));
        if (!scale_.plain || !kernels<B, S, S>::template takes_pipeline<F>(kept) || kept > Rows::longest_numbered) {
            if constexpr (Rows::has_room_for_numbers) rows_.flush();  // whose room for terms the group has
            return group_.add(op, query, kept);
        }
        const double sink = sink_at(op[masked::sink]);
        rows_.add(static_cast<const S*>(op[masked::in].data), static_cast<S*>(const_cast<void*>(op[masked::out].data)),
                  kept, {&scale_, sink, {t.data, op[masked::sink].data}});
    }
    SMX_ALWAYS_INLINE void flush() noexcept { rows_.flush(); }

private:
    SMX_ALWAYS_INLINE void set_scale(double scale) noexcept {
        if (made_ && scale == last_scale_) return;
        made_ = true;
        last_scale_ = scale;
        scale_ = make_scaling<T>(scale);
    }

    static SMX_NOINLINE void take_back(void* self, const S* in, S* out, std::size_t kept, const row_numbers<T>& own,
                                       const waiting_terms<T>& room) noexcept {
        numbered_rows& rows = *static_cast<numbered_rows*>(self);
        operand op[vocabulary::max_operands] = {};
        const auto set = [&](std::size_t o, const void* data) {
            op[o] = {data, rows.job_.op[o].step, rows.job_.op[o].type};
        };
        set(masked::in, in);
        set(masked::out, out);
        set(masked::temperature, own.from[0]);
        set(masked::sink, own.from[1]);
        rows.group_.use_room(room.data);
        rows.group_.add(op, 0, kept);
        rows.group_.use_room(rows.rows_.room().data);
    }

    const job& job_;
    scaling<T> scale_;
    double last_scale_ = 0;
    bool made_ = false;  // from it
    masked_group<B, T, kept_logits<B, T>, masked_in_place<S>, S, Log, 1> group_;
    Rows rows_;
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
