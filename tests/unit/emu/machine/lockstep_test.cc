// SPDX-License-Identifier: GPL-2.0-or-later
// Lockstep finds a difference that was planted, and names the instruction.
#include "emu/machine/lockstep.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "cpu/state/cpu_state.h"
#include "tests/cpu/flat_bus.h"

namespace xm::machine {
namespace {

constexpr u64 kRamBytes = 1 << 20, kCode = 0x8000;

// RAM of the address space, nothing else.
class RamBus final : public cpu::FlatBus {
 public:
  explicit RamBus(bus::RamBlock& ram) : FlatBus(kPageSize), ram_(ram) {}
  cpu::PhysPage resolve_page(GuestPhys page) override {
    if (page.value >= kRamBytes) return {};
    u8* host = ram_.host() + page.value;
    return {host, host, ram_.page_marks() + page.value / kPageSize};
  }

 private:
  bus::RamBlock& ram_;
};

struct LockstepTest : testing::TestWithParam<const char*> {
  // MOV CX, 1000; again: ADD AX, CX; MOV [9000h], AX; LOOP again; CLI; HLT
  static constexpr u8 kProgram[] = {0xB9, 0xE8, 0x03, 0x01, 0xC8, 0xA3, 0x00, 0x90, 0xE2, 0xF9, 0xFA, 0xF4};

  void run(std::function<void(cpu::Vcpu&)> injector) {
    if (std::strcmp(GetParam(), "kvm") == 0 && access("/dev/kvm", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/kvm";
    auto ram = bus::RamBlock::create("ram", kRamBytes);
    ASSERT_TRUE(ram.ok());
    bus::AddressSpace space;
    space.add_ram({0}, kRamBytes, **ram, 0, 0, "ram");
    std::memcpy((*ram)->host() + kCode, kProgram, sizeof kProgram);
    RamBus bus(**ram);
    std::mutex lock;
    Log log;
    const cpu::CpuModel model;
    LockstepConfig config;
    config.shadow = GetParam();
    auto engine = LockstepEngine::create(
        config, bus,
        {.lock = lock, .memory = space, .model = model, .log = log, .differs = [this](const std::string& text) {
           report = text;
         }});
    ASSERT_TRUE(engine.ok());
    (*engine)->set_fault_injector(std::move(injector));
    cpu::CpuState state = cpu::reset_state(model.signature(), true);
    state.segment[1] = {.base = 0, .limit = 0xFFFF, .attributes = 0x9B, .selector = 0};
    state.rip = kCode;
    (*engine)->set_state(state);
    exit = (*engine)->run({});
  }

  std::string report;
  cpu::Exit exit;
};

TEST_P(LockstepTest, AgreesWithoutAFault) {
  run({});
  if (IsSkipped()) return;
  EXPECT_EQ(report, "");
  EXPECT_EQ(exit.kind, cpu::ExitKind::Halt);
}

TEST_P(LockstepTest, FindsAWrongRegisterAndNamesTheInstruction) {
  // From then on, as a wrong instruction would do every time: ADD AX, CX with CX = 500 also changes BX.
  run([](cpu::Vcpu& cpu) {
    if (cpu.state.rip == kCode + 5 && cpu.state.gpr[1] == 500) cpu.state.gpr[3] ^= 4;
  });
  if (IsSkipped()) return;
  EXPECT_NE(report.find("rbx"), std::string::npos) << report;
  EXPECT_NE(report.find("0000:0000000000008003"), std::string::npos) << report;
  EXPECT_EQ(exit.kind, cpu::ExitKind::Debug);
}

INSTANTIATE_TEST_SUITE_P(Shadows, LockstepTest, testing::Values("interp", "kvm"),
                         [](const auto& shadow) { return std::string(shadow.param); });

}  // namespace
}  // namespace xm::machine
