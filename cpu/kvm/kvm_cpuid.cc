// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_cpuid.h"

#include <cpuid.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cpu/kvm/kvm_lists.h"
#include "emu/base/exit_status.h"

namespace xm::cpu::kvm {

namespace {

Error failed(const char* what) {
  return {std::string("KVM is not usable: ") + what + ": " + std::strerror(errno) + "; use -accel interp",
          exit_status::kNoKvm};
}

void append(CpuidList& list, u32 leaf, u32 subleaf, bool has_subleaves, const CpuidResult& words) {
  if (list.header.count == CpuidList::kMost) return;
  kvm_cpuid_entry2& entry = list.entries[list.header.count++];
  entry = {};
  entry.function = leaf;
  entry.index = subleaf;
  entry.flags = has_subleaves ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
  entry.eax = words.eax;
  entry.ebx = words.ebx;
  entry.ecx = words.ecx;
  entry.edx = words.edx;
}

u32 subleaves_of(u32 leaf) {
  switch (leaf) {
    case 4: return 5;
    case 7: return 1;
    case 0xB: return 3;
    case 0xD: return 3;
    default: return 0;
  }
}

// DEVIATION: QEMU's TCG offers SVM to a KVM inside it, but does not intercept XSETBV: that KVM never learns the guest's
// XCR0 and loads its own idea of it at every entry, so that the guest's next XRSTOR faults (seen with QEMU 7.2). There
// the guest is told of no XSAVE and of nothing that needs it.
bool host_is_qemu_tcg() {
  constexpr unsigned kHypervisorLeaf = 0x40000000, kHypervisorBit = 31;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __cpuid(1, eax, ebx, ecx, edx);
  if ((ecx >> kHypervisorBit & 1) == 0) return false;
  unsigned signature[3] = {};
  __cpuid(kHypervisorLeaf, eax, signature[0], signature[1], signature[2]);
  return std::memcmp(signature, "TCGTCGTCGTCG", sizeof signature) == 0;
}

bool needs_xsave(const FeatureBit& where) {
  if (where.leaf == 0xD) return true;
  if (where.leaf == 1 && where.reg == CpuidRegister::Ecx)  // FMA, XSAVE, AVX, F16C
    return where.bit == 12 || where.bit == 26 || where.bit == 28 || where.bit == 29;
  if (where.leaf != 7) return false;
  // AVX2; VAES and VPCLMULQDQ
  return where.reg == CpuidRegister::Ebx ? where.bit == 5
                                         : where.reg == CpuidRegister::Ecx && (where.bit == 9 || where.bit == 10);
}

}  // namespace

Result<void> narrow_model(const KvmVm& vm, CpuModel& model) {
  const auto list = std::make_unique<CpuidList>();
  if (::ioctl(vm.system_fd(), kGetSupportedCpuid, list.get()) != 0) return failed("KVM_GET_SUPPORTED_CPUID");
  const bool without_xsave = host_is_qemu_tcg();
  model.narrow([&](const FeatureBit& where) {
    if (without_xsave && needs_xsave(where)) return false;
    // The local APIC is ours, and so is what it can do; but KVM swallows writes to the TSC deadline of an APIC that it
    // does not have, and x2APIC needs its MSRs as exits.
    if (where.leaf == 1 && where.reg == CpuidRegister::Ecx) {
      constexpr u8 kX2Apic = 21, kTscDeadline = 24, kHypervisor = 31;
      if (where.bit == kX2Apic) return vm.facts().user_space_msrs;
      if (where.bit == kTscDeadline) return false;
      if (where.bit == kHypervisor) return true;
    }
    for (u32 i = 0; i < list->header.count; i++) {
      const kvm_cpuid_entry2& entry = list->entries[i];
      if (entry.function != where.leaf || entry.index != where.subleaf) continue;
      const u32 words[] = {entry.eax, entry.ebx, entry.ecx, entry.edx};
      return (words[static_cast<unsigned>(where.reg)] >> where.bit & 1) != 0;
    }
    return where.leaf == 6;  // ARAT is a promise of our own timer
  });
  return {};
}

Result<void> set_cpuid(const KvmVm&, int vcpu_fd, const CpuModel& model, const CpuidContext& context) {
  const auto list = std::make_unique<CpuidList>();
  list->header.count = 0;
  const auto range = [&](u32 first, u32 last) {
    for (u32 leaf = first; leaf <= last; leaf++) {
      const u32 subleaves = subleaves_of(leaf);
      for (u32 subleaf = 0; subleaf < std::max(1u, subleaves); subleaf++)
        append(*list, leaf, subleaf, subleaves != 0, model.cpuid(leaf, subleaf, context));
    }
  };
  const u32 highest = std::min(model.cpuid(0, 0, context).eax, 0x20u);
  range(0, model.has(Feature::Xsave) ? highest : std::min(highest, 0xCu));
  // KVM takes and gives vector registers only of components that this leaf tells of, also to guests without XSAVE.
  constexpr u32 kXsaveLeaf = 0xD, kX87SseAvx = 7, kAreaBytes = 832;
  if (!model.has(Feature::Xsave))
    append(*list, kXsaveLeaf, 0, true, {.eax = kX87SseAvx, .ebx = kAreaBytes, .ecx = kAreaBytes, .edx = 0});
  if (model.has(SystemFeature::Hypervisor)) range(0x40000000, 0x40000010);
  range(0x80000000, std::clamp(model.cpuid(0x80000000, 0, context).eax, 0x80000000, 0x80000008));
  if (::ioctl(vcpu_fd, kSetCpuid2, list.get()) != 0) return failed("KVM_SET_CPUID2");
  return {};
}

}  // namespace xm::cpu::kvm
