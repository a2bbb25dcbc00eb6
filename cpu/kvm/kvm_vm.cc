// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_vm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "emu/base/exit_status.h"

namespace xm::cpu::kvm {

namespace {

// Three pages for the TSS and one for the identity map that Intel hosts without unrestricted guests need; below the
// BIOS at the top of 4 GiB, where the machine has nothing.
constexpr u64 kIdentityMapAddress = 0xFEFFC000;
constexpr u64 kTssAddress = 0xFEFFD000;

Error no_kvm(const std::string& what, const char* why) {
  return {"KVM is not usable: " + what + ": " + why + "; use -accel interp", exit_status::kNoKvm};
}

}  // namespace

KvmKind kind_of_host() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    line += ' ';
    const bool hardware = line.find(" vmx ") != std::string::npos || line.find(" svm ") != std::string::npos;
    return hardware ? KvmKind::Hardware : KvmKind::Software;
  }
  return KvmKind::Software;
}

Result<std::unique_ptr<KvmVm>> KvmVm::create() {
  const int system = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (system < 0) return no_kvm("/dev/kvm", std::strerror(errno));
  const int version = ::ioctl(system, KVM_GET_API_VERSION, 0);
  const int run_size = ::ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0);
  const int vm = version == KVM_API_VERSION ? ::ioctl(system, KVM_CREATE_VM, 0) : -1;
  if (vm < 0 || run_size <= 0) {
    const Error error = no_kvm("KVM_CREATE_VM", version == KVM_API_VERSION ? std::strerror(errno) : "API version");
    ::close(system);
    return error;
  }
  std::unique_ptr<KvmVm> made(new KvmVm(system, vm, static_cast<std::size_t>(run_size)));
  static constexpr std::pair<int, const char*> kNeeded[] = {{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
                                                            {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
                                                            {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
                                                            {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
                                                            {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
                                                            {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"}};
  for (const auto& [capability, name] : kNeeded) {
    if (::ioctl(vm, KVM_CHECK_EXTENSION, capability) <= 0) return no_kvm(name, "not offered by this host");
  }
  // Hosts that need neither answer with an error that does not matter.
  u64 identity = kIdentityMapAddress;
  static_cast<void>(::ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity));
  static_cast<void>(::ioctl(vm, KVM_SET_TSS_ADDR, kTssAddress));
  made->ask_capabilities();
  return made;
}

// Only a vCPU can tell: one of a machine that is thrown away.
u64 KvmVm::ask_tsc_rate() const {
  const int vm = ::ioctl(system_, KVM_CREATE_VM, 0);
  const int vcpu = vm < 0 ? -1 : ::ioctl(vm, KVM_CREATE_VCPU, 0);
  const int khz = vcpu < 0 ? 0 : ::ioctl(vcpu, KVM_GET_TSC_KHZ);
  if (vcpu >= 0) ::close(vcpu);
  if (vm >= 0) ::close(vm);
  return khz > 0 ? static_cast<u64>(khz) * 1000 : 0;
}

void KvmVm::ask_capabilities() {
  const auto has = [&](int capability) { return ::ioctl(vm_, KVM_CHECK_EXTENSION, capability); };
  facts_.kind = kind_of_host();
  facts_.read_only_memory = has(KVM_CAP_READONLY_MEM) > 0;
  facts_.guest_debug = has(KVM_CAP_SET_GUEST_DEBUG) > 0;
  facts_.tsc_control = has(KVM_CAP_TSC_CONTROL) > 0;
  // Our local APIC has x2APIC registers and a TSC deadline that KVM, which has no APIC here, does not know.
  if ((has(KVM_CAP_X86_USER_SPACE_MSR) & KVM_MSR_EXIT_REASON_INVAL) != 0) {
    kvm_enable_cap enable{};
    enable.cap = KVM_CAP_X86_USER_SPACE_MSR;
    enable.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN;
    facts_.user_space_msrs = ::ioctl(vm_, KVM_ENABLE_CAP, &enable) == 0;
  }
  facts_.tsc_hz = ask_tsc_rate();
}

KvmVm::~KvmVm() {
  ::close(vm_);
  ::close(system_);
}

Result<void> KvmVm::set_slot(u32 number, const MemorySlot& slot) {
  kvm_userspace_memory_region region{};
  region.slot = number;
  region.flags =
      (slot.read_only ? KVM_MEM_READONLY : 0) | (dirty_log_ && !slot.read_only ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  region.guest_phys_addr = slot.guest_physical;
  region.memory_size = slot.size_bytes;
  region.userspace_addr = reinterpret_cast<u64>(slot.host);
  if (::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) == 0) return {};
  return no_kvm("KVM_SET_USER_MEMORY_REGION", std::strerror(errno));
}

// A slot can not be changed in place, and slots must not overlap at any moment: first take away what went, then add.
Result<void> KvmVm::set_memory(std::span<const MemorySlot> slots) {
  const std::scoped_lock lock(slots_mutex_);
  for (u32 i = 0; i < slots_.size(); i++) {
    if (slots_[i].size_bytes == 0 || std::find(slots.begin(), slots.end(), slots_[i]) != slots.end()) continue;
    TRY(set_slot(i, {.guest_physical = slots_[i].guest_physical, .size_bytes = 0, .host = slots_[i].host}));
    slots_[i] = {};
  }
  for (const MemorySlot& slot : slots) {
    if (std::find(slots_.begin(), slots_.end(), slot) != slots_.end()) continue;
    auto free = std::find_if(slots_.begin(), slots_.end(), [](const MemorySlot& old) { return old.size_bytes == 0; });
    if (free == slots_.end()) free = slots_.insert(slots_.end(), MemorySlot{});
    *free = slot;
    TRY(set_slot(static_cast<u32>(free - slots_.begin()), slot));
  }
  return {};
}

// What KVM has derived from a memory slot goes away with it.
Result<void> KvmVm::forget_page_tables() {
  const std::scoped_lock lock(slots_mutex_);
  for (u32 i = 0; i < slots_.size(); i++) {
    if (slots_[i].size_bytes == 0 || slots_[i].read_only) continue;
    MemorySlot gone = slots_[i];
    gone.size_bytes = 0;
    TRY(set_slot(i, gone));
    TRY(set_slot(i, slots_[i]));
  }
  return {};
}

Result<void> KvmVm::set_dirty_log(bool on) {
  dirty_log_ = on;
  for (u32 i = 0; i < slots_.size(); i++) {
    if (slots_[i].size_bytes != 0 && !slots_[i].read_only) TRY(set_slot(i, slots_[i]));
  }
  return {};
}

std::vector<u8*> KvmVm::take_dirty_pages() {
  std::vector<u8*> pages;
  std::vector<u64> bitmap;
  for (u32 i = 0; i < slots_.size(); i++) {
    const MemorySlot& slot = slots_[i];
    if (slot.size_bytes == 0 || slot.read_only) continue;
    bitmap.assign((slot.size_bytes / kPageSize + 63) / 64, 0);
    kvm_dirty_log log{};
    log.slot = i;
    log.dirty_bitmap = bitmap.data();
    if (::ioctl(vm_, KVM_GET_DIRTY_LOG, &log) != 0) continue;
    for (std::size_t word = 0; word < bitmap.size(); word++) {
      for (u64 left = bitmap[word]; left != 0; left &= left - 1) {
        pages.push_back(slot.host + (word * 64 + static_cast<unsigned>(std::countr_zero(left))) * kPageSize);
      }
    }
  }
  return pages;
}

}  // namespace xm::cpu::kvm
