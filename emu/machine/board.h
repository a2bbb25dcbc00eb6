// SPDX-License-Identifier: GPL-2.0-or-later
// Board: the mainboard with its chips: the only place that knows which port, address and interrupt belongs to which
// device. Built once by the machine; devices live as long as it does. Machine lock held for all calls.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "devices/char/char_backend.h"
#include "devices/display/surface.h"
#include "devices/input/input_event.h"
#include "emu/base/result.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/executor.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"
#include "emu/host/block_image.h"
#include "emu/host/event_loop.h"
#include "emu/machine/config.h"
#include "emu/machine/vcpu_thread.h"

namespace xm::machine {

// What the board asks of the machine around it.
class BoardOwner {
 public:
  virtual void request_reset() = 0;
  virtual void request_power_off() = 0;
  virtual void guest_exit(int exit_status) = 0;  // isa-debug-exit: the guest chose the status
  virtual void request_stop() = 0;
  virtual void guest_panicked() = 0;
  virtual void code_written(GuestPhys address, u64 size_bytes) = 0;  // by a device

 protected:
  ~BoardOwner() = default;
};

struct BoardParts {
  BoardOwner& owner;
  const Config& config;
  bus::VirtualClock& clock;
  host::EventLoop& loop;
  Log& log;
  std::vector<devices::CharBackend*> serials;  // up to four
  devices::CharBackend* debugcon = nullptr;
  std::map<std::string, devices::CharBackend*> consoles;  // -chardev ids that a -device names
  u64 tsc_frequency_hz;
};

// A drive and what is in it, for the monitor.
struct BlockInfo {
  std::string name;  // "ide0-hd0", "virtio1", or the id the user gave
  bool removable = false;
  bool tray_open = false, locked = false;
  bool inserted = false;
  std::string file, format;
  u64 size_bytes = 0;
  bool read_only = false;
  bool has_held_requests = false;          // stopped by werror or rerror
  std::vector<std::string> backing_files;  // from the top down
};

class Board {
 public:
  virtual ~Board() = default;

  virtual bus::AddressSpace& memory() = 0;
  virtual bus::RamBlock& ram() = 0;
  virtual bus::PortSpace& ports() = 0;
  virtual ApicPort& apic() = 0;
  // Connects a vCPU's pins to its local APIC; once for each CPU, before the first reset.
  virtual void connect_cpu(unsigned cpu, bus::CpuPins& pins) = 0;
  virtual void reset() = 0;
  virtual void power_button() = 0;
  // The machine runs again after a stop: requests that a host fault held are tried once more.
  virtual void resumed() = 0;
  // Least distance between two ticks of a periodic timer, by the engine's speed (docs/time.md).
  virtual void set_tick_spacing(i64 nanoseconds) = 0;

  virtual devices::DisplaySource* display() = 0;  // null with -vga none
  virtual devices::KeySink& keyboard() = 0;
  virtual devices::PointerSink& mouse() = 0;
  virtual const std::vector<bus::Device*>& devices() const = 0;
  // Text for the monitor's `info pci`, `info irq`, `info block`, `info network`.
  virtual std::string info(const std::string& topic) = 0;
  // Ejects or inserts removable media; the text is the monitor's answer, empty if all went well.
  virtual std::string change_medium(const std::string& drive, const std::string& file) = 0;
  // Opens the tray; with `force` also if the guest has locked it. The text as above.
  virtual std::string eject(const std::string& drive, bool force) = 0;
  virtual std::vector<BlockInfo> block_info() const = 0;
  // The image of every drive that holds one, by drive name, for snapshots. Stop the machine and call drain_drives()
  // before using them.
  virtual std::vector<std::pair<std::string, std::shared_ptr<host::BlockImage>>> drive_images() = 0;
  virtual void drain_drives() = 0;
  // Grows (or shrinks) the image of a drive and tells the guest; the text as above.
  virtual std::string resize_drive(const std::string& drive, u64 size_bytes) = 0;
  // Plugs or pulls the cable of a NIC or of a -netdev, by name; the text as above.
  virtual std::string set_link(const std::string& name, bool up) = 0;
};

Result<std::unique_ptr<Board>> make_pc(BoardParts parts);

}  // namespace xm::machine
