// SPDX-License-Identifier: GPL-2.0-or-later
// Chain: the checked view of one descriptor chain. Every buffer has been found to lie in guest memory; the device sees
// two byte streams, what the driver wrote for it and room for the answer, and cannot step outside them.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "devices/block/block_backend.h"
#include "emu/bus/guest_memory.h"

namespace xm::devices {

class Chain {
 public:
  u16 head() const { return head_; }
  u64 readable_bytes() const { return readable_bytes_; }
  u64 writable_bytes() const { return writable_bytes_; }
  const IoBuffers& readable() const { return readable_; }
  const IoBuffers& writable() const { return writable_; }

  // Copies readable bytes [offset, offset + to.size()); returns how many there were.
  u64 copy_out(u64 offset, std::span<u8> to) const { return copy(readable_, offset, to.size(), Gather{to.data()}); }
  // Copies into writable bytes from `offset`; returns how many fitted.
  u64 copy_in(u64 offset, std::span<const u8> from) const {
    return copy(writable_, offset, from.size(), Scatter{from.data()});
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  bool read_at(u64 offset, T& value) const {
    return copy_out(offset, {reinterpret_cast<u8*>(&value), sizeof value}) == sizeof value;
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  bool write_at(u64 offset, const T& value) const {
    return copy_in(offset, {reinterpret_cast<const u8*>(&value), sizeof value}) == sizeof value;
  }
  // The part [offset, offset + length) of one of the streams, as buffers; shorter if the stream ends.
  static IoBuffers slice(const IoBuffers& stream, u64 offset, u64 length);

  // Tells the CPUs about bytes the device has put into the writable stream (pages may hold decoded code).
  void report_written(bus::GuestMemory& memory, u64 written_bytes) const;

 private:
  friend class VirtQueue;
  struct GuestRange {
    GuestPhys address;
    u32 length;
  };
  struct Gather {
    u8* to;
    void operator()(std::span<u8> part) {
      std::memcpy(to, part.data(), part.size());
      to += part.size();
    }
  };
  struct Scatter {
    const u8* from;
    void operator()(std::span<u8> part) {
      std::memcpy(part.data(), from, part.size());
      from += part.size();
    }
  };
  template <class Move>
  static u64 copy(const IoBuffers& stream, u64 offset, u64 length, Move move) {
    u64 done = 0;
    for (const std::span<u8> part : stream) {
      if (offset >= part.size()) {
        offset -= part.size();
        continue;
      }
      const u64 size = std::min<u64>(part.size() - offset, length - done);
      move(part.subspan(offset, size));
      done += size;
      offset = 0;
      if (done == length) break;
    }
    return done;
  }
  void clear();

  u16 head_ = 0;
  u64 readable_bytes_ = 0;
  u64 writable_bytes_ = 0;
  IoBuffers readable_;
  IoBuffers writable_;
  std::vector<GuestRange> written_ranges_;  // guest addresses of the writable stream
};

}  // namespace xm::devices
