// SPDX-License-Identifier: GPL-2.0-or-later
// Who takes part in `xiaoma bench`: our engines and other emulators, each a child process that boots a guest with its
// COM1 on our pipe. What a program costs is the CPU time of the whole process between the program's two marks.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "emu/base/result.h"

namespace xm::cli::bench {

struct Contestant {
  std::string name;  // "interp", "kvm", "qemu-tcg", "bochs"
  bool ours = false;
};

struct Sample {
  double seconds = 0;
  std::string hash;
};

// One run of the guest: by program name. `exits` is our engine's own count of causes, empty for others.
struct RunResult {
  std::map<std::string, Sample> samples;
  std::vector<std::string> order;
  std::string exits;
  std::string error;  // empty: it came to its end
};

struct Guest {
  std::string disk;            // the bench disk...
  std::string kernel, initrd;  // ...or a kernel
  std::string until;           // text on COM1 that ends the run
  std::string program;         // with `until`: the name of the only sample
};

bool installed(const std::string& program);
RunResult run_contestant(const Contestant& contestant, const Guest& guest, double patience_seconds);

}  // namespace xm::cli::bench
