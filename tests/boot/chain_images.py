# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and CDs with our boot chain, made once a run from what was built."""

import os
import subprocess
import sys

import firmware_images
from guest import BUILD, CACHE, ROOT

SECTOR = 512


def make(tool, name, *words):
    """images/TOOL with these words; the result is made anew when it is older than what goes into it."""
    path = os.path.join(CACHE, name)
    inputs = [os.path.join(ROOT, "images", f) for f in (tool, "system_tree.py", "mkinitramfs.py")] + [
        os.path.join(BUILD, "guest-os", f) for f in ("vmxiaoma", "boot/core.img", "boot/boot.img", "boot/diskboot.img", "boot/cdboot.img")]
    if not os.path.exists(path) or any(os.path.getmtime(f) > os.path.getmtime(path) for f in inputs) or words:
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run([sys.executable, os.path.join(ROOT, "images", tool), path, "--build", BUILD, *words], check=True, capture_output=True)
    return path


def disk():
    return make("mkdisk.py", "xiaoma-os.img")


def cd():
    return make("mkiso.py", "xiaoma-os.iso")


def disk_with(name, config, add=()):
    """A disk whose menu is `config`, with files (SOURCE, TARGET) added."""
    text = os.path.join(CACHE, name + ".cfg")
    os.makedirs(CACHE, exist_ok=True)
    with open(text, "w") as file:
        file.write(config)
    words = [word for source, target in add for word in ("--add", f"{source}:{target}")]
    return make("mkdisk.py", name, "--config", text, *words)


def cd_with(name, config):
    text = os.path.join(CACHE, name + ".cfg")
    os.makedirs(CACHE, exist_ok=True)
    with open(text, "w") as file:
        file.write(config)
    return make("mkiso.py", name, "--config", text)


def talking_disk(text="SECOND-DISK-IS-HERE", in_partition=False):
    """A disk whose boot sector, or that of its first partition, says a text on COM1 with the drive number it was given."""
    source = os.path.join(CACHE, "talking.asm")
    os.makedirs(CACHE, exist_ok=True)
    with open(source, "w") as file:
        file.write(f"""bits 16
org 0x7c00
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        mov al, dl
        shr al, 4
        add al, '0'
        mov [digit], al
        mov si, text
next:   lodsb
        test al, al
        jz stop
        mov dx, 0x3f8
        out dx, al
        jmp next
stop:   hlt
        jmp stop
text:   db "{text} DRIVE "
digit:  db "?0", 13, 10, 0
        times 446 - ($ - $$) db 0
        db 0x80, 0, 2, 0, 0x83, 0, 2, 0
        dd 64, 1024
        times 510 - ($ - $$) db 0
        dw 0xaa55
""")
    sector = os.path.join(CACHE, "talking.bin")
    subprocess.run(["nasm", "-f", "bin", "-o", sector, source], check=True)
    with open(sector, "rb") as file:
        boot = file.read()
    path = os.path.join(CACHE, "talking-partition.img" if in_partition else "talking.img")
    with open(path, "wb") as image:
        if in_partition:
            image.write(bytes(446) + boot[446:])
            image.seek(64 * SECTOR)
        image.write(boot)
        image.truncate(2048 * SECTOR)
    return path


def multiboot_kernel():
    return firmware_images.multiboot_kernel()


def corrupt(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
