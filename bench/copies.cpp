// SPDX-License-Identifier: BSL-1.0
// What memory allows: memcpy, a copy that goes past the caches, and reading alone.
#include "competitor.hpp"

#include <cstdint>
#include <cstring>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace bench {
namespace {

template <class T>
std::size_t bytes(const problem<T>& p) {
    return p.outer * p.length * p.inner * sizeof(T);
}

template <class T>
call copy(const problem<T>& p) {
    if (p.function == function::logsumexp || p.in_place() || !p.dense()) return {};
    return [from = p.in, to = p.out, size = bytes(p)] { std::memcpy(to, from, size); };
}

/// Whole registers of aligned memory; at most 63 bytes stay behind.
template <class T>
call streaming_copy(const problem<T>& p) {
    if (p.function == function::logsumexp || p.in_place() || !p.dense()) return {};
#if defined(__AVX512F__)
    return [from = reinterpret_cast<const char*>(p.in), to = reinterpret_cast<char*>(p.out), size = bytes(p)] {
        for (std::size_t i = 0; i + 64 <= size; i += 64)
            _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
        _mm_sfence();
    };
#elif defined(__AVX__)
    return [from = reinterpret_cast<const char*>(p.in), to = reinterpret_cast<char*>(p.out), size = bytes(p)] {
        for (std::size_t i = 0; i + 32 <= size; i += 32)
            _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
        _mm_sfence();
    };
#else
    return {};
#endif
}

volatile std::uint64_t kept;

template <class T>
call read(const problem<T>& p) {
    if (p.in_place() || !p.dense()) return {};
    return [from = reinterpret_cast<const char*>(p.in), size = bytes(p)] {
        std::uint64_t all = 0;
        for (std::size_t i = 0; i + 8 <= size; i += 8) {
            std::uint64_t word;
            std::memcpy(&word, from + i, 8);
            all ^= word;
        }
        kept = all;
    };
}

const bool added =
    add({"memcpy", "", role::copy, {copy<float>, copy<double>, copy<smx::float16>, copy<smx::bfloat16>}}) &&
    add({"streaming_copy",
         "",
         role::copy,
         {streaming_copy<float>, streaming_copy<double>, streaming_copy<smx::float16>,
          streaming_copy<smx::bfloat16>}}) &&
    add({"read", "", role::copy, {read<float>, read<double>, read<smx::float16>, read<smx::bfloat16>}});

}  // namespace
}  // namespace bench
