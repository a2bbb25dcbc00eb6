# SPDX-License-Identifier: GPL-2.0-or-later
"""A debootstrapped Debian (MBR, GRUB, ext4, systemd) booted from its disk by our BIOS: logins, units, clean power off."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from guest import CACHE, ROOT, Guest

QUICK = False
PARTITION_START = 2048 * 512
PASSWORD = "xiaoma"
PROMPT = r"root@xiaoma-debian:~# "
BOOT_SECONDS = 300


def debian_disk():
    """The image, made once; None and the reason when it cannot be made here."""
    image = os.path.join(CACHE, "debian.img")
    result = subprocess.run([os.path.join(ROOT, "images", "debian_disk.sh"), image], capture_output=True, text=True)
    if result.returncode == 3:
        raise unittest.SkipTest(result.stderr.strip())
    if result.returncode != 0:
        raise AssertionError(f"debian_disk.sh failed: {result.stderr}")
    return image


class DebianDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = debian_disk()

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="xm-debian-")
        self.addCleanup(directory.cleanup)
        self.disk = os.path.join(directory.name, "disk.img")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image, self.disk], check=True)

    def log_in(self, guest):
        start = time.monotonic()
        guest.expect("xiaoma-debian login: ", timeout=BOOT_SECONDS)
        print(f"login prompt after {time.monotonic() - start:.0f} s")
        guest.send("root\n")
        guest.expect("Password: ", timeout=60)
        guest.send(PASSWORD + "\n")
        guest.expect(PROMPT, timeout=90)

    def power_off(self, guest):
        guest.send("poweroff\n")
        self.assertEqual(guest.wait_exit(120), 0, "poweroff must end the emulator with status 0")

    def check_file_system(self):
        e2fsck = shutil.which("e2fsck", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        result = subprocess.run([e2fsck, "-fn", f"{self.disk}?offset={PARTITION_START}"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_virtio(self):
        drive = f"file={self.disk},format=raw,if=virtio"
        with Guest(["-m", "512", "-drive", drive, "-nographic"], monitor=True) as guest:
            self.log_in(guest)
            guest.expect_screen(r"xiaoma-debian login:", timeout=60)
            guest.send("systemctl is-system-running --wait; echo state-known\n")
            state = guest.expect(r"(running|degraded|starting|maintenance)\r?\n(?:.*\n)*?state-known", timeout=180).group(1)
            guest.expect(PROMPT)
            if state != "running":
                failed = guest.run("systemctl --failed --no-legend --no-pager", PROMPT)
                self.fail(f"systemctl is-system-running says {state}:\n{failed}")
            guest.send("findmnt -no SOURCE,FSTYPE /; apt list --installed 2>/dev/null | grep -c installed; echo li''sted\n")
            listed = guest.expect(r"/dev/vda1 +ext4\r?\n(\d+)\r?\nlisted", timeout=180)
            self.assertGreater(int(listed.group(1)), 80)
            guest.expect(PROMPT)
            guest.send("dmesg | grep -E 'WARNING|Oops|BUG:|unchecked MSR|Call Trace' | wc -l; echo coun''ted\n")
            self.assertEqual(guest.expect(r"(\d+)\r?\ncounted").group(1), "0")
            guest.expect(PROMPT)
            self.power_off(guest)
        self.check_file_system()

    def test_ide(self):
        with Guest(["-m", "512", "-hda", self.disk, "-nographic"]) as guest:
            self.log_in(guest)
            guest.send("findmnt -no SOURCE,FSTYPE /\n")
            self.assertTrue(re.search(r"/dev/sda1 +ext4", guest.expect(r"/dev/\w+ +ext4").group(0)))
            guest.expect(PROMPT)
            self.power_off(guest)
        self.check_file_system()


if __name__ == "__main__":
    unittest.main()
