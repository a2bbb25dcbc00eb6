# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the PNG files that `screendump` writes: 8 bits a sample, RGB, not interlaced."""

import collections
import struct
import zlib


class Screenshot:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", path
        packed, position = b"", 8
        while position < len(data):
            length, kind = struct.unpack_from(">I4s", data, position)
            body = data[position + 8:position + 8 + length]
            position += 12 + length
            if kind == b"IHDR":
                self.width, self.height, depth, colour_type = struct.unpack_from(">IIBB", body)
                assert (depth, colour_type) == (8, 2), "not the kind of PNG that screendump writes"
            elif kind == b"IDAT":
                packed += body
        self.rows = self._unfilter(zlib.decompress(packed))

    def _unfilter(self, raw):
        """Undoes the line filters [PNG 9]."""
        size, rows = self.width * 3, []
        before = bytearray(size)
        for y in range(self.height):
            start = y * (size + 1)
            kind, row = raw[start], bytearray(raw[start + 1:start + 1 + size])
            if kind:
                for x in range(size):
                    left = row[x - 3] if x >= 3 else 0
                    corner = before[x - 3] if x >= 3 else 0
                    row[x] = (row[x] + self._predict(kind, left, before[x], corner)) & 255
            rows.append(row)
            before = row
        return rows

    @staticmethod
    def _predict(kind, left, up, corner):
        if kind == 1:
            return left
        if kind == 2:
            return up
        if kind == 3:
            return (left + up) // 2
        guess = left + up - corner
        return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]

    def pixel(self, x, y):
        return tuple(self.rows[y][3 * x:3 * x + 3])

    def colours(self):
        """How often each colour occurs, as a Counter of (red, green, blue)."""
        count = collections.Counter()
        for row in self.rows:
            count.update(zip(row[0::3], row[1::3], row[2::3]))
        return count
