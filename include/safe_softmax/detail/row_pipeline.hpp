// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <safe_softmax/detail/pipeline_loop.hpp>
#include <safe_softmax/detail/row_block.hpp>
#include <safe_softmax/detail/rows.hpp>

#include <new>

namespace smx {
inline namespace SMX_ABI {
namespace detail {

/// Contiguous rows, a few at a time (a block): one loop computes the terms of a row, looks for the largest logit of a row of the
/// next block and writes the results of a row of the last one. The terms keep the arithmetic busy, the other two little but
/// loads and stores, so that they come nearly free; and what follows from maxima and sums is worked out for a block at once. The
/// bits are those of rows.hpp, which `alone` (kernels::contiguous_row) stands for: it gets the rows without a finite maximum and,
/// where there is no loop for them (terms in the output, logarithms of several segments), those that are not plain. Rows with a scale
/// or (softmax only) a sink of their own go back to their caller then, as do those whose sink is not finite; their bits are those of
/// kept_logits.hpp.
template <class B, class In, class Out, function F>
class row_pipeline {
    using block = row_block<B, In, Out>;
    using T = typename block::T;
    using P = typename block::P;
    using pass = passes<B, T>;
    static constexpr std::size_t lanes = P::lanes, most_rows = block::most_rows;
    static constexpr bool softmax = F == function::softmax;

    /// Elements of a block, one row at least: what the loop works on stays in the first cache unless a row is longer.
    static constexpr std::size_t block_elements = 8192 / sizeof(T);
    /// Terms of softmax wait for their sum in a buffer of so many elements; those of longer rows in the output, if that has the
    /// arithmetic's type.
    static constexpr bool waits_only_here = softmax && !std::is_same_v<Out, T>;
    static constexpr std::size_t waiting_elements =
        !softmax ? 1 : (waits_only_here ? waiting_pieces : 1) * piece_elements<T>;
    static constexpr std::size_t searching_length = 512;  // from which loop_kind::searching is the faster one
    /// Rows of more bytes than that together are fetched early. Fewer may be in a cache, where asking for them costs more than it wins.
    static constexpr std::size_t not_in_cache = std::size_t(24) << 20;

public:
    /// A row that no loop takes.
    using one_row = void(const In* in, Out* out, std::size_t length, const recipe<T>& r, std::ptrdiff_t next_in,
                         std::ptrdiff_t next_out, const waiting_terms<T>& room) noexcept;
    /// The same, with what the row has of its own.
    using own_row = void(void* caller, const In* in, Out* out, std::size_t length, const row_numbers<T>& own,
                         const waiting_terms<T>& room) noexcept;
    SMX_ALWAYS_INLINE row_pipeline(const recipe<T>& r, one_row* alone) noexcept
        : recipe_(r), scale_(r.scale), alone_(alone) {}
    /// For rows with scales or sinks of their own, up to `longest_numbered` elements each. `room`: for the numbers of three blocks; not used if
    /// has_room_for_numbers.
    SMX_ALWAYS_INLINE row_pipeline(const recipe<T>& r, bool scales, bool sinks, block_numbers<T>* room, own_row* back,
                                   void* caller) noexcept
        : recipe_(r), scale_(r.scale), alone_(nullptr), back_(back), caller_(caller) {
        for (std::size_t b = 0; b < 3; ++b) {
            if constexpr (waits_only_here) {
                static_assert(3 * sizeof(block_numbers<T>) <= sizeof(T) * piece_elements<T>);
                char* const end = reinterpret_cast<char*>(waiting_ + (waiting_pieces - 1) * piece_elements<T>);
                blocks_[b].own = ::new (static_cast<void*>(end + b * sizeof(block_numbers<T>))) block_numbers<T>;
            } else {
                blocks_[b].own = room + b;
            }
            blocks_[b].own->scales = scales;
            blocks_[b].own->sinks = sinks;
        }
    }
    /// Then the last piece of the room for terms is for them, and rows have to be shorter for it.
    static constexpr bool has_room_for_numbers = waits_only_here;
    static constexpr std::size_t longest_numbered =
        waits_only_here ? (waiting_pieces - 1) * piece_elements<T> : static_cast<std::size_t>(-1);

    /// Many rows of one length. They are the caller's until flush().
    SMX_ALWAYS_INLINE void add_rows(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch,
                                    std::size_t length, std::size_t count) noexcept {
        if (length > room_) make_room(length);
        fetch_ = count > not_in_cache / (length * (sizeof(In) + sizeof(Out)));
        fill_blocks(in, in_pitch, out, out_pitch, [=](std::size_t) SMX_INLINE_LAMBDA { return length; }, count);
    }
    /// A few, each of its own length, up to `longest`.
    SMX_ALWAYS_INLINE void add_rows(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch,
                                    const std::size_t* length, std::size_t count, std::size_t longest) noexcept {
        if (longest > room_) make_room(longest);
        fill_blocks(in, in_pitch, out, out_pitch, [=](std::size_t i) SMX_INLINE_LAMBDA { return length[i]; }, count);
    }
    SMX_ALWAYS_INLINE void add(const In* in, Out* out, std::size_t length, const row_numbers<T>& own) noexcept {
        if (length > room_) make_room(length);  // first: it may use up the block
        block& b = blocks_[next_];
        b.own->row[b.count] = own;
        if (b.own->scales) set_direct(b.own->scale[b.count], own.scale);
        add(in, out, length);
    }
    SMX_ALWAYS_INLINE void add(const In* in, Out* out, std::size_t length) noexcept {
        if (length > room_) make_room(length);
        block& b = blocks_[next_];
        b.in[b.count] = in;
        b.out[b.count] = out;
        b.length[b.count] = length;
        if (++b.count == rows_) advance();
    }
    /// Its buffer for the terms of a row of any length, where rows need one, after flush() and until the next row comes. (Where rows have numbers,
    /// these have the last piece.)
    SMX_ALWAYS_INLINE waiting_terms<T> room() noexcept {
        if constexpr (waits_only_here) return {waiting_, waiting_pieces};
        else return {};
    }
    SMX_ALWAYS_INLINE void flush() noexcept {
        while (blocks_[0].count + blocks_[1].count + blocks_[2].count != 0) advance();
    }

private:
    template <class Length>
    SMX_ALWAYS_INLINE void fill_blocks(const In* in, std::ptrdiff_t in_pitch, Out* out, std::ptrdiff_t out_pitch,
                                       Length length, std::size_t count) noexcept {
        for (std::size_t done = 0; done < count;) {
            block& b = blocks_[next_];
            const std::size_t room = rows_ - b.count, left = count - done, n = left < room ? left : room;
            for (std::size_t i = b.count; i < b.count + n; ++i, ++done, in += in_pitch, out += out_pitch) {
                b.in[i] = in;
                b.out[i] = out;
                b.length[i] = length(done);
            }
            b.count += n;
            if (b.count == rows_) advance();
        }
    }
    /// Rows up to `length` fit from now on.
    SMX_NOINLINE void make_room(std::size_t length) noexcept {
        const bool first = room_ == 0;
        flush();
        room_ = (length + lanes - 1) / lanes * lanes;
        if (!first) room_ = (room_ + room_ / 4 + lanes - 1) / lanes * lanes;  // others are likely to be longer still
        if (softmax && room_ > waiting_elements)
            room_ = length <= waiting_elements ? waiting_elements : static_cast<std::size_t>(-1);
        const std::size_t fit = block_elements / room_;
        rows_ = fit < 1 ? 1 : fit < most_rows ? fit : most_rows;
    }
    SMX_ALWAYS_INLINE bool terms_in_output() const noexcept { return room_ > waiting_elements; }
    /// One block further: the next one becomes the one whose terms are computed.
    SMX_NOINLINE void advance() noexcept {
        block &next = blocks_[next_], &now = blocks_[(next_ + 2) % 3], &last = blocks_[(next_ + 1) % 3];
        if ((now.special | last.special) != 0) {
            run_some(last, now, next);
        } else {
            const std::size_t both = now.count < last.count ? now.count : last.count;
            if (both != 0) run(last, now, next, 0, both, true);
            if (both < now.count) run(last, now, next, both, now.count, false);
        }
        for (std::size_t i = now.count; i < last.count; ++i)
            if (!last.is_special(i)) finish(last, i);
        for (std::size_t i = now.count; i < next.count; ++i) find_top(next, i);
        if (last.has_nan) write_nans(last);
        if (now.count != 0) now.template find_results<F>(scale_);
        if (next.count != 0) next.template find_constants<F>(top_, scale_, room_ >= least_by_octaves);
        if (next.general && (softmax ? terms_in_output() : room_ > vocabulary::segment_step))
            next.special = ~0u;  // there is no such loop
        last.count = 0;
        last.special = 0;
        last.has_nan = false;
        next_ = (next_ + 1) % 3;
    }
    /// Where no loop takes some of the rows.
    SMX_NOINLINE void run_some(block& last, block& now, block& next) noexcept {
        for (std::size_t i = 0; i < now.count; ++i) {
            if (!now.is_special(i)) {
                run(last, now, next, i, i + 1, last.has_results(i));
                continue;
            }
            if (last.has_results(i)) finish(last, i);
            if (i < next.count) find_top(next, i);
            const waiting_terms<T> room =
                waits_only_here ? waiting_terms<T>{waiting_ + i * room_, waiting_pieces} : waiting_terms<T>{};
            if (now.own != nullptr) back_(caller_, now.in[i], now.out[i], now.length[i], now.own->row[i], room);
            else alone_(now.in[i], now.out[i], now.length[i], recipe_, 0, 0, room);
            now.sum[i] = now.ties[i] = 1;
        }
    }
    SMX_NOINLINE void write_nans(block& b) noexcept {
        for (std::size_t i = 0; i < b.count; ++i) {
            if (F != function::logsumexp && b.has_results(i) && sum_is_nan(b.sum[i]))
                fill_nan(stepped<Out>{b.out[i], 1}, b.length[i]);
            b.sum[i] = 1;
        }
    }

    SMX_ALWAYS_INLINE void find_top(const block& b, std::size_t i) noexcept {
        top_[i] = pass::largest_pack(b.in[i], b.length[i], b.scale_of(i, scale_));
    }

    SMX_NOINLINE void finish(const block& b, std::size_t i) noexcept {
        if constexpr (softmax) {
            if constexpr (std::is_same_v<Out, T>) {
                if (terms_in_output()) return pass::scale(b.out[i], b.out[i], b.length[i], b.result[i]);
            }
            pass::scale(waiting_ + i * room_, b.out[i], b.length[i], b.result[i]);
        } else if constexpr (F == function::log_softmax) {
            const scaling<T>& s = b.scale_of(i, scale_);
            if (b.general)
                pass::template subtract<true>(b.in[i], b.out[i], b.length[i], b.constants(i), b.result[i], s);
            else pass::template subtract<false>(b.in[i], b.out[i], b.length[i], b.constants(i), b.result[i], s);
        }
    }

    /// Rows i to end of `now`, all of them with a finite maximum, and those beside them.
    SMX_ALWAYS_INLINE void run(block& last, block& now, const block& next, std::size_t i, std::size_t end,
                               bool finishes) noexcept {
        const bool unscaled = !now.own_scales() && scale_.direct.value == 1;
        if (now.general || (F == function::log_softmax && finishes && last.general)) {
            now.make_general(scale_);
            last.make_general(scale_);
            return run_rows<loop_kind::general, false>(last, now, next, i, end, finishes);
        }
        if constexpr (softmax) {
            if constexpr (std::is_same_v<Out, T>) {
                if (terms_in_output()) return run_rows<loop_kind::in_output, false>(last, now, next, i, end, finishes);
            }
        } else {
            const bool plain_results = F == function::logsumexp || unscaled;
            if (plain_results && now.length[i] >= searching_length)
                return run_rows < loop_kind::searching,
                       F == function::log_softmax > (last, now, next, i, end, finishes);
            if constexpr (F == function::log_softmax) {
                if (unscaled) return run_rows<loop_kind::usual, true>(last, now, next, i, end, finishes);
            }
        }
        run_rows<loop_kind::usual, false>(last, now, next, i, end, finishes);
    }

    /// The scales of a block's rows.
    class rows_of_scales {
    public:
        SMX_ALWAYS_INLINE rows_of_scales(const block& b, const scaling<T>& of_all) noexcept
            : first_(b.own_scales() ? b.own->scale : &of_all), step_(b.own_scales() ? 1 : 0) {}
        SMX_ALWAYS_INLINE const scaling<T>& operator[](std::size_t i) const noexcept { return first_[i * step_]; }

    private:
        const scaling<T>* first_;
        std::size_t step_;
    };

    template <loop_kind Kind, bool Unscaled>
    SMX_NOINLINE void run_rows(const block& last, block& now, const block& next, std::size_t i, std::size_t end,
                               bool finishes) noexcept {
        using loop = pipeline_loop<B, In, Out, F, Kind, Unscaled>;
        typename row_sum<B, T>::lanes_sum sum[most_rows];
        const std::ptrdiff_t results_ahead = stores_wait_ ? three_rows<B, In, Out>::results_ahead_of(last) : 0;
        const rows_of_scales last_scales(last, scale_), scales(now, scale_), next_scales(next, scale_);
        const auto three = [&](std::size_t j) SMX_INLINE_LAMBDA {
            const bool later = j < next.count;
            return three_rows<B, In, Out>{last,           now,       later ? next : now,
                                          last_scales[j], scales[j], (later ? next_scales : scales)[j],
                                          waiting_,       room_,     results_ahead};
        };
        for (std::size_t j = i; j < end; ++j) {
            if constexpr (loop::fetches) {
                if (fetch_ || (loop::takes_segments && now.length[j] > vocabulary::segment_step)) {
                    loop::run_far(three(j), j, finishes, fetch_, top_[j]);
                    continue;
                }
            }
            loop::run(three(j), j, finishes, sum[j], top_[j]);
        }
        if (loop::fetches && fetch_) return;
        if (i == 0 && end > 2) {
            for (std::size_t j = end; j < most_rows; ++j) sum[j] = sum[0];
            row_sum<B, T>::results(now.sum, sum);
        } else {
            for (std::size_t j = i; j < end; ++j)
                if (!loop::takes_segments || now.length[j] <= vocabulary::segment_step)
                    now.sum[j] = row_sum<B, T>::result_of(sum[j]);
        }
    }

    const recipe<T>& recipe_;
    const scaling<T>& scale_;
    const bool stores_wait_ = softmax && std::is_same_v<Out, T> && stores_wait();
    one_row* alone_;
    own_row* back_ = nullptr;
    void* caller_ = nullptr;
    block blocks_[3];
    std::size_t next_ = 0;  // the block that is being filled; the one before it is that whose terms come next
    std::size_t room_ = 0, rows_ = most_rows;
    bool fetch_ = false;
    P top_[most_rows] = {};  // of each row of the next block, by lanes
    alignas(64) T waiting_[waiting_elements];
};

}  // namespace detail
}  // namespace SMX_ABI
}  // namespace smx
