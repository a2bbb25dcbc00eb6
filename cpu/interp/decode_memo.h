// SPDX-License-Identifier: GPL-2.0-or-later
// DecodeMemo: what the block builder has found out about instructions, by their bytes, so that code which is decoded
// again (written anew, dropped, mapped elsewhere) costs a comparison. Owned by one builder.
#pragma once

#include <array>
#include <cstring>
#include <memory>

#include "cpu/interp/interp_system.h"

namespace xm::cpu::interp {

// One instruction and what follows from it alone, wherever it lies.
struct DecodedItem {
  enum class Kind : u8 { Normal, Undefined, TooLong, Breakpoint };

  Insn insn;
  SystemHandler system;   // if it is a system instruction
  u32 flags_touched = 0;  // arithmetic flags written or left undefined
  u32 flags_read = 0;     // and read
  Kind kind = Kind::Normal;
  bool branch = false;    // a near jump, call or return
  bool no_fault = false;  // can neither fault nor leave the block
  bool may_keep_flags = false;
};

class DecodeMemo {
 public:
  static constexpr unsigned kBytes = 16;  // that must be readable at `code`

  // nullptr if the instruction at `code` is not known in this mode.
  const DecodedItem* find(const u8* code, u32 mode) const {
    const Bytes bytes = load(code);
    const Entry& entry = (*entries_)[slot(bytes.low, mode)];
    const bool same = entry.mode == mode && ((entry.bytes.low ^ bytes.low) & entry.mask.low) == 0 &&
                      ((entry.bytes.high ^ bytes.high) & entry.mask.high) == 0;
    return same ? &entry.item : nullptr;
  }
  void insert(const u8* code, u32 mode, const DecodedItem& item) {
    const Bytes bytes = load(code);
    const unsigned length = item.insn.length;
    Entry& entry = (*entries_)[slot(bytes.low, mode)];
    entry.bytes = bytes;
    entry.mask = {first_bytes(length), length > 8 ? first_bytes(length - 8) : 0};
    entry.mode = mode;
    entry.item = item;
  }

 private:
  struct Bytes {
    u64 low = 0, high = 0;
  };
  struct Entry {
    Bytes bytes, mask;
    u32 mode = ~u32{0};  // none
    DecodedItem item;
  };
  static constexpr unsigned kEntries = 1024;  // slot() gives 10 bits

  static u64 first_bytes(unsigned count) { return count >= 8 ? ~u64{0} : (u64{1} << (8 * count)) - 1; }
  static Bytes load(const u8* code) {
    Bytes bytes;
    std::memcpy(&bytes, code, kBytes);
    return bytes;
  }
  // By three bytes, which tells opcode and ModR/M with a prefix before them apart. Of shorter instructions there may be
  // several copies.
  static unsigned slot(u64 low, u32 mode) {
    return static_cast<unsigned>((((low & 0xFFFFFF) + u64{mode} * 0x10001) * 0x9E3779B97F4A7C15u) >> 54);
  }

  std::unique_ptr<std::array<Entry, kEntries>> entries_ = std::make_unique<std::array<Entry, kEntries>>();
};

}  // namespace xm::cpu::interp
