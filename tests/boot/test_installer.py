# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's network installer by its own means: iPXE on the network card loads pxelinux by TFTP, its graphical menu starts
the installer, whose first screen is read from a screenshot. With a serial console as well:
    XM_LONG=1 python3 tests/runner.py installer"""

import os
import subprocess
import time
import unittest

import boot_modules
from guest import CACHE, Guest
from screenshot import Screenshot

QUICK = False
PACKAGE = "debian-installer-12-netboot-amd64"
MENU_BACKGROUND, MENU_SELECTED = (5, 71, 92), (113, 155, 191)
INSTALLER_BACKGROUND, INSTALLER_DIALOG = (0, 0, 170), (170, 170, 170)
SEABIOS = "/usr/share/seabios/bios.bin"


class Installer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            tree = boot_modules.unpack(PACKAGE, os.path.join(CACHE, PACKAGE))
        except subprocess.CalledProcessError as error:
            raise unittest.SkipTest(f"{PACKAGE} cannot be fetched: {error}") from error
        cls.images = os.path.join(tree, "usr/lib/debian-installer/images/12/amd64/text")

    def network(self, card, *more):
        return Guest(["-m", "512", "-display", "none", "-boot", "n", "-netdev",
                      f"user,id=n,tftp={self.images},bootfile=pxelinux.0", "-device", f"{card},netdev=n", *more], monitor=True)

    @staticmethod
    def expect_colours(guest, wanted, timeout):
        """Waits until each of the wanted colours covers at least one per cent of the screen."""
        path = os.path.join(guest.directory.name, "screen.png")
        deadline = time.monotonic() + timeout
        while True:
            guest.monitor(f"screendump {path}")
            picture = Screenshot(path)
            colours = picture.colours()
            if all(colours[colour] > picture.width * picture.height // 100 for colour in wanted):
                return picture
            if time.monotonic() > deadline:
                raise AssertionError(f"no {wanted} on a screen of {picture.width}x{picture.height}: {colours.most_common(5)}")
            time.sleep(2)

    def test_menu_and_first_screen_by_network(self):
        with self.network("virtio-net-pci") as guest:
            menu = self.expect_colours(guest, [MENU_BACKGROUND, MENU_SELECTED], 180)
            self.assertEqual((menu.width, menu.height), (640, 480))
            guest.monitor("sendkey ret")
            self.expect_colours(guest, [INSTALLER_BACKGROUND, INSTALLER_DIALOG], 900)

    def test_menu_by_other_card_and_firmware(self):
        with self.network("e1000", "-bios", SEABIOS) as guest:
            self.expect_colours(guest, [MENU_BACKGROUND, MENU_SELECTED], 180)

    @unittest.skipUnless(os.environ.get("XM_LONG"), "long: set XM_LONG=1")
    def test_serial_console(self):
        boot = os.path.join(self.images, "debian-installer/amd64")
        with Guest(["-m", "1024", "-nographic", "-kernel", os.path.join(boot, "linux"), "-initrd",
                    os.path.join(boot, "initrd.gz"), "-append", "console=ttyS0"]) as guest:
            guest.expect("Select a language", timeout=600)
            guest.send("\r")
            guest.expect("Select your location", timeout=120)


if __name__ == "__main__":
    unittest.main()
