# SPDX-License-Identifier: GPL-2.0-or-later
"""Our boot chain: boot sector, disk loader, decompressor, loader core with its menu; what it starts, and what it says when it cannot.
Under our BIOS and, where QEMU is installed, under SeaBIOS."""

import os
import shutil
import unittest

import chain_images as images
from guest import Guest
from test_linux_kernel import images as debian

QEMU = shutil.which("qemu-system-x86_64")
PROMPT = r"~ # "
MEMTEST = "/boot/memtest86+x64.bin"
WAIT = 180
# Needs no disk driver of the kernel.
IN_MEMORY = """timeout 0
entry Memory
  kernel /boot/vmxiaoma rdinit=/sbin/init console=ttyS0 quiet autologin
  initrd /boot/initramfs.cpio.gz
"""


def virtio(path):
    return ["-drive", f"file={path},format=raw,if=virtio,snapshot=on"]


def ide(path):
    return ["-drive", f"file={path},format=raw,if=ide,snapshot=on"]


class Chain(unittest.TestCase):
    def machine(self, *words, memory="256"):
        return Guest(["-m", memory, "-nographic", "-no-reboot", *words], monitor=True)

    def qemu(self, *words, memory="256"):
        return Guest(["-m", memory, "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot", *words],
                     command=[QEMU])

    def shell_then_off(self, guest):
        guest.expect(PROMPT, timeout=WAIT)
        guest.send("echo ancestors $(ps -o pid,comm | grep -cE '^ *1 init|^ *2 kthreadd')\n")
        guest.expect(r"ancestors 2\r?\n", timeout=WAIT)
        guest.send("poweroff\n")
        self.assertEqual(guest.wait_exit(WAIT), 0)


class Disk(Chain):
    def test_virtio_disk_to_a_shell_and_off(self):
        with self.machine(*virtio(images.disk())) as guest:
            guest.expect("Starting Xiaoma OS", timeout=WAIT)
            self.shell_then_off(guest)

    def test_ide_disk_system_in_memory(self):
        with self.machine(*ide(images.disk_with("memory-only.img", IN_MEMORY))) as guest:
            guest.expect("Starting Memory", timeout=WAIT)
            self.shell_then_off(guest)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_virtio_disk_under_seabios(self):
        with self.qemu(*virtio(images.disk())) as guest:
            self.shell_then_off(guest)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_ide_disk_under_seabios(self):
        with self.qemu(*ide(images.disk_with("memory-only.img", IN_MEMORY))) as guest:
            self.shell_then_off(guest)

    def test_same_bytes_each_time(self):
        first = open(images.make("mkdisk.py", "again-1.img", "--size", "62"), "rb").read()
        second = open(images.make("mkdisk.py", "again-2.img", "--size", "62"), "rb").read()
        self.assertTrue(first == second, "two disks from the same input differ")


@unittest.skipUnless(shutil.which("xorriso"), "needs xorriso")
class Cd(Chain):
    def test_cd(self):
        with self.machine("-cdrom", images.cd(), "-boot", "d") as guest:
            self.shell_then_off(guest)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_cd_under_seabios(self):
        with self.qemu("-cdrom", images.cd(), "-boot", "d") as guest:
            self.shell_then_off(guest)


class Menu(Chain):
    PATIENT = """timeout -1
entry Xiaoma
  kernel /boot/vmxiaoma root=PARTUUID=786d6f73-01 console=ttyS0 quiet autologin
entry Memory test
  linux /boot/memtest86+.bin
"""

    def disk(self):
        return images.disk_with("patient.img", self.PATIENT)

    def test_edit_an_entry_on_the_serial_line(self):
        with self.machine(*virtio(self.disk())) as guest:
            guest.expect("command line", timeout=WAIT)
            guest.send("\x1b[B")
            guest.expect("Memory test", timeout=WAIT)
            guest.send("\x1b[Ae")
            guest.expect("Ctrl-X: start", timeout=WAIT)
            guest.send("\r")
            guest.send(" edited=yes\r")
            guest.send("\x18")
            guest.expect("Starting Xiaoma", timeout=WAIT)
            guest.expect(PROMPT, timeout=WAIT)
            guest.send("grep -o edited=yes /proc/cmdline | tr a-z A-Z\n")
            guest.expect("EDITED=YES", timeout=WAIT)

    def test_keyboard_and_screen(self):
        with self.machine(*virtio(images.disk_with("wait.img", "timeout -1\nentry One\n  poweroff\nentry Two\n  kernel /nowhere\n"))) as guest:
            guest.expect_screen("One", timeout=WAIT)
            guest.monitor("sendkey down")
            guest.monitor("sendkey ret")
            guest.expect_screen(r"error: /nowhere: not found", timeout=WAIT)

    def test_prompt_lists_and_shows_files(self):
        with self.machine(*virtio(self.disk())) as guest:
            guest.expect("command line", timeout=WAIT)
            guest.send("c")
            guest.expect("xiaoma> ", timeout=WAIT)
            guest.send("ls /etc\r")
            guest.expect("inittab", timeout=WAIT)
            guest.expect("xiaoma> ", timeout=WAIT)
            guest.send("cat /etc/hostname\r")
            guest.expect(r"xiaoma\r?\n", timeout=WAIT)
            guest.expect("xiaoma> ", timeout=WAIT)
            guest.send("poweroff\r")
            self.assertEqual(guest.wait_exit(WAIT), 0)


