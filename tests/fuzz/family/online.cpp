// SPDX-License-Identifier: BSL-1.0
#include "judged_calls.hpp"

#include "../family_calls.hpp"

#include "../../reference.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace softmax_test::fuzzing {
void try_online(byte_source& bytes) {
    shape s = read_shape(bytes);
    const std::size_t n = s.length();
    s = shape{};
    s.extents[0] = n;
    const dtype type = read_type(bytes);
    const smx::online_options o{read_scale(bytes), read_special(bytes)};
    const memory in = make_logits(type, s, bytes), logsumexp = make(type, shape{}, bytes);
    const memory p = make(type, s, bytes), log_p = make(type, s, bytes), w = make(type, s, bytes);
    std::vector<std::size_t> chunks;
    for (std::size_t left = n; left != 0; left -= chunks.back())
        chunks.push_back(bytes.rest().empty() ? left : std::min<std::size_t>(left, bytes.byte() * (1u + n / 64)));
    const numbers x = load_all(in->elements());
    run("online_softmax", false, {in.get(), p.get(), log_p.get(), w.get(), logsumexp.get()}, {}, [&] {
        call_online(in->elements(), chunks, bytes.rest(), o,
                    {p->elements(), log_p->elements(), w->elements(), logsumexp->elements()});
    });
    const double total = load_all(logsumexp->elements())[0];
    const numbers of_p = load_all(p->elements()), of_log = load_all(log_p->elements()), of_w = load_all(w->elements());
    if (!all_finite(x) || n == 0) return;
    const reference exact(x, o.scale);
    expect_near("logsumexp", total, exact.logsumexp(),
                error_in_ulp(type, total, exact.logsumexp(), exact.logsumexp_magnitude()),
                documented_bound(function::logsumexp, type));
    const long double top =
        exact.softmax(o.scale < 0 ? *std::min_element(x.begin(), x.end()) : *std::max_element(x.begin(), x.end()));
    const auto compare = [&](const char* what, function f, double actual, long double value) {
        expect_near(what, actual, value, error_in_ulp(f, type, type, actual, value), documented_bound(f, type));
    };
    for (std::size_t i = 0; i < n; ++i) {
        compare("probabilities", function::softmax, of_p[i], exact.softmax(x[i]));
        compare("log_probabilities", function::log_softmax, of_log[i], exact.log_softmax(x[i]));
        compare("weights", function::softmax, of_w[i], exact.softmax(x[i]) / top);
    }
}

}  // namespace softmax_test::fuzzing
