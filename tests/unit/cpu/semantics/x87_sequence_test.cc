// SPDX-License-Identifier: GPL-2.0-or-later
// Random sequences of x87, MMX and SSE instructions against the host's own CPU. One instruction at a time cannot show
// what a sequence does: state that stays in the host's FPU between instructions, control words that change on the way,
// MMX between x87, status words read in the middle.
#include <gtest/gtest.h>

#include <cstring>

#include "emu/base/bits.h"
#include "tests/unit/cpu/semantics/fp_bench.h"

namespace xm::cpu::test {
namespace {

constexpr unsigned kControlSlot = 48, kMxcsrSlot = 52;  // in memory: words that leave every exception masked

// 80-bit values of all classes, those that no operation makes included.
void put_extended(u8* to, std::mt19937_64& random) {
  constexpr u16 kExponents[] = {0, 1, 0x3FFF, 0x4000, 0x3FFE, 0x403E, 0x7FFE, 0x7FFF, 0x3F80, 0x4080};
  constexpr u64 kSignificands[] = {0, 1, u64{1} << 63, ~u64{0}, u64{3} << 62, (u64{1} << 63) | 1};
  u16 exponent = random() % 3 ? kExponents[random() % std::size(kExponents)] : static_cast<u16>(random() & 0x7FFF);
  u64 significand = random() % 2 ? kSignificands[random() % std::size(kSignificands)] : random();
  if (random() % 4) significand |= u64{1} << 63;
  if (random() % 2) exponent = static_cast<u16>(0x3FF0 + random() % 32);
  store_le(to, significand);
  store_le<u16>(to + 8, static_cast<u16>(exponent | (random() & 1) << 15));
}

u16 masked_control(std::mt19937_64& random) { return static_cast<u16>(0x7F | (random() & 0x0F00)); }

FpValues start_values(std::mt19937_64& random) {
  FpValues values;
  for (auto& v : values.vector) v = interesting_vector(random);
  for (unsigned i = 0; i < 2; ++i) {
    const VectorRegister v = interesting_vector(random);
    std::memcpy(&values.memory[i * 32], v.q.data(), 32);
  }
  store_le(&values.memory[kControlSlot], masked_control(random));
  store_le<u32>(&values.memory[kMxcsrSlot], 0x1F80 | static_cast<u32>(random() & 0xE040));
  values.rax = random();
  values.rcx = random();
  values.rdx = random();
  values.flags = 2 | (random() & 0x8D5);
  values.mxcsr = 0x1F80;
  values.resident = random() % 2;
  store_le<u32>(&values.x87[0], 0xFFFF0000 | masked_control(random));
  store_le<u32>(&values.x87[4], 0xFFFF0000 | static_cast<u32>(random() & 0x7F7F));
  store_le<u32>(&values.x87[8], 0xFFFF0000 | static_cast<u32>(random() % 3 ? random() & 0xFFFF : 0));
  store_le<u32>(&values.x87[24], 0xFFFF0000);
  for (unsigned i = 0; i < 8; ++i) put_extended(&values.x87[28 + i * 10], random);
  return values;
}

void append(std::vector<u8>& code, std::initializer_list<unsigned> bytes) {
  for (unsigned byte : bytes) code.push_back(static_cast<u8>(byte));
}

// DB E0-E4 but the two clears, DF E1-E7 and the like are not defined; the environment holds addresses, which differ.
bool is_defined_register_form(unsigned opcode, unsigned modrm) {
  switch (opcode) {
    case 0xD9:
      return modrm < 0xD1 || (modrm >= 0xD8 && modrm < 0xE2) || modrm == 0xE4 || modrm == 0xE5 ||
             (modrm >= 0xE8 && modrm != 0xEF);
    case 0xDA: return modrm < 0xE0 || modrm == 0xE9;
    case 0xDB: return modrm < 0xE0 || modrm == 0xE2 || modrm == 0xE3 || (modrm >= 0xE8 && modrm < 0xF8);
    case 0xDD: return modrm < 0xF0;
    case 0xDE: return modrm < 0xD8 || modrm == 0xD9 || modrm >= 0xE0;
    case 0xDF: return modrm <= 0xE0 || (modrm >= 0xE8 && modrm < 0xF8);
    default: return true;
  }
}

bool is_plain_memory_form(unsigned opcode, unsigned reg) {
  switch (opcode) {
    case 0xD9: return reg == 0 || reg == 2 || reg == 3 || reg == 7;
    case 0xDB: return reg != 4 && reg != 6;
    case 0xDD: return reg < 4 || reg == 7;
    default: return true;
  }
}

void append_x87(std::vector<u8>& code, std::mt19937_64& random) {
  for (;;) {
    const unsigned opcode = 0xD8 + random() % 8, field = random() % 64;
    if (random() % 3 == 0) {
      if (!is_plain_memory_form(opcode, field & 7)) continue;
      return append(code, {opcode, 0x46u | (field & 7) << 3, static_cast<unsigned>(random() % 36)});
    }
    if (!is_defined_register_form(opcode, 0xC0 + field)) continue;
    return append(code, {opcode, 0xC0 + field});
  }
}

void append_instruction(std::vector<u8>& code, std::mt19937_64& random) {
  const unsigned d = random() % 4, s = random() % 4, modrm = 0xC0 | d << 3 | s;
  switch (random() % 24) {
    case 0: return append(code, {0xD9, 0x6E, kControlSlot});            // FLDCW
    case 1: return append(code, {0x0F, 0xAE, 0x56, kMxcsrSlot});        // LDMXCSR
    case 2: return append(code, {0x0F, 0xAE, 0x5E, 40});                // STMXCSR
    case 3: return append(code, {0xF2, 0x0F, 0x58, modrm});             // ADDSD
    case 4: return append(code, {0x0F, 0x59, modrm});                   // MULPS
    case 5: return append(code, {0xF2, 0x0F, 0x5E, 0x46 | d << 3, 8});  // DIVSD from memory
    case 6: return append(code, {0x66, 0x0F, 0x5A, modrm});             // CVTPD2PS
    case 7:
      if (random() % 4) break;
      return append(code, {0x0F, 0xFE, modrm});  // PADDD mm
    case 8:
      if (random() % 4) break;
      return append(code, {0x0F, 0x77});                     // EMMS
    case 9: return append(code, {0x66, 0x0F, 0x2F, modrm});  // COMISD
    case 10: return append(code, {0x9B});                    // WAIT
    default: break;
  }
  append_x87(code, random);
}

std::string text_of(const std::vector<u8>& code, const FpValues& host, const FpValues& guest) {
  std::string text = "code ";
  char part[64];
  for (u8 byte : code) {
    snprintf(part, sizeof part, "%02x ", byte);
    text += part;
  }
  for (unsigned i = 0; i < 108; ++i) {
    if (host.x87[i] == guest.x87[i]) continue;
    snprintf(part, sizeof part, "\n x87[%u] host %02x guest %02x", i, host.x87[i], guest.x87[i]);
    text += part;
  }
  for (unsigned i = 0; i < 64; ++i) {
    if (host.memory[i] == guest.memory[i]) continue;
    snprintf(part, sizeof part, "\n memory[%u] host %02x guest %02x", i, host.memory[i], guest.memory[i]);
    text += part;
  }
  snprintf(part, sizeof part, "\n mxcsr host %x guest %x, flags %lx %lx", host.mxcsr, guest.mxcsr, host.flags,
           guest.flags);
  return text + part;
}

// Everything but the pointers and the opcode, which are the stub's on the host.
void forget_pointers(FpValues& values) { std::fill_n(values.x87.begin() + 12, 16, u8{0}); }

TEST(X87Sequence, LikeTheHost) {
  GuestFp guest;
  std::mt19937_64 random(20);
  unsigned failures = 0;
  for (unsigned round = 0; round < 60000 && failures < 5; ++round) {
    const FpValues start = start_values(random);
    std::vector<u8> code;
    const unsigned length = 1 + random() % 12;
    for (unsigned i = 0; i < length; ++i) append_instruction(code, random);
    FpValues host = run_on_host(code, start, Besides::X87);
    auto actual = guest.run(code, start, Besides::X87);
    ASSERT_TRUE(actual.has_value()) << text_of(code, host, host);
    forget_pointers(host);
    forget_pointers(*actual);
    const bool same = host.x87 == actual->x87 && host.memory == actual->memory && host.vector == actual->vector &&
                      host.mxcsr == actual->mxcsr && host.rax == actual->rax &&
                      ((host.flags ^ actual->flags) & 0x8D5) == 0;
    if (same) continue;
    ++failures;
    ADD_FAILURE() << "round " << round << (start.resident ? " resident " : " ") << text_of(code, host, *actual);
  }
}

}  // namespace
}  // namespace xm::cpu::test
