// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma`: verbs, and the drop-in names (…system-x86_64). Strings in, Config out; errors become one line and a status.
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "emu/base/exit_status.h"
#include "emu/cli/bench/bench.h"
#include "emu/cli/ctl.h"
#include "emu/cli/doctor.h"
#include "emu/cli/img/img_verb.h"
#include "emu/cli/options.h"
#include "emu/cli/trace_verb.h"
#include "emu/display/sdl_window.h"
#include "emu/display/vnc_server.h"
#include "emu/gdb/gdb_server.h"
#include "emu/machine/registry.h"
#include "emu/monitor/monitor.h"
#include "emu/monitor/qmp.h"
#include "emu/trace/session.h"

namespace xm::cli {

namespace {

constexpr const char* kVersion = "xiaoma 0.1";

int fail(const Error& error) {
  std::fprintf(stderr, "xiaoma: error: %s\n", error.message.c_str());
  return error.exit_status;
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return std::ferror(stdout) != 0 || std::fflush(stdout) != 0 ? exit_status::kUsage : exit_status::kOk;
}

struct End {
  int status;
  bool status_is_the_guests = false;  // written to isa-debug-exit
};

// What QEMU ends with where we end with this status: 0 for a guest that stopped in whatever way and for a signal, 1 for
// all errors.
int qemu_status(const End& end) {
  if (end.status_is_the_guests) return end.status;
  switch (end.status) {
    case exit_status::kOk:
    case exit_status::kGuestPanic:
    case exit_status::kTripleFault:
    case 128 + SIGHUP:
    case 128 + SIGINT:
    case 128 + SIGTERM: return 0;
    default: return 1;
  }
}

End run_machine(machine::Config config) {
  const bool window = config.display == machine::DisplayKind::Sdl;
  Result<std::unique_ptr<machine::Machine>> made = machine::Machine::create(std::move(config));
  if (!made.ok()) return {fail(made.error())};
  machine::Machine& machine = **made;
  const std::string pid_file = machine.config().pid_file;
  if (!pid_file.empty()) {
    std::FILE* file = std::fopen(pid_file.c_str(), "w");
    if (file == nullptr) return {fail({"cannot write: " + pid_file + ": " + std::strerror(errno)})};
    std::fprintf(file, "%d\n", static_cast<int>(::getpid()));
    std::fclose(file);
  }
  std::unique_ptr<monitor::Monitor> console;
  if (machine.monitor_port() != nullptr) console = std::make_unique<monitor::Monitor>(machine, *machine.monitor_port());
  std::vector<std::unique_ptr<monitor::QmpServer>> controls;
  for (devices::CharBackend* port : machine.qmp_ports())
    controls.push_back(std::make_unique<monitor::QmpServer>(machine, *port));
  std::unique_ptr<display::VncServer> vnc;
  if (!machine.config().vnc.empty()) {
    Result<std::unique_ptr<display::VncServer>> opened = display::VncServer::open(machine, machine.config().vnc);
    if (!opened.ok()) return {fail(opened.error())};
    vnc = std::move(*opened);
    machine.set_vnc({.set_password = [&vnc](const std::string& password) { vnc->set_password(password); },
                     .describe = [&vnc] { return vnc->describe(); }});
  }
  std::unique_ptr<gdb::GdbServer> debugger;
  if (machine.gdb_port() != nullptr) {
    debugger = std::make_unique<gdb::GdbServer>(
        machine, *machine.gdb_port(), [&machine](const std::string& line) { return monitor::execute(machine, line); });
  }
  std::unique_ptr<display::SdlWindow> screen;
  if (window) {
    Result<std::unique_ptr<display::SdlWindow>> opened = display::SdlWindow::open(machine);
    if (!opened.ok()) return {fail(opened.error())};
    screen = std::move(*opened);
  }
  std::unique_ptr<trace::Session> recording;
  if (!machine.config().trace_insn.empty()) {
    Result<std::unique_ptr<trace::Session>> started = trace::Session::start(machine, machine.config().trace_insn);
    if (!started.ok()) return {fail(started.error())};
    recording = std::move(*started);
  }
  const int status = machine.run();
  if (recording != nullptr) {
    const Result<void> finished = recording->finish();
    if (!finished.ok()) return {fail(finished.error())};
  }
  return {status, machine.status_is_the_guests()};
}

// The command line that stands for no command line: the bundled guest OS from its disk, by our BIOS and boot chain,
// serial console on the terminal. The disk is only read: what the guest writes goes to a copy that ends with the run.
// Without the disk image the kernel and initramfs of the build do. Both lie where the build puts them, or beside an
// installed program.
std::vector<std::string> bundled_guest() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  std::string folder(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  const auto find = [&](std::initializer_list<const char*> places) {
    for (const char* place : places) {
      if (::access((folder + place).c_str(), R_OK) == 0) return folder + place;
    }
    return folder + *places.begin();
  };
  const std::string disk = find({"/../../images/xiaoma-os.img", "/../share/xiaoma/xiaoma-os.img"});
  if (::access(disk.c_str(), R_OK) == 0)
    return {"-m", "256", "-drive", "file=" + disk + ",format=raw,if=virtio,snapshot=on", "-nographic"};
  return {"-m",        "256",
          "-kernel",   find({"/../guest-os/vmxiaoma", "/../share/xiaoma/vmxiaoma"}),
          "-initrd",   find({"/../../images/initramfs.cpio.gz", "/../share/xiaoma/initramfs.cpio.gz"}),
          "-append",   "console=ttyS0",
          "-nographic"};
}

End run(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i + 1 < words.size(); i++) {
    // `-device help`, `-machine help`, `-cpu help` list what there is and do nothing else.
    const std::string option =
        words[i].substr(words[i].find_first_not_of('-') == std::string::npos ? 0 : words[i].find_first_not_of('-'));
    const std::string& value = words[i + 1];
    if (value == "help" || value == "?" || value.ends_with(",help")) {
      const std::string listing = machine::list_registry(option, value);
      if (!listing.empty()) return {print(listing)};
    }
  }
  Result<ParsedRun> parsed = parse_run(words.empty() ? bundled_guest() : words);
  if (!parsed.ok()) return {fail(parsed.error())};
  if (parsed->help) return {print(run_help())};
  if (parsed->version) return {print(std::string(kVersion) + "\n")};
  return run_machine(std::move(parsed->config));
}

constexpr const char* kUsage =
    "usage: xiaoma VERB ...\n"
    "  run [options] [disk]   start a virtual machine (xiaoma run --help)\n"
    "  ctl SOCKET COMMAND     one command to a machine's -monitor or -qmp socket\n"
    "  img create|info|check|convert|resize|snapshot|map|compare|rebase|commit|measure ...   disk images\n"
    "  trace show|stat|diff|export|info FILE   read what -trace-insn wrote\n"
    "  bench [options]        guest programs on each engine, and on QEMU and Bochs (xiaoma bench --help)\n"
    "  doctor [--json]        what this host offers: KVM, TAP, libraries\n"
    "  help [VERB]            this text\n"
    "  version                the version\n"
    "  man | completion       man page (roff) and bash completion of `run`\n";

int main_with_verb(const std::string& verb, const std::vector<std::string>& rest) {
  if (verb == "run") return run(rest).status;
  if (verb == "doctor") return doctor(rest);
  if (verb == "help" || verb == "--help" || verb == "-h")
    return print(rest.empty() || rest[0] != "run" ? kUsage : run_help());
  if (verb == "version" || verb == "--version") return print(std::string(kVersion) + "\n");
  if (verb == "man") return print(run_man_page());
  if (verb == "completion") return print(bash_completion());
  if (verb == "img") return img_verb(rest);
  if (verb == "trace") return trace_verb(rest);
  if (verb == "ctl") return ctl(rest);
  if (verb == "bench") return bench_verb(rest);
  return fail({"unknown verb: " + verb + "; see `xiaoma help`"});
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::string program = argc > 0 ? argv[0] : "";
  if (program.ends_with("system-x86_64")) return qemu_status(run(words));
  if (program.ends_with("-img")) return img_verb(words);
  if (words.empty()) {
    std::fputs(kUsage, stderr);
    return exit_status::kUsage;
  }
  const std::string verb = words.front();
  words.erase(words.begin());
  return main_with_verb(verb, words);
}

}  // namespace xm::cli

int main(int argc, char** argv) { return xm::cli::main(argc, argv); }
