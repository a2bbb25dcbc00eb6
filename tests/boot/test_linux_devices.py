# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's full kernel with its drivers for what a PC has beside disks and network: floppy by DMA, PS/2 mouse, frame buffer,
virtio console and entropy source, clocks. What the guest sees is compared with what the host put in. Two processors."""

import hashlib
import os
import random
import re
import tempfile
import time
import unittest

import boot_modules
from guest import Guest
from screenshot import Screenshot

QUICK = False
PROMPT = "/ # "
DRIVERS = ["psmouse", "floppy", "bochs", "virtio_rng", "virtio_console", "virtio_pci"]
SCRIPT = """
cat /sys/devices/system/clocksource/clocksource0/available_clocksource /proc/fb /sys/class/misc/hw_random/rng_current
md5sum < /dev/fd0
head -c 1474560 /dev/zero | tr '\\0' x | dd of=/dev/fd0 bs=18432 conv=fsync 2> /dev/null
head -c 16 /dev/hwrng | wc -c
echo words-for-hvc > /dev/hvc0
"""
COMPLAINTS = "WARNING|Oops|BUG:|unchecked MSR|Call Trace|soft lockup|marked unstable|nobody cared|Unable to calibrate"


class LinuxDevices(unittest.TestCase):
    def test_floppy_mouse_screen_console_entropy_and_clocks(self):
        initrd = boot_modules.initrd("devices", SCRIPT, DRIVERS, boot_modules.FULL)
        with tempfile.TemporaryDirectory() as work:
            floppy, console = os.path.join(work, "floppy"), os.path.join(work, "hvc")
            contents = random.Random(1).randbytes(1440 * 1024)
            with open(floppy, "wb") as file:
                file.write(contents)
            with Guest(["-m", "512", "-smp", "2", "-display", "none", "-serial", "stdio", "-kernel",
                        boot_modules.kernel(boot_modules.FULL), "-initrd", initrd, "-append", "console=ttyS0 quiet",
                        "-fda", floppy, "-device", "virtio-rng-pci", "-chardev", f"file,id=c,path={console}", "-device",
                        "virtio-serial-pci", "-device", "virtconsole,chardev=c"], monitor=True) as guest:
                guest.expect("tsc hpet acpi_pm", timeout=400)
                guest.expect("0 bochs-drmdrmfb")
                guest.expect("virtio_rng.0")
                guest.expect(hashlib.md5(contents).hexdigest(), timeout=180)
                guest.expect(r"\n16\r?\n", timeout=180)
                guest.expect(PROMPT)
                self.mouse(guest)
                self.screen(guest, work)
                self.clocks(guest)
                said = self.ask(guest, f"dmesg | grep -E '{COMPLAINTS}'")
                self.assertNotRegex(said, r"\[ *\d+\.\d+\]", "complaints of the kernel")
                guest.send("poweroff -f\n")
                self.assertEqual(guest.wait_exit(), 0)
            with open(floppy, "rb") as file:
                self.assertEqual(file.read(), b"x" * (1440 * 1024))
            with open(console, "rb") as file:
                self.assertIn(b"words-for-hvc", file.read())

    @staticmethod
    def ask(guest, command, timeout=60):
        start = guest.position
        guest.send(command + "; echo; echo en''d\n")
        guest.expect(r"\nend\r?\n", timeout)
        answer = guest.output[start:guest.position]
        guest.expect(PROMPT)
        return answer

    def mouse(self, guest):
        """PS/2 packets as /dev/input/mice gives them: buttons and signs, dx, dy (upwards)."""
        guest.send("(timeout 10 cat /dev/input/mice > /tmp/mice) & sleep 1; echo rea''dy\n")
        guest.expect("ready", timeout=120)
        time.sleep(1)
        for words in ("mouse_move 10 5", "mouse_button 1", "mouse_button 0", "mouse_move -7 -3"):
            guest.monitor(words)
        said = self.ask(guest, "wait; hexdump -v -e '1/1 \"%02x \"' /tmp/mice")
        self.assertIn("28 0a fb 09 00 00 08 00 00 18 f9 03", said)

    def screen(self, guest, work):
        self.ask(guest, "for i in $(seq 100); do echo MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM; done > /dev/tty1")
        path = os.path.join(work, "screen.png")
        guest.monitor(f"screendump {path}")
        picture = Screenshot(path)
        self.assertEqual((picture.width, picture.height), (1280, 800))
        self.assertGreater(picture.colours()[(170, 170, 170)], 20_000, "50 lines of text on the frame buffer")

    def clocks(self, guest):
        """The clock chip and the kernel's clock (TSC) both follow the host; both advance alike."""
        before = time.time()
        said = self.ask(guest, "date +%s; cat /sys/class/rtc/rtc0/since_epoch; sleep 5; date +%s; cat /sys/class/rtc/rtc0/since_epoch")
        after = time.time()
        system_first, chip_first, system_last, chip_last = [int(n) for n in re.findall(r"\n(\d{9,})", said)]
        for value in (system_first, chip_first, system_last, chip_last):
            self.assertTrue(before - 3 <= value <= after + 3, said)
        self.assertLessEqual(abs((system_last - system_first) - (chip_last - chip_first)), 1, said)


if __name__ == "__main__":
    unittest.main()
