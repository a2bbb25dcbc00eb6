// SPDX-License-Identifier: GPL-2.0-or-later
// Capstone 4 as a second oracle: length, mnemonic and register, immediate and memory operands.
#include <capstone/capstone.h>

#include <map>

#include "emu/base/bits.h"
#include "tests/cpu/oracle/canonical.h"

namespace xm::cpu::oracle {
namespace {

// One handle a mode, closed at exit.
class Handle {
 public:
  explicit Handle(cs_mode mode) {
    cs_open(CS_ARCH_X86, mode, &handle_);
    cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
    insn_ = cs_malloc(handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    cs_free(insn_, 1);
    cs_close(&handle_);
  }
  const cs_insn* next(std::span<const u8> bytes) {
    const u8* code = bytes.data();
    size_t size = bytes.size();
    u64 address = 0;
    return cs_disasm_iter(handle_, &code, &size, &address, insn_) ? insn_ : nullptr;
  }
  std::string name(unsigned reg) const { return reg == X86_REG_INVALID ? "" : cs_reg_name(handle_, reg); }

 private:
  csh handle_ = 0;
  cs_insn* insn_ = nullptr;
};

Handle& handle_for(CodeSize mode) {
  static Handle handle16(CS_MODE_16), handle32(CS_MODE_32), handle64(CS_MODE_64);
  return mode == CodeSize::Bits16 ? handle16 : mode == CodeSize::Bits32 ? handle32 : handle64;
}

std::string operand_text(const Handle& handle, const cs_x86_op& operand) {
  switch (operand.type) {
    case X86_OP_REG: return handle.name(operand.reg);
    case X86_OP_IMM: return "imm " + hex(static_cast<u64>(operand.imm) & mask_of_bytes(operand.size));
    case X86_OP_MEM:
      return memory_text(operand.size * 8u, handle.name(operand.mem.segment), handle.name(operand.mem.base),
                         handle.name(operand.mem.index), static_cast<unsigned>(operand.mem.scale), operand.mem.disp);
    default: return "?";
  }
}

}  // namespace

Verdict capstone(std::span<const u8> bytes, CodeSize mode) {
  Handle& handle = handle_for(mode);
  Verdict verdict;
  const cs_insn* insn = handle.next(bytes);
  if (insn == nullptr) return verdict;
  verdict.valid = true;
  verdict.length = insn->size;
  verdict.text = insn->mnemonic;
  const cs_x86& detail = insn->detail->x86;
  const char* separator = " ";
  for (unsigned i = 0; i < detail.op_count; ++i) {
    verdict.text += separator + operand_text(handle, detail.operands[i]);
    separator = ", ";
  }
  return verdict;
}

}  // namespace xm::cpu::oracle
