# SPDX-License-Identifier: GPL-2.0-or-later
"""Our BIOS on QEMU's machine: everything it claims to boot, without our emulator in the picture."""

import os
import shutil
import tempfile
import unittest

import firmware_images as images
from guest import BUILD, Guest

QEMU = "qemu-system-x86_64"
BIOS = os.path.join(BUILD, "firmware", "bios.bin")
UP = "GUEST-IS-UP"


@unittest.skipUnless(shutil.which(QEMU), "no QEMU on this host")
@unittest.skipUnless(os.path.exists(BIOS), "the firmware is not built")
class FirmwareOnQemu(unittest.TestCase):
    def machine(self, *arguments, machine="pc,accel=tcg", memory="256", network=("-nic", "none"), ended_by_reset=True):
        command = [QEMU, "-M", machine, "-bios", BIOS, "-m", memory, "-display", "none", "-serial", "stdio", *network]
        if ended_by_reset:
            command.append("-no-reboot")
        return Guest([str(a) for a in arguments], command=command)

    def boots_linux(self, *arguments, before=(), **options):
        with self.machine(*arguments, **options) as guest:
            for text in before:
                guest.expect(text)
            guest.expect(UP)
            self.assertEqual(guest.wait_exit(), 0)
            return guest.output

    def kernel(self):
        return ["-kernel", images.kernel(), "-initrd", images.initrd(), "-append", "console=ttyS0 quiet"]

    def test_kernel_by_option_rom_with_tables_and_processors(self):
        output = self.boots_linux(*self.kernel(), "-smp", "2")
        self.assertRegex(output, r"ACPI: RSDP 0x00000000000F")
        self.assertRegex(output, r"SMBIOS \d")
        self.assertRegex(output, r"\n2\r?\n" + UP)

    def test_kernel_without_option_rom(self):
        self.boots_linux("-fw_cfg", "name=opt/xiaoma/direct-kernel,string=yes", *self.kernel(),
                         before=["Booting from kernel image"])

    @unittest.skipUnless(shutil.which("nasm"), "no nasm on this host")
    def test_multiboot_kernel_by_option_rom_and_without(self):
        direct = ["-fw_cfg", "name=opt/xiaoma/direct-kernel,string=yes", "-fw_cfg",
                  "name=opt/xiaoma/boot-protocol,string=multiboot"]
        for extra in ([], direct):
            with self.subTest(extra), self.machine("-kernel", images.multiboot_kernel(), "-append", "hello", *extra,
                                                   memory="64") as guest:
                guest.expect(r"MULTIBOOT 064 .*hello END")

    @unittest.skipUnless(shutil.which("nasm"), "no nasm on this host")
    def test_network_boot_program(self):
        program = images.network_program()
        network = ("-netdev", f"user,id=n,tftp={os.path.dirname(program)},bootfile={os.path.basename(program)}", "-device",
                   "virtio-net-pci,netdev=n")
        with self.machine("-boot", "n", network=network) as guest:
            guest.expect("NETWORK-PROGRAM-IS-HERE")

    def test_machine_without_a_screen(self):
        with self.machine("-vga", "none", "-boot", "d", "-cdrom", images.floppy_emulation_cd()) as guest:
            guest.expect("SYSLINUX-IS-HERE")

    def test_memory_above_4_gib(self):
        self.boots_linux(*self.kernel(), memory="5G", before=["2048 MiB above"])

    def test_q35_kernel(self):
        self.boots_linux(*self.kernel(), machine="q35,accel=tcg")

    def test_grub_from_ide_disk(self):
        self.boots_linux("-drive", f"file={images.grub_disk()},format=raw,snapshot=on", before=["GRUB-IS-HERE"])

    def test_grub_from_virtio_disk(self):
        for extra in ("", ",disable-legacy=on", ",disable-modern=on"):
            with self.subTest(extra):
                self.boots_linux("-drive", f"file={images.grub_disk()},format=raw,if=none,id=d,snapshot=on",
                                 "-device", "virtio-blk-pci,drive=d" + extra, before=["GRUB-IS-HERE"])

    def test_disk_behind_a_bridge_chosen_by_boot_index(self):
        self.boots_linux("-device", "pci-bridge,chassis_nr=1,id=bridge", "-drive", "file=" + images.grub_disk() +
                         ",format=raw,if=none,id=d,snapshot=on", "-device", "virtio-blk-pci,drive=d,bus=bridge,addr=3,bootindex=1",
                         "-cdrom", images.isolinux_cd(), before=["Booting from virtio", "GRUB-IS-HERE"])

    def test_grub_cd(self):
        self.boots_linux("-cdrom", images.grub_cd(), before=["Booting from QEMU DVD-ROM", "GRUB-IS-HERE"])

    def test_isolinux_cd(self):
        self.boots_linux("-cdrom", images.isolinux_cd(), before=["ISOLINUX"])

    def test_boot_d_prefers_the_cd(self):
        self.boots_linux("-boot", "d", "-drive", f"file={images.grub_disk()},format=raw,snapshot=on", "-cdrom",
                         images.isolinux_cd(), before=["ISOLINUX"])

    def test_syslinux_floppy(self):
        with self.machine("-boot", "a", "-drive", f"file={images.syslinux_floppy()},format=raw,if=floppy,snapshot=on") as guest:
            guest.expect("SYSLINUX")
            guest.expect("boot: ")

    def test_el_torito_floppy_emulation(self):
        with self.machine("-boot", "d", "-cdrom", images.floppy_emulation_cd()) as guest:
            guest.expect("SYSLINUX")
            guest.expect("boot: ")

    def test_memdisk_hooks_and_block_moves(self):
        with self.machine("-kernel", "/usr/lib/syslinux/memdisk", "-initrd", images.syslinux_floppy()) as guest:
            guest.expect("SYSLINUX")

    def test_screen_mirrored_on_serial_port(self):
        with tempfile.NamedTemporaryFile() as port:
            port.write(b"\xf8\x03")
            port.flush()
            with self.machine("-fw_cfg", f"name=etc/sercon-port,file={port.name}", "-boot", "d", "-cdrom",
                              images.floppy_emulation_cd()) as guest:
                guest.expect("SYSLINUX-IS-HERE")
                guest.send("nothing\r")
                guest.expect("No such file")

    def test_boot_menu_by_serial_key(self):
        with tempfile.NamedTemporaryFile() as port:
            port.write(b"\xf8\x03")
            port.flush()
            with self.machine("-fw_cfg", f"name=etc/sercon-port,file={port.name}", "-boot", "menu=on", "-drive",
                              f"file={images.grub_disk()},format=raw,snapshot=on", "-cdrom",
                              images.isolinux_cd()) as guest:
                guest.expect("boot menu")
                guest.send("\x1b")
                number = guest.expect(r"(\d)\. cd: ").group(1)
                guest.send(number)
                guest.expect("ISOLINUX")

    def test_network_boot_rom(self):
        with self.machine("-boot", "n", network=("-netdev", "user,id=n", "-device", "e1000,netdev=n")) as guest:
            guest.expect("Booting from iPXE")
            guest.expect("No bootable device", 120)

    def test_nothing_to_boot_says_so(self):
        with self.machine() as guest:
            guest.expect("No bootable device")

    def test_reset_starts_over(self):
        with self.machine(*self.kernel()[:4], "-append", "console=ttyS0 panic=-1 rdinit=/nothing root=/dev/nothing",
                          ended_by_reset=False) as guest:
            guest.expect("Xiaoma BIOS")
            guest.expect("Kernel panic")
            guest.expect("Xiaoma BIOS")
            guest.expect("Linux version")


if __name__ == "__main__":
    unittest.main()
