// SPDX-License-Identifier: GPL-2.0-or-later
// Every vector row of the instruction table, legacy and VEX, register and memory form, against the host's own CPU:
// registers, flags, MXCSR, memory, and unmasked exceptions.
#include <gtest/gtest.h>

#include <cstring>

#include "cpu/decode/decoder.h"
#include "cpu/isa/isa.h"
#include "cpu/semantics/vector.h"
#include "tests/unit/cpu/semantics/fp_bench.h"

namespace xm::cpu::test {
namespace {

bool is_vector_feature(Feature feature) {
  switch (feature) {
    case Feature::Mmx:
    case Feature::Sse:
    case Feature::Sse2:
    case Feature::Sse3:
    case Feature::Ssse3:
    case Feature::Sse41:
    case Feature::Sse42:
    case Feature::Aes:
    case Feature::Pclmulqdq:
    case Feature::Sha:
    case Feature::Avx:
    case Feature::Avx2:
    case Feature::Fma:
    case Feature::F16c: return true;
    default: return false;
  }
}

bool is_left_out(Operation operation) {
  switch (operation) {
    case Operation::Maskmovq:  // stores at RDI, which the bench needs
    case Operation::Maskmovdqu:
    case Operation::Crc32:  // integer family
    case Operation::Movnti:
    case Operation::Prefetch:
    case Operation::Sfence:
    case Operation::Mfence:
    case Operation::Lfence:
    case Operation::Pause:
    case Operation::Ldmxcsr:  // random bytes are no MXCSR
    case Operation::Fisttp:
    case Operation::Emms:
    case Operation::Vzeroall:
    case Operation::Vzeroupper: return true;
    default: return false;
  }
}

struct Form {
  bool vex, memory;
  unsigned l, w;
};

bool uses_vvvv(const Row& row) {
  for (OperandCode code : row.operands) {
    if (code == OperandCode::None) break;
    if (operand_code_info(code).addressing == Addressing::XVvvv) return true;
  }
  return false;
}

std::vector<u8> encode(const Row& row, const Form& form, u8 imm) {
  std::vector<u8> code;
  const unsigned pp = row.prefix == PrefixMatch::P66   ? 1
                      : row.prefix == PrefixMatch::PF3 ? 2
                      : row.prefix == PrefixMatch::PF2 ? 3
                                                       : 0;
  const unsigned map = row.map == OpcodeMap::TwoByte0F ? 1 : row.map == OpcodeMap::Three0F38 ? 2 : 3;
  if (form.vex) {
    const unsigned vvvv = uses_vvvv(row) ? 13 : 15;  // register 2, inverted
    code = {0xC4, static_cast<u8>(0xE0 | map), static_cast<u8>(form.w << 7 | vvvv << 3 | form.l << 2 | pp)};
  } else {
    constexpr u8 kPrefixes[] = {0, 0x66, 0xF3, 0xF2};
    if (pp != 0) code.push_back(kPrefixes[pp]);
    if (form.w) code.push_back(0x48);
    code.push_back(0x0F);
    if (map == 2) code.push_back(0x38);
    if (map == 3) code.push_back(0x3A);
  }
  code.push_back(row.opcode);
  if (row.modrm.present) {
    const unsigned reg = row.modrm.reg >= 0 ? static_cast<unsigned>(row.modrm.reg) : 0;
    code.push_back(static_cast<u8>(form.memory ? reg << 3 | 6 : 0xC0 | reg << 3 | 1));
  }
  for (OperandCode code_name : row.operands) {
    if (code_name == OperandCode::Ib) code.push_back(imm);
    if (code_name == OperandCode::Lx) code.push_back(0x30);
  }
  return code;
}

bool host_has(Feature feature) {
  const auto host = semantics::host_vector_features();
  switch (feature) {
    case Feature::Sha: return host.sha;
    case Feature::Avx: return host.avx;
    case Feature::Avx2: return host.avx2;
    case Feature::Fma: return host.fma;
    case Feature::F16c: return host.f16c;
    default: return true;
  }
}

std::string hex(const std::vector<u8>& code) {
  std::string text;
  for (u8 byte : code) {
    char part[4];
    snprintf(part, sizeof part, "%02x ", byte);
    text += part;
  }
  return text;
}

std::string text_of(const FpValues& v) {
  std::string text;
  char part[200];
  for (unsigned i = 0; i < 4; ++i) {
    const auto& q = v.vector[i].q;
    snprintf(part, sizeof part, "\n  v%u %016lx %016lx %016lx %016lx mm %016lx", i, q[3], q[2], q[1], q[0], v.mmx[i]);
    text += part;
  }
  for (unsigned i = 0; i < 4; ++i) {
    u64 word;
    std::memcpy(&word, &v.memory[i * 8], 8);
    snprintf(part, sizeof part, "\n  m%u %016lx", i, word);
    text += part;
  }
  snprintf(part, sizeof part, "\n  rax %lx rcx %lx rdx %lx flags %lx mxcsr %x fault %d", v.rax, v.rcx, v.rdx, v.flags,
           v.mxcsr, v.faulted);
  return text + part;
}

constexpr u64 kStatusFlags = 0x8D5;

bool same(const FpValues& a, const FpValues& b, bool mmx) {
  return a.vector == b.vector && (!mmx || a.mmx == b.mmx) && a.memory == b.memory && a.rax == b.rax && a.rcx == b.rcx &&
         a.rdx == b.rdx && ((a.flags ^ b.flags) & kStatusFlags) == 0 && a.mxcsr == b.mxcsr && a.faulted == b.faulted;
}

class VectorSilicon : public ::testing::TestWithParam<u32> {};

FpValues random_values(std::mt19937_64& random, u32 mxcsr) {
  FpValues values;
  for (auto& v : values.vector) v = interesting_vector(random);
  if (random() % 8 == 0) values.vector[1] = values.vector[2];
  for (unsigned i = 0; i < 2; ++i) {
    const VectorRegister v = interesting_vector(random);
    std::memcpy(&values.memory[i * 32], v.q.data(), 32);
  }
  for (u64& m : values.mmx) m = random();
  if (random() % 2) values.mmx[1] &= 0x1F;  // shift counts
  if (random() % 4 == 0) values.vector[1].q[0] &= 0x3F;
  values.rax = random() % 4 ? random() % 40 - 20 : random();
  values.rcx = random() % 4 ? random() : random() % 5;
  values.rdx = random() % 4 ? random() % 40 - 20 : random();
  values.flags = 2 | (random() & kStatusFlags);
  values.mxcsr = mxcsr;
  values.resident = random() % 4 != 0;
  return values;
}

// Parameter: MXCSR. With all exceptions masked each result counts; unmasked, which fault comes with which flags.
TEST_P(VectorSilicon, EveryRowLikeTheHost) {
  GuestFp guest;
  std::mt19937_64 random(GetParam());
  unsigned compared = 0, failures = 0;
  const auto rows = isa_rows();
  for (unsigned index = 0; index < rows.size(); ++index) {
    const Row& row = rows[index];
    if (!is_vector_feature(row.feature) || is_left_out(row.operation) || row.map == OpcodeMap::OneByte) continue;
    for (unsigned variant = 0; variant < 16; ++variant) {
      const Form form{(variant & 1) != 0, (variant & 2) != 0, variant >> 2 & 1, variant >> 3 & 1};
      if (!form.vex && form.l) continue;
      unsigned bad = 0;
      for (unsigned round = 0; round < 8; ++round) {
        const std::vector<u8> code = encode(row, form, static_cast<u8>(random()));
        Insn insn;
        if (decode_into(code, CodeSize::Bits64, insn) != DecodeStatus::Ok || insn.row != index ||
            insn.length != code.size() || insn.memory.vsib || !host_has(required_feature(row, form.vex, form.l))) {
          break;
        }
        bool mmx = false;
        for (const Operand& operand : insn.operands) mmx |= operand.kind == OperandKind::Mm;
        const FpValues start = random_values(random, GetParam());
        const FpValues expected = run_on_host(code, start, mmx ? Besides::Mmx : Besides::Nothing);
        const auto actual = guest.run(code, start, mmx ? Besides::Mmx : Besides::Nothing);
        ASSERT_TRUE(actual.has_value()) << operation_name(row.operation) << " has no handler: " << hex(code);
        ++compared;
        FpValues got = *actual;
        if (!mmx) got.mmx = expected.mmx;
        if (!same(expected, got, mmx) && ++bad == 1 && ++failures < 20) {
          ADD_FAILURE() << operation_name(row.operation) << " " << hex(code) << "\nstart" << text_of(start) << "\nhost"
                        << text_of(expected) << "\nguest" << text_of(got);
        }
      }
    }
  }
  EXPECT_GT(compared, 5000u);
  EXPECT_EQ(failures, 0u);
}

INSTANTIATE_TEST_SUITE_P(Masked, VectorSilicon,
                         ::testing::Values(0x1F80, 0x3F80, 0x5F80, 0x7F80, 0x1FC0, 0x9F80, 0xFFC0, 0x1FBF));
INSTANTIATE_TEST_SUITE_P(Unmasked, VectorSilicon,
                         ::testing::Values(0x0000, 0x1F00, 0x1E80, 0x1D80, 0x1B80, 0x1780, 0x0F80, 0x8780, 0x9780,
                                           0xA780, 0x1440));

}  // namespace
}  // namespace xm::cpu::test
