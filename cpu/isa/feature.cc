// SPDX-License-Identifier: GPL-2.0-or-later
// Names and CPUID places of the features.
#include "cpu/isa/feature.h"

#include <array>

namespace xm::cpu {
namespace {

constexpr std::array<std::string_view, kFeatureCount> kNames = {
    "Base",
#define FEATURE(name, leaf, subleaf, reg, bit) #name,
#include "cpu/isa/features.def"
#undef FEATURE
};

constexpr std::array<FeatureBit, kFeatureCount> kBits = {{
    {0, 0, CpuidRegister::Eax, 0},
#define FEATURE(name, leaf, subleaf, reg, bit) {leaf, subleaf, CpuidRegister::reg, bit},
#include "cpu/isa/features.def"
#undef FEATURE
}};

}  // namespace

std::string_view feature_name(Feature feature) { return kNames[static_cast<unsigned>(feature)]; }
FeatureBit feature_bit(Feature feature) { return kBits[static_cast<unsigned>(feature)]; }

}  // namespace xm::cpu
