#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the code page 437 text fonts of the BIOS as assembly, from the VGA fonts of Debian's console-setup-linux.

Each console font holds one script; the glyph of every code page 437 character is looked up by its Unicode value in a list
of fonts, first found wins. Characters that none of them draws are drawn below or stay blank.
Usage: make_fonts.py CONSOLEFONTS_DIR OUTPUT.S LOW.BIN (LOW.BIN: characters 0-127, 8x8)
"""
import gzip
import os
import struct
import sys

# What code page 437 shows for the control codes [IBM PC Technical Reference, characters].
LOW = ("\u0020\u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a\u266b\u263c"
       "\u25ba\u25c4\u2195\u203c\u00b6\u00a7\u25ac\u21a8\u2191\u2193\u2192\u2190\u221f\u2194\u25b2\u25bc")
SCRIPTS = ["Lat15", "FullGreek", "FullCyrSlav", "Lat2", "Uni2", "Uni1", "Uni3", "Lat7", "Lat38", "Vietnamese"]
ALIKE = {"\u00b5": "\u03bc", "\u2126": "\u03a9", "\u03b2": "\u00df", "\u25d8": "\u2022", "\u25d9": "\u25cb",
         "\u263b": "\u263a", "\u21a8": "\u2195", "\u20a7": "P", "\u263c": "\u00a4", "\u2640": "\u2642", "\u2261": "=",
         "\u2310": "\u00ac", "\u2229": "n", "\u221e": "8"}


def code_page():
    text = LOW + bytes(range(32, 256)).decode("cp437")
    return text[:127] + "\u2302" + text[128:]


def read_psf(path):
    """Return (height, {unicode: rows}) of a PSF version 1 or 2 file."""
    data = gzip.open(path).read()
    if data[:2] == b"\x36\x04":
        mode, height = data[2], data[3]
        count = 512 if mode & 1 else 256
        start, size = 4, height
    else:
        _, _, start, _, count, size, height, width = struct.unpack("<8I", data[:32])
        if width != 8:
            return height, {}
    glyphs = [data[start + i * size:start + i * size + height] for i in range(count)]
    table, found, index = data[start + count * size:], {}, 0
    if data[:2] == b"\x36\x04":
        for (unit,) in struct.iter_unpack("<H", table[:len(table) & ~1]):
            if unit == 0xFFFF:
                index += 1
            elif unit != 0xFFFE and index < count:
                found.setdefault(chr(unit), glyphs[index])
    else:
        for entry in table.split(b"\xff")[:count]:
            for char in entry.split(b"\xfe")[0].decode("utf-8", "ignore"):
                found.setdefault(char, glyphs[index])
            index += 1
    return height, found


def drawn(char, height):
    """The two pointers of the control codes, which no console font has: a triangle with its tip right or left."""
    if char not in "\u25ba\u25c4":
        return None
    rows = []
    for row in range(height):
        reach = min(row - height // 4, height - height // 4 - 1 - row) + 1
        bits = min(8, 2 * reach) if reach > 0 else 0
        rows.append((0xFF00 >> bits) & 0xFF if char == "\u25ba" else (1 << bits) - 1)
    return bytes(rows)


def build(folder, height):
    fonts = []
    for script in SCRIPTS:
        path = os.path.join(folder, f"{script}-VGA{height}.psf.gz")
        if os.path.exists(path):
            fonts.append(read_psf(path)[1])
    out, missing = [], []
    for char in code_page():
        for candidate in (char, ALIKE.get(char, char)):
            glyph = next((font[candidate] for font in fonts if candidate in font), None)
            if glyph is not None:
                break
        glyph = glyph or drawn(char, height)
        if glyph is None:
            missing.append(char)
            glyph = bytes(height)
        out.append(glyph)
    return out, missing


def main():
    folder, output, low = sys.argv[1:4]
    with open(output, "w", encoding="ascii") as file:
        file.write("# Made by firmware/tools/make_fonts.py from console-setup-linux's VGA fonts.\n.section .rodata\n")
        for height in (8, 14, 16):
            glyphs, missing = build(folder, height)
            if len(missing) > 16:
                sys.exit(f"make_fonts: {len(missing)} characters have no 8x{height} glyph in {folder}")
            if height == 8:
                open(low, "wb").write(b"".join(glyphs[:128]))
            file.write(f".globl font_8x{height}\nfont_8x{height}:\n")
            for code, glyph in enumerate(glyphs):
                file.write(f"  .byte {','.join(map(str, glyph))}\n")


main()
