# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk that ./run makes, to a shell and off again, on every machine there is: ours (interpreter and KVM), QEMU's translator and
QEMU under KVM, Bochs."""

import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot"))
import bochs  # noqa: E402
import chain_images as images  # noqa: E402
from guest import Guest  # noqa: E402

QEMU = shutil.which("qemu-system-x86_64")
KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)
PROMPT = r"~ # "
WAIT = 180
SLOW_WAIT = 400  # KVM without hardware virtualization runs kernel code at 1-2 million instructions a second


class Machines(unittest.TestCase):
    def session(self, guest, cpus, wait):
        guest.expect(PROMPT, timeout=wait)
        guest.send("echo cpus $(grep -c ^processor /proc/cpuinfo)\n")
        guest.expect(rf"cpus {cpus}\r?\n", timeout=wait)
        guest.send("a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime); echo slept $((b-a))\n")
        guest.expect(r"slept [23]\r?\n", timeout=wait)
        guest.send("poweroff\n")

    def off(self, guest, cpus, wait=WAIT):
        self.session(guest, cpus, wait)
        self.assertEqual(guest.wait_exit(wait), 0)

    def disk(self, cpus, bus):
        return ["-m", "256", "-smp", str(cpus), "-drive", f"file={images.disk()},format=raw,if={bus},snapshot=on", "-no-reboot"]

    def xiaoma(self, cpus, bus, *words, wait=WAIT):
        with Guest([*self.disk(cpus, bus), "-nographic", *words]) as guest:
            self.off(guest, cpus, wait)

    def qemu(self, cpus, bus, *words, wait=WAIT):
        with Guest([*self.disk(cpus, bus), "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", *words],
                   command=[QEMU]) as guest:
            self.off(guest, cpus, wait)

    def test_xiaoma(self):
        self.xiaoma(1, "virtio")
        self.xiaoma(2, "ide")

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_qemu(self):
        self.qemu(1, "ide")
        self.qemu(4, "virtio")

    @unittest.skipUnless(KVM, "needs /dev/kvm")
    def test_xiaoma_kvm(self):
        self.xiaoma(1, "virtio", "-accel", "kvm", wait=SLOW_WAIT)

    # The BIOS alone takes minutes on a KVM that emulates kernel code in software: asked for by name only.
    @unittest.skipUnless(KVM and QEMU and os.environ.get("XM_SLOW"), "set XM_SLOW=1; needs /dev/kvm and qemu-system-x86_64")
    def test_qemu_kvm(self):
        self.qemu(1, "virtio", "-accel", "kvm", wait=SLOW_WAIT)

    @unittest.skipUnless(bochs.AVAILABLE, "needs Debian's bochs, bochs-term, bochsbios and vgabios")
    def test_bochs(self):
        for cpus in (1, 4) if os.environ.get("XM_SLOW") else (1,):
            with bochs.BochsGuest(images.disk(), cpus) as guest:
                self.session(guest, cpus, SLOW_WAIT)
                guest.wait_exit(WAIT)

    test_qemu_kvm.QUICK = test_xiaoma_kvm.QUICK = test_bochs.QUICK = False


if __name__ == "__main__":
    unittest.main()
