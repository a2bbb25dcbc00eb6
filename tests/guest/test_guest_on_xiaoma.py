# SPDX-License-Identifier: GPL-2.0-or-later
"""The bundled OS on our own machine: BIOS, interpreter, kernel, Debian's busybox; off again by ACPI."""

import os
import subprocess
import unittest

from guest import BUILD, CACHE, ROOT, Guest

KERNEL = os.path.join(BUILD, "guest-os", "vmxiaoma")
PROMPT = r"~ # |/ # "


def initramfs():
    os.makedirs(CACHE, exist_ok=True)
    path = os.path.join(CACHE, "initramfs.cpio.gz")
    subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), path], check=True, capture_output=True)
    return path


class GuestOnXiaoma(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.initrd = initramfs()

    def boot(self, *extra):
        return Guest(["-m", "256", "-kernel", KERNEL, "-initrd", self.initrd, "-append", "console=ttyS0", "-nographic", *extra])

    def test_shell_to_power_off(self):
        with self.boot() as guest:
            guest.expect(PROMPT, timeout=90)
            guest.send("echo $((6 * 7)) | tr 4 x\n")
            guest.expect(r"\nx2\r?\n")
            guest.expect(PROMPT)
            guest.send("for i in 1 2 3; do (echo child $i) & done; wait; echo waited\n")
            guest.expect(r"\nwaited\r?\n")
            guest.send("ps\n")
            guest.expect(r"kthreadd")
            guest.expect(PROMPT)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(30), 0)

    def test_two_processors(self):
        with self.boot("-smp", "2") as guest:
            guest.expect(PROMPT, timeout=90)
            guest.send("grep -c ^processor /proc/cpuinfo\n")
            guest.expect(r"\n2\r?\n")
            guest.expect(PROMPT)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(30), 0)


if __name__ == "__main__":
    unittest.main()
