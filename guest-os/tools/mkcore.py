#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mkcore.py STARTUP.bin CORE.bin OUT: the decompressor of the boot chain, followed by the loader core as an LZMA stream of known size."""
import lzma
import struct
import sys

ROOM = 0x20000 - 0x8200  # from where diskboot.img loads it to where the core is unpacked


def main():
    startup, core = (open(name, 'rb').read() for name in sys.argv[1:3])
    filters = [{'id': lzma.FILTER_LZMA1, 'dict_size': 1 << 20, 'lc': 3, 'lp': 0, 'pb': 0, 'mode': lzma.MODE_NORMAL, 'nice_len': 273}]
    packed = lzma.compress(core, format=lzma.FORMAT_ALONE, filters=filters)
    # The library leaves the size unknown and ends with a marker; ours wants the size and stops there.
    packed = packed[:5] + struct.pack('<Q', len(core)) + packed[13:]
    image = startup + packed
    image += bytes(-len(image) % 512)
    assert len(image) <= ROOM, f'core.img has {len(image)} bytes, {ROOM} is the limit'
    open(sys.argv[3], 'wb').write(image)


main()
