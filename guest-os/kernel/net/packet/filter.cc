// SPDX-License-Identifier: GPL-2.0-or-later
// The classic BPF machine: accumulator A, index X, 16 words of scratch memory, forward jumps only, so that every
// program ends. Programs are checked once, when they are attached. [McCanne, Jacobson: The BSD Packet Filter], [man 7
// socket]
#include "kernel/net/packet/filter.h"

#include "kernel/drivers/random.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netdevice.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMaxInstructions = 4096, kMemWords = 16;
// Class, size, mode and operation fields of an instruction's code.
constexpr u16 LD = 0, LDX = 1, ST = 2, STX = 3, ALU = 4, JMP = 5, RET = 6, MISC = 7;
constexpr u16 W = 0, H = 8, B = 0x10;
constexpr u16 IMM = 0, ABS = 0x20, IND = 0x40, MEM = 0x60, LEN = 0x80, MSH = 0xa0;
constexpr u16 K = 0, X = 8, A = 0x10;
constexpr u16 ADD = 0, SUB = 0x10, MUL = 0x20, DIV = 0x30, OR = 0x40, AND = 0x50, LSH = 0x60, RSH = 0x70, NEG = 0x80,
              MOD = 0x90, XOR = 0xa0;
constexpr u16 JA = 0, JEQ = 0x10, JGT = 0x20, JGE = 0x30, JSET = 0x40;
constexpr u16 TAX = 0, TXA = 0x80;
// Offsets below zero reach what is not packet data.
constexpr s32 kAncillary = -0x1000, kNetworkOffset = -0x100000, kLinkOffset = -0x200000;
enum Ancillary : u32 {
  kAdProtocol = 0,
  kAdPkttype = 4,
  kAdIfindex = 8,
  kAdMark = 20,
  kAdQueue = 24,
  kAdHatype = 28,
  kAdRxhash = 32,
  kAdCpu = 36,
  kAdXorX = 40,
  kAdVlanTag = 44,
  kAdVlanPresent = 48,
  kAdPayOffset = 52,
  kAdRandom = 56,
  kAdVlanTpid = 60
};

bool known_alu(u16 op) { return op <= XOR && (op & 0xf) == 0; }

bool valid_code(const sock_filter& f) {
  const u16 c = f.code, low = c & 7;
  switch (low) {
    case LD: {
      const u16 size = c & 0x18, mode = c & 0xe0;
      if (c > 0xff) return false;
      if (mode == ABS || mode == IND) return size == W || size == H || size == B;
      return (mode == IMM || mode == LEN || mode == MEM) && size == W;
    }
    case LDX: return c == (LDX | IMM) || c == (LDX | LEN) || c == (LDX | MEM) || c == (LDX | B | MSH);
    case ST: return c == ST;
    case STX: return c == STX;
    case ALU: return c <= 0xff && known_alu(c & 0xf0);
    case JMP: return c <= 0xff && (c & 0xf0) <= JSET && !((c & 0xf0) == JA && (c & 8) != 0);
    case RET: return c == (RET | K) || c == (RET | A) || c == (RET | X);
    default: return c == (MISC | TAX) || c == (MISC | TXA);
  }
}

bool check(const sock_filter* code, u32 n) {
  for (u32 i = 0; i < n; ++i) {
    const sock_filter& f = code[i];
    if (!valid_code(f)) return false;
    const u16 low = f.code & 7, op = f.code & 0xf0;
    const bool memory = low == ST || low == STX || ((low == LD || low == LDX) && (f.code & 0xe0) == MEM);
    if (memory && f.k >= kMemWords) return false;
    if (low == ALU && (f.code & 8) == K) {
      if ((op == DIV || op == MOD) && f.k == 0) return false;
      if ((op == LSH || op == RSH) && f.k >= 32) return false;
    }
    if (low != JMP) continue;
    const u32 left = n - i - 1;
    if (op == JA ? f.k >= left : (f.jt >= left || f.jf >= left)) return false;
  }
  return n > 0 && (code[n - 1].code & 7) == RET;
}

