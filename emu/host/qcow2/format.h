// SPDX-License-Identifier: GPL-2.0-or-later
// qcow2 on disk [QCOW2]: numbers and bit positions of header and table entries. Everything is big-endian.
#pragma once

#include "emu/base/bits.h"
#include "emu/base/types.h"

namespace xm::host::qcow2 {

inline constexpr u32 kMagic = 0x514649FB;  // "QFI\xfb"

// Header field offsets.
namespace header_at {
inline constexpr u64 kBackingOffset = 8, kBackingSize = 16, kClusterBits = 20, kSize = 24, kCrypt = 32, kL1Size = 36,
                     kL1Offset = 40, kRefcountTable = 48, kRefcountTableClusters = 56, kSnapshotCount = 60,
                     kSnapshots = 64, kIncompatible = 72, kCompatible = 80, kAutoclear = 88, kRefcountOrder = 96,
                     kHeaderLength = 100, kCompressionType = 104;
}
inline constexpr u32 kHeaderLengthV2 = 72, kHeaderLengthV3 = 104, kHeaderLengthMine = 112;

// Feature bits.
inline constexpr u64 kDirty = bit(0), kCorrupt = bit(1), kDataFile = bit(2), kCompressionType = bit(3),
                     kExtendedL2 = bit(4);
inline constexpr u64 kLazyRefcounts = bit(0);
inline constexpr u64 kBitmapsConsistent = bit(0);

// Header extensions.
inline constexpr u32 kExtEnd = 0, kExtBackingFormat = 0xE2792ACA, kExtFeatureNames = 0x6803F857,
                     kExtBitmaps = 0x23852875, kExtDataFile = 0x44415441;

// L1 and L2 entries.
inline constexpr u64 kOffsetMask = 0x00FF'FFFF'FFFF'FE00;
inline constexpr u64 kCopied = bit(63), kCompressed = bit(62), kZeroFlag = bit(0);
inline constexpr u64 kL1Reserved = 0x7F00'0000'0000'01FF;
inline constexpr u64 kRefcountTableReserved = 0x1FF;

// Limits that keep a malformed file from costing memory or time; they are QEMU's.
inline constexpr u32 kMinClusterBits = 9, kMaxClusterBits = 21, kMaxRefcountOrder = 6;
inline constexpr u64 kMaxL1Bytes = 32u << 20, kMaxRefcountTableBytes = 8u << 20;
inline constexpr u32 kMaxSnapshots = 65536, kMaxSnapshotExtra = 1024, kMaxBackingName = 1023;
inline constexpr u64 kMaxSnapshotTableBytes = 64u << 20;
inline constexpr u64 kMaxFileOffset = bit(56);

inline u16 load_be16(const u8* from) { return byte_swap(load_le<u16>(from)); }
inline u32 load_be32(const u8* from) { return byte_swap(load_le<u32>(from)); }
inline u64 load_be64(const u8* from) { return byte_swap(load_le<u64>(from)); }
inline void store_be16(u8* to, u16 value) { store_le(to, byte_swap(value)); }
inline void store_be32(u8* to, u32 value) { store_le(to, byte_swap(value)); }
inline void store_be64(u8* to, u64 value) { store_le(to, byte_swap(value)); }

}  // namespace xm::host::qcow2
