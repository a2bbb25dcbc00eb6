# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of our kernel with Debian's ip, tc, bridge, tcpdump and nft: devices and links, and a router between two guests (on QEMU)."""

import os
import shutil
import subprocess
import sys
import unittest

from guest import BUILD, ROOT

QUICK = False


class Net(unittest.TestCase):
    def net(self, *words):
        result = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "guest", "net.py"), *words, "--build", BUILD],
                                capture_output=True, text=True, timeout=600)
        if result.returncode == 77:
            self.skipTest(result.stdout.strip())
        self.assertEqual(result.returncode, 0, (result.stdout + result.stderr)[-5000:])

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "needs qemu-system-x86_64")
    def test_devices_and_links(self):
        self.net("devices")

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "needs qemu-system-x86_64")
    def test_router_with_translation(self):
        self.net("router")


if __name__ == "__main__":
    unittest.main()
