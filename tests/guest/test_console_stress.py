# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial terminal of our kernel under load on several processors: lines of many writers stay whole, echo neither tears nor loses
anything, and input that comes faster than it is read waits."""

import os
import re
import shutil
import subprocess
import unittest

from guest import BUILD, CACHE, ROOT, XIAOMA, Guest

QEMU = shutil.which("qemu-system-x86_64")
KERNEL = os.path.join(BUILD, "guest-os", "vmxiaoma")
WRITERS, LINES = 4, 150
LINE = re.compile(r"<(\d):(\d{5}):abcdefghijklmnoprstuvwxyzABCDEFGHIJKLMN>")


def initrd():
    os.makedirs(CACHE, exist_ok=True)
    program, image = os.path.join(CACHE, "tty_stress"), os.path.join(CACHE, "tty-stress.cpio.gz")
    subprocess.run(["gcc", "-static", "-O1", "-w", "-o", program, os.path.join(ROOT, "tests", "guest", "programs", "tty_stress.c")], check=True)
    subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), image, f"--add={program}:bin/tty_stress"], check=True,
                   capture_output=True)
    return image


def hash_of(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xffffffff
    return value


class ConsoleStress(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.initrd = initrd()

    def machine(self, name, cpus):
        command = [QEMU] if name == "qemu" else [XIAOMA, "run"]
        return Guest(["-m", "128", "-smp", str(cpus), "-kernel", KERNEL, "-initrd", self.initrd, "-append", "console=ttyS0 quiet panic=-1",
                      "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"], command=command)

    def stress(self, guest, data, echo):
        guest.send(f"tty_stress {WRITERS} {LINES} {len(data)} {int(echo)}\n")
        guest.expect(r"ready\r\n", timeout=120)
        start = guest.position
        guest.send(data.decode())
        found = guest.expect(r"hash (\d+) failed 0\r\n", timeout=60)
        self.assertEqual(int(found.group(1)), hash_of(data), "input was lost or changed")
        text = guest.output[start:guest.position - len(found.group(0))]
        if echo:
            self.assertEqual(text.count("q"), len(data), "echo was lost")
            text = text.replace("q", "")
        lines = [line for line in text.split("\r\n") if line]
        torn = [line for line in lines if not LINE.fullmatch(line)]
        self.assertEqual(torn, [])
        self.assertEqual(len(lines), WRITERS * LINES)

    def both(self, name, cpus):
        with self.machine(name, cpus) as guest:
            guest.expect(r"# ", timeout=120)
            self.stress(guest, b"".join(b"%07d." % n for n in range(2500)), echo=False)
            self.stress(guest, b"q" * 3000, echo=True)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_qemu_with_four_processors(self):
        self.both("qemu", 4)

    def test_xiaoma_with_two_processors(self):
        self.both("xiaoma", 2)

    test_qemu_with_four_processors.QUICK = False


if __name__ == "__main__":
    unittest.main()
