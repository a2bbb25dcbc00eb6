# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with 64 MB: writers of files larger than its memory, several at once, all end whole, and the disk is clean afterwards."""

import hashlib
import os
import shutil
import subprocess
import unittest

import ext4
from guest import BUILD, CACHE, Guest

QEMU = shutil.which("qemu-system-x86_64")
KERNEL = os.path.join(BUILD, "guest-os", "vmxiaoma")
BLOCKS = 400
BYTES = BLOCKS * 65536


class SmallMemory(unittest.TestCase):
    QUICK = False

    @unittest.skipUnless(QEMU and ext4.tool("mke2fs"), "needs qemu-system-x86_64 and e2fsprogs")
    def test_large_writers(self):
        image = os.path.join(CACHE, "small-memory.img")
        os.makedirs(CACHE, exist_ok=True)
        ext4.make_disk(image, os.path.join(CACHE, "small-memory-root"), ["-b", "4096"], 320)
        command = ["-kernel", KERNEL, "-append", "console=ttyS0 panic=-1 quiet root=/dev/vda rootfstype=ext4 rw", "-m", "64", "-smp", "2",
                   "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
                   "-drive", f"file={image},format=raw,if=none,id=d,cache=unsafe", "-device", "virtio-blk-pci,drive=d"]
        with Guest(command, command=[QEMU]) as guest:
            guest.expect("# ", timeout=120)
            # One writer with a single large write call, three with many, at the same time.
            guest.send("dd if=/dev/zero of=/data/a bs=20M count=2 2>&1 & "
                       + " ".join(f"head -c {BYTES} /dev/zero | tr '\\0' {n} | dd bs=64k iflag=fullblock of=/data/f{n} || echo FAILED & " for n in range(3))
                       + "wait; echo written $?\n")
            guest.expect(r"written 0\r?\n", timeout=400)
            guest.send("cd /data; wc -c f0 f1 f2 a | tail -n 1; md5sum f0 f1 f2; sync; dmesg | grep -c 'Out of memory'; cd /\n")
            guest.expect(rf"{BYTES * 3 + 40 * 1048576} total", timeout=200)
            for n in range(3):
                digest = hashlib.md5(str(n).encode() * BYTES).hexdigest()
                guest.expect(f"{digest}  f{n}", timeout=200)
            guest.expect(r"\n0\r?\n", timeout=200)
            self.assertNotIn("\nFAILED", guest.output)
            guest.send("mount -o remount,ro /; poweroff -f\n")
            guest.wait_exit(120)
        status = subprocess.run([ext4.tool("e2fsck"), "-fn", image], capture_output=True, text=True)
        self.assertEqual(status.returncode, 0, status.stdout)
        os.unlink(image)


if __name__ == "__main__":
    unittest.main()
