// SPDX-License-Identifier: GPL-2.0-or-later
// Snapshots: the state of a stopped machine (guest time, vCPUs, devices, memory) as a stream of named fields, to a file
// or into a qcow2 image. Disks are not part of the stream: a qcow2 snapshot keeps its own disk beside it, a file
// belongs to the disks as they were.
//
// The stream: a header (magic "XMSNAP1\n"), then blocks of at most 1 MiB: raw size, stored size, CRC-32 (u32 each),
// zstd data; a block of raw size 0 ends it. Inside: records, one byte of kind each:
//   G name version | E | N name number | B name bytes | R offset pages...     (names and bytes with a u32 length)
// A reader keeps what it has for a field that the stream lacks, so fields may be added; docs/snapshots.md has the
// rules.
#pragma once

#include <functional>
#include <string>

#include "emu/machine/machine.h"

namespace xm::machine {

// Where a stream goes and comes from; both report host errors.
using SnapshotSink = std::function<Result<void>(std::span<const u8> bytes)>;
// Fills `to` whole or fails.
using SnapshotSource = std::function<Result<void>(std::span<u8> to)>;

// The machine is stopped and no disk request is in flight (Machine::settle).
Result<void> write_snapshot(Machine& machine, const SnapshotSink& sink);
// Nothing of the machine changes unless `check` passes: it reads a whole stream and says what is wrong with it, or that
// it is of another machine (status 112).
Result<void> check_snapshot(Machine& machine, const SnapshotSource& source);
Result<void> read_snapshot(Machine& machine, const SnapshotSource& source);

// By name, for monitors and -loadvm: "file:PATH" is a file, anything else a snapshot inside the qcow2 drives. The
// machine stops for it and goes on if it ran.
Result<void> save_snapshot(Machine& machine, const std::string& name);
Result<void> load_snapshot(Machine& machine, const std::string& name);
Result<void> delete_snapshot(Machine& machine, const std::string& name);
std::string list_snapshots(Machine& machine);

}  // namespace xm::machine
