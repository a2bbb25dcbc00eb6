# SPDX-License-Identifier: GPL-2.0-or-later
"""Our kernel writes ext4 (under QEMU): one form of disk with all the work, and a few power cuts."""

import os
import shutil
import subprocess
import sys
import unittest

from guest import BUILD, ROOT

QUICK = False


@unittest.skipUnless(shutil.which("qemu-system-x86_64"), "needs qemu-system-x86_64")
class Ext4(unittest.TestCase):
    def run_script(self, *options):
        result = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "guest", "ext4.py"), "--build", BUILD, *options],
                                capture_output=True, text=True, timeout=900)
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-5000:])

    def test_work(self):
        self.run_script("--form", "4096")

    def test_power_cuts(self):
        self.run_script("--cuts", "3")


if __name__ == "__main__":
    unittest.main()
