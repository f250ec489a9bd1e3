// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the calls of fuzz_family have in common: shapes and arrays from the fuzzer's bytes, defects, refusals, verdicts.

#include "../bytes.hpp"

#include <safe_softmax/options.hpp>

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace softmax_test::fuzzing {

using numbers = std::vector<double>;

inline constexpr double inf = std::numeric_limits<double>::infinity();

[[noreturn]] void fail(const std::string& what);

bool finite(double x);
bool all_finite(const numbers& row, double limit = 1e300);

// ---- shapes and arrays

/// Rows along one axis of up to three.
struct shape {
    std::size_t rank = 1, axis = 0;
    std::size_t extents[max_rank] = {1, 1, 1};

    std::size_t length() const { return extents[axis]; }
    std::size_t rows() const;
    /// Of the r-th row: row-major without the axis.
    std::vector<std::size_t> index(std::size_t r) const;
    shape per_row() const;
};

shape read_shape(byte_source& bytes);
/// Some extents may be 1.
shape read_broadcast(shape s, byte_source& bytes);
/// Of this shape, with any strides.
view read_layout(dtype type, const shape& s, byte_source& bytes);
dtype read_type(byte_source& bytes);

using memory = std::unique_ptr<guarded_memory>;

memory make(dtype type, const shape& s, byte_source& bytes);
memory make_logits(dtype type, const shape& s, byte_source& bytes);
void change(const guarded_memory& m, const std::function<double(double)>& f);

numbers row(const guarded_memory& m, const shape& s, std::size_t r);
/// Broadcast: extents of 1 repeat.
double at(const guarded_memory& m, const std::vector<std::size_t>& index);

smx::special_values read_special(byte_source& bytes);
double read_scale(byte_source& bytes);

// ---- calls

/// Runs the call, which has to be refused if it has a defect, then leaving `outputs` as they are. False if it was refused.
bool run(const char* what, bool defect, const std::vector<const guarded_memory*>& all,
         const std::vector<const guarded_memory*>& outputs, const std::function<void()>& call);

/// What may be wrong with the views of any of the functions.
enum class defect { none, axis, scale, extent, zero_stride, overlap, huge };

defect read_defect(byte_source& bytes);
/// Puts the defect into the call; whether it could be.
bool spoil(defect d, const shape& s, view& in, view& out, std::ptrdiff_t& axis, double& scale);

void expect_near(const char* what, double actual, long double exact, double error, double bound);
void expect(const char* what, bool right, double actual);

// ---- one call of each kind

void try_masked(byte_source& bytes);
void try_backward(byte_source& bytes);
void try_cross_entropy(byte_source& bytes);
void try_online(byte_source& bytes);
void try_sampling(byte_source& bytes);
void try_gumbel(byte_source& bytes);
void try_weighted(byte_source& bytes);
void try_logaddexp(byte_source& bytes);

}  // namespace softmax_test::fuzzing
