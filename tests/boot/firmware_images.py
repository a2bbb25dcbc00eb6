# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot media for the firmware tests, made from Debian packages with their own tools, kept under build/test-cache."""

import os
import shutil
import struct
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(ROOT, "build", "test-cache", "firmware")
GRUB = "/usr/lib/grub/i386-pc"
SYSLINUX_MODULES = "/usr/lib/syslinux/modules/bios"
GRUB_SCRIPT = """set timeout=0
serial --unit=0 --speed=115200
terminal_output console serial
menuentry linux {
  echo GRUB-IS-HERE
  linux /boot/vmlinuz console=ttyS0 quiet
  initrd /boot/initrd.gz
}
"""
GUEST_SCRIPT = "dmesg > /tmp/log; grep -E 'ACPI: RSDP|SMBIOS' /tmp/log; nproc; echo GUEST-IS-UP; poweroff -f\n"


def run(*command, **options):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


def cached(name, make):
    """The path of CACHE/name, made by make(temporary path) if it is not there yet."""
    path = os.path.join(CACHE, name)
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        temporary = path + ".new"
        make(temporary)
        os.replace(temporary, path)
    return path


def kernel():
    """Debian's cloud kernel; the package is unpacked, not installed."""
    shared = os.path.join(ROOT, "build", "test-cache")
    if not os.path.exists(os.path.join(shared, "vmlinuz")):
        run(os.path.join(ROOT, "images", "debian_kernel.sh"), shared)
    return os.path.join(shared, "vmlinuz")


def initrd():
    def make(path):
        script = path + ".sh"
        with open(script, "w", encoding="ascii") as file:
            file.write(GUEST_SCRIPT)
        run(os.path.join(ROOT, "images", "busybox_initramfs.sh"), path, script)
        os.unlink(script)
    return cached("initrd.gz", make)


def boot_tree(name):
    tree = os.path.join(CACHE, name)
    os.makedirs(os.path.join(tree, "boot", "grub"), exist_ok=True)
    shutil.copy(kernel(), os.path.join(tree, "boot", "vmlinuz"))
    shutil.copy(initrd(), os.path.join(tree, "boot", "initrd.gz"))
    with open(os.path.join(tree, "boot", "grub", "grub.cfg"), "w", encoding="ascii") as file:
        file.write(GRUB_SCRIPT)
    return tree


def grub_cd():
    return cached("grub.iso", lambda path: run("grub-mkrescue", "-o", path, boot_tree("grub-tree")))


def grub_disk():
    """MBR, GRUB's core image behind it, one ext4 partition; GRUB's parts are placed by hand as grub-bios-setup would."""
    megabytes, start = 80, 2048

    def make(path):
        tree = boot_tree("disk-tree")
        sectors = megabytes * 2048
        with open(path, "wb") as disk:
            disk.truncate(sectors * 512)
        run("/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", f"offset={start * 512}", path, f"{megabytes - 2}M")
        early, core = path + ".cfg", path + ".core"
        with open(early, "w", encoding="ascii") as file:
            file.write("set root=(hd0,msdos1)\nset prefix=(hd0,msdos1)/boot/grub\nconfigfile /boot/grub/grub.cfg\n")
        run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub", "-c", early, "biosdisk",
            "part_msdos", "ext2", "linux", "configfile", "echo", "serial", "terminal", "normal")
        core_image = bytearray(open(core, "rb").read())
        struct.pack_into("<QHH", core_image, 512 - 12, 2, (len(core_image) + 511) // 512 - 1, 0x820)
        boot = bytearray(open(os.path.join(GRUB, "boot.img"), "rb").read()[:440])
        struct.pack_into("<Q", boot, 0x5C, 1)
        entry = struct.pack("<B3sB3sII", 0x80, b"\x20\x21\x00", 0x83, b"\xfe\xff\xff", start, sectors - start)
        with open(path, "r+b") as disk:
            disk.write(boot)
            disk.seek(446)
            disk.write(entry)
            disk.seek(510)
            disk.write(b"\x55\xaa")
            disk.write(core_image)
        os.unlink(early)
        os.unlink(core)
    return cached("disk.img", make)


def isolinux_cd():
    def make(path):
        tree = os.path.join(CACHE, "isolinux-tree")
        os.makedirs(tree, exist_ok=True)
        shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", tree)
        shutil.copy(os.path.join(SYSLINUX_MODULES, "ldlinux.c32"), tree)
        shutil.copy(kernel(), os.path.join(tree, "vmlinuz"))
        shutil.copy(initrd(), os.path.join(tree, "initrd.gz"))
        with open(os.path.join(tree, "isolinux.cfg"), "w", encoding="ascii") as file:
            file.write("SERIAL 0 115200\nDEFAULT linux\nLABEL linux\nKERNEL vmlinuz\n"
                       "APPEND console=ttyS0 quiet initrd=initrd.gz\n")
        run("xorriso", "-as", "mkisofs", "-o", path, "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot",
            "-boot-load-size", "4", "-boot-info-table", tree)
    return cached("isolinux.iso", make)


def syslinux_floppy():
    def make(path):
        config = path + ".cfg"
        with open(config, "w", encoding="ascii") as file:
            file.write("SERIAL 0 115200\nSAY SYSLINUX-IS-HERE\nPROMPT 1\nDEFAULT none\n")
        with open(path, "wb") as floppy:
            floppy.truncate(1440 * 1024)
        run("mformat", "-i", path, "-f", "1440", "::")
        run("mcopy", "-i", path, config, "::syslinux.cfg")
        run("syslinux", "--install", path)
        os.unlink(config)
    return cached("floppy.img", make)


def floppy_emulation_cd():
    def make(path):
        tree = os.path.join(CACHE, "emulation-tree")
        os.makedirs(tree, exist_ok=True)
        shutil.copy(syslinux_floppy(), os.path.join(tree, "floppy.img"))
        run("xorriso", "-as", "mkisofs", "-o", path, "-b", "floppy.img", "-c", "boot.cat", tree)
    return cached("emulation.iso", make)


def assembled(name, source):
    def make(path):
        run("nasm", "-f", "bin", source, "-o", path)
    return cached(name, make)


def multiboot_kernel():
    return assembled("multiboot.bin", os.path.join(os.path.dirname(os.path.abspath(__file__)), "firmware_multiboot.asm"))


def network_program():
    """A program for PXE: says its line on COM1 and stops."""
    source = os.path.join(CACHE, "network.asm")
    os.makedirs(CACHE, exist_ok=True)
    with open(source, "w", encoding="ascii") as file:
        file.write("""org 0x7C00
        xor ax, ax
        mov ds, ax
        mov si, text
next:   lodsb
        mov dx, 0x3F8
        out dx, al
        test al, al
        jnz next
        cli
        hlt
text:   db "NETWORK-PROGRAM-IS-HERE", 0
""")
    return assembled("network.bin", source)
