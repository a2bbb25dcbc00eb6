// SPDX-License-Identifier: GPL-2.0-or-later
// Where snapshots lie: a file of their own, or inside the qcow2 drives of the machine (the state in the first of them,
// a snapshot of the disk of the same name in each).
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>

#include "emu/base/exit_status.h"
#include "emu/host/block_image.h"
#include "emu/host/image_snapshots.h"
#include "emu/machine/snapshot.h"

namespace xm::machine {

namespace {

constexpr std::string_view kFilePrefix = "file:";

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_file(const std::string& path, const char* mode) { return {std::fopen(path.c_str(), mode), &std::fclose}; }

Error host_error(const char* what, const std::string& path) {
  return {std::string(what) + ": " + path + ": " + std::strerror(errno == 0 ? EIO : errno)};
}

// Stops the machine for as long as it lives.
class Standstill {
 public:
  explicit Standstill(Machine& machine) : machine_(machine), ran_(machine.running()) {
    machine_.stop();
    machine_.settle();
  }
  ~Standstill() {
    if (ran_) machine_.resume();
  }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;

 private:
  Machine& machine_;
  const bool ran_;
};

// A new file appears under its name only when it is whole.
Result<void> save_file(Machine& machine, const std::string& path) {
  const std::string partial = path + ".part";
  File file = open_file(partial, "wb");
  if (file == nullptr) return host_error("cannot write snapshot", path);
  const auto sink = [&](std::span<const u8> bytes) -> Result<void> {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size()) return {};
    return host_error("cannot write snapshot", path);
  };
  Result<void> written = write_snapshot(machine, sink);
  errno = 0;
  if (std::fclose(file.release()) != 0 && written.ok()) written = host_error("cannot write snapshot", path);
  if (written.ok() && std::rename(partial.c_str(), path.c_str()) != 0)
    written = host_error("cannot write snapshot", path);
  if (!written.ok()) std::remove(partial.c_str());
  return written;
}

SnapshotSource source_of(std::FILE* file, const std::string& path) {
  return [file, path](std::span<u8> to) -> Result<void> {
    if (std::fread(to.data(), 1, to.size(), file) == to.size()) return {};
    if (std::ferror(file) != 0) return host_error("cannot read snapshot", path);
    return Error{"damaged snapshot: cut off", exit_status::kIncompatible};
  };
}

Error named(Error error, const std::string& name) {
  error.message += ": " + name;
  return error;
}

Result<void> load_file(Machine& machine, const std::string& path) {
  const File file = open_file(path, "rb");
  if (file == nullptr) return host_error("cannot read snapshot", path);
  const SnapshotSource source = source_of(file.get(), path);
  if (Result<void> good = check_snapshot(machine, source); !good.ok()) return named(good.error(), path);
  std::rewind(file.get());
  if (Result<void> read = read_snapshot(machine, source); !read.ok()) return named(read.error(), path);
  return {};
}

struct Disk {
  std::string drive;
  host::ImageSnapshots* snapshots;
};

// The drives that snapshots go into: all writable ones, each of which must be able to.
Result<std::vector<Disk>> disks_of(Machine& machine) {
  std::vector<Disk> disks;
  for (const auto& [drive, image] : machine.board().drive_images()) {
    if (image->read_only()) continue;
    if (image->snapshots() == nullptr)
      return Error{"drive has no snapshots: " + drive + " is not qcow2; use savevm file:PATH, or a qcow2 image"};
    disks.push_back({drive, image->snapshots()});
  }
  if (disks.empty()) return Error{"no drive for snapshots: there is no writable qcow2 image; use file:PATH"};
  return disks;
}

Result<void> save_in_disks(Machine& machine, const std::string& name) {
  const std::vector<Disk> disks = TRY(disks_of(machine));
  u64 size = 0;
  const auto sink = [&](std::span<const u8> bytes) -> Result<void> {
    TRY(disks.front().snapshots->write_vm_state(size, bytes));
    size += bytes.size();
    return {};
  };
  TRY(write_snapshot(machine, sink));
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  for (const Disk& disk : disks) {
    const auto all = disk.snapshots->list();
    if (host::find_snapshot(all, name) != nullptr) TRY(disk.snapshots->remove(name));  // saved again under one name
    TRY(disk.snapshots->create({.name = name,
                                .vm_state_bytes = &disk == &disks.front() ? size : 0,
                                .date_seconds = static_cast<u32>(now.tv_sec),
                                .date_nanoseconds = static_cast<u32>(now.tv_nsec),
                                .vm_clock_nanoseconds = static_cast<u64>(machine.clock().now().value)}));
  }
  return {};
}

Result<void> load_from_disks(Machine& machine, const std::string& name) {
  const std::vector<Disk> disks = TRY(disks_of(machine));
  for (const Disk& disk : disks) {
    if (host::find_snapshot(disk.snapshots->list(), name) == nullptr)
      return Error{"no such snapshot: " + name + ": " + disk.drive};
  }
  host::ImageSnapshots& first = *disks.front().snapshots;
  const u64 size = host::find_snapshot(first.list(), name)->vm_state_bytes;
  if (size == 0) return Error{"snapshot of the disk only: " + name + "; use `xiaoma img snapshot -a`"};
  u64 at = 0;
  const SnapshotSource source = [&](std::span<u8> to) -> Result<void> {
    if (to.size() > size - at) return Error{"damaged snapshot: cut off", exit_status::kIncompatible};
    TRY(first.read_vm_state(name, at, to));
    at += to.size();
    return {};
  };
  if (Result<void> good = check_snapshot(machine, source); !good.ok()) return named(good.error(), name);
  for (const Disk& disk : disks) TRY(disk.snapshots->apply(name));
  at = 0;
  if (Result<void> read = read_snapshot(machine, source); !read.ok()) return named(read.error(), name);
  return {};
}

bool is_file(const std::string& name) { return name.starts_with(kFilePrefix); }

}  // namespace

