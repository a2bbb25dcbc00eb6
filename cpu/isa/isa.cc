// SPDX-License-Identifier: GPL-2.0-or-later
// The rows of the opcode maps as one constant array, and the shorthands that the .def files use in their columns.
#include "cpu/isa/isa.h"

namespace xm::cpu {
namespace {

namespace columns {

using enum OperandCode;
using namespace rflags;

// ModRM column.
constexpr ModrmMatch No{};
constexpr ModrmMatch Modrm{.present = true};
constexpr ModrmMatch Mem{.present = true, .registers = false};
constexpr ModrmMatch Reg{.present = true, .memory = false};
constexpr ModrmMatch Ext(int reg) { return {.present = true, .reg = static_cast<i8>(reg)}; }
constexpr ModrmMatch ExtMem(int reg) { return {.present = true, .registers = false, .reg = static_cast<i8>(reg)}; }
constexpr ModrmMatch ExtReg(int reg) { return {.present = true, .memory = false, .reg = static_cast<i8>(reg)}; }
constexpr ModrmMatch Exact(int modrm) {
  return {.present = true, .memory = false, .reg = static_cast<i8>((modrm >> 3) & 7), .rm = static_cast<i8>(modrm & 7)};
}

// Operand column.
constexpr std::array<OperandCode, 4> Ops(OperandCode a = OperandCode::None, OperandCode b = OperandCode::None,
                                         OperandCode c = OperandCode::None, OperandCode d = OperandCode::None) {
  return {a, b, c, d};
}

// Flags column: {reads, writes, undefined} [SDM1 App. A].
constexpr u32 kAllFlags = kStatus | kTf | kIf | kDf;
constexpr FlagEffect NoFlags{};
constexpr FlagEffect Alu{0, kStatus, 0};
constexpr FlagEffect AluCarry{kCf, kStatus, 0};
constexpr FlagEffect Logic{0, kStatus & ~kAf, kAf};
constexpr FlagEffect IncDec{0, kStatus & ~kCf, 0};
constexpr FlagEffect Shift{0, kStatus & ~kAf, kAf};
constexpr FlagEffect Rotate{0, kCf | kOf, 0};
constexpr FlagEffect RotateCarry{kCf, kCf | kOf, 0};
constexpr FlagEffect Mul{0, kCf | kOf, kSf | kZf | kAf | kPf};
constexpr FlagEffect Div{0, 0, kStatus};
constexpr FlagEffect BitTest{0, kCf, kOf | kSf | kAf | kPf};
constexpr FlagEffect BitScan{0, kZf, kStatus & ~kZf};
constexpr FlagEffect CountZeros{0, kCf | kZf, kStatus & ~(kCf | kZf)};
constexpr FlagEffect Andn{0, kSf | kZf | kOf | kCf, kAf | kPf};
constexpr FlagEffect Bextr{0, kZf | kOf | kCf, kAf | kPf | kSf};
constexpr FlagEffect AddCarryOnly{kCf, kCf, 0};
constexpr FlagEffect AddOverflowOnly{kOf, kOf, 0};
constexpr FlagEffect Daa{kCf | kAf, kStatus & ~kOf, kOf};
constexpr FlagEffect Aaa{kAf, kCf | kAf, kStatus & ~(kCf | kAf)};
constexpr FlagEffect Aam{0, kSf | kZf | kPf, kOf | kAf | kCf};
constexpr FlagEffect StringCompare{kDf, kStatus, 0};
constexpr FlagEffect Condition{kStatus & ~kAf, 0, 0};
constexpr FlagEffect FloatCondition{kCf | kZf | kPf, 0, 0};
constexpr FlagEffect Cmc{kCf, kCf, 0};
constexpr FlagEffect Lahf{kStatus & ~kOf, 0, 0};
constexpr FlagEffect Sahf{0, kStatus & ~kOf, 0};
constexpr FlagEffect SystemMove{0, 0, kStatus};
constexpr FlagEffect AllFlags{0, kAllFlags, 0};
constexpr FlagEffect ReadsCf{kCf, 0, 0};
constexpr FlagEffect ReadsZf{kZf, 0, 0};
constexpr FlagEffect ReadsOf{kOf, 0, 0};
constexpr FlagEffect ReadsDf{kDf, 0, 0};
constexpr FlagEffect WritesCf{0, kCf, 0};
constexpr FlagEffect WritesZf{0, kZf, 0};
constexpr FlagEffect WritesIf{0, kIf, 0};
constexpr FlagEffect WritesDf{0, kDf, 0};

// Attributes column.
constexpr u32 Lock = attribute::kLockable, D64 = attribute::kDefault64, F64 = attribute::kForce64,
              No64 = attribute::kNot64, Only64 = attribute::kOnly64, L0 = attribute::kL0, L1 = attribute::kL1,
              W0 = attribute::kW0, W1 = attribute::kW1, I256 = attribute::kAvx2If256, Priv = attribute::kPrivileged,
              Iopl = attribute::kIopl, Protected = attribute::kProtectedOnly, IgnoreMod = attribute::kIgnoreMod,
              Undocumented = attribute::kUndocumented, Rep = attribute::kRepeatable, Aligned = attribute::kAligned,
              Lig = attribute::kLig, User = attribute::kUser;

#define ROW(encoding, count, opcode, prefix, modrm, operation, operands, flags, attributes, feature)                  \
  Row{XM_MAP, Encoding::encoding, opcode,          count, PrefixMatch::prefix, modrm, Operation::operation, operands, \
      flags,  attributes,         Feature::feature},
#define OP(...) ROW(Legacy, 1, __VA_ARGS__)
#define OP8(...) ROW(Legacy, 8, __VA_ARGS__)
#define OP16(...) ROW(Legacy, 16, __VA_ARGS__)
#define OPN(opcode, count, ...) ROW(Legacy, count, opcode, __VA_ARGS__)
#define BOTH(...) ROW(Both, 1, __VA_ARGS__)
#define VEX(...) ROW(Vex, 1, __VA_ARGS__)

constexpr Row kRows[] = {
#define XM_MAP OpcodeMap::OneByte
#include "cpu/isa/map_1byte.def"
#include "cpu/isa/x87.def"
#undef XM_MAP
#define XM_MAP OpcodeMap::TwoByte0F
#include "cpu/isa/map_0f.def"
#include "cpu/isa/sse_0f.def"
#undef XM_MAP
#define XM_MAP OpcodeMap::Three0F38
#include "cpu/isa/map_0f38.def"
#undef XM_MAP
#define XM_MAP OpcodeMap::Three0F3A
#include "cpu/isa/map_0f3a.def"
#undef XM_MAP
};

}  // namespace columns

constexpr OperandCodeInfo kCodes[] = {
    {Addressing::None, OperandSize::None, ""},
#define CODE(name, addressing, size) {Addressing::addressing, OperandSize::size, #name},
#include "cpu/isa/operand_codes.def"
#undef CODE
};

}  // namespace

std::span<const Row> isa_rows() { return columns::kRows; }

const OperandCodeInfo& operand_code_info(OperandCode code) { return kCodes[static_cast<unsigned>(code)]; }

Feature required_feature(const Row& row, bool vex, unsigned vex_l) {
  if (!vex) return row.feature;
  if (row.feature == Feature::Aes && vex_l == 1) return Feature::Vaes;
  if (row.feature == Feature::Pclmulqdq && vex_l == 1) return Feature::Vpclmulqdq;
  if (row.has(attribute::kAvx2If256) && vex_l == 1) return Feature::Avx2;
  return row.encoding == Encoding::Both ? Feature::Avx : row.feature;
}

}  // namespace xm::cpu
