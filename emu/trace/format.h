// SPDX-License-Identifier: GPL-2.0-or-later
// The instruction-trace file, version 1 (docs/trace-format.md describes it for those who read it with other tools).
//
// A file is a header and a row of frames. A frame is one zstd-compressed payload of one vCPU behind a plain header that
// says what it holds, so that a reader can skip it, and a file that was cut off is good up to its last whole frame. The
// last frame is an index of the others. All numbers are little-endian; varints are LEB128, signed ones zigzag.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emu/base/types.h"

namespace xm::trace {

inline constexpr char kFileMagic[8] = {'X', 'M', 'T', 'R', 'A', 'C', 'E', '\n'};
inline constexpr u32 kVersion = 1;
inline constexpr u32 kFrameMagic = 0x46544D58;         // "XMTF"
inline constexpr u64 kFooterMagic = 0x58444E49544D58;  // "XMTINDX"

// What a run records beside addresses and privilege.
inline constexpr u32 kWithRegisters = 1, kWithAccesses = 2;

struct FileHeader {
  char magic[8];
  u32 version;
  u32 contents;  // kWith...
  u32 vcpus;
  u32 reserved;
};
static_assert(sizeof(FileHeader) == 24);

enum class FrameType : u8 { Code = 1, Run = 2, Index = 3 };

struct FrameHeader {
  u32 magic;
  FrameType type;
  u8 vcpu;
  u16 reserved;
  u32 compressed_bytes;
  u32 raw_bytes;
  u64 first;         // Run: number of instructions of this vCPU recorded before; Code: first stretch number
  u64 count;         // instructions or stretches within
  u64 guest_ns;      // guest time at the frame's start
  u32 crc32;         // of the compressed payload
  u32 header_crc32;  // of this header up to here
};
static_assert(sizeof(FrameHeader) == 48);

// At the end of a file that was closed in order: where the index frame begins.
struct Footer {
  u64 index_offset;
  u64 magic;
};

// Payload of an Index frame: one entry a frame, in file order.
struct IndexEntry {
  u64 offset;
  u64 first, count, guest_ns;
  u32 type, vcpu;
};
static_assert(sizeof(IndexEntry) == 40);

inline constexpr u32 kMostFrameBytes = 16u << 20;  // raw; more is a damaged file

// Tokens of a Run payload: a varint. From kFirstRun on it is kFirstRun + stretch number: all instructions of that
// stretch of code were executed.
enum Token : u64 {
  kContext = 1,    // u8 CPL, varint CR3: how what follows runs
  kEvent = 2,      // u8 kind, u8 vector, u8 has error code, varint error code, varint address, varint guest ns
                   // since the frame's start
  kRepeat = 3,     // varint n: the last kFirstRun token n times more
  kGap = 4,        // varint n: n instructions were executed and not recorded (filters, start and stop events)
  kRegisters = 5,  // after the one instruction before: varint mask; for each set bit of 0..16 (RAX.., RFLAGS) the
                   // signed varint difference to the value before (0 at the frame's start); 17..32 (YMM0..): 32 bytes
  kAccess = 6,     // by the one instruction before: u8 size << 1 | write, varint linear address, the bytes
  kSlice = 8,      // varint stretch number, varint first, varint count: that many of its instructions from `first` on
  kFirstRun = 16,
};

// Payload of a Code frame, per stretch: varint linear address difference (signed) to the last one, u8 code size in
// bits, varint instructions, their lengths (u8 each), their bytes.

class ByteSink {
 public:
  void u8_(u8 value) { bytes_.push_back(static_cast<char>(value)); }
  void varint(u64 value) {
    while (value >= 0x80) {
      u8_(static_cast<u8>(value | 0x80));
      value >>= 7;
    }
    u8_(static_cast<u8>(value));
  }
  void signed_varint(i64 value) { varint(static_cast<u64>(value) << 1 ^ static_cast<u64>(value >> 63)); }
  void raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::string take() {
    std::string out;
    out.reserve(bytes_.capacity());
    out.swap(bytes_);
    return out;
  }

 private:
  std::string bytes_;
};

// Reads what a ByteSink wrote. Past the end or on an overlong number everything reads as zero and ok() turns false.
class ByteSource {
 public:
  explicit ByteSource(std::string_view bytes) : bytes_(bytes) {}
  u8 u8_() {
    if (at_ >= bytes_.size()) return fail();
    return static_cast<u8>(bytes_[at_++]);
  }
  u64 varint() {
    u64 value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const u8 byte = u8_();
      value |= u64{byte & 0x7Fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return fail();
  }
  i64 signed_varint() {
    const u64 value = varint();
    return static_cast<i64>(value >> 1 ^ (~(value & 1) + 1));
  }
  std::string_view raw(size_t size) {
    if (size > bytes_.size() - at_) {
      fail();
      return {};
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  bool at_end() const { return at_ >= bytes_.size(); }
  bool ok() const { return ok_; }

 private:
  u8 fail() {
    ok_ = false;
    at_ = bytes_.size();
    return 0;
  }
  std::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace xm::trace
