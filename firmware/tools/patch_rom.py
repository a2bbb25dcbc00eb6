#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fill in the checksums of the structures in the F segment image that other programs search for.

Usage: patch_rom.py SERVICES_TEXT.BIN
"""
import sys

# signature: (offset of the length byte, bytes a unit of length is, offset of the checksum)
STRUCTURES = {b"$PMM": (5, 1, 6), b"$PnP": (5, 1, 8), b"_32_": (9, 16, 10), b"$PIR": (None, 1, 31)}


def main():
    path = sys.argv[1]
    data = bytearray(open(path, "rb").read())
    if len(data) != 0x10000:
        sys.exit(f"patch_rom: the F segment image has {len(data)} bytes instead of 65536")
    for start in range(0, len(data), 16):
        entry = STRUCTURES.get(bytes(data[start:start + 4]))
        if entry is None:
            continue
        length_at, unit, checksum_at = entry
        length = data[start + length_at] * unit if length_at else int.from_bytes(data[start + 6:start + 8], "little")
        data[start + checksum_at] = 0
        data[start + checksum_at] = -sum(data[start:start + length]) & 0xFF
    open(path, "wb").write(data)


main()
