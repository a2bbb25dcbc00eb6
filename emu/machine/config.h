// SPDX-License-Identifier: GPL-2.0-or-later
// Config: everything that decides what machine is built, as plain values. The command line makes one (emu/cli); nobody
// else parses options. Names follow QEMU's options, because users know those.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::machine {

enum class DriveInterface : u8 { Ide, Virtio, Floppy, None };

struct DriveConfig {
  std::string file;
  std::string id;
  std::string format = "auto";  // raw, qcow2, null-co, auto
  DriveInterface interface = DriveInterface::Ide;
  bool cdrom = false;
  bool snapshot = false;
  bool read_only = false;
  bool auto_read_only = false;  // fall back to read-only if the file may not be written
  bool force_share = false;     // no locks
  std::string cache = "writeback";
  bool discard = false;                   // discard=unmap
  std::string detect_zeroes = "off";      // off, on, unmap
  std::string on_write_fault = "enospc";  // werror: report, ignore, stop, enospc
  std::string on_read_fault = "report";   // rerror: report, ignore, stop
  std::optional<u64> volatile_seed;       // a volatile write cache, for power-cut tests
  u64 null_bytes = 0;                     // size of a null-co disk
  std::string serial;
  int index = -1;  // position on the interface's bus; -1: the next free one
};

// One -blockdev: a node of the block graph, its properties flattened ("file.filename").
struct BlockdevConfig {
  std::string driver;  // file, host_device, raw, qcow2, null-co
  std::string node_name;
  std::map<std::string, std::string> properties;
};

struct HostForward {
  bool udp = false;
  std::string host_address;
  u16 host_port = 0;
  std::string guest_address;
  u16 guest_port = 0;
};

struct NetdevConfig {
  std::string kind;  // user, tap, socket, stream, dgram, hubport
  std::string id;
  std::vector<HostForward> forwards;
  std::map<std::string, std::string> properties;  // the rest, by QEMU's names
};

// -object filter-dump: frames of a netdev written to a file.
struct NetDumpConfig {
  std::string id, netdev, file;
  u32 max_bytes = 65536;
};

struct NicConfig {
  std::string model = "virtio";  // virtio, e1000
  std::string netdev;            // id, or empty: not connected
  std::string mac;               // empty: 52:54:00:12:34:56 and counting
};

// One -device: the driver's name and its properties.
struct DeviceConfig {
  std::string driver;
  std::map<std::string, std::string> properties;
};

// Where a character device (serial port, monitor) is connected on the host.
struct CharConfig {
  std::string kind = "null";  // null, stdio, mon:stdio, file, pty, tcp, unix, vc, none
  std::string path;           // file, unix
  std::string host;           // tcp
  u16 port = 0;
  bool server = false;
  bool wait = true;
  std::string id;
  bool operator==(const CharConfig&) const = default;
};

// One -switch-at: when it happens, the machine goes on with another engine.
struct SwitchAt {
  enum class Event : u8 { Address, SerialText, DebugPort, Instructions };
  Event event = Event::Address;
  u64 number = 0;    // linear address, value written to a debug port, or instructions retired by CPU 0
  std::string text;  // what the guest writes to COM1
  std::string engine;
};

// -lockstep: two engines side by side, compared.
struct LockstepConfig {
  std::string shadow;               // the engine beside the interpreter: interp or kvm
  std::optional<u64> step_from;     // from this many instructions on every one is compared...
  std::optional<u64> step_address;  // ...or from the first arrival at this linear address
  u64 step_count = 1'000'000;
};

enum class DisplayKind : u8 { Default, Sdl, None, Nographic };

struct Config {
  std::string name = "xiaoma";
  u64 memory_bytes = 128ull << 20;
  unsigned cpus = 1;
  unsigned cores_per_socket = 0;  // 0: all in one socket
  unsigned threads_per_core = 1;
  std::string cpu_model = "max";
  std::string machine_type = "pc";
  std::map<std::string, std::string> machine_properties;
  std::vector<std::string> accelerators{"interp"};
  bool accelerator_given = false;
  std::optional<LockstepConfig> lockstep;
  std::vector<SwitchAt> switches;  // each is waited for when the one before has happened

  std::string bios;
  std::string kernel;
  std::string initrd;
  std::string append;

  std::string boot_order = "cad";
  bool boot_menu = false;
  unsigned boot_menu_timeout_ms = 0;
  std::string boot_once;

  std::vector<DriveConfig> drives;
  std::vector<BlockdevConfig> blockdevs;
  bool snapshot_all = false;
  std::vector<NetdevConfig> netdevs;
  std::vector<NicConfig> nics;
  std::vector<NetDumpConfig> net_dumps;
  bool default_nic = true;
  std::vector<DeviceConfig> devices;

  std::vector<CharConfig> serials;
  std::optional<CharConfig> monitor;
  std::vector<CharConfig> qmps;
  std::optional<CharConfig> gdb;
  std::optional<CharConfig> debugcon;
  std::map<std::string, CharConfig> chardevs;

  DisplayKind display = DisplayKind::Default;
  std::string vga = "std";  // std, none
  bool full_screen = false;
  std::optional<unsigned> icount_shift;  // -icount: an instruction takes 2^shift ns of guest time
  std::string loadvm;                    // snapshot to begin from; empty: reset
  std::string vnc;                       // words of -vnc; empty: none

  bool start_paused = false;
  bool no_reboot = false;
  bool no_shutdown = false;
  bool strict = false;
  bool no_defaults = false;
  std::string rtc_base = "utc";  // utc, localtime or a date
  std::optional<u64> budget_instructions;
  std::optional<double> budget_seconds;

  std::vector<std::string> log_items;
  std::string log_file;
  std::string pid_file;
  std::string trace_insn;  // words of -trace-insn; empty: no recording
  std::string uuid;
};

}  // namespace xm::machine
