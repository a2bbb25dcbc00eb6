// SPDX-License-Identifier: GPL-2.0-or-later
// The KVM requests that carry a list, or the XSAVE image. linux/kvm.h declares them with flexible arrays in a way that
// gives other offsets and sizes in C++ than in C, and so other ioctl numbers; these are the kernel's
// [KVM API 4.19, 4.20, 4.42, 4.43, 4.46].
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "emu/base/types.h"

namespace xm::cpu::kvm {

struct ListHeader {
  u32 count;
  u32 padding;
};

struct CpuidList {
  static constexpr u32 kMost = 256;
  ListHeader header{kMost, 0};
  kvm_cpuid_entry2 entries[kMost];
};
static_assert(sizeof(kvm_cpuid_entry2) == 40);

struct MsrRequest {
  ListHeader header{1, 0};
  kvm_msr_entry entry{};
};
static_assert(sizeof(MsrRequest) == 24);

struct MsrList {
  static constexpr u32 kMost = 64;
  ListHeader header{0, 0};
  kvm_msr_entry entries[kMost];
};

struct XsaveImage {
  u8 bytes[4096];
};

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, ListHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, ListHeader);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, ListHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, ListHeader);
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xA4, XsaveImage);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xA5, XsaveImage);

}  // namespace xm::cpu::kvm
