// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/queue.h"

#include <atomic>

#include "devices/block/guest_buffers.h"
#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u16 kNext = 1, kWrite = 2, kIndirect = 4;  // descriptor flags
constexpr u16 kNoInterrupt = 1;                      // available ring flags
constexpr u16 kNoNotify = 1;                         // used ring flags
constexpr u64 kLegacyAlign = 4096;

u64 available_event_offset(u16 size) { return 4 + u64{size} * 8; }  // in the used ring
u64 used_event_offset(u16 size) { return 4 + u64{size} * 2; }       // in the available ring

}  // namespace

IoBuffers Chain::slice(const IoBuffers& stream, u64 offset, u64 length) {
  IoBuffers part_list;
  for (const std::span<u8> part : stream) {
    if (offset >= part.size()) {
      offset -= part.size();
      continue;
    }
    const u64 size = std::min<u64>(part.size() - offset, length);
    if (size == 0) break;
    part_list.push_back(part.subspan(offset, size));
    length -= size;
    offset = 0;
  }
  return part_list;
}

void Chain::report_written(bus::GuestMemory& memory, u64 written_bytes) const {
  for (const GuestRange& range : written_ranges_) {
    const u64 size = std::min<u64>(range.length, written_bytes);
    if (size == 0) return;
    memory.wrote(range.address, size);
    written_bytes -= size;
  }
}

void Chain::clear() {
  readable_bytes_ = writable_bytes_ = 0;
  readable_.clear();
  writable_.clear();
  written_ranges_.clear();
}

void VirtQueue::reset(u16 size) {
  *this = VirtQueue();
  max_size_ = size_ = size;
}

void VirtQueue::exchange(bus::Archive& archive) {
  archive.begin("queue");
  archive.field("size", size_);
  archive.field("enabled", enabled_);
  archive.field("event_index", event_index_);
  archive.field("notifications", notifications_);
  archive.field("vector", vector_);
  archive.field("descriptors", descriptors_);
  archive.field("available", available_);
  archive.field("used", used_);
  archive.field("next_available", next_available_);
  archive.field("next_used", next_used_);
  archive.field("signalled_used", signalled_used_);
  archive.field("signalled_valid", signalled_valid_);
  bool is_broken = broken();
  archive.field("broken", is_broken);
  if (archive.loading()) broken_ = is_broken ? "was broken when saved" : nullptr;
  archive.end();
}

bool VirtQueue::set_size(u16 size) {
  if (size == 0 || size > max_size_ || (size & (size - 1)) != 0) return false;
  size_ = size;
  return true;
}

void VirtQueue::set_addresses(GuestPhys descriptors, GuestPhys available, GuestPhys used) {
  descriptors_ = descriptors;
  available_ = available;
  used_ = used;
}

void VirtQueue::set_legacy_address(GuestPhys base) {
  const GuestPhys available = base + u64{size_} * sizeof(Descriptor);
  const GuestPhys used{align_up(available.value + used_event_offset(size_) + 2, kLegacyAlign)};
  set_addresses(base, available, used);
}

bool VirtQueue::empty(bus::GuestMemory& memory) const {
  if (!enabled_ || broken()) return true;
  return memory.load<u16>(available_ + 2) == next_available_;
}

