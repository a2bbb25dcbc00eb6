# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot loaders and programs of Debian's packages from CD, floppy and disk on our emulator, under our BIOS and SeaBIOS."""

import os
import unittest

import firmware_images as images
from guest import Guest

SEABIOS = "/usr/share/seabios/bios.bin"
MEMTEST = "/boot/memtest86+x64.bin"
UP = "GUEST-IS-UP"


class BootMedia(unittest.TestCase):
    QUICK = False

    def boots_linux(self, *arguments, before=()):
        with Guest(["-m", "256", "-nographic", *arguments]) as guest:
            for text in before:
                guest.expect(text, timeout=120)
            guest.expect(UP, timeout=240)
            self.assertEqual(guest.wait_exit(), 0)

    def test_grub_cd(self):
        self.boots_linux("-cdrom", images.grub_cd(), before=["GRUB-IS-HERE"])

    def test_isolinux_cd(self):
        self.boots_linux("-cdrom", images.isolinux_cd(), before=["ISOLINUX"])

    def test_grub_from_virtio_disk(self):
        self.boots_linux("-snapshot", "-drive", f"file={images.grub_disk()},format=raw,if=virtio", before=["GRUB-IS-HERE"])

    def test_grub_from_ide_disk(self):
        self.boots_linux("-snapshot", "-hda", images.grub_disk(), before=["GRUB-IS-HERE"])

    def test_floppy_under_both_firmwares(self):
        for firmware in ([], ["-bios", SEABIOS, "-vga", "none"]):
            with self.subTest(firmware), Guest(["-m", "64", "-nographic", "-boot", "a", "-snapshot", "-fda",
                                                images.syslinux_floppy(), *firmware]) as guest:
                guest.expect("SYSLINUX-IS-HERE" if firmware else "SYSLINUX", timeout=120)
                guest.expect("boot:")

    def test_seabios_says_its_name_and_boots_a_cd(self):
        self.boots_linux("-bios", SEABIOS, "-vga", "none", "-cdrom", images.isolinux_cd(), "-boot", "d",
                         before=["SeaBIOS", "Booting from DVD/CD", "ISOLINUX"])

    @unittest.skipUnless(os.path.exists(MEMTEST), "memtest86+ is not installed")
    def test_memtest_runs_without_errors(self):
        with Guest(["-m", "64", "-nographic", "-kernel", MEMTEST, "-append", "console=ttyS0,115200"]) as guest:
            guest.expect("Memtest86", timeout=120)
            guest.expect(r"#0  \[Address test, walking ones", timeout=120)
            guest.expect(r"Errors: 0 ", timeout=120)


if __name__ == "__main__":
    unittest.main()
