// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/bench/bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <fstream>
#include <utility>

#include "cpu/kvm/kvm_vm.h"
#include "emu/base/exit_status.h"
#include "emu/cli/bench/contestant.h"
#include "emu/cli/bench/report.h"
#include "emu/cli/option_string.h"

namespace xm::cli {

using bench::Contestant;
using bench::Guest;
using bench::Report;
using bench::RunResult;

namespace {

constexpr double kPatienceSeconds = 600;

constexpr const char* kUsage =
    "usage: xiaoma bench [--engines interp,kvm] [--peers] [--rounds N] [--no-boot] [--json FILE] [--svg FILE]\n";

struct Options {
  std::vector<std::string> engines;
  bool peers = false, boot = true;
  unsigned rounds = 3;
  std::string json, svg;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "xiaoma: error: %s\n", message.c_str());
  return exit_status::kUsage;
}

Result<Options> parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); i++) {
    const std::string& word = words[i];
    const auto value = [&]() -> Result<std::string> {
      if (i + 1 == words.size()) return Error{"a value is missing: bench " + word};
      return words[++i];
    };
    if (word == "--peers") {
      options.peers = true;
    } else if (word == "--no-boot") {
      options.boot = false;
    } else if (word == "--rounds") {
      const std::string text = TRY(value());
      options.rounds = static_cast<unsigned>(TRY(parse_number(text, 1, 1000, "bench --rounds")));
    } else if (word == "--json") {
      options.json = TRY(value());
    } else if (word == "--svg") {
      options.svg = TRY(value());
    } else if (word == "--engines") {
      const std::string list = TRY(value());
      for (std::size_t start = 0; start <= list.size();) {
        const std::size_t end = std::min(list.find(',', start), list.size());
        const std::string name = list.substr(start, end - start);
        if (name == "jit") return Error{"engine not available in this version: jit: bench --engines; use interp,kvm"};
        if (name != "interp" && name != "kvm")
          return Error{"unknown engine '" + name + "': bench --engines; use interp,kvm"};
        options.engines.push_back(name);
        start = end + 1;
      }
    } else {
      return Error{"unknown word '" + word + "': bench; see `xiaoma help`"};
    }
  }
  return options;
}

// Beside the program as built or as installed.
std::string find_file(std::initializer_list<const char*> places) {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string folder(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  for (const char* place : places) {
    if (::access((folder + place).c_str(), R_OK) == 0) return folder + place;
  }
  return "";
}

std::string kvm_text(bool usable) {
  if (!usable) return "not usable (see `xiaoma doctor`).";
  if (cpu::kvm::kind_of_host() == cpu::kvm::KvmKind::Hardware) return "hardware virtualization (vmx or svm).";
  return "software kind: guest user mode runs natively, guest kernel mode is emulated by the host at about a million "
         "instructions a second. Compare kvm's user-* rows only with native speed; its kernel-*, system-calls, "
         "page-faults, "
         "cr3-switches and boot rows say nothing about KVM on hardware.";
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<Contestant> choose(const Options& options, bool kvm) {
  std::vector<Contestant> chosen;
  for (const std::string& name : options.engines) chosen.push_back({name, true});
  if (options.engines.empty()) {
    chosen.push_back({"interp", true});
    if (kvm) chosen.push_back({"kvm", true});
  }
  if (options.peers) {
    for (const auto& [name, program] : {std::pair{"qemu-tcg", "qemu-system-x86_64"}, std::pair{"bochs", "bochs"}}) {
      if (bench::installed(program))
        chosen.push_back({name, false});
      else
        std::fprintf(stderr, "xiaoma: %s is not installed: left out\n", program);
    }
  }
  return chosen;
}

void write_file(const std::string& path, const std::string& text, int& status) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) status = fail("cannot write: " + path);
}

using Times = std::map<std::string, std::map<std::string, std::vector<double>>>;

void run_round(const std::vector<Contestant>& contestants, const std::vector<Guest>& guests, Times& times,
               Report& report) {
  for (const Guest& guest : guests) {
    for (const Contestant& contestant : contestants) {
      if (contestant.name == "bochs" && guest.disk.empty()) continue;  // it has no -kernel
      if (report.errors.count(contestant.name) != 0) continue;
      if (::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "%s...\n", contestant.name.c_str());
      const RunResult result = bench::run_contestant(contestant, guest, kPatienceSeconds);
      if (!result.error.empty()) report.errors[contestant.name] = result.error;
      for (const std::string& program : result.order) {
        if (std::find(report.programs.begin(), report.programs.end(), program) == report.programs.end())
          report.programs.push_back(program);
        times[contestant.name][program].push_back(result.samples.at(program).seconds);
        report.figures[contestant.name][program].hash = result.samples.at(program).hash;
      }
      if (!result.exits.empty() && !guest.disk.empty()) report.exits[contestant.name] = result.exits;
    }
  }
}

}  // namespace

int bench_verb(const std::vector<std::string>& words) {
  if (words.size() == 1 && (words[0] == "--help" || words[0] == "-h"))
    return std::fputs(kUsage, stdout), exit_status::kOk;
  Result<Options> parsed = parse(words);
  if (!parsed.ok()) return fail(parsed.error().message);
  const Options& options = *parsed;
  std::vector<Guest> guests(1);
  guests[0].disk = find_file({"/../bench/guest.img", "/../share/xiaoma/bench.img"});
  if (guests[0].disk.empty()) return fail("the guest programs are missing: bench/guest.img; build the project first");
  Guest boot{.kernel = find_file({"/../guest-os/vmxiaoma", "/../share/xiaoma/vmxiaoma"}),
             .initrd = find_file({"/../../images/initramfs.cpio.gz", "/../share/xiaoma/initramfs.cpio.gz"}),
             .until = "~ #",
             .program = "boot-own-os"};
  if (options.boot && !boot.kernel.empty() && !boot.initrd.empty()) guests.push_back(boot);

  const bool kvm = cpu::kvm::KvmVm::create().ok();
  if (!kvm && std::find(options.engines.begin(), options.engines.end(), "kvm") != options.engines.end()) {
    fail("KVM is not usable: bench --engines kvm; see `xiaoma doctor`");
    return exit_status::kNoKvm;
  }
  const std::vector<Contestant> contestants = choose(options, kvm);
  Report report;
  report.kvm = kvm_text(kvm);
  report.rounds = options.rounds;
  for (const Contestant& contestant : contestants) report.contestants.push_back(contestant.name);
  Times times;
  for (unsigned round = 0; round < options.rounds; round++) run_round(contestants, guests, times, report);
  for (const auto& [contestant, programs] : times) {
    for (const auto& [program, seconds] : programs) {
      bench::Figure& figure = report.figures[contestant][program];
      figure.median = median(seconds);
      const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
      figure.spread = figure.median > 0 ? (*most - *least) / figure.median : 0;
    }
  }
  std::fputs(bench::as_table(report).c_str(), stdout);
  int status = bench::unequal_programs(report).empty() && report.errors.empty() ? exit_status::kOk : 1;
  write_file(options.json, bench::as_json(report), status);
  write_file(options.svg, bench::as_svg(report), status);
  return status;
}

}  // namespace xm::cli