bool VirtQueue::pop(bus::GuestMemory& memory, Chain& chain) {
  if (!enabled_ || broken() || size_ == 0) return false;
  const u16 index = memory.load<u16>(available_ + 2);
  const auto waiting = static_cast<u16>(index - next_available_);
  if (waiting == 0) return false;
  if (waiting > size_) return fail("available index is ahead by more than the queue's size");
  // The ring entry and the chain were written before the index that published them.
  std::atomic_thread_fence(std::memory_order_acquire);
  const u16 head = memory.load<u16>(available_ + (4 + 2 * u64{static_cast<u16>(next_available_ & (size_ - 1))}));
  if (head >= size_) return fail("head index is outside the descriptor table");
  chain.clear();
  chain.head_ = head;
  if (!walk(memory, chain)) return false;
  next_available_++;
  if (event_index_ && notifications_) {
    memory.store(used_ + available_event_offset(size_), next_available_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return true;
}

// Follows the chain from its head. A table of n entries allows n steps, so loops end [VIRTIO 2.7.5].
bool VirtQueue::walk(bus::GuestMemory& memory, Chain& chain) {
  Table table{descriptors_, size_};
  bool indirect = false;
  u32 index = chain.head_;
  for (u32 steps = 0; steps < table.count; steps++) {
    const auto descriptor = memory.load<Descriptor>(table.base + u64{index} * sizeof(Descriptor));
    if ((descriptor.flags & kIndirect) != 0) {
      if (indirect) return fail("indirect descriptor inside an indirect table");
      if ((descriptor.flags & kNext) != 0) return fail("indirect descriptor with a successor");
      const u32 count = descriptor.length / sizeof(Descriptor);
      if (descriptor.length % sizeof(Descriptor) != 0 || count == 0 || count > 65536) {
        return fail("indirect table of an impossible size");
      }
      if (memory.window(GuestPhys{descriptor.address}, 1, false).empty()) return fail("indirect table outside memory");
      indirect = true;
      table = {GuestPhys{descriptor.address}, count};
      index = 0;
      steps = ~u32{0};  // the count starts again at 0
      continue;
    }
    if (!add_buffer(memory, chain, descriptor)) return false;
    if ((descriptor.flags & kNext) == 0) return true;
    index = descriptor.next;
    if (index >= table.count) return fail("next index is outside the table");
  }
  return fail("descriptor chain has a loop");
}

bool VirtQueue::add_buffer(bus::GuestMemory& memory, Chain& chain, const Descriptor& descriptor) {
  const GuestPhys address{descriptor.address};
  if ((descriptor.flags & kWrite) != 0) {
    if (!append_guest_buffers(memory, address, descriptor.length, true, chain.writable_)) {
      return fail("buffer outside memory");
    }
    chain.writable_bytes_ += descriptor.length;
    chain.written_ranges_.push_back({address, descriptor.length});
    return true;
  }
  if (chain.writable_bytes_ != 0) return fail("readable buffer after a writable one");
  if (!append_guest_buffers(memory, address, descriptor.length, false, chain.readable_)) {
    return fail("buffer outside memory");
  }
  chain.readable_bytes_ += descriptor.length;
  return true;
}

void VirtQueue::push(bus::GuestMemory& memory, const Chain& chain, u32 written) {
  stage(memory, chain, written);
  publish(memory);
}

void VirtQueue::stage(bus::GuestMemory& memory, const Chain& chain, u32 written) {
  if (!enabled_ || size_ == 0) return;
  chain.report_written(memory, written);
  struct {
    u32 id;
    u32 length;
  } const element{chain.head_, written};
  const u16 slot = static_cast<u16>(next_used_ + staged_) & static_cast<u16>(size_ - 1);
  memory.store(used_ + (4 + u64{slot} * sizeof element), element);
  staged_++;
}

void VirtQueue::publish(bus::GuestMemory& memory) {
  if (staged_ == 0) return;
  // The elements must be visible before the index that publishes them.
  std::atomic_thread_fence(std::memory_order_release);
  const u16 before = next_used_;
  next_used_ = static_cast<u16>(next_used_ + staged_);
  memory.store(used_ + 2, next_used_);
  // An index that has gone all the way round since the last interrupt says nothing about the driver's event any more.
  if (static_cast<u16>(next_used_ - signalled_used_) < static_cast<u16>(next_used_ - before)) signalled_valid_ = false;
  staged_ = 0;
}

// [VIRTIO 2.7.7, 2.7.8]: with event index, interrupt when the used index passes the driver's used_event.
bool VirtQueue::take_interrupt_need(bus::GuestMemory& memory) {
  if (!enabled_ || size_ == 0) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const u16 old = signalled_used_;
  const bool valid = signalled_valid_;
  if (valid && old == next_used_) return false;
  signalled_used_ = next_used_;
  signalled_valid_ = true;
  if (!event_index_) return (memory.load<u16>(available_) & kNoInterrupt) == 0;
  const u16 event = memory.load<u16>(available_ + used_event_offset(size_));
  return !valid || static_cast<u16>(next_used_ - event - 1) < static_cast<u16>(next_used_ - old);
}

void VirtQueue::set_notifications(bus::GuestMemory& memory, bool on) {
  if (!enabled_ || size_ == 0) return;
  notifications_ = on;
  if (event_index_) {
    if (on) memory.store(used_ + available_event_offset(size_), next_available_);
  } else {
    memory.store(used_, on ? u16{0} : kNoNotify);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace xm::devices
