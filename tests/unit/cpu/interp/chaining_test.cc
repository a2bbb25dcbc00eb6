// SPDX-License-Identifier: GPL-2.0-or-later
// How blocks follow one another: jumps that a block goes on behind, computed jumps that remember their targets, returns
// that calls have foretold. Each program runs to each of its instructions at once and is compared with a run in single
// steps, where nothing is followed or remembered.
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/cpu/interp/machine_code.h"

namespace xm::cpu::test {
namespace {

struct Moment {
  u64 rip = 0, flags = 0;
  std::array<u64, 16> gpr{};
  bool operator==(const Moment&) const = default;
};

Moment moment_of(MachineCode& m) { return {m.rip(), m.flags() & flag::kStatus, m.engine.vcpu().state.gpr}; }

void start(MachineCode& m, std::initializer_list<u8> code) {
  m.enter_long_mode();
  m.load(code);
}

std::vector<Moment> in_steps(std::initializer_list<u8> code) {
  MachineCode m;
  start(m, code);
  std::vector<Moment> moments;
  while (m.engine.vcpu().state.activity == Activity::Running && moments.size() < 1000) {
    m.engine.step();
    moments.push_back(moment_of(m));
  }
  return moments;
}

// Runs `code` up to each of its instructions; returns the last moment.
Moment compare_with_steps(std::initializer_list<u8> code) {
  const std::vector<Moment> moments = in_steps(code);
  EXPECT_LT(moments.size(), 1000u);
  for (std::size_t count = 1; count <= moments.size(); ++count) {
    MachineCode m;
    start(m, code);
    m.run(count);
    EXPECT_EQ(m.engine.instructions(), count);
    EXPECT_EQ(moment_of(m), moments[count - 1]) << "after " << count;
  }
  return moments.back();
}

TEST(Chaining, FollowsJumpsForwardAndBack) {
  // jmp f1; b1: inc ebx; cmp ebx, 3; jae done; jmp f2; f1: mov eax, 5; jmp b1; f2: add eax, ebx; jmp b1; done: hlt
  const Moment end = compare_with_steps({0xEB, 0x09, 0xFF, 0xC3, 0x83, 0xFB, 0x03, 0x73, 0x0D, 0xEB, 0x07, 0xB8,
                                         0x05, 0x00, 0x00, 0x00, 0xEB, 0xF0, 0x01, 0xD8, 0xEB, 0xEC, 0xF4});
  EXPECT_EQ(end.gpr[gpr::kRax], 8u);
}

TEST(Chaining, SeesCodeThatChangesBehindAFollowedJump) {
  // mov ecx, 3; again: xor eax, eax; jmp behind; nop; nop; behind: mov al, 1; add ebx, eax;
  // mov byte [behind + 1], 10; dec ecx; jnz again; hlt
  const Moment end =
      compare_with_steps({0xB9, 0x03, 0x00, 0x00, 0x00, 0x31, 0xC0, 0xEB, 0x02, 0x90, 0x90, 0xB0, 0x01, 0x01,
                          0xC3, 0xC6, 0x04, 0x25, 0x0C, 0x10, 0x00, 0x00, 0x0A, 0xFF, 0xC9, 0x75, 0xEA, 0xF4});
  EXPECT_EQ(end.gpr[gpr::kRbx], 21u);
}

TEST(Chaining, ReturnsWhereTheStackSaysHoweverDeep) {
  // mov ecx, 8; loop: call f; inc esi; dec ecx; jnz loop; mov edi, 40; call deep; hlt; other: add edi, 1; dec ecx;
  // jnz loop; hlt; f: test cl, 1; jz even; ret; even: mov qword [rsp], other; ret;
  // deep: dec edi; jz end; call deep; inc ebx; end: ret
  const Moment end = compare_with_steps({0xB9, 0x08, 0x00, 0x00, 0x00, 0xE8, 0x19, 0x00, 0x00, 0x00, 0xFF, 0xC6, 0xFF,
                                         0xC9, 0x75, 0xF5, 0xBF, 0x28, 0x00, 0x00, 0x00, 0xE8, 0x18, 0x00, 0x00, 0x00,
                                         0xF4, 0x83, 0xC7, 0x01, 0xFF, 0xC9, 0x75, 0xE3, 0xF4, 0xF6, 0xC1, 0x01, 0x74,
                                         0x01, 0xC3, 0x48, 0xC7, 0x04, 0x24, 0x1B, 0x10, 0x00, 0x00, 0xC3, 0xFF, 0xCF,
                                         0x74, 0x07, 0xE8, 0xF7, 0xFF, 0xFF, 0xFF, 0xFF, 0xC3, 0xC3});
  EXPECT_EQ(end.gpr[gpr::kRsi], 4u);
  EXPECT_EQ(end.gpr[gpr::kRbx], 39u);
  EXPECT_EQ(end.gpr[gpr::kRsp], MachineCode::kStack);
}

TEST(Chaining, RemembersTargetsOnlyWhileTheyStayWhatTheyWere) {
  // mov edx, 2; round: mov ecx, 12; next: lea eax, [rcx - 1]; shr eax, 1; lea rbx, [targets + rax*8]; call rbx; dec
  // ecx; jnz next; mov ecx, 6; change: inc byte [targets + rcx*8 - 8 + 2]; dec ecx; jnz change; dec edx; jnz round; lea
  // rbx, [fin]; jmp rbx; fin: hlt; targets: six of add esi, 1 << i; ret
  const Moment end = compare_with_steps(
      {0xBA, 0x02, 0x00, 0x00, 0x00, 0xB9, 0x0C, 0x00, 0x00, 0x00, 0x8D, 0x41, 0xFF, 0xD1, 0xE8, 0x48, 0x8D, 0x1C, 0xC5,
       0x40, 0x10, 0x00, 0x00, 0xFF, 0xD3, 0xFF, 0xC9, 0x75, 0xED, 0xB9, 0x06, 0x00, 0x00, 0x00, 0xFE, 0x04, 0xCD, 0x3A,
       0x10, 0x00, 0x00, 0xFF, 0xC9, 0x75, 0xF5, 0xFF, 0xCA, 0x75, 0xD4, 0x48, 0x8D, 0x1C, 0x25, 0x3B, 0x10, 0x00, 0x00,
       0xFF, 0xE3, 0xF4, 0x90, 0x90, 0x90, 0x90, 0x83, 0xC6, 0x01, 0xC3, 0x90, 0x90, 0x90, 0x90, 0x83, 0xC6, 0x02, 0xC3,
       0x90, 0x90, 0x90, 0x90, 0x83, 0xC6, 0x04, 0xC3, 0x90, 0x90, 0x90, 0x90, 0x83, 0xC6, 0x08, 0xC3, 0x90, 0x90, 0x90,
       0x90, 0x83, 0xC6, 0x10, 0xC3, 0x90, 0x90, 0x90, 0x90, 0x83, 0xC6, 0x20, 0xC3, 0x90, 0x90, 0x90, 0x90});
  EXPECT_EQ(end.gpr[gpr::kRsi], 2u * 63 + 2u * 69);
}

}  // namespace
}  // namespace xm::cpu::test
