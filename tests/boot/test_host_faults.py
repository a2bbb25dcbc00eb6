# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens when the host fails: a full disk stops the machine until there is room (werror=enospc) or is told to the guest
(werror=report); signals end the program with what was flushed on the disk."""

import os
import signal
import subprocess
import tempfile
import time
import unittest

from guest import BUILD, ROOT, Guest

PROMPT = r"~ # "


class HostFaults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xm-faults-")
        cls.initramfs = cls.path("initramfs.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), cls.initramfs], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.directory.name, name)

    def boot(self, disk, *more, options=""):
        return Guest(["-m", "128", "-kernel", os.path.join(BUILD, "guest-os", "vmxiaoma"), "-initrd", self.initramfs, "-append",
                      "console=ttyS0", "-display", "none", "-serial", "stdio", "-drive",
                      f"file={disk},format=raw,if=virtio{options}", *more], monitor=True)

    def small_file_system(self):
        folder = self.path("small")
        os.makedirs(folder, exist_ok=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a small file system")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], capture_output=True)
        disk = os.path.join(folder, "disk.img")
        with open(disk, "wb") as file:
            file.truncate(8 << 20)
        return folder, disk

    def wait_state(self, guest, word):
        deadline = time.monotonic() + 60
        while word not in guest.monitor("info status"):
            self.assertLess(time.monotonic(), deadline, guest.monitor("info status") + guest.output[-500:])
            time.sleep(0.2)

    def test_a_full_disk_stops_the_machine_until_there_is_room(self):
        folder, disk = self.small_file_system()
        with self.boot(disk) as guest:
            guest.expect(PROMPT, timeout=180)
            guest.send("yes abcdefg | dd bs=4096 count=1024 iflag=fullblock conv=fsync of=/dev/vda; echo outcome-$?\n")
            self.wait_state(guest, "paused")
            self.assertIn("wait", guest.monitor("info block"))
            subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)
            guest.monitor("cont")
            guest.expect("outcome-0", timeout=60)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(60), 0)
        with open(disk, "rb") as file:
            self.assertEqual(file.read(4 << 20), b"abcdefg\n" * ((4 << 20) // 8))

    def test_a_full_disk_is_told_to_the_guest(self):
        _, disk = self.small_file_system()
        with self.boot(disk, options=",werror=report") as guest:
            guest.expect(PROMPT, timeout=180)
            guest.send("dd if=/dev/zero bs=1M count=4 conv=fsync of=/dev/vda; echo outcome-$?\n")
            guest.expect("outcome-1", timeout=60)
            self.assertIn("running", guest.monitor("info status"))

    def test_signals_end_the_program_and_flushed_data_stays(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            disk = self.path("disk.img")
            with open(disk, "wb") as file:
                file.truncate(1 << 20)
            with self.boot(disk) as guest:
                guest.expect(PROMPT, timeout=180)
                guest.send("echo flushed | dd of=/dev/vda conv=fsync 2> /dev/null; echo written-$?\n")
                guest.expect("written-0", timeout=60)
                guest.process.send_signal(number)
                self.assertEqual(guest.wait_exit(30), 128 + number)
            with open(disk, "rb") as file:
                self.assertEqual(file.read(8), b"flushed\n")

    def test_a_closed_terminal_does_not_hurt(self):
        disk = self.path("disk.img")
        with open(disk, "wb") as file:
            file.truncate(1 << 20)
        with self.boot(disk) as guest:
            guest.expect(PROMPT, timeout=180)
            guest.process.stdin.close()
            guest.monitor("type echo still-here\\n")
            self.assertIn("running", guest.monitor("info status"))
            guest.monitor("quit")
            self.assertEqual(guest.process.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