u32 ancillary(const sk_buff* skb, u32 what, u32 a, u32 x, bool* known) {
  switch (what) {
    case kAdProtocol: return ntohs(skb->protocol);
    case kAdPkttype: return skb->pkt_type;
    case kAdIfindex: return skb->dev == nullptr ? 0 : static_cast<u32>(skb->dev->ifindex);
    case kAdMark: return skb->mark;
    case kAdQueue: return skb->queue_mapping;
    case kAdHatype: return skb->dev == nullptr ? 0 : skb->dev->type;
    case kAdRxhash: return skb->hash;
    case kAdCpu: return smp_processor_id();
    case kAdXorX: return a ^ x;
    case kAdVlanTag: return skb->vlan_tci;
    case kAdVlanPresent: return skb->vlan_present;
    case kAdRandom: return static_cast<u32>(get_random_u64());
    case kAdVlanTpid: return ETH_P_8021Q;
    case kAdPayOffset: return skb_headlen(skb);
    default: *known = false; return 0;
  }
}

// Big-endian value of 1, 2 or 4 bytes. False: outside of the packet.
bool load(const sk_buff* skb, s64 offset, u32 size, u32* value) {
  u8 b[4]{};
  if (offset < 0) {
    const s64 base = offset >= kNetworkOffset ? static_cast<s64>(skb->network_header) - skb_headroom(skb)
                                              : static_cast<s64>(skb->mac_header) - skb_headroom(skb);
    if (offset < kNetworkOffset && !skb_mac_header_was_set(skb)) return false;
    const s64 at = base + offset - (offset >= kNetworkOffset ? kNetworkOffset : kLinkOffset);
    // Headers may lie before `data`, but never before `head`.
    if (at < -static_cast<s64>(skb_headroom(skb)) || at + size > static_cast<s64>(skb_headlen(skb))) return false;
    memcpy(b, skb->data + at, size);
  } else if (offset > 0xffffffffl || skb_copy_bits(skb, static_cast<u32>(offset), b, size) != 0) {
    return false;
  }
  *value = size == 1   ? b[0]
           : size == 2 ? static_cast<u32>(b[0] << 8 | b[1])
                       : static_cast<u32>(b[0]) << 24 | b[1] << 16 | b[2] << 8 | b[3];
  return true;
}

bool alu(u16 op, u32* a, u32 v) {
  switch (op) {
    case ADD: *a += v; break;
    case SUB: *a -= v; break;
    case MUL: *a *= v; break;
    case DIV:
      if (v == 0) return false;
      *a /= v;
      break;
    case MOD:
      if (v == 0) return false;
      *a %= v;
      break;
    case OR: *a |= v; break;
    case AND: *a &= v; break;
    case XOR: *a ^= v; break;
    case LSH: *a <<= v & 31; break;
    case RSH: *a >>= v & 31; break;
    default: *a = -*a; break;  // NEG
  }
  return true;
}

bool jump_taken(u16 op, u32 a, u32 v) {
  switch (op) {
    case JEQ: return a == v;
    case JGT: return a > v;
    case JGE: return a >= v;
    default: return (a & v) != 0;  // JSET
  }
}

struct Machine {
  u32 a = 0, x = 0;
  u32 mem[kMemWords]{};
};

// Loads of either register; false: the program reads outside of the packet and the packet is dropped.
bool do_load(Machine& m, const sock_filter& f, const sk_buff* skb) {
  const bool into_x = (f.code & 7) == LDX;
  u32& to = into_x ? m.x : m.a;
  const u32 size = (f.code & 0x18) == W ? 4 : (f.code & 0x18) == H ? 2 : 1;
  switch (f.code & 0xe0) {
    case IMM: to = f.k; return true;
    case LEN: to = skb->len; return true;
    case MEM: to = m.mem[f.k]; return true;
    case MSH: {
      u32 v;
      if (!load(skb, f.k, 1, &v)) return false;
      m.x = (v & 15) * 4;
      return true;
    }
    case ABS: {
      const s32 k = static_cast<s32>(f.k);
      if (k >= 0) return load(skb, f.k, size, &to);
      if (k >= kAncillary) {
        bool known = true;
        to = ancillary(skb, f.k - static_cast<u32>(kAncillary), m.a, m.x, &known);
        return known;
      }
      return load(skb, k, size, &to);
    }
    default: {  // IND
      const s64 at = static_cast<s64>(m.x) + static_cast<s32>(f.k);
      return load(skb, at, size, &to);
    }
  }
}

}  // namespace

