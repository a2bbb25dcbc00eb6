// SPDX-License-Identifier: GPL-2.0-or-later
// Feature: the CPUID bit that an instruction needs. The list lives in features.def; Base is always there.
#pragma once

#include <string_view>

#include "emu/base/types.h"

namespace xm::cpu {

enum class Feature : u8 {
  Base,
#define FEATURE(name, leaf, subleaf, reg, bit) name,
#include "cpu/isa/features.def"
#undef FEATURE
  Count
};

inline constexpr unsigned kFeatureCount = static_cast<unsigned>(Feature::Count);

enum class CpuidRegister : u8 { Eax, Ebx, Ecx, Edx };

// Where CPUID reports the feature; Base has leaf 0 and means nothing.
struct FeatureBit {
  u32 leaf;
  u32 subleaf;
  CpuidRegister reg;
  u8 bit;
};

std::string_view feature_name(Feature feature);
FeatureBit feature_bit(Feature feature);

}  // namespace xm::cpu
