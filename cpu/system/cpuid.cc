// SPDX-License-Identifier: GPL-2.0-or-later
// CPUID leaves.
#include "cpu/system/cpuid.h"

#include <bit>
#include <cstring>
#include <numeric>

#include "cpu/state/cpu_state.h"
#include "cpu/system/xsave_layout.h"
#include "emu/base/bits.h"

namespace xm::cpu {

namespace {

constexpr u32 kHighestExtended = 0x80000008;
constexpr u32 kHypervisorBase = 0x40000000;
constexpr u32 kHypervisorTiming = 0x40000010;
constexpr u32 kLogicalAddressBits = 48;
constexpr u32 kAmdCommonFeatures = 0x0183F3FF;  // leaf 1 EDX bits that AMD repeats in leaf 80000001h

constexpr FeatureBit kSystemBits[] = {
#define SYSTEM_FEATURE(name, leaf, subleaf, reg, bit) {leaf, subleaf, CpuidRegister::reg, bit},
#include "cpu/system/system_features.def"
#undef SYSTEM_FEATURE
};

bool matches(const FeatureBit& where, u32 leaf, u32 subleaf, CpuidRegister reg) {
  return where.leaf == leaf && where.subleaf == subleaf && where.reg == reg;
}

unsigned bits_for(unsigned count) { return count <= 1 ? 0 : std::bit_width(count - 1); }

// Four characters as a register holds them.
u32 characters(const char* text) { return load_le<u32>(text); }

}  // namespace

unsigned CpuModel::physical_address_bits() const {
  if (phys_bits_ != 0) return phys_bits_;
  return has(Feature::Lm) ? 40 : has(SystemFeature::Pse36) ? 36 : 32;
}

u64 CpuModel::arch_capabilities() const {
  // An interpreter does not speculate: none of the transient-execution bugs that have a bit here exist. IBRS_ALL tells
  // guests that SPEC_CTRL alone is enough, so that they compile no retpolines in. [SDM4 table 2-2, MSR 10Ah]
  constexpr unsigned kBits[] = {0, 1, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27};
  u64 value = bit(62);
  for (const unsigned n : kBits) value |= bit(n);
  return value;
}

u32 CpuModel::word(u32 leaf, u32 subleaf, CpuidRegister reg) const {
  u32 value = 0;
  for (unsigned i = 1; i < kFeatureCount; ++i) {
    const FeatureBit where = feature_bit(static_cast<Feature>(i));
    if (features_[i] && matches(where, leaf, subleaf, reg)) value |= 1u << where.bit;
  }
  for (unsigned i = 0; i < std::size(kSystemBits); ++i)
    if (system_features_[i] && matches(kSystemBits[i], leaf, subleaf, reg)) value |= 1u << kSystemBits[i].bit;
  return value;
}

void CpuModel::narrow(const std::function<bool(const FeatureBit&)>& keep) {
  for (unsigned i = 1; i < kFeatureCount; ++i)
    features_[i] = features_[i] && keep(feature_bit(static_cast<Feature>(i)));
  for (unsigned i = 0; i < std::size(kSystemBits); ++i)
    system_features_[i] = system_features_[i] && keep(kSystemBits[i]);
}

CpuidResult CpuModel::vendor_leaf(u32 highest) const {
  if (vendor_ == Vendor::Amd)
    return {.eax = highest, .ebx = characters("Auth"), .ecx = characters("cAMD"), .edx = characters("enti")};
  return {.eax = highest, .ebx = characters("Genu"), .ecx = characters("ntel"), .edx = characters("ineI")};
}

u32 CpuModel::highest_basic_leaf() const {
  if (vendor_ == Vendor::Amd) return has(Feature::Xsave) ? 0xD : 1;
  if (has(Feature::Fsgsbase) || has(Feature::Xsave)) return 0x16;
  if (has(SystemFeature::X2apic)) return 0xB;
  if (has(Feature::Sse3)) return 6;
  return has(Feature::Sse) ? 2 : 1;
}

CpuidResult CpuModel::version_leaf(const CpuidContext& context) const {
  const u32 logical = topology_.cores * topology_.threads;
  CpuidResult result;
  result.eax = signature_;
  result.ebx = context.apic_id << 24 | (logical & 0xFF) << 16 | (has(Feature::Clfsh) ? 8u << 8 : 0);
  result.ecx = word(1, 0, CpuidRegister::Ecx);
  if (has(Feature::Xsave) && (context.cr4 & cr4::kOsxsave) != 0) result.ecx |= 1u << 27;
  result.edx = word(1, 0, CpuidRegister::Edx);
  if (logical > 1) result.edx |= 1u << 28;  // HTT: EBX[23:16] counts
  if (!context.apic_enabled) result.edx &= ~(1u << 9);
  return result;
}

CpuidResult CpuModel::cache_leaf(u32 subleaf) const {
  // type, level, ways, sets, shared by: 32K L1D, 32K L1I, 2M L2, 16M L3, 64-byte lines.
  struct Cache {
    u32 type, level, ways, sets;
    bool package;
  };
  constexpr Cache kCaches[] = {
      {1, 1, 8, 64, false}, {2, 1, 8, 64, false}, {3, 2, 16, 2048, false}, {3, 3, 16, 16384, true}};
  if (subleaf >= std::size(kCaches)) return {};
  const Cache& cache = kCaches[subleaf];
  const u32 logical = topology_.cores * topology_.threads;
  const u32 sharing = (1u << bits_for(cache.package ? logical : topology_.threads)) - 1;
  const u32 cores = (1u << bits_for(topology_.cores)) - 1;
  return {.eax = cache.type | cache.level << 5 | 1u << 8 | sharing << 14 | cores << 26,
          .ebx = 63 | (cache.ways - 1) << 22,
          .ecx = cache.sets - 1,
          .edx = 0};
}

CpuidResult CpuModel::topology_leaf(u32 subleaf, const CpuidContext& context) const {
  const unsigned thread_bits = bits_for(topology_.threads);
  const unsigned package_bits = thread_bits + bits_for(topology_.cores);
  CpuidResult result{.eax = 0, .ebx = 0, .ecx = subleaf & 0xFF, .edx = context.apic_id};
  if (subleaf == 0) {
    result.eax = thread_bits;
    result.ebx = topology_.threads;
    result.ecx |= 1u << 8;
  } else if (subleaf == 1) {
    result.eax = package_bits;
    result.ebx = topology_.threads * topology_.cores;
    result.ecx |= 2u << 8;
  }
  return result;
}

CpuidResult CpuModel::xsave_leaf(u32 subleaf, const CpuidContext& context) const {
  if (!has(Feature::Xsave)) return {};
  const u64 supported = has(Feature::Avx) ? 7 : 3;
  if (subleaf == 0)
    return {.eax = static_cast<u32>(supported),
            .ebx = system::xsave_standard_size(context.xcr0),
            .ecx = system::xsave_standard_size(supported),
            .edx = 0};
  if (subleaf == 1)
    return {.eax = word(13, 1, CpuidRegister::Eax),
            .ebx = has(Feature::Xsavec) ? system::xsave_compacted_size(context.xcr0 | context.xss) : 0,
            .ecx = 0,
            .edx = 0};
  if (subleaf == 2 && has(Feature::Avx))
    return {.eax = system::kAvxStateSize, .ebx = system::kAvxStateOffset, .ecx = 0, .edx = 0};
  return {};
}

// TSC = crystal * EBX / EAX, and the crystal's frequency: guests take both clocks from here and calibrate nothing.
CpuidResult CpuModel::clock_leaf(const CpuidContext& context) const {
  if (context.tsc_frequency_hz == 0) return {};
  const u64 divisor = std::gcd(context.tsc_frequency_hz, kApicTimerHz);
  const u64 numerator = context.tsc_frequency_hz / divisor;
  if (numerator > 0xFFFFFFFF) return {};
  return {.eax = static_cast<u32>(kApicTimerHz / divisor),
          .ebx = static_cast<u32>(numerator),
          .ecx = static_cast<u32>(kApicTimerHz),
          .edx = 0};
}

CpuidResult CpuModel::basic_leaf(u32 leaf, u32 subleaf, const CpuidContext& context) const {
  switch (leaf) {
    case 0: return vendor_leaf(highest_basic_leaf());
    case 1: return version_leaf(context);
    case 2:
      if (vendor_ == Vendor::Amd) return {};
      return {.eax = 0x00FEFF01, .ebx = 0x000000F0, .ecx = 0, .edx = 0};  // leaf 4 tells of the caches
    case 4: return vendor_ == Vendor::Amd ? CpuidResult{} : cache_leaf(subleaf);
    case 5: return has(Feature::Monitor) ? CpuidResult{.eax = 64, .ebx = 64, .ecx = 3, .edx = 0} : CpuidResult{};
    case 6: return {.eax = word(6, 0, CpuidRegister::Eax), .ebx = 0, .ecx = 0, .edx = 0};
    case 7:
      if (subleaf != 0) return {};
      return {.eax = 0,
              .ebx = word(7, 0, CpuidRegister::Ebx),
              .ecx = word(7, 0, CpuidRegister::Ecx),
              .edx = word(7, 0, CpuidRegister::Edx)};
    case 0xB: return has(SystemFeature::X2apic) ? topology_leaf(subleaf, context) : CpuidResult{};
    case 0xD: return xsave_leaf(subleaf, context);
    case 0x15: return clock_leaf(context);
    case 0x16: {
      const u32 mhz = static_cast<u32>(context.tsc_frequency_hz / 1'000'000);
      return {.eax = mhz & 0xFFFF, .ebx = mhz & 0xFFFF, .ecx = 100, .edx = 0};
    }
    default: return {};
  }
}

CpuidResult CpuModel::brand_leaf(u32 leaf) const {
  char text[48] = {};
  std::memcpy(text, brand_.data(), std::min(brand_.size(), sizeof text - 1));
  const char* part = text + (leaf - 0x80000002) * 16;
  return {
      .eax = characters(part), .ebx = characters(part + 4), .ecx = characters(part + 8), .edx = characters(part + 12)};
}

CpuidResult CpuModel::extended_leaf(u32 leaf, const CpuidContext& context) const {
  const bool amd = vendor_ == Vendor::Amd;
  switch (leaf) {
    case 0x80000000: {
      if (amd) return vendor_leaf(kHighestExtended);
      return {.eax = kHighestExtended, .ebx = 0, .ecx = 0, .edx = 0};
    }
    case 0x80000001: {
      CpuidResult result{
          .eax = 0, .ebx = 0, .ecx = word(leaf, 0, CpuidRegister::Ecx), .edx = word(leaf, 0, CpuidRegister::Edx)};
      if (!amd) return result;
      result.eax = signature_;
      result.edx |= version_leaf(context).edx & kAmdCommonFeatures;
      if (topology_.cores * topology_.threads > 1) result.ecx |= 2;  // CmpLegacy
      return result;
    }
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: return brand_leaf(leaf);
    case 0x80000005:  // 32 KiB L1, 8 ways, 64-byte lines, and TLBs
      return amd ? CpuidResult{.eax = 0xFF40FF40, .ebx = 0xFF40FF40, .ecx = 0x20080140, .edx = 0x20080140}
                 : CpuidResult{};
    case 0x80000006: return {.eax = 0, .ebx = 0, .ecx = 2048u << 16 | 8u << 12 | (amd ? 1u << 8 : 0) | 64, .edx = 0};
    case 0x80000007: return {.eax = 0, .ebx = 0, .ecx = 0, .edx = word(leaf, 0, CpuidRegister::Edx)};
    case 0x80000008: {
      const u32 linear = has(Feature::Lm) ? kLogicalAddressBits : 32;
      const u32 logical = topology_.cores * topology_.threads;
      return {.eax = physical_address_bits() | linear << 8,
              .ebx = word(leaf, 0, CpuidRegister::Ebx),
              .ecx = amd ? (logical - 1) | bits_for(logical) << 12 : 0,
              .edx = 0};
    }
    default: return {};
  }
}

CpuidResult CpuModel::cpuid(u32 leaf, u32 subleaf, const CpuidContext& context) const {
  if (leaf >= 0x80000000 && leaf <= kHighestExtended) return extended_leaf(leaf, context);
  if (has(SystemFeature::Hypervisor) && leaf >= kHypervisorBase && leaf <= kHypervisorTiming) {
    if (leaf == kHypervisorBase)
      return {
          .eax = kHypervisorTiming, .ebx = characters("Xiao"), .ecx = characters("maXi"), .edx = characters("aoma")};
    if (leaf == kHypervisorTiming)
      return {.eax = static_cast<u32>(context.tsc_frequency_hz / 1000),
              .ebx = static_cast<u32>(kApicTimerHz / 1000),
              .ecx = 0,
              .edx = 0};
    return {};
  }
  // Beyond the last leaf Intel's processors answer as for the highest basic one.
  const u32 highest = highest_basic_leaf();
  return basic_leaf(leaf <= highest ? leaf : highest, subleaf, context);
}

}  // namespace xm::cpu
