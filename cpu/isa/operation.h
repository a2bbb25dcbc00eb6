// SPDX-License-Identifier: GPL-2.0-or-later
// Operation: what an instruction does, whatever its encoding. The list lives in operations.def.
#pragma once

#include <string_view>

#include "emu/base/types.h"

namespace xm::cpu {

enum class Operation : u16 {
  Invalid,
#define OPERATION(name) name,
#include "cpu/isa/operations.def"
#undef OPERATION
  Count
};

inline constexpr unsigned kOperationCount = static_cast<unsigned>(Operation::Count);

// The enumerator's name, for traces, tests and the generated page.
std::string_view operation_name(Operation operation);
// The reverse; Operation::Invalid for an unknown name. Case matters.
Operation operation_by_name(std::string_view name);

}  // namespace xm::cpu
