# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel sees two disks (virtio and IDE) and a CD at once; what it reads is what the files hold, and what it
writes is in the file afterwards."""

import os
import tempfile
import unittest

import boot_modules
from guest import Guest

SCRIPT = """
for i in 1 2 3 4 5 6 7 8; do [ -b /dev/vda ] && [ -b /dev/sda ] && [ -b /dev/sr0 ] && break; sleep 1; done
cat /proc/partitions
for disk in vda sda sr0; do echo "$disk: $(dd if=/dev/$disk bs=2048 skip=3 count=1 2>/dev/null | head -c 12)"; done
for disk in vda sda; do echo "written to $disk" | dd of=/dev/$disk bs=512 seek=100 conv=fsync 2>/dev/null; done
poweroff -f
"""


class Drives(unittest.TestCase):
    QUICK = False

    def test_two_disks_and_a_cd(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, megabytes in (("vda", 16), ("sda", 24), ("sr0", 8)):
                paths[name] = os.path.join(folder, name)
                with open(paths[name], "wb") as file:
                    file.truncate(megabytes << 20)
                    file.seek(3 * 2048)
                    file.write(f"this is {name} ".encode())
            initrd = boot_modules.initrd("drives", SCRIPT)
            with Guest(["-m", "512", "-kernel", boot_modules.kernel(), "-initrd", initrd, "-append", "console=ttyS0 quiet",
                        "-nographic", "-drive", f"file={paths['vda']},format=raw,if=virtio", "-drive",
                        f"file={paths['sda']},format=raw,if=ide", "-cdrom", paths["sr0"]]) as guest:
                guest.expect("blocks", timeout=240)
                self.assertEqual(guest.wait_exit(120), 0)
                for line in (r"\b8192 +sr0", r"\b16384 +vda", r"\b24576 +sda", "vda: this is vda", "sda: this is sda",
                             "sr0: this is sr0"):
                    self.assertRegex(guest.output, line)
            for name in ("vda", "sda"):
                with open(paths[name], "rb") as file:
                    file.seek(100 * 512)
                    self.assertEqual(file.read(15), f"written to {name}\n".encode())


if __name__ == "__main__":
    unittest.main()
