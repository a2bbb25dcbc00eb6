// SPDX-License-Identifier: GPL-2.0-or-later
// The instruction table: one Row per encoding, from the .def opcode maps of this folder. Facts only; decoder,
// interpreter, translator, random-test generator and the page of supported instructions all read these rows.
// [SDM2 App. A, Vol. 2 instruction pages]
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "cpu/decode/insn.h"
#include "cpu/isa/feature.h"
#include "cpu/isa/operation.h"

namespace xm::cpu {

// Bits of RFLAGS, as masks.
namespace rflags {
inline constexpr u32 kCf = 1u << 0, kPf = 1u << 2, kAf = 1u << 4, kZf = 1u << 6, kSf = 1u << 7, kTf = 1u << 8,
                     kIf = 1u << 9, kDf = 1u << 10, kOf = 1u << 11;
inline constexpr u32 kStatus = kCf | kPf | kAf | kZf | kSf | kOf;
}  // namespace rflags

// Flags an instruction reads, writes with a defined value, and leaves undefined. Shifts and rotates by a count of
// zero write none; by other counts than one they leave OF undefined: the count is not known to the table.
struct FlagEffect {
  u32 reads = 0;
  u32 writes = 0;
  u32 undefined = 0;
};

enum class OperandCode : u8 {
  None,
#define CODE(name, addressing, size) name,
#include "cpu/isa/operand_codes.def"
#undef CODE
  Count
};

// How an operand code is found in the bytes.
enum class Addressing : u8 {
  None,
  E,
  ERegVMem,
  ERegDMem,
  G,
  Vvvv,
  RReg,
  Mem,
  MemVsib,
  Sreg,
  Creg,
  Dreg,
  Imm,
  ImmSigned,
  Imm2,
  Rel,
  Far,
  Offs,
  Src,
  Dst,
  Oreg,
  Acc,
  CountReg,
  PortReg,
  One,
  SegEs,
  SegCs,
  SegSs,
  SegDs,
  SegFs,
  SegGs,
  MmReg,
  MmRm,
  MmRmReg,
  XReg,
  XRm,
  XRmReg,
  XVvvv,
  XIs4,
  XZero,
  StTop,
  StRm,
};

// Size letters of the SDM; sizes that depend on operand size, mode or VEX.L are resolved by the decoder.
enum class OperandSize : u8 {
  None,
  B,
  W,
  D,
  Q,
  T,
  Dq,
  Qq,
  V,
  Y,
  Z,
  N,
  A,
  P,
  S,
  X,
  HalfX,
  QuarterX,
  EighthX,
  DupX,
  Cx,
  Env,
  Save,
  Fx,
};

struct OperandCodeInfo {
  Addressing addressing;
  OperandSize size;
  std::string_view name;
};
const OperandCodeInfo& operand_code_info(OperandCode code);

// Which mandatory prefix selects the row.
enum class PrefixMatch : u8 {
  Any,  // none is mandatory; 66 is the operand size, F2/F3 are REP or ignored
  NP,   // none of 66, F2, F3
  P66,
  PF3,  // 66 may be there too as operand size
  PF2,
  No23,  // 66 or not, but neither F2 nor F3
};

// Which ModRM bytes select the row.
struct ModrmMatch {
  bool present = false;
  bool memory = true;     // mod != 3 matches
  bool registers = true;  // mod == 3 matches
  i8 reg = -1;            // required reg field, or -1
  i8 rm = -1;             // required rm field, or -1
};

// Legacy: without VEX. Both: also with VEX, same operands. Vex: only with VEX.
enum class Encoding : u8 { Legacy, Both, Vex };

namespace attribute {
inline constexpr u32 kLockable = 1u << 0;        // LOCK allowed when the destination is memory
inline constexpr u32 kDefault64 = 1u << 1;       // operand size 64 in 64-bit mode, 16 with 66
inline constexpr u32 kForce64 = 1u << 2;         // operand size 64 in 64-bit mode whatever the prefixes
inline constexpr u32 kNot64 = 1u << 3;           // #UD in 64-bit mode
inline constexpr u32 kOnly64 = 1u << 4;          // only in 64-bit mode
inline constexpr u32 kL0 = 1u << 5;              // VEX.L must be 0
inline constexpr u32 kL1 = 1u << 6;              // VEX.L must be 1
inline constexpr u32 kW0 = 1u << 7;              // W must be 0 (VEX.W or, in Legacy rows, REX.W)
inline constexpr u32 kW1 = 1u << 8;              // W must be 1
inline constexpr u32 kAvx2If256 = 1u << 9;       // the 256-bit form needs AVX2
inline constexpr u32 kPrivileged = 1u << 10;     // #GP unless CPL is 0
inline constexpr u32 kIopl = 1u << 11;           // checked against IOPL, the I/O map or VME
inline constexpr u32 kProtectedOnly = 1u << 12;  // #UD in real and virtual-8086 mode
inline constexpr u32 kIgnoreMod = 1u << 13;      // mod is taken as 3 (MOV to and from CR and DR)
inline constexpr u32 kUndocumented = 1u << 14;   // works on every processor, not in the SDM's tables
inline constexpr u32 kRepeatable = 1u << 15;     // a REP prefix repeats
inline constexpr u32 kAligned = 1u << 16;        // 16/32-byte memory operand must be aligned (#GP)
inline constexpr u32 kLig = 1u << 17;            // scalar: VEX.L is ignored
inline constexpr u32 kUser = 1u << 18;           // no privilege is needed but the result depends on system state
inline constexpr u32 kSegmentMove = 1u << 19;    // register operand takes the operand size, memory a word
}  // namespace attribute

struct Row {
  OpcodeMap map;  // OneByte, TwoByte0F, Three0F38 or Three0F3A; VEX rows use the same
  Encoding encoding;
  u8 opcode;
  u8 opcode_count;  // consecutive opcodes: 8 for +r rows, 16 for condition rows
  PrefixMatch prefix;
  ModrmMatch modrm;
  Operation operation;
  std::array<OperandCode, 4> operands;
  FlagEffect flags;
  u32 attributes;
  Feature feature;  // of the legacy form; for Vex rows of the VEX form

  constexpr bool has(u32 attribute_bits) const { return (attributes & attribute_bits) != 0; }
};

std::span<const Row> isa_rows();
inline const Row& isa_row(unsigned index) { return isa_rows()[index]; }

// The feature this decoded form needs: legacy, AVX or AVX2.
Feature required_feature(const Row& row, bool vex, unsigned vex_l);

}  // namespace xm::cpu
