// SPDX-License-Identifier: GPL-2.0-or-later
// engine_bench [NAME-PART]: guest programs (engine_programs.asm) on the interpreter with nothing but RAM around it;
// prints millions of guest instructions a second and nanoseconds an operation, CPU time, best of three.
// engine_bench --counts: a line for each program: instructions at scale 1, at scale 2, operations a unit, flags, name.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "cpu/interp/interpreter.h"
#include "cpu/system/cpuid.h"
#include "tests/unit/cpu/test_bus.h"

namespace {

using namespace xm;
using namespace xm::cpu;

constexpr u64 kLoad = 0x100000, kTables = 0x10000, kStub = 0x7000, kStack = 0x80000;
constexpr u64 kSmallPages = 0x40000000, kSmallPagesAt = 0x800000;

struct Program {
  u64 entry, scale;
  u32 flags, operations;  // of a unit of scale
  char name[24];
};

void build_tables(test::TestBus& bus) {
  bus.poke<u64>(kTables, (kTables + 0x1000) | 7);
  bus.poke<u64>(kTables + 0x1000, (kTables + 0x2000) | 7);
  bus.poke<u64>(kTables + 0x1008, (kTables + 0x3000) | 7);
  for (u64 i = 0; i < 512; ++i) bus.poke<u64>(kTables + 0x2000 + 8 * i, (i << 21) | 0x187);
  bus.poke<u64>(kTables + 0x3000, (kTables + 0x4000) | 7);
  for (u64 i = 0; i < 512; ++i) bus.poke<u64>(kTables + 0x4000 + 8 * i, (kSmallPagesAt + (i << 12)) | 7);
  bus.poke<u64>(kTables + 0x1018, (kTables + 0x5000) | 7);
  bus.poke<u64>(kTables + 0x5FB0, 0xFEC00097);
}

// CALL RSI, HLT.
void build_stub(test::TestBus& bus) { bus.poke<u32>(kStub, 0xF4D6FF); }

CpuState start_state(u64 entry, u64 scale) {
  CpuState state = reset_state(0, true);
  state.cr0 = cr0::kPe | cr0::kPg | cr0::kEt | cr0::kNe | cr0::kWp;
  state.cr4 = cr4::kPae | cr4::kPge | cr4::kOsfxsr | cr4::kOsxmmexcpt;
  state.cr3 = kTables;
  state.msr.efer = efer::kLme | efer::kLma | efer::kSce | efer::kNxe;
  state.segment.fill({.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC093, .selector = 0x10});
  state.segment[1] = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xA09B, .selector = 8};
  state.rip = kStub;
  state.gpr[gpr::kRsi] = entry;
  state.gpr[gpr::kRsp] = kStack;
  state.gpr[gpr::kRdi] = scale;
  return state;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What `prepare` has set up.
void keep_system_registers(interp::Interpreter& engine, CpuState& state) {
  CpuState before;
  engine.get_state(before);
  state.gdtr = before.gdtr;
  state.idtr = before.idtr;
  state.tr = before.tr;
  state.msr = before.msr;
}

struct Measurement {
  double seconds = 0;
  u64 instructions = 0;
};

Measurement measure(interp::Interpreter& engine, u64 entry, u64 scale) {
  CpuState state = start_state(entry, scale);
  if (scale != 0) keep_system_registers(engine, state);
  engine.set_state(state);
  const double start = cpu_seconds();
  engine.run({});
  return {cpu_seconds() - start, engine.instructions()};
}

void report(interp::Interpreter& engine, const Program& program) {
  u64 scale = 1;
  Measurement best = measure(engine, program.entry, scale);
  while (best.seconds < 0.1 && scale < 1'000'000) {
    scale *= 2;
    best = measure(engine, program.entry, scale);
  }
  for (int i = 0; i < 2; ++i) {
    const Measurement again = measure(engine, program.entry, scale);
    if (again.seconds < best.seconds) best = again;
  }
  std::printf("%-24s %9.1f M/s", program.name, static_cast<double>(best.instructions) / best.seconds * 1e-6);
  if (program.operations != 0)
    std::printf(" %12.3f ns/op", best.seconds / (static_cast<double>(scale) * program.operations) * 1e9);
  std::puts("");
  std::fflush(stdout);
}

void print_counts(interp::Interpreter& engine, const Program& program) {
  const u64 once = measure(engine, program.entry, 1).instructions;
  const u64 twice = measure(engine, program.entry, 2).instructions;
  std::printf("%llu %llu %u %u %s\n", static_cast<unsigned long long>(once), static_cast<unsigned long long>(twice),
              program.operations, program.flags, program.name);
}

}  // namespace

int main(int argc, char** argv) {
  const bool count_only = argc > 1 && std::string(argv[1]) == "--counts";
  std::ifstream file(ENGINE_PROGRAMS, std::ios::binary);
  const std::vector<char> image((std::istreambuf_iterator<char>(file)), {});
  if (image.size() < sizeof(Program)) {
    std::fprintf(stderr, "engine_bench: error: %s: no programs\n", ENGINE_PROGRAMS);
    return 125;
  }
  test::TestBus bus(u64{64} << 20);
  CpuModel model;
  Log log;
  interp::Interpreter engine(bus, model, log, {.bootstrap_processor = true, .alone = true});
  std::memcpy(bus.ram() + kLoad, image.data(), image.size());
  build_tables(bus);
  build_stub(bus);
  for (u64 at = kLoad + sizeof(u64);; at += sizeof(Program)) {
    const auto program = bus.peek<Program>(at);
    if (program.entry == 0) break;
    if (argc > 1 && !count_only && std::string(program.name).find(argv[1]) == std::string::npos) continue;
    measure(engine, bus.peek<u64>(kLoad), 0);  // prepares the system side
    if (count_only)
      print_counts(engine, program);
    else
      report(engine, program);
  }
  return 0;
}
