// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../array_of.hpp"
#include "../../cross_entropy_reference.hpp"
#include "../../reference.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace softmax_test::fuzzing {
void try_cross_entropy(byte_source& bytes) {
    const shape s = read_shape(bytes);
    const dtype logits_type = read_type(bytes), losses_type = read_type(bytes), gradient_type = read_type(bytes),
                soft_type = read_type(bytes);
    const std::uint8_t has = bytes.byte(), how = bytes.byte();
    const bool is_soft = has % 2 != 0, in_place = how % 4 == 0;
    if (!is_soft && s.length() == 0) return;  // no class can be named
    const auto reduction =
        one_of(std::array{smx::loss_reduction::none, smx::loss_reduction::sum, smx::loss_reduction::mean}, how / 16u);
    const bool reduced = reduction != smx::loss_reduction::none;
    const memory logits = make_logits(logits_type, s, bytes),
                 losses = make(losses_type, reduced ? shape{} : s.per_row(), bytes),
                 apart = make(gradient_type, s, bytes);
    const guarded_memory& gradient = in_place ? *logits : *apart;
    smx::cross_entropy_options o{.axis = static_cast<std::ptrdiff_t>(s.axis),
                                 .scale = read_scale(bytes),
                                 .special = read_special(bytes),
                                 .ignore_index = -7,
                                 .reduction = reduction};
    memory soft, weights;
    std::vector<std::int16_t> targets;
    smx::array_ref targets_ref;
    if (is_soft) {
        soft = make_logits(soft_type, s, bytes);
        change(*soft,
               [](double x) { return finite(x) ? std::exp2(-std::min(std::abs(x), 30.0)) * (std::abs(x) < 100) : 0; });
        targets_ref = array_of(soft->elements());
    } else {
        targets.resize(s.rows());
        for (std::int16_t& t : targets) {
            const std::uint8_t b = bytes.byte();
            t = b >= 240 ? std::int16_t{-7} : static_cast<std::int16_t>(b % s.length());
        }
    }
    if (has & 2) {
        weights =
            std::make_unique<guarded_memory>(strided_view(has & 4 ? dtype::f64 : dtype::f32, s.length(), 1 + has / 64));
        store_all(weights->elements(), [&] {
            numbers w(s.length());
            for (double& x : w) x = bytes.byte() / 64.0;
            return w;
        }());
        o.class_weights = array_of(weights->elements());
    }
    if (has & 8) o.label_smoothing = bytes.byte() / 255.0;
    if (has & 16) o.z_loss = std::ldexp(1.0, -static_cast<int>(bytes.byte() % 12u));
    if (has & 32) o.dlosses = (1 + bytes.byte()) / 64.0;

    view logits_view = logits->elements(), gradient_view = gradient.elements();
    bool spoilt = spoil(read_defect(bytes), s, logits_view, gradient_view, o.axis, o.scale);
    const std::uint8_t own_defect = bytes.byte();
    if (own_defect == 255) o.label_smoothing = 1.5, spoilt = true;
    if (own_defect == 254) o.z_loss = inf, spoilt = true;
    if (own_defect == 253 && !targets.empty()) targets.back() = static_cast<std::int16_t>(s.length()), spoilt = true;
    const shape p = s.per_row();
    if (!is_soft) {
        if (s.rank == 1) targets_ref = smx::tensor_view<const std::int16_t, 1>(targets.data(), {p.extents[0]});
        if (s.rank == 2)
            targets_ref = smx::tensor_view<const std::int16_t, 2>(targets.data(), {p.extents[0], p.extents[1]});
        if (s.rank == 3)
            targets_ref =
                smx::tensor_view<const std::int16_t, 3>(targets.data(), {p.extents[0], p.extents[1], p.extents[2]});
    }
    std::vector<numbers> rows;
    for (std::size_t r = 0; r < s.rows(); ++r) rows.push_back(row(*logits, s, r));
    if (!run("cross_entropy", spoilt, {logits.get(), losses.get(), apart.get(), soft.get(), weights.get()},
             {losses.get(), &gradient}, [&] {
                 call_cross_entropy(array_of(logits_view), targets_ref, array_of(losses->elements()),
                                    array_of(gradient_view), o);
             }))
        return;

    const bool wide = logits_type == dtype::f64 || losses_type == dtype::f64 || gradient_view.type == dtype::f64 ||
                      (soft && soft_type == dtype::f64) || (weights && weights->elements().type == dtype::f64);
    const dtype compute = wide ? dtype::f64 : dtype::f32;
    const numbers loss = load_all(losses->elements());
    // What a mean divides by.
    double count = 1;
    if (reduction == smx::loss_reduction::mean) {
        count = is_soft ? static_cast<double>(s.rows()) : 0;
        const numbers w = weights ? load_all(weights->elements()) : numbers(s.length(), 1);
        for (std::size_t r = 0; r < s.rows() && !is_soft; ++r)
            if (targets[r] != -7) count += w[static_cast<std::size_t>(targets[r])];
    }
    long double sum = 0, sum_size = 0;  // of the losses
    bool judged = true;
    for (std::size_t r = 0; r < s.rows() && s.length() != 0; ++r) {
        const numbers g = row(gradient, s, r), &x = rows[r];
        if (!is_soft && targets[r] == -7) {
            if (!reduced) expect("cross_entropy", loss[r] == 0, loss[r]);
            for (const double d : g) expect("cross_entropy", is_positive_zero(d), d);
            continue;
        }
        if (std::any_of(x.begin(), x.end(), is_nan)) {
            const double l = loss[reduced ? 0 : r];
            if (count != 0) expect("cross_entropy", is_nan(l), l);
            for (const double d : g) expect("cross_entropy", is_nan(d), d);
            judged = false;
            continue;
        }
        if (!all_finite(x, 1e30) || count == 0) {
            judged = false;
            continue;
        }
        loss_row exactly{x, soft ? row(*soft, s, r) : numbers(), soft ? 0 : static_cast<std::size_t>(targets[r]),
                         weights ? load_all(weights->elements()) : numbers()};
        exactly.scale = o.scale, exactly.smoothing = o.label_smoothing, exactly.z_loss = o.z_loss;
        exactly.dloss = (o.dlosses ? *static_cast<const double*>(o.dlosses.data()) : 1) / count;
        const exact_loss exact(exactly);
        // What a probability, which must not be subnormal, is multiplied by at most: W + 2*z_loss*logsumexp.
        long double most_factor = 1, most_logit = 0;
        for (const double w : exactly.weights) most_factor += std::abs(w);
        for (const double v : x)
            most_logit = std::max(most_logit, std::abs(static_cast<long double>(v) * exactly.scale));
        most_factor += 2 * std::abs(exactly.z_loss) * (most_logit + std::log(static_cast<long double>(x.size())));
        const auto compare = [&](dtype type, double actual, long double value, long double size, double ulps) {
            const long double limit = std::ldexp(1.0L, format_of(type).max_exponent);
            const long double smallest =
                std::ldexp(std::abs(exactly.scale * exactly.dloss) * most_factor + 16, format_of(compute).min_exponent);
            if (std::abs(value) > limit || size > std::ldexp(1.0L, format_of(compute).max_exponent - 20)) return;
            if (std::abs(value) < smallest) {
                const long double allowed = allowed_error(type, compute, ulps, value, size) + 4 * smallest;
                return expect("cross_entropy", std::abs(actual - value) <= allowed + smallest_subnormal(type), actual);
            }
            expect_near("cross_entropy", actual, value,
                        static_cast<double>(std::abs(actual - value) / allowed_error(type, compute, ulps, value, size)),
                        1);
        };
        if (!reduced) compare(losses_type, loss[r], exact.loss, exact.loss_size, 3);
        sum += exact.loss;
        sum_size += exact.loss_size;
        for (std::size_t i = 0; i < g.size(); ++i)
            compare(gradient_view.type, g[i], exact.gradient[i], exact.gradient_size[i], 5);
    }
    if (!reduced || loss.empty()) return;
    if (count == 0) return expect("cross_entropy, mean of nothing", loss[0] == 0, loss[0]);
    if (!judged || s.length() == 0) return;
    const long double value = sum / count, size = sum_size / std::abs(count);
    if (size > std::ldexp(1.0L, format_of(losses_type).max_exponent) ||
        size < std::ldexp(1.0L, format_of(compute).min_exponent + 30))
        return;
    expect_near("cross_entropy, reduced", loss[0], value,
                static_cast<double>(std::abs(loss[0] - value) / allowed_error(losses_type, compute, 4, value, size)),
                1);
}

}  // namespace softmax_test::fuzzing
