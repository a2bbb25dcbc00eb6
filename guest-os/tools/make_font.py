#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make_font.py CONSOLEFONTS_DIR OUT.S: the framebuffer console's font, 8x16, in the order of code page 437, from the console fonts of
Debian's console-setup-linux. A character that none of the fonts has stays blank."""
import gzip
import os
import struct
import sys

FONTS = ('Lat15-Fixed16', 'Uni2-Fixed16', 'FullGreek-Fixed16', 'Uni1-VGA16', 'Lat15-VGA16', 'Lat15-TerminusBold16')
LOW = '\u0020\u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a\u266b\u263c\u25ba\u25c4\u2195\u203c\u00b6\u00a7' \
      '\u25ac\u21a8\u2191\u2193\u2192\u2190\u221f\u2194\u25b2\u25bc'
CODE_PAGE = (LOW + bytes(range(32, 256)).decode('cp437')).replace('\x7f', '\u2302')


def read_font(path):
    """Glyphs of 16 rows by character, of PSF version 1 or 2."""
    data = gzip.open(path).read()
    if data[:2] == b'\x36\x04':
        start, size, count = 4, data[3], 512 if data[2] & 1 else 256
        width = 8
    else:
        _, _, start, _, count, size, _, width = struct.unpack('<8I', data[:32])
    if size != 16 or width != 8:
        return {}
    table, found, index = data[start + count * size:], {}, 0
    if data[:2] == b'\x36\x04':
        for (unit,) in struct.iter_unpack('<H', table[:len(table) & ~1]):
            if unit == 0xffff:
                index += 1
            elif unit != 0xfffe and index < count:
                found.setdefault(chr(unit), data[start + index * 16:start + index * 16 + 16])
    else:
        for index, entry in enumerate(table.split(b'\xff')[:count]):
            for char in entry.split(b'\xfe')[0].decode('utf-8', 'ignore'):
                found.setdefault(char, data[start + index * 16:start + index * 16 + 16])
    return found


def main():
    fonts = [read_font(path) for name in FONTS if os.path.exists(path := os.path.join(sys.argv[1], name + '.psf.gz'))]
    if not fonts:
        sys.exit(f'make_font.py: error: no console font in {sys.argv[1]}; install console-setup-linux')
    with open(sys.argv[2], 'w') as out:
        out.write('.section .rodata\n.globl console_font\nconsole_font:\n')
        for char in CODE_PAGE:
            glyph = next((f[char] for f in fonts if char in f), bytes(16))
            out.write('.byte ' + ','.join(str(b) for b in glyph) + '\n')
        out.write('.section .note.GNU-stack,"",@progbits\n')


if __name__ == '__main__':
    main()
