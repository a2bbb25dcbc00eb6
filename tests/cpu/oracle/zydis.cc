// SPDX-License-Identifier: GPL-2.0-or-later
// Zydis 4 as an oracle for length, mnemonic and operands.
#include <Zydis/Zydis.h>

#include <set>

#include "emu/base/bits.h"
#include "tests/cpu/oracle/canonical.h"

namespace xm::cpu::oracle {
namespace {

const ZydisDecoder& decoder_for(CodeSize mode) {
  static const auto make = [](ZydisMachineMode machine, ZydisStackWidth width) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, machine, width);
    // Extensions the CPU does not have: their encodings are NOPs.
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
    return decoder;
  };
  static const ZydisDecoder decoder16 = make(ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
  static const ZydisDecoder decoder32 = make(ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
  static const ZydisDecoder decoder64 = make(ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  return mode == CodeSize::Bits16 ? decoder16 : mode == CodeSize::Bits32 ? decoder32 : decoder64;
}

std::string register_name(ZydisRegister reg) {
  if (reg == ZYDIS_REGISTER_NONE) return "";
  return ZydisRegisterGetString(reg);
}

std::string operand_text(const ZydisDecodedInstruction& insn, const ZydisDecodedOperand& operand) {
  switch (operand.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: return register_name(operand.reg.value);
    case ZYDIS_OPERAND_TYPE_MEMORY: {
      const unsigned size = operand.mem.type == ZYDIS_MEMOP_TYPE_AGEN ? 0 : operand.size;
      return memory_text(size, register_name(operand.mem.segment), register_name(operand.mem.base),
                         register_name(operand.mem.index), operand.mem.scale, operand.mem.disp.value);
    }
    case ZYDIS_OPERAND_TYPE_POINTER: return "far " + hex(operand.ptr.segment) + ":" + hex(operand.ptr.offset);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE: {
      if (operand.imm.is_relative) return "rel " + hex(operand.imm.value.u);
      const bool extended = operand.imm.is_signed;
      const unsigned size = extended ? insn.operand_width / 8u : operand.size / 8u;
      return "imm " + hex(operand.imm.value.u & mask_of_bytes(size == 0 ? 1 : size));
    }
    default: return "?";
  }
}

}  // namespace

Verdict zydis(std::span<const u8> bytes, CodeSize mode) {
  ZydisDecodedInstruction insn;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  Verdict verdict;
  verdict.valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_for(mode), bytes.data(), bytes.size(), &insn, operands));
  if (!verdict.valid) return verdict;
  verdict.length = insn.length;
  verdict.text = ZydisMnemonicGetString(insn.mnemonic);
  const char* separator = " ";
  const bool is_string =
      insn.meta.category == ZYDIS_CATEGORY_STRINGOP || insn.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
  const unsigned count = is_string ? insn.operand_count : insn.operand_count_visible;
  for (unsigned i = 0; i < count; ++i) {
    if (is_string && operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    verdict.text += separator + operand_text(insn, operands[i]);
    separator = ", ";
  }
  verdict.extension = ZydisISAExtGetString(insn.meta.isa_ext);
  return verdict;
}

bool is_absent_extension(const Verdict& theirs, CodeSize mode) {
  static const std::set<std::string> absent = {
      "AMD3DNOW", "AMD_INVLPGB", "AMX_BF16", "AMX_INT8", "AMX_TILE",  "AVX512EVEX",  "AVX512VEX", "AVX_VNNI",
      "CET",      "CLZERO",      "ENQCMD",   "FMA4",     "GFNI",      "HRESET",      "KEYLOCKER", "KEYLOCKER_WIDE",
      "KNC",      "KNCE",        "KNCV",     "MCOMMIT",  "MONITORX",  "MOVDIR",      "PADLOCK",   "PCONFIG",
      "PKU",      "PT",          "RDPRU",    "RTM",      "SERIALIZE", "SGX",         "SGX_ENCLV", "SMX",
      "SNP",      "SSE4A",       "SVM",      "TDX",      "TBM",       "TSX_LDTRK",   "UINTR",     "VAES",
      "VMFUNC",   "VPCLMULQDQ",  "VTX",      "WAITPKG",  "XOP",       "AVX512_FP16",
  };
  if (absent.count(theirs.extension) != 0) return true;
  // SYSCALL and SYSRET outside 64-bit mode exist on AMD only.
  const std::string name = theirs.text.substr(0, theirs.text.find(' '));
  return mode != CodeSize::Bits64 && (name == "syscall" || name == "sysret");
}

}  // namespace xm::cpu::oracle
