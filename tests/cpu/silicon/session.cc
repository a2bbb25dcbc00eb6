// SPDX-License-Identifier: GPL-2.0-or-later
// Batches of tests through both processors.
#include "tests/cpu/silicon/session.h"

#include <algorithm>

#include "tests/cpu/silicon/compare.h"
#include "tests/cpu/silicon/generator.h"
#include "tests/cpu/silicon/kvm_ring3.h"
#include "tests/cpu/silicon/native.h"

namespace xm::cpu::silicon {

SessionResult run_session(const SessionOptions& options, Engine* engine, FlatBus& bus) {
  constexpr u64 kBatch = 2048;
  SessionResult result;
  Native native;
  std::unique_ptr<KvmRing3> ring3;
  if (options.through_kvm) ring3 = std::make_unique<KvmRing3>();
  Generator generator(options.seed, options.only, &Native::has);
  result.available = (ring3 ? ring3->ok() : native.ok()) && !generator.empty();
  if (!result.available) return result;
  std::unique_ptr<Guest> guest;
  if (engine != nullptr) guest = std::make_unique<Guest>(*engine, bus);
  for (u64 done = 0; done < options.count; done += kBatch) {
    std::vector<TestCase> tests(std::min(kBatch, options.count - done));
    for (TestCase& test : tests) test = generator.next();
    const std::vector<Outcome> silicon = ring3 ? ring3->run(tests) : native.run(tests);
    Outcome ours;
    for (std::size_t i = 0; i < tests.size(); ++i) {
      const Operation operation = isa_row(tests[i].row).operation;
      std::string difference;
      if (!silicon[i].ran) {
        difference = "  silicon: the test killed its process\n";
      } else {
        ++result.compared;
        result.completed += silicon[i].vector == 3;
        if (guest != nullptr) {
          guest->run(tests[i], ours);
          difference = compare(tests[i], silicon[i], ours);
        }
      }
      if (difference.empty()) continue;
      ++result.differences;
      if (++result.by_operation[operation] <= options.reports_per_operation) {
        result.reports.push_back("test " + std::to_string(done + i) + ": " + describe(tests[i]) + difference);
      }
    }
  }
  return result;
}

}  // namespace xm::cpu::silicon
