// SPDX-License-Identifier: BSL-1.0
#pragma once

/// Softmax, log-softmax and log-sum-exp that do not overflow, do not lose digits and do not turn into NaN.

#include <safe_softmax/isa.hpp>
#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/logsumexp.hpp>
#include <safe_softmax/naive_softmax.hpp>
#include <safe_softmax/parallel.hpp>
#include <safe_softmax/softmax.hpp>
#include <safe_softmax/version.hpp>
