# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen over VNC, seen by a client of our own (RFC 6143)."""

import ctypes.util
import os
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from guest import XIAOMA


def free_display():
    for display in range(40, 90):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 5900 + display)) != 0:
                return display
    raise AssertionError("no free port")


class Viewer:
    def __init__(self, display):
        deadline = time.monotonic() + 60
        while True:
            try:
                self.link = socket.create_connection(("127.0.0.1", 5900 + display), timeout=60)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        assert self.take(12).startswith(b"RFB 003.")
        self.link.sendall(b"RFB 003.008\n")
        self.security = list(self.take(self.take(1)[0]))

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.link.recv(size - len(data))
            if not part:
                raise EOFError("the server hung up")
            data += part
        return data

    def begin(self):
        self.link.sendall(b"\x01")
        assert self.take(4) == b"\0\0\0\0"
        self.link.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0]).decode()
        self.link.sendall(struct.pack(">BxH2i", 2, 2, 0, -223))  # raw, and tell me of a new size

    def picture(self):
        """One whole picture as bytes, four a pixel."""
        while True:
            self.link.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
            pixels = bytearray(self.width * self.height * 4)
            assert self.take(1) == b"\0"
            resized = False
            for _ in range(struct.unpack(">xH", self.take(3))[0]):
                x, y, w, h, encoding = struct.unpack(">HHHHi", self.take(12))
                if encoding == -223:
                    self.width, self.height, resized = w, h, True
                    continue
                assert encoding == 0, encoding
                data = self.take(w * h * 4)
                for row in range(h):
                    at = ((y + row) * self.width + x) * 4
                    pixels[at:at + w * 4] = data[row * w * 4:(row + 1) * w * 4]
            if not resized:
                return bytes(pixels)

    def key(self, symbol):
        for down in (1, 0):
            self.link.sendall(struct.pack(">BBxxI", 4, down, symbol))


@unittest.skipIf(ctypes.util.find_library("vncserver") is None, "libvncserver is not installed")
class Vnc(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="xm-vnc-")
        self.monitor = os.path.join(self.directory.name, "monitor")
        self.display = free_display()

    def tearDown(self):
        self.process.kill()
        self.process.wait()
        self.directory.cleanup()

    def start(self, words):
        self.process = subprocess.Popen([XIAOMA, "run", "-vnc", words, "-name", "watched", "-monitor",
                                         f"unix:{self.monitor},server=on,wait=off", "-boot", "menu=on,splash-time=60000"],
                                        stderr=subprocess.DEVNULL)

    def ctl(self, *words):
        return subprocess.run([XIAOMA, "ctl", self.monitor, *words], capture_output=True, text=True, timeout=60).stdout

    def test_shows_the_screen_and_takes_keys(self):
        self.start(f":{self.display}")
        viewer = Viewer(self.display)
        self.assertIn(1, viewer.security)
        viewer.begin()
        self.assertEqual(viewer.name, "watched")
        deadline = time.monotonic() + 60
        while len(set(viewer.picture())) < 2 and time.monotonic() < deadline:  # the BIOS has written something
            time.sleep(0.2)
        self.assertGreaterEqual(len(set(viewer.picture())), 2)
        self.assertEqual((viewer.width, viewer.height), (720, 400))
        self.assertIn("clients: 1", self.ctl("info", "vnc"))
        before = self.ctl("screentext")
        viewer.key(0xFF1B)
        viewer.key(ord("1"))
        deadline = time.monotonic() + 60
        while self.ctl("screentext") == before and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertNotEqual(self.ctl("screentext"), before)
        viewer.link.close()
        deadline = time.monotonic() + 20
        while "clients: 0" not in self.ctl("info", "vnc") and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertIn("clients: 0", self.ctl("info", "vnc"))

    def test_wants_its_password(self):
        self.start(f"127.0.0.1:{self.display},password=on")
        viewer = Viewer(self.display)
        self.assertEqual(viewer.security, [2])
        self.assertEqual(self.ctl("change", "vnc", "password", "secret"), "")
        viewer.link.sendall(b"\x02")
        viewer.take(16)
        viewer.link.sendall(b"x" * 16)
        self.assertNotEqual(viewer.take(4), b"\0\0\0\0")

    def test_a_port_in_use_and_words_it_does_not_know(self):
        self.start(f":{self.display}")
        Viewer(self.display)
        for words in (f":{self.display}", ":x", "nonsense", ":1,colour=red"):
            run = subprocess.run([XIAOMA, "run", "-vnc", words], capture_output=True, text=True, timeout=60)
            self.assertEqual((run.returncode, len(run.stderr.splitlines())), (125, 1), run.stderr)


if __name__ == "__main__":
    unittest.main()
