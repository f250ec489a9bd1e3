// SPDX-License-Identifier: BSL-1.0
#include "competitor.hpp"

#include <xnnpack.h>

#include <memory>

namespace bench {
namespace {

call xnnpack(const problem<float>& p) {
    if (p.function != function::softmax || p.inner != 1) return {};
    if (xnn_initialize(nullptr) != xnn_status_success) return {};
    xnn_operator_t created = nullptr;
    if (xnn_create_softmax_nc_f32(p.length, p.pitch, p.pitch, 0, &created) != xnn_status_success) return {};
    const std::shared_ptr<xnn_operator> softmax(created, xnn_delete_operator);
    if (xnn_setup_softmax_nc_f32(created, p.outer, p.in, p.out, nullptr) != xnn_status_success) return {};
    return [softmax] { xnn_run_operator(softmax.get(), nullptr); };
}

template <class T>
call none(const problem<T>&) {
    return {};
}

const bool added = add({"XNNPACK", "", role::peer, {xnnpack, none<double>, none<smx::float16>, none<smx::bfloat16>}});

}  // namespace
}  // namespace bench
