# SPDX-License-Identifier: GPL-2.0-or-later
"""Level 1 of the compatibility ladder: unmodified static programs on our kernel, under QEMU and under our own machine."""

import os
import shutil
import subprocess
import sys
import unittest

from guest import BUILD, ROOT, XIAOMA

LEVEL1 = os.path.join(ROOT, "tests", "guest", "level1.py")


class Level1(unittest.TestCase):
    def level1(self, *words):
        result = subprocess.run([sys.executable, LEVEL1, "--build", BUILD, *words], capture_output=True, text=True, timeout=600)
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-5000:])

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "needs qemu-system-x86_64")
    def test_on_qemu_with_four_processors(self):
        self.level1("--cpus", "4")

    def test_on_xiaoma(self):
        self.level1("--cpus", "1,2", "--emulator",
                    XIAOMA + " run -m 512 -smp {cpus} -kernel {kernel} -initrd {initrd} -append {append} -nographic")

    test_on_qemu_with_four_processors.QUICK = False


if __name__ == "__main__":
    unittest.main()