class Systems(Chain):
    @unittest.skipUnless(os.path.exists(MEMTEST), "needs memtest86+")
    def test_memtest(self):
        config = "timeout 0\nentry Memtest\n linux /boot/memtest.bin\n"
        with self.machine(*virtio(images.disk_with("memtest.img", config, [(MEMTEST, "/boot/memtest.bin")]))) as guest:
            guest.expect_screen("Memtest86", timeout=WAIT)
            guest.expect_screen(r"Pass +[0-9]+%|Test #", timeout=WAIT)

    def test_linux(self):
        kernel, initrd = debian()
        config = "timeout 0\nentry Linux\n linux /boot/vmlinuz console=ttyS0 loaded=ours\n initrd /boot/busybox.gz\n"
        disk = images.disk_with("linux.img", config, [(kernel, "/boot/vmlinuz"), (initrd, "/boot/busybox.gz")])
        with self.machine(*virtio(disk), memory="512") as guest:
            guest.expect("loaded=ours", timeout=WAIT)
            guest.expect("busybox shell", timeout=300)

    @unittest.skipUnless(shutil.which("nasm"), "needs nasm")
    def test_multiboot(self):
        config = "timeout 0\nentry Multiboot\n kernel /boot/kernel.mb hello from the menu\n"
        disk = images.disk_with("multiboot.img", config, [(images.multiboot_kernel(), "/boot/kernel.mb")])
        with self.machine(*virtio(disk), memory="64") as guest:
            guest.expect(r"MULTIBOOT 064 .*hello from the menu", timeout=WAIT)

    @unittest.skipUnless(shutil.which("nasm"), "needs nasm")
    def test_chain_a_disk_and_a_partition(self):
        for in_partition, volume in ((False, "(hd1)"), (True, "(hd1,1)")):
            with self.subTest(volume):
                disk = images.disk_with("chain.img", f"timeout 0\nentry Chain\n chain {volume}\n")
                second = images.talking_disk(in_partition=in_partition)
                with self.machine(*virtio(disk), *virtio(second)) as guest:
                    guest.expect("SECOND-DISK-IS-HERE DRIVE 80", timeout=WAIT)

    def test_restart(self):
        with self.machine(*virtio(images.disk_with("restart.img", "timeout 0\nentry Restart\n reboot\n"))) as guest:
            self.assertEqual(guest.wait_exit(WAIT), 0)  # a reset under -no-reboot


class Failures(Chain):
    """Each ends in one line that names what, where and why, and the menu stays."""

    CASES = {
        "missing": ("entry A\n kernel /boot/nothing\n", r"/boot/nothing: not found"),
        "directory": ("entry A\n kernel /boot\n", r"/boot: not a file"),
        "magic": ("entry A\n kernel /etc/passwd\n", r"/etc/passwd is neither a kernel of the Linux boot protocol nor a Multiboot image"),
        "initrd": ("entry A\n initrd /etc/passwd\n", r"initrd needs a Linux kernel before it"),
        "word": ("entry A\n frobnicate /etc\n", r"frobnicate is no command"),
        "drive": ("entry A\n chain (hd7)\n", r"no BIOS drive 87"),
        "partition": ("entry A\n kernel (hd0,3)/vmlinuz\n", r"\(hd0,3\)/vmlinuz: no partition 3"),
        "volume": ("entry A\n chain disk1\n", r"a volume is named hdN"),
        "empty": ("# nothing\n", r"/boot/xiaoma.cfg has no entry"),
        "stray": ("kernel /boot/vmxiaoma\n", r"/boot/xiaoma.cfg: line 2: no entry begins before this line"),
    }

    def test_messages(self):
        for name, (config, message) in self.CASES.items():
            with self.subTest(name):
                disk = images.disk_with("failure.img", "timeout 0\n" + config)
                with self.machine(*virtio(disk)) as guest:
                    guest.expect("xiaoma: error: " + message, timeout=WAIT)

    def test_little_memory(self):
        disk = images.disk_with("memory.img", "timeout 0\nentry A\n kernel /boot/vmxiaoma\n initrd /boot/initramfs.cpio.gz\n")
        with self.machine(*virtio(disk), memory="3") as guest:
            guest.expect(r"xiaoma: error: (no memory for /boot/initramfs|/boot/vmxiaoma needs \d+ MiB)", timeout=WAIT)

    def test_no_configuration(self):
        disk = images.disk_with("none.img", "timeout 0\nentry A\n poweroff\n")
        data = bytearray(open(disk, "rb").read())
        images.corrupt(disk, 2048 * 512 + 1024 + 56, b"\0\0")  # the superblock's magic number
        self.assertEqual(data[2048 * 512 + 1024 + 56:][:2], b"\x53\xef")
        with self.machine(*virtio(disk)) as guest:
            guest.expect(r"no configuration: .*holds neither ext2/3/4 nor ISO 9660", timeout=WAIT)

    def test_damaged_core(self):
        disk = images.disk_with("damaged.img", "timeout 0\nentry A\n poweroff\n")
        images.corrupt(disk, 6 * 512, bytes(range(256)) * 8)
        with self.machine(*virtio(disk)) as guest:
            guest.expect_screen(r"the loader's core is damaged", timeout=WAIT)


if __name__ == "__main__":
    unittest.main()
