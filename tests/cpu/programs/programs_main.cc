// SPDX-License-Identifier: GPL-2.0-or-later
// programs FOLDER [--only TEXT] [--engine interp] [--quiet]: runs every test program of a folder (NAME.bin and
// NAME.json, see program_case.h) and compares the registers it leaves. Exit status 1 if any differ.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "tests/cpu/engine_factory.h"
#include "tests/cpu/programs/program_guest.h"

using namespace xm;
using namespace xm::cpu;

int main(int argc, char** argv) {
  std::string folder, only, engine_name = "interp";
  bool quiet = false;
  CLI::App app{"Test programs of an open suite on an engine"};
  app.add_option("folder", folder, "folder of NAME.bin and NAME.json")->required()->check(CLI::ExistingDirectory);
  app.add_option("--only", only, "only programs with this text in their names");
  app.add_option("--engine", engine_name, "engine under test");
  app.add_flag("--quiet", quiet, "only names and the sum");
  CLI11_PARSE(app, argc, argv);

  std::vector<std::filesystem::path> descriptions;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json" && entry.path().stem().string().find(only) != std::string::npos) {
      descriptions.push_back(entry.path());
    }
  }
  std::sort(descriptions.begin(), descriptions.end());
  FlatBus bus(programs::kRamBytes);
  TestEngine under_test(engine_name, bus);
  if (under_test.engine == nullptr) {
    std::fprintf(stderr, "programs: unknown engine: %s\n", engine_name.c_str());
    return 125;
  }
  programs::ProgramGuest guest(*under_test.engine, bus);
  unsigned passed = 0;
  for (const auto& description : descriptions) {
    const Result<programs::ProgramCase> program = programs::load_program(description);
    const std::string differences = program ? guest.run(program.value()) : "  " + program.error().message + "\n";
    passed += differences.empty();
    if (differences.empty()) continue;
    std::string features;
    if (program) {
      for (const std::string& feature : program.value().features) features += " " + feature;
    }
    std::printf("%s%s\n%s", description.stem().c_str(), features.c_str(), quiet ? "" : differences.c_str());
  }
  std::printf("programs %zu, passed %u\n", descriptions.size(), passed);
  return !descriptions.empty() && passed == descriptions.size() ? 0 : 1;
}