Result<void> save_snapshot(Machine& machine, const std::string& name) {
  const Standstill standstill(machine);
  return is_file(name) ? save_file(machine, name.substr(kFilePrefix.size())) : save_in_disks(machine, name);
}

Result<void> load_snapshot(Machine& machine, const std::string& name) {
  const Standstill standstill(machine);
  return is_file(name) ? load_file(machine, name.substr(kFilePrefix.size())) : load_from_disks(machine, name);
}

Result<void> delete_snapshot(Machine& machine, const std::string& name) {
  const Standstill standstill(machine);
  if (is_file(name)) {
    if (std::remove(name.c_str() + kFilePrefix.size()) == 0) return {};
    return host_error("cannot remove snapshot", name.substr(kFilePrefix.size()));
  }
  bool found = false;
  for (const Disk& disk : TRY(disks_of(machine))) {
    if (host::find_snapshot(disk.snapshots->list(), name) == nullptr) continue;
    found = true;
    TRY(disk.snapshots->remove(name));
  }
  if (!found) return Error{"no such snapshot: " + name};
  return {};
}

std::string list_snapshots(Machine& machine) {
  const Standstill standstill(machine);
  Result<std::vector<Disk>> disks = disks_of(machine);
  if (!disks.ok()) return "There is no snapshot available.";
  std::string text = "ID        TAG               VM SIZE                DATE        VM CLOCK\n";
  bool any = false;
  for (const host::SnapshotInfo& info : disks->front().snapshots->list()) {
    char date[32] = "", line[200];
    const time_t seconds = info.date_seconds;
    tm broken{};
    ::localtime_r(&seconds, &broken);
    std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &broken);
    const u64 ms = info.vm_clock_nanoseconds / 1'000'000;
    std::snprintf(line, sizeof line, "%-9s %-16s %8.1f MiB %s %02llu:%02llu:%02llu.%03llu\n", info.id.c_str(),
                  info.name.c_str(), static_cast<double>(info.vm_state_bytes) / (1 << 20), date,
                  static_cast<unsigned long long>(ms / 3600000), static_cast<unsigned long long>(ms / 60000 % 60),
                  static_cast<unsigned long long>(ms / 1000 % 60), static_cast<unsigned long long>(ms % 1000));
    text += line;
    any = true;
  }
  return any ? text : "There is no snapshot available.";
}

}  // namespace xm::machine
