// SPDX-License-Identifier: GPL-2.0-or-later
// CpuModel: what kind of processor the guest sees: signature, features and topology, and the CPUID leaves that follow
// from them. Chosen by `-cpu MODEL[,+feature][,-feature][,feature=on|off]`. CPUID says only what the engines implement.
// [SDM2 CPUID]
//
// Models of AMD's differ where guests look: vendor, leaves, SYSCALL and SYSENTER. Otherwise the engines follow Intel.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/isa/feature.h"
#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::cpu {

enum class SystemFeature : u8 {
#define SYSTEM_FEATURE(name, leaf, subleaf, reg, bit) name,
#include "cpu/system/system_features.def"
#undef SYSTEM_FEATURE
  Count
};

// Timer clock of the local APIC, which leaf 15h reports as the crystal that the TSC is derived from.
inline constexpr u64 kApicTimerHz = 1'000'000'000;

enum class Vendor : u8 { Intel, Amd };

struct Topology {
  unsigned sockets = 1;
  unsigned cores = 1;    // per socket
  unsigned threads = 1;  // per core
};

struct CpuidResult {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// What CPUID reports besides the model: the state of the processor that asks.
struct CpuidContext {
  u32 apic_id = 0;
  u64 cr4 = 0;
  u64 xcr0 = 1;
  u64 xss = 0;
  u64 tsc_frequency_hz = 0;
  bool apic_enabled = true;
};

class CpuModel {
 public:
  // The default model, "xiaoma": everything that the engines implement.
  CpuModel();
  // QEMU's -cpu grammar. Unknown models and features are refused by name.
  static Result<CpuModel> parse(std::string_view specification, Topology topology = {});
  static std::vector<std::string> model_names();
  static std::vector<std::string> feature_names();

  bool has(Feature feature) const { return features_[static_cast<unsigned>(feature)]; }
  bool has(SystemFeature feature) const { return system_features_[static_cast<unsigned>(feature)]; }
  u32 signature() const { return signature_; }
  Vendor vendor() const { return vendor_; }
  const std::string& name() const { return name_; }
  unsigned physical_address_bits() const;
  u64 arch_capabilities() const;

  CpuidResult cpuid(u32 leaf, u32 subleaf, const CpuidContext& context) const;
  // Takes away every feature that `keep` refuses: what another engine of the same machine can not do.
  void narrow(const std::function<bool(const FeatureBit&)>& keep);

 private:
  friend class CpuModelBuilder;
  u32 word(u32 leaf, u32 subleaf, CpuidRegister reg) const;  // feature bits of one register
  CpuidResult basic_leaf(u32 leaf, u32 subleaf, const CpuidContext& context) const;
  CpuidResult extended_leaf(u32 leaf, const CpuidContext& context) const;
  CpuidResult vendor_leaf(u32 highest) const;
  CpuidResult brand_leaf(u32 leaf) const;
  CpuidResult version_leaf(const CpuidContext& context) const;
  CpuidResult cache_leaf(u32 subleaf) const;
  CpuidResult topology_leaf(u32 subleaf, const CpuidContext& context) const;
  CpuidResult xsave_leaf(u32 subleaf, const CpuidContext& context) const;
  CpuidResult clock_leaf(const CpuidContext& context) const;
  u32 highest_basic_leaf() const;

  std::string name_;
  std::string brand_;
  u32 signature_ = 0;
  Vendor vendor_ = Vendor::Intel;
  Topology topology_;
  unsigned phys_bits_ = 0;  // 0: what the features imply
  std::array<bool, kFeatureCount> features_{};
  std::array<bool, static_cast<unsigned>(SystemFeature::Count)> system_features_{};
};

inline bool feature_enabled(const CpuModel& model, Feature feature) { return model.has(feature); }

}  // namespace xm::cpu
