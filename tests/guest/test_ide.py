# SPDX-License-Identifier: GPL-2.0-or-later
"""IDE disk with GPT and an ATAPI CD under our kernel (on QEMU)."""

import os
import shutil
import subprocess
import sys
import unittest

from guest import BUILD, ROOT

QUICK = False


class Ide(unittest.TestCase):
    @unittest.skipUnless(shutil.which("qemu-system-x86_64") and shutil.which("xorriso"), "needs qemu-system-x86_64 and xorriso")
    def test_disk_and_cd(self):
        result = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "guest", "ide.py"), "--build", BUILD],
                                capture_output=True, text=True, timeout=600)
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-5000:])


if __name__ == "__main__":
    unittest.main()
