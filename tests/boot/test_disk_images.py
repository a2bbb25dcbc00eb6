# SPDX-License-Identifier: GPL-2.0-or-later
"""qcow2 images are the same thing to us and to qemu-img, and a guest's writes are in them afterwards. Two machines on one
socket network reach each other, and what passed is in the packet dump."""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import boot_modules
from guest import XIAOMA, Guest

DISK = """
for i in 1 2 3 4 5 6 7 8; do [ -b /dev/vda ] && break; sleep 1; done
echo "read: $(dd if=/dev/vda bs=512 skip=8 count=1 2>/dev/null | head -c 9)"
echo "written by the guest" | dd of=/dev/vda bs=512 seek=100 conv=fsync 2>/dev/null
echo WRITTEN
read line
poweroff -f
"""

PEER = """
ip link set eth0 up
ip addr add 10.9.0.$(sed 's/.*me=\\([0-9]*\\).*/\\1/' /proc/cmdline)/24 dev eth0
echo READY
read line
ping -c 3 -w 60 10.9.0.$(sed 's/.*peer=\\([0-9]*\\).*/\\1/' /proc/cmdline)
echo "PING $?"
read line
poweroff -f
"""


def img(*words, command=(XIAOMA, "img"), status=0):
    result = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert result.returncode == status, f"{words}: {result.returncode} {result.stdout} {result.stderr}"
    return result.stdout


class Images(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def sample(self):
        with open(self.path("sample.raw"), "wb") as file:
            file.truncate(5 << 20)
            for at in (0, 65536 * 3, 65536 * 20 + 512, (5 << 20) - 4096):
                file.seek(at)
                file.write(os.urandom(2048) + b"text " * 400)
        return self.path("sample.raw")

    def test_interchange_with_qemu_img(self):
        if shutil.which("qemu-img") is None:
            self.skipTest("qemu-img is not installed")
        sample, theirs = self.sample(), ("qemu-img",)
        for options in ((), ("-c",), ("-c", "-o", "compression_type=zstd"), ("-o", "cluster_size=512"),
                        ("-o", "compat=0.10"), ("-o", "refcount_bits=1,cluster_size=4k"), ("-o", "preallocation=metadata")):
            for one, other in (((XIAOMA, "img"), theirs), (theirs, (XIAOMA, "img"))):
                target = self.path("target.qcow2")
                img("convert", "-f", "raw", "-O", "qcow2", *options, sample, target, command=one)
                img("check", target, command=other)
                img("compare", "-f", "raw", sample, target, command=other)

    def test_snapshot_backing_commit_and_rebase(self):
        sample, top = self.sample(), self.path("top.qcow2")
        img("create", "-q", "-f", "qcow2", "-b", sample, "-F", "raw", top)
        img("snapshot", "-c", "first", top)
        img("resize", "-q", top, "+1M")
        self.assertIn("first", img("snapshot", "-l", top))
        info = json.loads(img("info", "--output=json", top))
        self.assertEqual((info["virtual-size"], info["backing-filename"]), (6 << 20, sample))
        img("snapshot", "-d", "first", top)
        img("rebase", "-b", "", top)
        img("check", top)
        os.rename(sample, sample + ".moved")
        self.assertIn("identical", img("compare", "-F", "raw", top, sample + ".moved"))

    def test_statuses(self):
        img("check", self.sample(), status=63)
        img("info", self.path("nothing"), status=1)
        img("frob", status=1)
        img("compare", self.sample(), self.path("nothing"), status=2)
        with open(self.path("bad.qcow2"), "wb") as file:
            file.write(b"QFI\xfb" + struct.pack(">I", 3) + b"\xff" * 500)
        img("info", self.path("bad.qcow2"), status=1)

    def test_guest_writes_to_an_overlay_and_the_image_is_locked(self):
        sample, top = self.sample(), self.path("top.qcow2")
        with open(sample, "r+b") as file:
            file.seek(8 * 512)
            file.write(b"base-data")
        img("create", "-q", "-f", "qcow2", "-b", sample, "-F", "raw", top)
        initrd = boot_modules.initrd("disk-image", DISK)
        with Guest(["-m", "256", "-kernel", boot_modules.kernel(), "-initrd", initrd, "-append", "console=ttyS0 quiet",
                    "-nographic", "-blockdev", f"driver=file,filename={top},node-name=f0", "-blockdev",
                    '{"driver":"qcow2","node-name":"d0","file":"f0"}', "-device", "virtio-blk-pci,drive=d0"]) as guest:
            guest.expect("read: base-data", timeout=300)
            guest.expect("WRITTEN", timeout=120)
            second = subprocess.run([XIAOMA, "run", "-display", "none", "-drive", f"file={top}"], capture_output=True,
                                    text=True, timeout=60)
            self.assertEqual(second.returncode, 113, second.stderr)
            img("info", top, status=1)
            img("info", "-U", top)
            guest.send("\n")
            self.assertEqual(guest.wait_exit(120), 0)
        img("check", top)
        img("convert", "-O", "raw", top, self.path("after.raw"))
        with open(self.path("after.raw"), "rb") as file:
            file.seek(100 * 512)
            self.assertEqual(file.read(20), b"written by the guest")


class SocketNetwork(unittest.TestCase):
    QUICK = False

    def test_two_machines_reach_each_other(self):
        with tempfile.TemporaryDirectory() as folder:
            path, dump = os.path.join(folder, "net"), os.path.join(folder, "frames.pcap")
            initrd = boot_modules.initrd("peer", PEER)

            def words(me, peer, server):
                return ["-m", "256", "-kernel", boot_modules.kernel(), "-initrd", initrd, "-append",
                        f"console=ttyS0 quiet me={me} peer={peer}", "-nographic", "-netdev",
                        f"stream,id=n0,server={server},addr.type=unix,addr.path={path}", "-device",
                        f"virtio-net-pci,netdev=n0,mac=52:54:00:00:00:0{me}"]

            with Guest(words(1, 2, "on") + ["-object", f"filter-dump,id=d0,netdev=n0,file={dump}"]) as first:
                first.expect("READY", timeout=300)
                with Guest(words(2, 1, "off")) as second:
                    second.expect("READY", timeout=300)
                    second.send("\n")
                    second.expect("PING 0", timeout=200)
                    second.send("\n")
                    self.assertEqual(second.wait_exit(120), 0)
            with open(dump, "rb") as file:
                data = file.read()
            self.assertEqual(struct.unpack("<IHH", data[:8]), (0xA1B2C3D4, 2, 4))
            self.assertIn(bytes.fromhex("525400000001525400000002"), data)


if __name__ == "__main__":
    unittest.main()
