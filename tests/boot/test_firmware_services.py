# SPDX-License-Identifier: GPL-2.0-or-later
"""The BIOS services one by one: firmware_services.asm calls them from a boot sector and reports on the serial port."""

import os
import re
import shutil
import subprocess
import unittest

import firmware_images as images
from guest import BUILD, XIAOMA, Guest

QEMU = "qemu-system-x86_64"
BIOS = os.path.join(BUILD, "firmware", "bios.bin")
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "firmware_services.asm")


@unittest.skipUnless(shutil.which("nasm"), "no nasm on this host")
@unittest.skipUnless(os.path.exists(BIOS), "the firmware is not built")
class FirmwareServices(unittest.TestCase):
    def disk(self):
        os.makedirs(images.CACHE, exist_ok=True)
        path = os.path.join(images.CACHE, "services.img")
        subprocess.run(["nasm", "-f", "bin", SOURCE, "-o", path], check=True)
        return path

    def calls(self, guest):
        guest.expect("ALL SERVICES CALLED")
        self.assertEqual(re.findall(r"BAD (.*?)\r?\n", guest.output), [])
        self.assertGreater(len(re.findall(r"\nok ", guest.output)), 90)
        self.assertEqual(guest.wait_exit(), 1)  # isa-debug-exit

    @unittest.skipUnless(shutil.which(QEMU), "no QEMU on this host")
    def test_on_qemu(self):
        for drive in (["-drive", f"file={self.disk()},format=raw,snapshot=on"],
                      ["-drive", f"file={self.disk()},format=raw,snapshot=on,if=virtio"]):
            command = [QEMU, "-M", "pc,accel=tcg", "-bios", BIOS, "-m", "64", "-display", "none", "-serial", "stdio", "-nic",
                       "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
            with self.subTest(drive[1][-9:]), Guest(drive, command=command) as guest:
                self.calls(guest)

    @unittest.skipUnless(os.path.exists(XIAOMA), "the emulator is not built")
    def test_on_our_emulator(self):
        for interface in ("ide", "virtio"):
            arguments = ["-m", "64", "-nographic", "-nic", "none", "-snapshot", "-drive",
                         f"file={self.disk()},format=raw,if={interface}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
            with self.subTest(interface), Guest(arguments) as guest:
                self.calls(guest)


if __name__ == "__main__":
    unittest.main()
