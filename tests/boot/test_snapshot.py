# SPDX-License-Identifier: GPL-2.0-or-later
"""savevm and loadvm: a running guest that is saved, loaded and saved again is the same; files that are damaged."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

from guest import BUILD, ROOT, XIAOMA, Guest


class Snapshot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xm-snapshot-")
        cls.initramfs = os.path.join(cls.directory.name, "initramfs.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), cls.initramfs], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def machine(self, *more):
        return ["-m", "128", "-kernel", os.path.join(BUILD, "guest-os", "vmxiaoma"), "-initrd", self.initramfs, "-append",
                "console=ttyS0", "-display", "none", "-serial", "stdio", *more]

    def same(self, first, second):
        with open(first, "rb") as a, open(second, "rb") as b:
            self.assertTrue(a.read() == b.read(), f"{first} and {second} differ")

    def test_saved_loaded_and_saved_again_is_the_same(self):
        with Guest(self.machine("-smp", "2"), monitor=True) as guest:
            guest.expect("# ", timeout=180)
            guest.send("i=0; while true; do i=$((i+1)); echo line $i > /tmp/f; cat /tmp/f; done | while read a b; do :; done &\n")
            for _ in range(int(os.environ.get("XM_SNAPSHOT_ROUNDS", "10"))):
                a, b = self.path("a"), self.path("b")
                self.assertEqual(guest.monitor("stop").strip(), "")
                self.assertEqual(guest.monitor(f"savevm file:{a}", timeout=120).strip(), "")
                self.assertEqual(guest.monitor(f"loadvm file:{a}", timeout=120).strip(), "")
                self.assertEqual(guest.monitor(f"savevm file:{b}", timeout=120).strip(), "")
                self.same(a, b)
                self.assertEqual(guest.monitor("cont").strip(), "")
            guest.send("\n\necho still-$((40+2))\n")
            guest.expect("still-42", timeout=120)

    def test_another_process_goes_on_where_it_was(self):
        saved = self.path("saved")
        with Guest(self.machine(), monitor=True) as guest:
            guest.expect("# ", timeout=180)
            guest.send("x=remembered; echo ready-$((1+1))\n")
            guest.expect("ready-2", timeout=60)
            self.assertEqual(guest.monitor(f"savevm file:{saved}", timeout=120).strip(), "")
        with Guest(self.machine("-loadvm", f"file:{saved}")) as guest:
            guest.send("\necho it-is-$x\n")
            guest.expect("it-is-remembered", timeout=120)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(120), 0)

    def test_snapshots_inside_a_qcow2_disk(self):
        """By name: the disk and the machine together go back, and qemu-img sees them."""
        disk = self.path("disk.qcow2")
        subprocess.run([XIAOMA, "img", "create", "-q", "-f", "qcow2", disk, "16M"], check=True)
        drive = ("-drive", f"file={disk},format=qcow2,if=virtio")
        with Guest(self.machine(*drive), monitor=True) as guest:
            guest.expect("# ", timeout=180)
            guest.send("echo first > /dev/vda; sync; x=old; echo ready-$((1+1))\n")
            guest.expect("ready-2", timeout=60)
            self.assertEqual(guest.monitor("savevm one", timeout=120).strip(), "")
            guest.send("echo second > /dev/vda; sync; x=new; echo ready-$((2+2))\n")
            guest.expect("ready-4", timeout=60)
            self.assertEqual(guest.monitor("savevm two", timeout=120).strip(), "")
            self.assertRegex(guest.monitor("info snapshots"), r"(?s)one.*two")
            self.assertEqual(guest.monitor("loadvm one", timeout=120).strip(), "")
            guest.send("\necho now-$x-$(head -n 1 /dev/vda)\n")
            guest.expect("now-old-first", timeout=60)
            self.assertEqual(guest.monitor("loadvm two", timeout=120).strip(), "")
            guest.send("\necho now-$x-$(head -n 1 /dev/vda)\n")
            guest.expect("now-new-second", timeout=60)
            self.assertEqual(guest.monitor("delvm one", timeout=120).strip(), "")
            self.assertNotIn("one", guest.monitor("info snapshots"))
            self.assertNotEqual(guest.monitor("loadvm one", timeout=120).strip(), "")
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(120), 0)
        for program in (["qemu-img"] if shutil.which("qemu-img") else []) + [f"{XIAOMA} img"]:
            listed = subprocess.run([*program.split(), "snapshot", "-l", disk], capture_output=True, text=True, check=True).stdout
            self.assertRegex(listed, r"\btwo\b")
            self.assertEqual(subprocess.run([*program.split(), "check", disk], capture_output=True).returncode, 0)
        with Guest(self.machine(*drive, "-loadvm", "two")) as guest:
            guest.send("\necho again-$x-$(head -n 1 /dev/vda)\n")
            guest.expect("again-new-second", timeout=120)

    def test_damage_and_other_machines_are_refused(self):
        saved = self.path("small")
        process = subprocess.run([XIAOMA, "run", "-m", "16", "-display", "none", "-S", "-monitor", "stdio"], text=True,
                                 input=f"savevm file:{saved}\nloadvm file:/nonexistent\nsavevm file:/nonexistent/x\nsavevm name\n"
                                       "info snapshots\nquit\n", capture_output=True, timeout=120)
        self.assertEqual(len(re.findall("error: ", process.stdout)), 3, process.stdout)
        with open(saved, "rb") as file:
            whole = file.read()
        base = [XIAOMA, "run", "-m", "16", "-display", "none", "-S", "-budget", "5s"]
        damaged = self.path("damaged")
        cases = [whole[:len(whole) // 2], whole[:20], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"XMSNAP9\n" + whole[8:]]
        for bytes_left in cases:
            with open(damaged, "wb") as file:
                file.write(bytes_left)
            run = subprocess.run([*base, "-loadvm", f"file:{damaged}"], capture_output=True, text=True, timeout=120)
            self.assertEqual((run.returncode, len(run.stderr.splitlines())), (112, 1), run.stderr)
        other = subprocess.run([XIAOMA, "run", "-m", "32", "-display", "none", "-loadvm", f"file:{saved}"], capture_output=True,
                               text=True, timeout=120)
        self.assertEqual(other.returncode, 112)
        self.assertIn("another machine", other.stderr)
        self.assertEqual(subprocess.run([*base, "-loadvm", f"file:{saved}"], timeout=120, capture_output=True).returncode, 124)


if __name__ == "__main__":
    unittest.main()
