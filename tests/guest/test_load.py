# SPDX-License-Identifier: GPL-2.0-or-later
"""Under load: processor shares follow the nice weights within 1 %, a fork bomb under a process limit and a program that eats all memory
leave the shell usable."""

import re
import unittest

import test_devices


class Load(unittest.TestCase):
    QUICK = False

    def test_on_xiaoma(self):
        guest = test_devices.start(test_devices.initramfs("load", ["shares"]))
        try:
            guest.expect(rb"# ", 120)
            _, text = guest.run("shares 10 0 5 10", 240)
            worst = re.search(r"worst (\d+)", text)
            self.assertTrue(worst and int(worst.group(1)) <= 10, text)
            _, text = guest.run("shares 5 -5 0", 240)
            worst = re.search(r"worst (\d+)", text)
            self.assertTrue(worst and int(worst.group(1)) <= 10, text)
            guest.run("(ulimit -u 60; timeout 5 su -s /bin/sh nobody -c 'f() { f | f & }; f; sleep 3') > /tmp/bomb 2>&1; killall -9 -q sh2; true", 240)
            _, text = guest.run("grep -c -i 'fork\\|resource' /tmp/bomb; echo alive", 240)
            self.assertIn("alive", text)
            self.assertRegex(text, r"(?m)^[1-9]")
            status, _ = guest.run("tail /dev/zero 2>/dev/null", 240)
            self.assertEqual(status, 137)
            _, text = guest.run("dmesg | grep -c 'Out of memory: Killed process'; echo usable | tr a-z A-Z", 240)
            self.assertRegex(text, r"(?m)^1$")
            self.assertIn("USABLE", text)
        finally:
            guest.close()


if __name__ == "__main__":
    unittest.main()
