// SPDX-License-Identifier: GPL-2.0-or-later
// The check and the interpreter of classic BPF programs.
#include "kernel/task/bpf_classic.h"

#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u16 kClass = 7, kLd = 0, kLdx = 1, kSt = 2, kStx = 3, kAlu = 4, kJmp = 5, kRet = 6, kMisc = 7;
constexpr u16 kSize = 0x18, kMode = 0xe0, kImm = 0, kAbs = 0x20, kInd = 0x40, kMem = 0x60, kLen = 0x80, kMsh = 0xa0;
constexpr u16 kOp = 0xf0, kSourceX = 8, kScratch = 16;
enum AluOp : u16 {
  kAdd = 0,
  kSub = 0x10,
  kMul = 0x20,
  kDiv = 0x30,
  kOr = 0x40,
  kAnd = 0x50,
  kLsh = 0x60,
  kRsh = 0x70,
  kNeg = 0x80,
  kMod = 0x90,
  kXor = 0xa0
};
enum JumpOp : u16 { kJa = 0, kJeq = 0x10, kJgt = 0x20, kJge = 0x30, kJset = 0x40 };

bool load_is_known(const sock_filter& i, u32 data_size) {
  const u16 mode = i.code & kMode, size = i.code & kSize;
  if (size == 0x18) return false;
  if ((i.code & kClass) == kLdx) {
    if (mode == kMsh) return data_size == 0 && size == 0x10;
    return size == 0 && (mode == kImm || mode == kLen || (mode == kMem && i.k < kScratch));
  }
  switch (mode) {
    case kImm:
    case kLen: return size == 0;
    case kMem: return size == 0 && i.k < kScratch;
    case kAbs: return data_size == 0 || (size == 0 && i.k % 4 == 0 && i.k < data_size);
    case kInd: return data_size == 0;
    default: return false;
  }
}

bool is_known(const sock_filter& i, u32 left, u32 data_size) {
  switch (i.code & kClass) {
    case kLd:
    case kLdx: return load_is_known(i, data_size);
    case kSt:
    case kStx: return (i.code & ~kClass) == 0 && i.k < kScratch;
    case kAlu: {
      const u16 op = i.code & kOp;
      if (op > kXor || (i.code & 0xff00) != 0) return false;
      if (op == kNeg) return (i.code & kSourceX) == 0;
      if ((op == kDiv || op == kMod) && (i.code & kSourceX) == 0) return i.k != 0;
      return !((op == kLsh || op == kRsh) && (i.code & kSourceX) == 0 && i.k >= 32);
    }
    case kJmp: {
      const u16 op = i.code & kOp;
      if (op == kJa) return (i.code & kSourceX) == 0 && i.k < left;
      return op <= kJset && i.jt < left && i.jf < left;
    }
    case kRet: return i.code == kRet || i.code == (kRet | 0x10) || i.code == (kRet | 8);
    default: return i.code == kMisc || i.code == (kMisc | 0x80);
  }
}

struct Machine {
  const u8* data;
  u32 length;
  bool packet;
  u32 a = 0, x = 0, scratch[kScratch]{};

  bool load(u16 size, u32 at, u32& out) const {
    const u32 n = size == 0 ? 4 : (size == 8 ? 2 : 1);
    if (at > length || n > length - at) return false;
    u32 v = 0;
    memcpy(&v, data + at, n);
    if (packet && n > 1) v = n == 4 ? __builtin_bswap32(v) : __builtin_bswap16(static_cast<u16>(v));
    out = v;
    return true;
  }
  bool alu(const sock_filter& i) {
    const u32 v = (i.code & kSourceX) != 0 ? x : i.k;
    switch (i.code & kOp) {
      case kAdd: a += v; break;
      case kSub: a -= v; break;
      case kMul: a *= v; break;
      case kDiv:
        if (v == 0) return false;
        a /= v;
        break;
      case kMod:
        if (v == 0) return false;
        a %= v;
        break;
      case kOr: a |= v; break;
      case kAnd: a &= v; break;
      case kXor: a ^= v; break;
      case kLsh: a <<= v & 31; break;
      case kRsh: a >>= v & 31; break;
      default: a = -a;
    }
    return true;
  }
  u32 jump(const sock_filter& i) const {
    const u32 v = (i.code & kSourceX) != 0 ? x : i.k;
    switch (i.code & kOp) {
      case kJa: return i.k;
      case kJeq: return a == v ? i.jt : i.jf;
      case kJgt: return a > v ? i.jt : i.jf;
      case kJge: return a >= v ? i.jt : i.jf;
      default: return (a & v) != 0 ? i.jt : i.jf;
    }
  }
  bool load_a(const sock_filter& i) {
    switch (i.code & kMode) {
      case kImm: a = i.k; return true;
      case kLen: a = length; return true;
      case kMem: a = scratch[i.k]; return true;
      case kInd: return load(i.code & kSize, x + i.k, a);
      default: return load(i.code & kSize, i.k, a);
    }
  }
  bool load_x(const sock_filter& i) {
    switch (i.code & kMode) {
      case kImm: x = i.k; return true;
      case kLen: x = length; return true;
      case kMem: x = scratch[i.k]; return true;
      default: {  // the length of an IPv4 header
        u32 byte;
        if (!load(0x10, i.k, byte)) return false;
        x = (byte & 15) * 4;
        return true;
      }
    }
  }
};

}  // namespace

bool bpf_check(const sock_filter* program, u32 length, u32 data_size) {
  if (length == 0 || length > BPF_MAXINSNS) return false;
  for (u32 n = 0; n < length; ++n) {
    if (!is_known(program[n], length - n - 1, data_size)) return false;
  }
  return (program[length - 1].code & kClass) == kRet;
}

u32 bpf_run(const sock_filter* program, const void* data, u32 data_length, bool packet) {
  Machine m{static_cast<const u8*>(data), data_length, packet};
  for (const sock_filter* i = program;; ++i) {
    switch (i->code & kClass) {
      case kLd:
        if (!m.load_a(*i)) return 0;
        break;
      case kLdx:
        if (!m.load_x(*i)) return 0;
        break;
      case kSt: m.scratch[i->k] = m.a; break;
      case kStx: m.scratch[i->k] = m.x; break;
      case kAlu:
        if (!m.alu(*i)) return 0;
        break;
      case kJmp: i += m.jump(*i); break;
      case kRet: return (i->code & 0x18) == 0x10 ? m.a : ((i->code & 0x18) == 8 ? m.x : i->k);
      default: i->code == kMisc ? m.x = m.a : m.a = m.x;
    }
  }
}

}  // namespace xm::os
