// SPDX-License-Identifier: GPL-2.0-or-later
// KvmVm: one virtual machine of the host's KVM [man 4 kvm; Linux Documentation/virt/kvm/api]: the descriptor chain
// /dev/kvm -> VM, memory slots, and what the host offers. Interrupt controllers and timers stay in user space, so that
// every engine sees the same devices and a running machine can change engines.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::cpu::kvm {

// A run of guest-physical memory backed by host memory.
struct MemorySlot {
  u64 guest_physical = 0;
  u64 size_bytes = 0;
  u8* host = nullptr;
  bool read_only = false;
  bool operator==(const MemorySlot&) const = default;
};

class KvmVm {
 public:
  // Fails with one line that says what the host lacks (exit status 126).
  static Result<std::unique_ptr<KvmVm>> create();
  ~KvmVm();
  KvmVm(const KvmVm&) = delete;
  KvmVm& operator=(const KvmVm&) = delete;

  int fd() const { return vm_; }
  int system_fd() const { return system_; }
  std::size_t run_size() const { return run_size_; }
  // Makes the slots be exactly these. Machine lock held.
  void set_memory(std::span<const MemorySlot> slots);

 private:
  KvmVm(int system, int vm, std::size_t run_size) : system_(system), vm_(vm), run_size_(run_size) {}
  void set_slot(u32 number, const MemorySlot& slot);

  int system_;
  int vm_;
  std::size_t run_size_;
  std::vector<MemorySlot> slots_;
};

}  // namespace xm::cpu::kvm
