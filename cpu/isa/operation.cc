// SPDX-License-Identifier: GPL-2.0-or-later
// Names of the operations.
#include "cpu/isa/operation.h"

#include <array>

namespace xm::cpu {
namespace {

constexpr std::array<std::string_view, kOperationCount> kNames = {
    "Invalid",
#define OPERATION(name) #name,
#include "cpu/isa/operations.def"
#undef OPERATION
};

}  // namespace

std::string_view operation_name(Operation operation) {
  const auto index = static_cast<unsigned>(operation);
  return index < kOperationCount ? kNames[index] : kNames[0];
}

Operation operation_by_name(std::string_view name) {
  for (unsigned index = 0; index < kOperationCount; ++index) {
    if (kNames[index] == name) return static_cast<Operation>(index);
  }
  return Operation::Invalid;
}

}  // namespace xm::cpu
