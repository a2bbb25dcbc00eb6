// SPDX-License-Identifier: GPL-2.0-or-later
// ImageSnapshots: the internal snapshots of an image: the disk as it was, and optionally the machine's state as an
// opaque stream of bytes (its content is emu/machine's business). Calls are made with no request in flight; callers
// hold the machine stopped.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::host {

struct SnapshotInfo {
  std::string id;    // unique, a number in text
  std::string name;  // the user's
  u64 vm_state_bytes = 0;
  u64 disk_bytes = 0;
  u32 date_seconds = 0;  // since 1970
  u32 date_nanoseconds = 0;
  u64 vm_clock_nanoseconds = 0;  // guest time
  u64 icount = ~u64{0};          // all ones: not known
};

class ImageSnapshots {
 public:
  virtual std::vector<SnapshotInfo> list() const = 0;
  // Puts state for the next create() into the image's vm state area, in pieces from offset 0 on.
  virtual Result<void> write_vm_state(u64 offset, std::span<const u8> bytes) = 0;
  // Takes a snapshot of the disk. `id` may be empty (the next free number); vm_state_bytes of what write_vm_state()
  // stored belong to it. Everything is on stable storage on return.
  virtual Result<void> create(SnapshotInfo info) = 0;
  // Makes the disk what it was. `name` is matched against ids first, then names.
  virtual Result<void> apply(const std::string& name) = 0;
  virtual Result<void> remove(const std::string& name) = 0;
  // Reads the state of a snapshot (without applying it): [offset, offset + to.size()) of it.
  virtual Result<void> read_vm_state(const std::string& name, u64 offset, std::span<u8> to) = 0;

 protected:
  ~ImageSnapshots() = default;
};

// The entry whose id, else whose name, is `name`; null if there is none.
const SnapshotInfo* find_snapshot(const std::vector<SnapshotInfo>& all, const std::string& name);

}  // namespace xm::host