u32 sk_filter_run(const sk_filter* program, const sk_buff* skb) {
  Machine m;
  for (const sock_filter* f = program->code;; ++f) {
    const u16 op = f->code & 0xf0;
    const u32 operand = (f->code & 8) != 0 ? m.x : f->k;
    switch (f->code & 7) {
      case LD:
      case LDX:
        if (!do_load(m, *f, skb)) return 0;
        break;
      case ST: m.mem[f->k] = m.a; break;
      case STX: m.mem[f->k] = m.x; break;
      case ALU:
        if (!alu(op, &m.a, operand)) return 0;
        break;
      case JMP: f += op == JA ? f->k : (jump_taken(op, m.a, operand) ? f->jt : f->jf); break;
      case RET: return f->code == (RET | A) ? m.a : f->code == (RET | X) ? m.x : f->k;
      default: f->code == (MISC | TAX) ? m.x = m.a : m.a = m.x; break;
    }
  }
}

Result<sk_filter*> sk_filter_create(const sock_filter* code, u32 length) {
  if (length == 0 || length > kMaxInstructions || !check(code, length)) return Error{EINVAL};
  auto* f = static_cast<sk_filter*>(kmalloc(sizeof(sk_filter) + length * sizeof(sock_filter)));
  if (f == nullptr) return Error{ENOMEM};
  f->length = length;
  memcpy(f->code, code, length * sizeof(sock_filter));
  return f;
}

namespace {
void replace(sock* sk, sk_filter* fresh) {
  sk_filter* old = __atomic_exchange_n(&sk->sk_filter_prog, fresh, __ATOMIC_SEQ_CST);
  if (old == nullptr) return;
  synchronize_net();
  kfree(old);
}
}  // namespace

int sk_attach_filter(sock* sk, u64 user, u32 length) {
  u16 count;
  u64 at;
  if (compat_mode(task_pt_regs(current))) {
    struct {
      u16 len, pad;
      u32 filter;
    } narrow;
    if (length < sizeof narrow) return -EINVAL;
    TRY_INT(get_user_at(narrow, user));
    count = narrow.len;
    at = narrow.filter;
  } else {
    struct {
      u16 len, pad[3];
      u64 filter;
    } wide;
    if (length < sizeof wide) return -EINVAL;
    TRY_INT(get_user_at(wide, user));
    count = wide.len;
    at = wide.filter;
  }
  if (count == 0 || count > kMaxInstructions) return -EINVAL;
  auto* code = static_cast<sock_filter*>(kmalloc(count * sizeof(sock_filter)));
  if (code == nullptr) return -ENOMEM;
  int error = copy_from_user(code, reinterpret_cast<const void*>(at), count * sizeof(sock_filter));
  if (error == 0) {
    const auto made = sk_filter_create(code, count);
    made.ok() ? replace(sk, made.value()) : void(error = -made.error());
  }
  kfree(code);
  return error;
}

int sk_detach_filter(sock* sk) {
  if (sk->sk_filter_prog == nullptr) return -ENOENT;
  replace(sk, nullptr);
  return 0;
}

namespace {
void filter_init() {
  sk_run_filter_hook = sk_filter_run;
  sk_filter_release_hook = [](sk_filter* f) { kfree(f); };
}
BUS_INITCALL(filter_init);
}  // namespace

}  // namespace xm::os
