# SPDX-License-Identifier: GPL-2.0-or-later
"""Our kernel with its root on an ext4 partition of a virtio disk, without an initramfs (under QEMU)."""

import os
import shutil
import subprocess
import sys
import unittest

from guest import BUILD, ROOT

QUICK = False


class Disk(unittest.TestCase):
    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "needs qemu-system-x86_64")
    def test_root_on_ext4(self):
        result = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "guest", "disk.py"), "--build", BUILD],
                                capture_output=True, text=True, timeout=600)
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-5000:])


if __name__ == "__main__":
    unittest.main()
