// SPDX-License-Identifier: GPL-2.0-or-later
// silicon --seed S --count N [--operation Name] [--engine interp] [--reports N] [--kvm]: random instructions on the
// host's processor and on an engine; prints the first differences of each operation. Exit status 1 if there are any.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/cpu/engine_factory.h"
#include "tests/cpu/silicon/session.h"

using namespace xm::cpu;

int main(int argc, char** argv) {
  silicon::SessionOptions options;
  options.count = 100000;
  std::string operation, engine_name = "interp";
  CLI::App app{"Random user-mode instructions: the host's processor against an engine"};
  app.add_option("--seed", options.seed, "random seed");
  app.add_option("--count", options.count, "number of instructions");
  app.add_option("--operation", operation, "only this operation, as in cpu/isa/operations.def");
  app.add_option("--engine", engine_name, "engine under test");
  app.add_flag("--kvm", options.through_kvm, "the silicon side is user mode of a KVM guest");
  app.add_option("--reports", options.reports_per_operation, "differences to print of each operation");
  CLI11_PARSE(app, argc, argv);
  if (!operation.empty()) {
    options.only = operation_by_name(operation);
    if (options.only == Operation::Invalid) {
      std::fprintf(stderr, "silicon: unknown operation: %s\n", operation.c_str());
      return 125;
    }
  }
  FlatBus bus(1 << 20);
  TestEngine under_test(engine_name, bus);
  if (under_test.engine == nullptr) {
    std::fprintf(stderr, "silicon: unknown engine: %s\n", engine_name.c_str());
    return 125;
  }
  const silicon::SessionResult result = silicon::run_session(options, under_test.engine.get(), bus);
  if (!result.available) {
    std::fprintf(stderr, "silicon: nothing to test: this host cannot map the test pages or lacks the feature\n");
    return 125;
  }
  for (const std::string& report : result.reports) std::printf("%s\n", report.c_str());
  for (const auto& [which, count] : result.by_operation) {
    std::printf("%-20s %llu\n", std::string(operation_name(which)).c_str(), static_cast<unsigned long long>(count));
  }
  if (options.through_kvm) {
    std::printf("emulated by KVM, compared with a process of the host: %llu\n",
                static_cast<unsigned long long>(result.emulated));
  }
  std::printf("compared %llu, completed without a fault %llu, differences %llu\n",
              static_cast<unsigned long long>(result.compared), static_cast<unsigned long long>(result.completed),
              static_cast<unsigned long long>(result.differences));
  return result.differences == 0 ? 0 : 1;
}
