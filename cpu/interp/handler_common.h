// SPDX-License-Identifier: GPL-2.0-or-later
// What the integer handlers share: registers by byte offset, effective addresses, memory operands.
//
// Memory handlers come in forms by how their address is made (Address). Those of flat modes probe the level-1 TLB in
// line and, on a miss, become the Any form of themselves, which does everything by Vcpu's checked accesses.
#pragma once

#include "cpu/interp/block.h"

namespace xm::cpu::interp {

enum class Address : u8 {
  Base,  // flat 64-bit: base + displacement
  Full,  // flat 64-bit: base + index * scale + displacement
  Any,   // any segment, any address size
};

inline u8* at(Vcpu& cpu, u8 offset) { return reinterpret_cast<u8*>(&cpu) + offset; }
inline const u8* at(const Vcpu& cpu, u8 offset) { return reinterpret_cast<const u8*>(&cpu) + offset; }

template <class T>
[[gnu::always_inline]] inline T get(const Vcpu& cpu, u8 offset) {
  T value;
  std::memcpy(&value, at(cpu, offset), sizeof value);
  return value;
}

// A 32-bit write clears the register's upper half.
template <class T>
[[gnu::always_inline]] inline void put(Vcpu& cpu, u8 offset, T value) {
  if constexpr (sizeof(T) == 4) {
    const u64 wide = static_cast<u32>(value);
    std::memcpy(at(cpu, offset), &wide, sizeof wide);
  } else {
    std::memcpy(at(cpu, offset), &value, sizeof value);
  }
}

template <Address kForm>
[[gnu::always_inline]] inline u64 flat_address(const Vcpu& cpu, const Op* op) {
  u64 address = get<u64>(cpu, op->base) + static_cast<u64>(static_cast<i64>(op->displacement));
  if constexpr (kForm == Address::Full) address += get<u64>(cpu, op->index) << op->scale_shift;
  return address;
}

// Offset within op->segment; aux holds the address size in its low four bits.
inline u64 any_offset(const Vcpu& cpu, const Op* op) {
  return flat_address<Address::Full>(cpu, op) & mask_of_bytes(op->aux & 0xF);
}
inline Segment segment_of_op(const Op* op) { return static_cast<Segment>(op->segment); }

template <class T>
inline bool load_any(Vcpu& cpu, const Op* op, T& value) {
  return cpu.read(segment_of_op(op), any_offset(cpu, op), value);
}
template <class T>
inline bool store_any(Vcpu& cpu, const Op* op, T value) {
  return cpu.write(segment_of_op(op), any_offset(cpu, op), value);
}

template <class T, Address kForm>
[[gnu::always_inline]] inline const u8* probe_read(Vcpu& cpu, const Op* op) {
  return detail::probe<sizeof(T)>(cpu.tlb.current->read, flat_address<kForm>(cpu, op));
}
template <class T, Address kForm>
[[gnu::always_inline]] inline u8* probe_write(Vcpu& cpu, const Op* op) {
  return detail::probe<sizeof(T)>(cpu.tlb.current->write, flat_address<kForm>(cpu, op));
}
template <class T>
[[gnu::always_inline]] inline T load_host(const u8* host) {
  T value;
  std::memcpy(&value, host, sizeof value);
  return value;
}
template <class T>
[[gnu::always_inline]] inline void store_host(u8* host, T value) {
  std::memcpy(host, &value, sizeof value);
}

// A memory operand that is read, changed and written back: opened once with every check a write needs, so that nothing
// is half done when it faults.
template <class T>
class MemoryPlace {
 public:
  [[nodiscard]] bool open(Vcpu& cpu, Segment segment, u64 offset) {
    if (!cpu.linear_address(segment, offset, sizeof(T), true, linear_)) return false;
    bool ok = false;
    host_ = cpu.write_window(linear_, sizeof(T), ok);
    if (host_ != nullptr) {
      value_ = load_host<T>(host_);
      return true;
    }
    return ok && cpu.probe_write_linear(linear_, sizeof(T)) && cpu.read_linear(linear_, value_);
  }
  T value() const { return value_; }
  [[nodiscard]] bool store(Vcpu& cpu, T value) {
    if (host_ == nullptr) return cpu.write_linear(linear_, value);
    store_host(host_, value);
    return true;
  }

 private:
  u64 linear_ = 0;
  u8* host_ = nullptr;
  T value_{};
};

}  // namespace xm::cpu::interp
