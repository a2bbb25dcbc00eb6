// SPDX-License-Identifier: GPL-2.0-or-later
// vectors FOLDER [--chip 286|8086] [--file STEM] [--engine interp]: captured single-instruction tests on an engine.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/cpu/engine_factory.h"
#include "tests/cpu/vectors/suite.h"

using namespace xm::cpu;

int main(int argc, char** argv) {
  vectors::SuiteOptions options;
  std::string engine_name = "interp", chip = "286";
  CLI::App app{"Captured real-mode instructions on an engine"};
  app.add_option("folder", options.folder, "folder of MOO files")->required();
  app.add_option("--chip", chip, "286 or 8086")->check(CLI::IsMember({"286", "8086"}));
  app.add_option("--file", options.only, "only this file, such as F7.4");
  app.add_option("--engine", engine_name, "engine under test");
  app.add_option("--reports", options.reports_per_file, "differences to print of each file");
  CLI11_PARSE(app, argc, argv);
  options.chip = chip == "286" ? vectors::Chip::I286 : vectors::Chip::I8086;
  FlatBus bus = options.chip == vectors::Chip::I286 ? FlatBus(17 << 20) : FlatBus(1 << 20, FlatBus::Wraps::Yes);
  TestEngine under_test(engine_name, bus);
  if (under_test.engine == nullptr) {
    std::fprintf(stderr, "vectors: unknown engine: %s\n", engine_name.c_str());
    return 125;
  }
  const vectors::SuiteResult result = vectors::run_suite(options, *under_test.engine, bus);
  for (const std::string& report : result.reports) std::printf("%s\n", report.c_str());
  for (const auto& [file, count] : result.by_file) std::printf("%-8s %u\n", file.c_str(), count);
  std::printf("tests %u, different %u, skipped %u\n", result.tests, result.different, result.skipped);
  return result.tests != 0 && result.different == 0 ? 0 : 1;
}
