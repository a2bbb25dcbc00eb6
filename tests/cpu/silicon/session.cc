// SPDX-License-Identifier: GPL-2.0-or-later
// Batches of tests through both processors.
#include "tests/cpu/silicon/session.h"

#include <algorithm>
#include <span>

#include "tests/cpu/silicon/compare.h"
#include "tests/cpu/silicon/generator.h"
#include "tests/cpu/silicon/kvm_ring3.h"
#include "tests/cpu/silicon/native.h"

namespace xm::cpu::silicon {

namespace {

constexpr u8 kInvalidOpcode = 6, kGeneralProtection = 13;

struct Doubt {
  u64 number;
  TestCase test;
  Outcome ours;
  std::string text;
};

// Software KVM runs 64-bit user mode natively; 32-bit code, every instruction that ends in #GP and now and then one
// whose page it has to map go through its emulator, which makes #UD of most and lets FXSAVE pass unaligned. It does not
// always load the selectors of data segments, and a jump to the last byte of the address space looks like SYSCALL
// (cpu/kvm/kvm_user_mode.cc). 32-bit code is not generated; the others the processor decides in a process of the host.
bool kvm_may_err(const TestCase& test, const Outcome& silicon, const Outcome& ours) {
  const Row& row = isa_row(test.row);
  const bool reads_selector =
      row.operation == Operation::Mov && operand_code_info(row.operands[1]).addressing == Addressing::Sreg;
  return !silicon.ran || silicon.vector == kInvalidOpcode || ours.vector == kGeneralProtection || reads_selector;
}

// What differs from the host's processor, too.
std::vector<Doubt> settle(Native& native, std::span<const Doubt> doubts, u64& settled) {
  std::vector<TestCase> tests;
  for (const Doubt& doubt : doubts) tests.push_back(doubt.test);
  const std::vector<Outcome> silicon = native.run(tests);
  std::vector<Doubt> left;
  for (std::size_t i = 0; i < doubts.size(); ++i) {
    if (!silicon[i].ran || !compare(tests[i], silicon[i], doubts[i].ours).empty()) left.push_back(doubts[i]);
  }
  settled += doubts.size() - left.size();
  return left;
}

}  // namespace

SessionResult run_session(const SessionOptions& options, Engine* engine, FlatBus& bus) {
  constexpr u64 kBatch = 2048;
  SessionResult result;
  Native native;
  std::unique_ptr<KvmRing3> ring3;
  if (options.through_kvm) ring3 = std::make_unique<KvmRing3>();
  Generator generator(options.seed, options.only, &Native::has, ring3 ? Modes::Only64 : Modes::Both);
  result.available = (ring3 ? ring3->ok() : native.ok()) && !generator.empty();
  if (!result.available) return result;
  std::unique_ptr<Guest> guest;
  if (engine != nullptr) guest = std::make_unique<Guest>(*engine, bus);
  const auto differs = [&](u64 number, const TestCase& test, const std::string& difference) {
    ++result.differences;
    if (++result.by_operation[isa_row(test.row).operation] > options.reports_per_operation) return;
    result.reports.push_back("test " + std::to_string(number) + ": " + describe(test) + difference);
  };
  for (u64 done = 0; done < options.count; done += kBatch) {
    std::vector<TestCase> tests(std::min(kBatch, options.count - done));
    for (TestCase& test : tests) test = generator.next();
    const std::vector<Outcome> silicon = ring3 ? ring3->run(tests) : native.run(tests);
    std::vector<Doubt> doubts;
    Outcome ours;
    for (std::size_t i = 0; i < tests.size(); ++i) {
      result.compared += silicon[i].ran;
      result.completed += silicon[i].ran && silicon[i].vector == 3;
      if (guest != nullptr) guest->run(tests[i], ours);
      std::string difference;
      if (!silicon[i].ran)
        difference = "  silicon: the test killed its process\n";
      else if (guest != nullptr)
        difference = compare(tests[i], silicon[i], ours);
      if (difference.empty()) continue;
      if (ring3 && guest != nullptr && kvm_may_err(tests[i], silicon[i], ours))
        doubts.push_back({done + i, tests[i], ours, difference});
      else
        differs(done + i, tests[i], difference);
    }
    for (const Doubt& doubt : settle(native, doubts, result.emulated)) differs(doubt.number, doubt.test, doubt.text);
  }
  return result;
}

}  // namespace xm::cpu::silicon
