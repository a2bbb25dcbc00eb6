// SPDX-License-Identifier: GPL-2.0-or-later
// The rows, in the order of the help text. Handlers that need more than a line stand in option_handlers.cc.
#include "emu/cli/options.h"

#include <algorithm>
#include <array>

#include "emu/cli/option_handlers.h"
#include "emu/cli/option_string.h"

namespace xm::cli {

namespace {

using machine::Config;

template <std::string Config::*Member>
Result<void> set_text(Config& config, const std::string& value) {
  config.*Member = value;
  return {};
}

template <bool Config::*Member>
Result<void> set_flag(Config& config, const std::string&) {
  config.*Member = true;
  return {};
}

// Handled by parse_run itself.
Result<void> nothing(Config&, const std::string&) { return {}; }

constexpr OptionRow kOptions[] = {
    {"h", "", "Standard", "print this help", nothing},
    {"help", "", "Standard", "print this help", nothing},
    {"version", "", "Standard", "print the version", nothing},
    {"name", "NAME", "Standard", "name of the virtual machine (window title)", handle_name},
    {"machine", "TYPE[,accel=A]", "Standard", "machine class: pc (i440FX); `help` lists them", handle_machine},
    {"M", "TYPE", "Standard", "same as -machine", handle_machine},
    {"accel", "A[:B...]", "Standard", "engine: interp, jit, kvm, tried in order", handle_accel},
    {"enable-kvm", "", "Standard", "same as -accel kvm", handle_enable_kvm},
    {"lockstep", "A,B[,..]", "Standard",
     "run two engines (interp,kvm or interp,interp) side by side and compare them; from=N|addr:A|symbol:S[,symbols=ELF]"
     "[,count=N] compares every instruction of a stretch",
     handle_lockstep},
    {"switch-at", "EVENT,engine=E", "Standard",
     "go on with engine E (interp, kvm) at addr=A, symbol=S[,symbols=ELF], serial=TEXT, debugport=V or insns=N",
     handle_switch_at},
    {"cpu", "MODEL[,+F][,-F]", "Standard", "CPU model and feature switches; `help` lists them",
     set_text<&Config::cpu_model>},
    {"smp", "N[,sockets=..]", "Standard", "number of virtual CPUs", handle_smp},
    {"m", "SIZE", "Standard", "guest memory, MiB unless K, M or G follows", handle_memory},
    {"uuid", "UUID", "Standard", "system UUID shown in SMBIOS", handle_uuid},
    {"rtc", "base=utc|localtime|DATE", "Standard", "start of the real-time clock", handle_rtc},
    {"nodefaults", "", "Standard", "no default devices (serial port, NIC, CD-ROM, screen)",
     set_flag<&Config::no_defaults>},

    {"bios", "FILE", "Boot", "firmware image instead of the own BIOS", set_text<&Config::bios>},
    {"kernel", "FILE", "Boot", "boot this Linux (bzImage), ELF or multiboot kernel directly",
     set_text<&Config::kernel>},
    {"initrd", "FILE", "Boot", "initial RAM disk for -kernel", set_text<&Config::initrd>},
    {"append", "STRING", "Boot", "kernel command line for -kernel", set_text<&Config::append>},
    {"boot", "[order=]cdan[,menu=on]", "Boot", "boot order (a floppy, c disk, d CD, n network) and menu", handle_boot},

    {"drive", "file=F[,if=..]", "Block",
     "attach a drive: format= if= media= index= snapshot= readonly= cache= discard= detect-zeroes= werror= rerror= id=",
     handle_drive},
    {"blockdev", "driver=D,node-name=N[,..]", "Block",
     "a node for -device drive=N: driver file, raw, qcow2, null-co; also as JSON", handle_blockdev},
    {"hda", "FILE", "Block", "first IDE hard disk", handle_hda},
    {"hdb", "FILE", "Block", "second IDE hard disk", handle_hdb},
    {"hdc", "FILE", "Block", "third IDE hard disk", handle_hdc},
    {"hdd", "FILE", "Block", "fourth IDE hard disk", handle_hdd},
    {"cdrom", "FILE", "Block", "CD image as the third IDE drive", handle_cdrom},
    {"fda", "FILE", "Block", "first floppy disk", handle_fda},
    {"fdb", "FILE", "Block", "second floppy disk", handle_fdb},
    {"snapshot", "", "Block", "write to temporary files instead of the disk images", set_flag<&Config::snapshot_all>},

    {"netdev", "user|tap|socket|..,id=I[,..]", "Network",
     "host side of a NIC: user (hostfwd=tcp::H-:G), tap (ifname=T), socket (listen= connect= mcast= udp=), stream, "
     "dgram, "
     "hubport",
     handle_netdev},
    {"nic", "user|tap|none[,..]", "Network", "NIC and its host side in one option", handle_nic},
    {"net", "nic|user|tap|none", "Network", "older spelling of -netdev and -device", handle_net},

    {"object", "filter-dump,netdev=I,file=F", "Network", "write the frames of a netdev to a pcap file", handle_object},

    {"device", "DRIVER[,PROP=V]", "Devices", "add a device; `help` lists them", handle_device},
    {"vga", "std|none", "Devices", "display adapter", handle_vga},
    {"serial", "DEV", "Devices", "serial port on stdio, mon:stdio, file:F, pty, tcp:.., unix:.., null", handle_serial},
    {"debugcon", "DEV", "Devices", "debug console on I/O port 0xE9", handle_debugcon},
    {"chardev", "KIND,id=I[,..]", "Devices", "named character device", handle_chardev},

    {"display", "sdl|none", "Screen", "window, or none", handle_display},
    {"nographic", "", "Screen", "no window; serial port and monitor on the terminal (Ctrl-A h for help)",
     handle_nographic},
    {"vnc", "[HOST]:N[,..]", "Screen", "VNC server on port 5900+N; password=on (set by the monitor)", handle_vnc},
    {"full-screen", "", "Screen", "start in full screen", set_flag<&Config::full_screen>},

    {"monitor", "DEV", "Control", "monitor console on a character device", handle_monitor},
    {"qmp", "DEV", "Control", "QMP server, e.g. unix:PATH,server=on,wait=off", handle_qmp},
    {"mon", "CHARDEV[,..]", "Control", "monitor (mode=readline) or QMP (mode=control) on a -chardev", handle_mon},
    {"gdb", "DEV", "Control", "GDB server, e.g. tcp::1234", handle_gdb},
    {"s", "", "Control", "same as -gdb tcp::1234", handle_gdb_default},
    {"loadvm", "NAME", "Control", "begin from a snapshot: a name inside the qcow2 drives, or file:PATH",
     set_text<&Config::loadvm>},
    {"icount", "[shift=]N|auto", "Control", "guest time by instructions, 2^N ns each; idle time is skipped",
     handle_icount},
    {"S", "", "Control", "do not start the CPUs until told so", set_flag<&Config::start_paused>},
    {"no-reboot", "", "Control", "exit instead of rebooting", set_flag<&Config::no_reboot>},
    {"no-shutdown", "", "Control", "stop instead of exiting at power-off", set_flag<&Config::no_shutdown>},
    {"strict", "", "Control", "exit with status 120 when something unimplemented is touched",
     set_flag<&Config::strict>},
    {"budget", "N|Ts", "Control", "exit with status 124 after N instructions or T seconds", handle_budget},
    {"pidfile", "FILE", "Control", "write the process number to a file", set_text<&Config::pid_file>},

    {"trace-insn", "FILE[,..]", "Log",
     "record every instruction: format=text|bin, regs=on, mem=on, range=A-B, cpl=N, cr3=V, symbols=ELF, start=M, "
     "stop=M, limit=N, last=N",
     set_text<&Config::trace_insn>},
    {"d", "ITEMS", "Log", "log guest_errors, unimp, int, in_asm (comma-separated)", handle_log_items},
    {"D", "FILE", "Log", "write the log to a file instead of stderr", set_text<&Config::log_file>},
};

constexpr RefusedOption kRefused[] = {
    {"virtfs", "share files through a disk image (-drive) or the network (-netdev user)"},
    {"fsdev", "share files through a disk image (-drive)"},
    {"record", "take a copy of the disk image with -snapshot"},
    {"replay", "take a copy of the disk image with -snapshot"},
    {"numa", "use -smp without a NUMA topology"},
    {"usb", "use the PS/2 keyboard and mouse, which are always there"},
    {"usbdevice", "use the PS/2 keyboard and mouse, which are always there"},
    {"audiodev", "there is no sound card"},
    {"soundhw", "there is no sound card"},
    {"daemonize", "use the shell's & and -display none"},
    {"incoming", "start from a disk image"},
    {"spice", "use -display sdl"},
    {"pflash", "use -bios"},
    {"acpitable", "the ACPI tables are fixed"},
    {"smbios", "use -uuid"},
    {"fw_cfg", "pass the words with -append"},
    {"dtb", "PCs have no device tree"},
    {"parallel", "use -serial"},
    {"global", "give the property to -device"},
    {"watchdog", "use -budget"},
    {"sandbox", "run under the host's own sandbox"},
    {"runas", "start as that user"},
    {"chroot", "start inside that root"},
    {"mem-path", "guest memory is anonymous"},
    {"mtdblock", "use -drive"},
    {"sd", "use -drive"},
};

}  // namespace

std::span<const OptionRow> option_table() { return kOptions; }
std::span<const RefusedOption> refused_options() { return kRefused; }

namespace {

Error unknown_option(const std::string& word, std::string_view name) {
  for (const RefusedOption& refused : kRefused) {
    if (refused.name == name) return {"option not supported: " + word + "; " + std::string(refused.hint)};
  }
  std::vector<std::string_view> names;
  for (const OptionRow& row : kOptions) names.push_back(row.name);
  const std::string_view near = nearest(name, names);
  std::string message = "unknown option: " + word;
  message += near.empty() ? "; see `xiaoma run --help`" : "; did you mean -" + std::string(near) + "?";
  return {message};
}

}  // namespace

Result<ParsedRun> parse_run(const std::vector<std::string>& words) {
  ParsedRun parsed;
  for (std::size_t i = 0; i < words.size(); i++) {
    const std::string& word = words[i];
    if (word.empty())
      return Error{"empty argument: number " + std::to_string(i + 1) + "; give an option or a disk image"};
    if (word.size() < 2 || word[0] != '-') {
      // As in QEMU, a lone word is the first hard disk.
      TRY(handle_hda(parsed.config, word));
      continue;
    }
    const std::string_view name = std::string_view(word).substr(word.starts_with("--") ? 2 : 1);
    const auto row = std::find_if(std::begin(kOptions), std::end(kOptions),
                                  [&](const OptionRow& candidate) { return candidate.name == name; });
    if (row == std::end(kOptions)) return unknown_option(word, name);
    std::string value;
    if (!row->argument.empty()) {
      if (i + 1 >= words.size()) return Error{"option needs an argument: " + word + " " + std::string(row->argument)};
      value = words[++i];
    }
    if (name == "h" || name == "help") parsed.help = true;
    if (name == "version") parsed.version = true;
    TRY(row->handler(parsed.config, value));
  }
  TRY(finish_config(parsed.config));
  return parsed;
}

std::string run_help() {
  std::string text =
      "usage: xiaoma run [options] [disk image]\nWith no options: the bundled guest OS on this terminal.\n";
  std::string_view section;
  for (const OptionRow& row : kOptions) {
    if (row.section != section) {
      section = row.section;
      text += "\n" + std::string(section) + ":\n";
    }
    std::string left = "  -" + std::string(row.name);
    if (!row.argument.empty()) left += " " + std::string(row.argument);
    if (left.size() < 34) left.resize(34, ' ');
    text += left + " " + std::string(row.help) + "\n";
  }
  return text;
}

std::string run_man_page() {
  std::string text =
      ".TH XIAOMA-RUN 1\n.SH NAME\nxiaoma run \\- start a virtual machine\n.SH SYNOPSIS\nxiaoma run [options] [disk "
      "image]\n";
  std::string_view section;
  for (const OptionRow& row : kOptions) {
    if (row.section != section) {
      section = row.section;
      text += ".SH " + std::string(section) + "\n";
    }
    text += ".TP\n\\fB\\-" + std::string(row.name) + "\\fR \\fI" + std::string(row.argument) + "\\fR\n" +
            std::string(row.help) + "\n";
  }
  return text;
}

std::string bash_completion() {
  std::string words;
  for (const OptionRow& row : kOptions) words += " -" + std::string(row.name);
  return "_xiaoma() {\n  local cur=${COMP_WORDS[COMP_CWORD]}\n  case $cur in\n    -*) COMPREPLY=($(compgen -W '" +
         words +
         "' -- \"$cur\")) ;;\n    *) if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W 'run img bench trace ctl "
         "doctor help version' -- \"$cur\")); else COMPREPLY=($(compgen -f -- \"$cur\")); fi ;;\n  esac\n}\n"
         "complete -F _xiaoma xiaoma\n";
}

}  // namespace xm::cli
