// SPDX-License-Identifier: BSL-1.0
#include "competitor.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <memory>
#include <omp.h>

namespace bench {
namespace {

template <class T>
constexpr dnnl::memory::data_type type = dnnl::memory::data_type::f32;
template <>
constexpr dnnl::memory::data_type type<smx::float16> = dnnl::memory::data_type::f16;
template <>
constexpr dnnl::memory::data_type type<smx::bfloat16> = dnnl::memory::data_type::bf16;

template <class T>
dnnl::primitive primitive(const problem<T>& p, const dnnl::engine& engine, const dnnl::memory::desc& shape) {
    const auto algorithm =
        p.function == function::softmax ? dnnl::algorithm::softmax_accurate : dnnl::algorithm::softmax_log;
    const auto kind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl::softmax_forward(dnnl::softmax_forward::primitive_desc(engine, kind, algorithm, shape, shape, 1));
#else
    using softmax = dnnl::softmax_v2_forward;
    return softmax(softmax::primitive_desc(softmax::desc(kind, algorithm, shape, shape, 1), engine));
#endif
}

/// dnnl::primitive::execute without the copy that it makes of its arguments.
struct prepared {
    dnnl::stream stream;
    dnnl::primitive primitive;
    dnnl::memory in, out;
    std::array<dnnl_exec_arg_t, 2> arguments;

    void operator()() const {
        dnnl_primitive_execute(primitive.get(), stream.get(), static_cast<int>(arguments.size()), arguments.data());
        dnnl_stream_wait(stream.get());
    }
};

template <class T>
call onednn(const problem<T>& p) try {
    if (p.function == function::logsumexp || !p.dense()) return {};
    omp_set_num_threads(1);
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    using memory = dnnl::memory;
    const auto extent = [](std::size_t n) { return static_cast<memory::dim>(n); };
    const memory::desc shape =
        p.inner == 1
            ? memory::desc({extent(p.outer), extent(p.length)}, type<T>, memory::format_tag::ab)
            : memory::desc({extent(p.outer), extent(p.length), extent(p.inner)}, type<T>, memory::format_tag::abc);
    const auto ready = std::make_shared<prepared>(prepared{dnnl::stream(engine),
                                                           primitive(p, engine, shape),
                                                           memory(shape, engine, const_cast<T*>(p.in)),
                                                           memory(shape, engine, p.out),
                                                           {}});
    ready->arguments = {dnnl_exec_arg_t{DNNL_ARG_SRC, ready->in.get()},
                        dnnl_exec_arg_t{DNNL_ARG_DST, ready->out.get()}};
    return [ready] { (*ready)(); };
} catch (const dnnl::error&) {  // not on this processor
    return {};
}

std::string version() {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

call none(const problem<double>&) { return {}; }

const bool added =
    add({"oneDNN", version(), role::peer, {onednn<float>, none, onednn<smx::float16>, onednn<smx::bfloat16>}});

}  // namespace
}  // namespace bench
