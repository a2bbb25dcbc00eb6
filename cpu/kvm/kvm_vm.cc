// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_vm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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
  static constexpr std::pair<int, const char*> kNeeded[] = {{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
                                                            {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
                                                            {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
                                                            {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"}};
  for (const auto& [capability, name] : kNeeded) {
    if (::ioctl(vm, KVM_CHECK_EXTENSION, capability) <= 0) {
      ::close(vm);
      ::close(system);
      return no_kvm(name, "not offered by this host");
    }
  }
  // Hosts that need neither answer with an error that does not matter.
  u64 identity = kIdentityMapAddress;
  static_cast<void>(::ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity));
  static_cast<void>(::ioctl(vm, KVM_SET_TSS_ADDR, kTssAddress));
  return std::unique_ptr<KvmVm>(new KvmVm(system, vm, static_cast<std::size_t>(run_size)));
}

KvmVm::~KvmVm() {
  ::close(vm_);
  ::close(system_);
}

void KvmVm::set_slot(u32 number, const MemorySlot& slot) {
  kvm_userspace_memory_region region{};
  region.slot = number;
  region.flags = slot.read_only ? KVM_MEM_READONLY : 0;
  region.guest_phys_addr = slot.guest_physical;
  region.memory_size = slot.size_bytes;
  region.userspace_addr = reinterpret_cast<u64>(slot.host);
  static_cast<void>(::ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region));
}

// A slot can not be changed in place, and slots must not overlap at any moment: first take away what went, then add.
void KvmVm::set_memory(std::span<const MemorySlot> slots) {
  for (u32 i = 0; i < slots_.size(); i++) {
    if (slots_[i].size_bytes == 0 || std::find(slots.begin(), slots.end(), slots_[i]) != slots.end()) continue;
    set_slot(i, {.guest_physical = slots_[i].guest_physical, .size_bytes = 0, .host = slots_[i].host});
    slots_[i] = {};
  }
  for (const MemorySlot& slot : slots) {
    if (std::find(slots_.begin(), slots_.end(), slot) != slots_.end()) continue;
    auto free = std::find_if(slots_.begin(), slots_.end(), [](const MemorySlot& old) { return old.size_bytes == 0; });
    if (free == slots_.end()) free = slots_.insert(slots_.end(), MemorySlot{});
    *free = slot;
    set_slot(static_cast<u32>(free - slots_.begin()), slot);
  }
}

}  // namespace xm::cpu::kvm
