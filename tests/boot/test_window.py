# SPDX-License-Identifier: GPL-2.0-or-later
"""The SDL2 window on a virtual X server: what it shows, keys, mouse grab and scaling by QEMU's keys. The guest is
SYSLINUX at its prompt, which echoes what is typed."""

import os
import re
import shutil
import subprocess
import time
import unittest

import firmware_images as images
from guest import Guest

QUICK = False
TOOLS = ("Xvfb", "xdotool")


@unittest.skipUnless(all(shutil.which(tool) for tool in TOOLS), f"needs {' and '.join(TOOLS)}")
class Window(unittest.TestCase):
    def setUp(self):
        read_end, write_end = os.pipe()
        server = subprocess.Popen(["Xvfb", "-displayfd", str(write_end), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
                                  pass_fds=[write_end], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write_end)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        with os.fdopen(read_end) as number:
            self.env = dict(os.environ, DISPLAY=":" + number.readline().strip(), SDL_VIDEODRIVER="x11", SDL_RENDER_DRIVER="software")

    def x(self, *words):
        return subprocess.run(["xdotool", *words], env=self.env, capture_output=True, text=True, timeout=30).stdout

    def wait_for(self, question, wanted, timeout=60):
        deadline = time.monotonic() + timeout
        while not re.search(wanted, answer := question()):
            self.assertLess(time.monotonic(), deadline, f"no {wanted!r} in {answer!r}")
            time.sleep(0.3)

    def test_keys_grab_and_scale(self):
        with Guest(["-m", "32", "-name", "looking-glass", "-display", "sdl", "-boot", "a", "-snapshot", "-fda",
                    images.syslinux_floppy()], monitor=True, env=self.env) as guest:
            guest.expect_screen("boot:", 300)
            self.wait_for(lambda: self.x("search", "--name", "looking-glass"), r"\d+")
            window = self.x("search", "--name", "looking-glass").split()[-1]
            geometry = lambda: self.x("getwindowgeometry", window)
            title = lambda: self.x("getwindowname", window)
            self.wait_for(geometry, "Geometry: 720x400")
            self.x("windowfocus", window)
            self.x("type", "--delay", "150", "Hello-Window")
            guest.expect_screen("boot: Hello-Window", 60)
            self.x("key", "ctrl+alt+g")
            self.wait_for(title, "Ctrl-Alt-G to release")
            self.x("key", "ctrl+alt+g")
            self.wait_for(title, r"\(looking-glass\)\n?$")
            self.x("key", "ctrl+alt+equal")
            self.wait_for(geometry, "Geometry: 900x500")
            self.x("key", "ctrl+alt+u")
            self.wait_for(geometry, "Geometry: 720x400")
            guest.expect_screen("boot: Hello-Window *\n", 10)  # the hot keys did not reach the guest
            guest.monitor("quit")
            self.assertEqual(guest.wait_exit(30), 0)


if __name__ == "__main__":
    unittest.main()
