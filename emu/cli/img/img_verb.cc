// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/img/img_verb.h"

#include <cstdio>

#include "emu/cli/img/common.h"

namespace xm::cli {

namespace {

struct Command {
  const char* name;
  Result<int> (*run)(const std::vector<std::string>&);
  int error_status;
  const char* usage;
};

constexpr Command kCommands[] = {
    {"amend", img::amend, 1, "[-q] [-p] [-f FMT] -o OPTIONS FILE"},
    {"check", img::check, 1, "[-q] [-f FMT] [--output=human|json] [-r leaks|all] [-T CACHE] [-U] FILE"},
    {"commit", img::commit, 1, "[-q] [-f FMT] [-t CACHE] [-b BASE] [-d] [-p] FILE"},
    {"compare", img::compare, 2, "[-f FMT] [-F FMT] [-T CACHE] [-p] [-q] [-s] [-U] FILE1 FILE2"},
    {"convert", img::convert, 1,
     "[-U] [-c] [-p] [-q] [-n] [-f FMT] [-t CACHE] [-T CACHE] [-O FMT] [-B BACKING [-F FMT]] [-o OPTIONS] [-l "
     "SNAPSHOT] "
     "[-S SIZE] [-m N] [-W] [--target-is-zero] FILE [FILE2 ...] TARGET"},
    {"create", img::create, 1, "[-q] [-f FMT] [-b BACKING [-F FMT]] [-u] [-o OPTIONS] FILE [SIZE]"},
    {"dd", img::dd, 1, "[-f FMT] [-O FMT] [-U] [bs=SIZE] [count=N] [skip=N] if=FILE of=FILE"},
    {"info", img::info, 1, "[-f FMT] [--output=human|json] [--backing-chain] [-U] FILE"},
    {"map", img::map, 1, "[-f FMT] [--start-offset=N] [--max-length=N] [--output=human|json] [-U] FILE"},
    {"measure", img::measure, 1,
     "[--output=human|json] [-O FMT] [-o OPTIONS] [--size N | [-f FMT] [-l SNAPSHOT] FILE]"},
    {"rebase", img::rebase, 1, "[-U] [-q] [-f FMT] [-t CACHE] [-T CACHE] [-p] [-u] -b BACKING [-F FMT] FILE"},
    {"resize", img::resize, 1, "[-q] [-f FMT] [--preallocation=MODE] [--shrink] FILE [+|-]SIZE"},
    {"snapshot", img::snapshot, 1, "[-U] [-q] [-l | -a NAME | -c NAME | -d NAME] FILE"},
};

std::string usage() {
  std::string text = "usage: xiaoma img COMMAND [options]\nDisk images, with qemu-img's words. Formats: raw qcow2\n\n";
  for (const Command& command : kCommands) text += std::string("  ") + command.name + " " + command.usage + "\n";
  text +=
      "\nCommon options: -f format, -O output format, -o key=value, -p progress, -q quiet, -U do not lock,\n"
      "--image-opts: FILE is driver=FMT,file.filename=FILE. Sizes take k, M, G, T, P, E.\n";
  return text;
}

}  // namespace

int img_verb(const std::vector<std::string>& words) {
  if (words.empty()) {
    std::fputs("xiaoma: error: no command given: img; see `xiaoma img --help`\n", stderr);
    return 1;
  }
  const std::string& name = words[0];
  if (name == "-h" || name == "--help" || name == "help") {
    std::fputs(usage().c_str(), stdout);
    return 0;
  }
  if (name == "-V" || name == "--version") {
    std::fputs("xiaoma img 0.1\n", stdout);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    if (rest.size() == 1 && (rest[0] == "-h" || rest[0] == "--help")) {
      std::printf("usage: xiaoma img %s %s\n", command.name, command.usage);
      return 0;
    }
    const Result<int> result = command.run(rest);
    std::fflush(stdout);
    if (result.ok()) return result.value();
    std::fprintf(stderr, "xiaoma: error: %s\n", result.error().message.c_str());
    return command.error_status;
  }
  const char* hint = name == "bench" || name == "bitmap" ? "not available in this version: " : "Command not found: ";
  std::fprintf(stderr, "xiaoma: error: %s%s; see `xiaoma img --help`\n", hint, name.c_str());
  return 1;
}

}  // namespace xm::cli
