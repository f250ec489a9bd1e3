// SPDX-License-Identifier: BSL-1.0
#pragma once

/// @file
/// Everything but the adapters to other libraries: what most programs include.
///
/// @namespace smx
/// Softmax, log-softmax and log-sum-exp that do not overflow, do not lose digits and do not turn into NaN.

#include <safe_softmax/backward.hpp>
#include <safe_softmax/cross_entropy.hpp>
#include <safe_softmax/dynamic_view.hpp>
#include <safe_softmax/gumbel_softmax.hpp>
#include <safe_softmax/isa.hpp>
#include <safe_softmax/log_softmax.hpp>
#include <safe_softmax/logaddexp.hpp>
#include <safe_softmax/logsumexp.hpp>
#include <safe_softmax/masked_softmax.hpp>
#include <safe_softmax/naive_softmax.hpp>
#include <safe_softmax/online_softmax.hpp>
#include <safe_softmax/parallel.hpp>
#include <safe_softmax/parallel_family.hpp>
#include <safe_softmax/sampling.hpp>
#include <safe_softmax/softmax.hpp>
#include <safe_softmax/softmin.hpp>
#include <safe_softmax/version.hpp>
#include <safe_softmax/weighted_logsumexp.hpp>
