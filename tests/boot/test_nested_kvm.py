# SPDX-License-Identifier: GPL-2.0-or-later
"""-accel kvm on SVM that QEMU's TCG emulates (nested_kvm.py)."""

import os
import shutil
import unittest

import nested_kvm


class NestedKvm(unittest.TestCase):
    @unittest.skipUnless(os.environ.get("XM_NESTED_KVM"), "takes minutes; set XM_NESTED_KVM")
    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu-system-x86_64")
    def test_own_system_on_one_and_two_processors_and_switched(self):
        output, results = nested_kvm.run()
        self.assertEqual(results, {"one": True, "two": True, "switched": True}, output[-6000:])
        self.assertIn("hardware virtualization", output)
        self.assertRegex(output, r"mmio \d+")


if __name__ == "__main__":
    unittest.main()
