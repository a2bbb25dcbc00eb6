# SPDX-License-Identifier: GPL-2.0-or-later
"""Real-mode boot loaders of Debian's packages: GRUB Legacy from a floppy, an MBR that starts SYSLINUX on a FAT partition with
its graphical menu, iPXE as a kernel and from a CD, a Linux kernel in a VESA mode."""

import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

import boot_modules
import firmware_images as images
from guest import CACHE, Guest
from screenshot import Screenshot

QUICK = False
SEABIOS = "/usr/share/seabios/bios.bin"
FIRMWARES = ([], ["-bios", SEABIOS])


def package(name):
    try:
        return boot_modules.unpack(name, os.path.join(CACHE, name))
    except subprocess.CalledProcessError as error:
        raise unittest.SkipTest(f"{name} cannot be fetched: {error}") from error


def grub_legacy_floppy(path):
    """The two stages one behind the other, as its manual says for a floppy without a file system."""
    folder = os.path.join(package("grub-legacy"), "usr/lib/grub/x86_64-pc")
    with open(path, "wb") as floppy:
        for stage in ("stage1", "stage2"):
            with open(os.path.join(folder, stage), "rb") as file:
                floppy.write(file.read())
        floppy.truncate(1440 * 1024)


def syslinux_disk(path):
    """SYSLINUX's MBR and one active FAT16 partition with vesamenu.c32 and a red picture behind the menu."""
    start, sectors = 63, 65536
    with tempfile.TemporaryDirectory() as work:
        picture = os.path.join(work, "back.png")
        write_png(picture, 640, 480, (170, 0, 0))
        config = os.path.join(work, "syslinux.cfg")
        with open(config, "w", encoding="ascii") as file:
            file.write("DEFAULT vesamenu.c32\nPROMPT 0\nTIMEOUT 0\nMENU TITLE loaders\nMENU BACKGROUND back.png\n"
                       "LABEL one\nMENU LABEL first entry\nCOM32 reboot.c32\nLABEL two\nMENU LABEL off\nCOM32 poweroff.c32\n")
        with open(path, "wb") as disk:
            disk.truncate((start + sectors) * 512)
        part = f"{path}@@{start * 512}"
        images.run("mformat", "-i", part, "-T", str(sectors), "-h", "16", "-s", "63", "-H", str(start), "::")
        modules = [os.path.join(images.SYSLINUX_MODULES, name)
                   for name in ("vesamenu.c32", "libcom32.c32", "libutil.c32", "reboot.c32", "poweroff.c32")]
        images.run("mcopy", "-i", part, picture, config, *modules, "::")
        images.run("syslinux", "--offset", str(start * 512), "--install", path)
    with open(path, "r+b") as disk, open("/usr/lib/syslinux/mbr/mbr.bin", "rb") as mbr:
        disk.write(mbr.read()[:440])
        disk.seek(446)
        disk.write(struct.pack("<B3sB3sII", 0x80, b"\x01\x01\x00", 0x0E, b"\x0f\xff\xff", start, sectors))
        disk.seek(510)
        disk.write(b"\x55\xaa")


def write_png(path, width, height, colour):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = (b"\0" + bytes(colour) * width) * height
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def screen_of(guest, condition, timeout):
    path = os.path.join(guest.directory.name, "screen.png")
    deadline = time.monotonic() + timeout
    while True:
        guest.monitor(f"screendump {path}")
        picture = Screenshot(path)
        if condition(picture):
            return picture
        if time.monotonic() > deadline:
            raise AssertionError(f"{picture.width}x{picture.height}, {picture.colours().most_common(5)}")
        time.sleep(1)


class Loaders(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.TemporaryDirectory()
        self.addCleanup(self.work.cleanup)
        self.image = os.path.join(self.work.name, "image")

    def test_grub_legacy_floppy(self):
        grub_legacy_floppy(self.image)
        for firmware in FIRMWARES:
            with self.subTest(firmware), Guest(["-m", "32", "-display", "none", "-boot", "a", "-fda", self.image, *firmware],
                                               monitor=True) as guest:
                guest.expect_screen(r"grub> *\n", 120)
                guest.monitor(r"type geometry (fd0)\n")
                guest.expect_screen(r"drive 0x0: C/H/S = 80/2/18", 60)

    def test_mbr_fat_partition_and_graphical_menu(self):
        syslinux_disk(self.image)
        for firmware, interface in ((FIRMWARES[0], "ide"), (FIRMWARES[0], "virtio"), (FIRMWARES[1], "ide")):
            drive = f"file={self.image},format=raw,if={interface},snapshot=on"
            with self.subTest(firmware=firmware, interface=interface), Guest(
                    ["-m", "64", "-display", "none", "-drive", drive, *firmware], monitor=True) as guest:
                screen_of(guest, lambda p: (p.width, p.height) == (640, 480) and p.pixel(5, 475) == (170, 0, 0), 120)
                guest.monitor("sendkey down")
                guest.monitor("sendkey ret")  # poweroff.c32, by APM
                guest.wait_exit(60)

    def test_ipxe_as_kernel_and_from_a_cd(self):
        tree = package("ipxe")
        disc = ["-cdrom", os.path.join(tree, "usr/lib/ipxe/ipxe.iso")]
        address = r"net0: 10\.0\.2\.15/255\.255\.255\.0 gw 10\.0\.2\.2"
        for medium, then in ((["-kernel", os.path.join(tree, "boot/ipxe.lkrn")], address), (disc, "Features: "),
                             (disc + FIRMWARES[1], "Features: ")):
            with self.subTest(medium), Guest(["-m", "128", "-display", "none", *medium], monitor=True) as guest:
                guest.expect_screen(r"iPXE 1\.[\s\S]*Open Source Network Boot Firmware", 120)
                guest.expect_screen(then, 120)


if __name__ == "__main__":
    unittest.main()
