# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernel, started by -kernel under our BIOS, down to a shell and off again by ACPI."""

import os
import subprocess
import unittest

from guest import CACHE, ROOT, Guest

PROMPT = r"~ # |/ # "


def images():
    """vmlinuz of linux-image-cloud-amd64 and a busybox initramfs, made once from packages."""
    subprocess.run([os.path.join(ROOT, "images", "debian_kernel.sh"), CACHE], check=True, capture_output=True)
    return os.path.join(CACHE, "vmlinuz"), os.path.join(CACHE, "busybox.cpio.gz")


class LinuxKernel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kernel, cls.initrd = images()

    def boot(self, *extra, append="console=ttyS0"):
        return Guest(["-m", "512", "-kernel", self.kernel, "-initrd", self.initrd, "-append", append, "-nographic", *extra])

    def test_shell_script_and_power_off(self):
        with self.boot() as guest:
            guest.expect("busybox shell", timeout=240)
            guest.expect(PROMPT)
            guest.send("n=0; for i in 1 2 3 4 5; do n=$((n + i * i)); done; echo sum=$n\n")
            guest.expect(r"sum=55\r?\n")
            guest.expect(PROMPT)
            guest.send("dmesg | grep -E 'WARNING|Oops|BUG:|unchecked MSR|Call Trace' | wc -l; echo counted\n")
            guest.expect(r"\n0\r?\ncounted")
            guest.expect(PROMPT)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(60), 0)

    def test_two_processors(self):
        with self.boot("-smp", "2") as guest:
            guest.expect("busybox shell", timeout=240)
            guest.expect(PROMPT)
            guest.send("echo cpus=$(grep -c ^processor /proc/cpuinfo)\n")
            guest.expect(r"cpus=2\r?\n")
            guest.expect(PROMPT)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(60), 0)

    def test_idle_guest_sleeps(self):
        with self.boot(append="console=ttyS0 quiet") as guest:
            guest.expect("busybox shell", timeout=240)
            guest.expect(PROMPT)
            guest.send("sleep 15; echo slept\n")
            guest.expect("echo slept", timeout=10)
            import time
            time.sleep(3)
            before = guest.cpu_seconds()
            time.sleep(10)
            used = guest.cpu_seconds() - before
            self.assertLess(used, 0.5, "a halted guest must not burn the host's CPU")


if __name__ == "__main__":
    unittest.main()
