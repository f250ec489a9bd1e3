// SPDX-License-Identifier: BSL-1.0
#pragma once
#include <safe_softmax/element.hpp>
#include <safe_softmax/options.hpp>
#include <safe_softmax/strided_span.hpp>
#include <safe_softmax/tensor_view.hpp>
