#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mkvmxiaoma.py SETUP KERNEL.bin KERNEL.elf OUT: joins the set-up part and the kernel, and fills in the sizes of the boot header."""
import struct
import subprocess
import sys


def main():
    setup = bytearray(open(sys.argv[1], 'rb').read())
    kernel = bytearray(open(sys.argv[2], 'rb').read())
    symbols = subprocess.run(['nm', sys.argv[3]], capture_output=True, text=True, check=True).stdout
    end = next(int(l.split()[0], 16) for l in symbols.splitlines() if l.endswith(' kernel_end')) & 0x7fffffff
    setup += bytes(-len(setup) % 512)
    kernel += bytes(-len(kernel) % 16)
    assert setup[0x1fe:0x200] == b'\x55\xaa' and setup[0x202:0x206] == b'HdrS'
    setup[0x1f1] = len(setup) // 512 - 1                      # setup_sects
    struct.pack_into('<I', setup, 0x1f4, len(kernel) // 16)   # syssize
    struct.pack_into('<I', setup, 0x260, end - 0x100000)      # init_size: image with bss
    open(sys.argv[4], 'wb').write(setup + kernel)


main()
