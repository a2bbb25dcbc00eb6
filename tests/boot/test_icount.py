# SPDX-License-Identifier: GPL-2.0-or-later
"""-icount: a guest without outside input executes the same instructions on every run, and its idle time is skipped."""

import os
import subprocess
import tempfile
import time
import unittest

from guest import BUILD, ROOT, XIAOMA, Guest


class Icount(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xm-icount-")
        cls.initramfs = os.path.join(cls.directory.name, "initramfs.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), cls.initramfs], check=True)
        cls.disk = os.path.join(cls.directory.name, "disk.img")
        with open(cls.disk, "wb") as file:
            file.truncate(16 << 20)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def test_two_runs_are_the_same(self):
        for name in ("first", "second"):
            run = subprocess.run([XIAOMA, "run", "-m", "128", "-icount", "shift=4", "-kernel",
                                  os.path.join(BUILD, "guest-os", "vmxiaoma"), "-initrd", self.initramfs, "-append", "console=ttyS0",
                                  "-drive", f"file={self.disk},format=raw,if=virtio", "-display", "none", "-serial",
                                  f"file:{self.path(name + '.txt')}", "-budget", "40000000", "-trace-insn", self.path(name)],
                                 capture_output=True, text=True, timeout=300)
            self.assertEqual(run.returncode, 124, run.stderr)
        difference = subprocess.run([XIAOMA, "trace", "diff", self.path("first"), self.path("second")], capture_output=True, text=True,
                                    timeout=300)
        self.assertEqual(difference.returncode, 0, difference.stdout)
        with open(self.path("first.txt"), "rb") as a, open(self.path("second.txt"), "rb") as b:
            text = a.read()
            self.assertEqual(text, b.read())
        self.assertIn(b"Linux version", text)

    def test_idle_time_is_skipped(self):
        began = time.monotonic()
        with Guest(["-m", "128", "-icount", "shift=0", "-kernel", os.path.join(BUILD, "guest-os", "vmxiaoma"), "-initrd",
                    self.initramfs, "-append", "console=ttyS0", "-display", "none", "-serial", "stdio"]) as guest:
            guest.expect("# ", timeout=120)
            guest.send("sleep 3600; cat /proc/uptime; poweroff -f\n")
            guest.expect(r"\n(3[6-9]|[4-9]\d)\d\d\.\d\d ", timeout=300)
            self.assertEqual(guest.wait_exit(60), 0)
        self.assertLess(time.monotonic() - began, 360)

    def test_what_can_not_be_counted_is_refused(self):
        for words in (("-smp", "2"), ("-accel", "kvm")):
            run = subprocess.run([XIAOMA, "run", "-icount", "shift=0", "-display", "none", *words], capture_output=True, text=True)
            self.assertEqual((run.returncode, len(run.stderr.splitlines())), (125, 1), run.stderr)
        self.assertEqual(subprocess.run([XIAOMA, "run", "-icount", "shift=99"], capture_output=True).returncode, 125)


if __name__ == "__main__":
    unittest.main()
