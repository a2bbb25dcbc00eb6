// SPDX-License-Identifier: GPL-2.0-or-later
// KvmVm: one virtual machine of the host's KVM [man 4 kvm; Linux Documentation/virt/kvm/api]: the descriptor chain
// /dev/kvm -> VM, memory slots, and what the host offers. Interrupt controllers and timers stay in user space, so that
// every engine sees the same devices and a running machine can change engines.
//
// Capabilities are asked for, never assumed: what is needed fails with one line, the rest is remembered in KvmFacts.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
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

enum class KvmKind : u8 {
  Hardware,  // VMX or SVM: all of the guest runs on the processor
  Software,  // neither: guest user mode runs natively, guest kernel mode is emulated by the host's kernel
};

struct KvmFacts {
  KvmKind kind = KvmKind::Hardware;
  bool read_only_memory = false;
  bool user_space_msrs = false;  // accesses to MSRs that KVM does not know come out as exits
  bool guest_debug = false;
  bool tsc_control = false;
  u64 tsc_hz = 0;  // of a vCPU's time-stamp counter, unless tsc_control changes it
};

// What /dev/kvm is made of, by the processor's feature flags.
KvmKind kind_of_host();

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
  const KvmFacts& facts() const { return facts_; }
  // Makes the slots be exactly these. Machine lock held.
  Result<void> set_memory(std::span<const MemorySlot> slots);

  // Throws away what KVM has derived from the guest's page tables: the host has written to them behind its back. Any
  // thread.
  Result<void> forget_page_tables();

  // Dirty log. While on, KVM notes which pages of RAM the vCPUs write to; take_dirty_pages() hands out those written
  // since the last call, as host addresses of 4 KiB pages, and forgets them. vCPUs parked.
  Result<void> set_dirty_log(bool on);
  std::vector<u8*> take_dirty_pages();

 private:
  KvmVm(int system, int vm, std::size_t run_size) : system_(system), vm_(vm), run_size_(run_size) {}
  void ask_capabilities();
  u64 ask_tsc_rate() const;
  Result<void> set_slot(u32 number, const MemorySlot& slot);

  int system_;
  int vm_;
  std::size_t run_size_;
  KvmFacts facts_;
  bool dirty_log_ = false;
  std::mutex slots_mutex_;
  std::vector<MemorySlot> slots_;
};

}  // namespace xm::cpu::kvm
