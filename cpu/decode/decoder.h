// SPDX-License-Identifier: GPL-2.0-or-later
// The decoder: bytes in, Insn out; a pure function over immutable tables built from cpu/isa/*.def.
// It applies Intel's rules where AMD differs (66 on near branches in 64-bit mode is ignored).
//
// The caller checks what bytes alone do not tell:
//  - CPUID features of the row (missing: #UD; LZCNT and TZCNT fall back to BSR and BSF),
//  - real and virtual-8086 mode: rows with Attribute::ProtectedOnly and all VEX encodings are #UD there; with
//    `recognise_vex` false C4/C5 with mod 3 are LES/LDS with a register operand, which is #UD as well,
//  - CPL, CR0.EM/TS, CR4 bits, XCR0, DR4/DR5, alignment.
#pragma once

#include <span>

#include "cpu/decode/insn.h"

namespace xm::cpu {

enum class DecodeStatus : u8 {
  Ok,
  NeedMoreBytes,  // the instruction goes on past the bytes given
  Invalid,        // #UD
  TooLong,        // more than 15 bytes: #GP(0)
};

struct DecodeResult {
  DecodeStatus status = DecodeStatus::Invalid;
  Insn insn;

  explicit operator bool() const { return status == DecodeStatus::Ok; }
};

// Fills `insn` only when the result is Ok; otherwise its contents are unspecified.
DecodeStatus decode_into(std::span<const u8> bytes, CodeSize mode, Insn& insn);

inline DecodeResult decode(std::span<const u8> bytes, CodeSize mode) {
  DecodeResult result;
  result.status = decode_into(bytes, mode, result.insn);
  return result;
}

}  // namespace xm::cpu
