# SPDX-License-Identifier: GPL-2.0-or-later
"""Engines: which one runs, changing it while the guest runs, two in lockstep. What needs KVM is skipped without it."""

import json
import os
import random
import subprocess
import tempfile
import time
import unittest

from guest import BUILD, CACHE, ROOT, XIAOMA, Guest

KERNEL = os.path.join(BUILD, "guest-os", "vmxiaoma")
PROMPT = r"~ # "
WORK = ("for j in 1 2 3 4; do ( n=0; i=0; while [ $i -lt 3000 ]; do n=$(( (n * 31 + i * j) % 1000003 )); i=$((i+1)); done; "
        "echo part $j $n ) & done; wait; echo all done\n")
PARTS = {j: 0 for j in (1, 2, 3, 4)}
for j in PARTS:
    for i in range(3000):
        PARTS[j] = (PARTS[j] * 31 + i * j) % 1000003


def kvm_usable():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def initrd():
    path = os.path.join(CACHE, "initramfs.cpio.gz")
    os.makedirs(CACHE, exist_ok=True)
    subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), path], check=True, capture_output=True)
    return path


def refused(*words):
    return subprocess.run([XIAOMA, "run", "-display", "none", "-monitor", "none", *words], capture_output=True, text=True,
                          timeout=120)


class Choice(unittest.TestCase):
    def test_jit_is_refused_by_name(self):
        done = refused("-accel", "jit")
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, r"^xiaoma: error: .*jit.*interp\n$")

    def test_interrupt_controllers_in_the_kernel_are_refused(self):
        for value in ("on", "split"):
            done = refused("-machine", f"pc,kernel_irqchip={value}")
            self.assertEqual(done.returncode, 125)
            self.assertRegex(done.stderr, rf"^xiaoma: error: [^\n]*kernel_irqchip={value}[^\n]*\n$")
        self.assertEqual(refused("-machine", "pc,kernel_irqchip=off", "-budget", "1s").returncode, 124)

    def test_switch_needs_one_event_and_an_engine(self):
        for words in ("serial=x", "engine=kvm", "engine=tcg,serial=x", "engine=interp,serial=x,insns=5"):
            done = refused("-switch-at", words)
            self.assertEqual(done.returncode, 125, words)
            self.assertRegex(done.stderr, r"^xiaoma: error: [^\n]*-switch-at[^\n]*\n$")

    def test_lockstep_refuses_what_it_can_not_do(self):
        for words in (["-lockstep", "interp"], ["-lockstep", "kvm,kvm"], ["-lockstep", "interp,interp", "-smp", "2"]):
            done = refused(*words)
            self.assertEqual(done.returncode, 125, words)
            self.assertRegex(done.stderr, r"^xiaoma: error: [^\n]*-lockstep[^\n]*\n$")


class OwnSystem(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.initrd = initrd()

    def boot(self, *extra, **kwargs):
        return Guest(["-m", "256", "-kernel", KERNEL, "-initrd", self.initrd, "-append", "console=ttyS0", "-display", "none",
                      "-serial", "stdio", *extra], **kwargs)

    def check_work(self, guest, timeout):
        text = ""
        start = guest.position
        guest.expect(r"\nall done", timeout=timeout)
        text = guest.output[start:guest.position]
        for j, n in PARTS.items():
            self.assertIn(f"part {j} {n}", text)


class Switching(OwnSystem):
    @unittest.skipUnless(kvm_usable(), "no usable /dev/kvm")
    def test_a_hundred_random_switches(self):
        rng = random.Random(5)
        with self.boot("-accel", "interp:kvm", monitor=True) as guest:
            def switch(times):
                for _ in range(times):
                    self.assertEqual(guest.monitor("engine kvm").strip(), "")
                    time.sleep(rng.uniform(0.005, 0.05))
                    self.assertEqual(guest.monitor("engine interp").strip(), "")
                    time.sleep(rng.uniform(0.005, 0.1))
            switch(20)
            guest.expect(PROMPT, timeout=240)
            guest.send(WORK)
            switch(30)
            self.check_work(guest, 240)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(120), 0)

    @unittest.skipUnless(kvm_usable(), "no usable /dev/kvm")
    def test_at_text_and_back_at_a_symbol(self):
        elf = os.path.join(BUILD, "guest-os", "kernel.elf")
        with self.boot("-switch-at", "serial=Run /init,engine=kvm", "-switch-at", "serial=here,engine=interp",
                       monitor=True) as guest:
            guest.expect("Run /init", timeout=240)
            time.sleep(1)
            self.assertEqual(guest.monitor("engine").strip(), "kvm")
            self.assertRegex(guest.monitor("info engine"), r"\w+ \d+")
        self.assertTrue(os.path.exists(elf))

    def test_an_engine_that_was_not_prepared(self):
        with self.boot("-accel", "interp", monitor=True) as guest:
            self.assertIn("interp:kvm", guest.monitor("engine kvm"))
            self.assertIn("unknown engine", guest.monitor("engine tcg"))
            guest.expect(PROMPT, timeout=240)


class Lockstep(OwnSystem):
    def test_two_interpreters_agree(self):
        done = refused("-m", "64", "-kernel", KERNEL, "-append", "console=ttyS0", "-serial", "null", "-lockstep",
                       "interp,interp", "-budget", "10s")
        self.assertEqual((done.returncode, done.stderr), (124, ""))

    @unittest.skipUnless(kvm_usable(), "no usable /dev/kvm")
    def test_kvm_follows_the_firmware_and_the_start_of_the_kernel(self):
        done = refused("-m", "64", "-kernel", KERNEL, "-append", "console=ttyS0", "-serial", "null", "-lockstep",
                       "interp,kvm", "-budget", "15s")
        self.assertEqual((done.returncode, done.stderr), (124, ""))


class Bench(unittest.TestCase):
    def test_one_round(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            svg = os.path.join(folder, "out.svg")
            done = subprocess.run([XIAOMA, "bench", "--engines", "interp", "--rounds", "1", "--no-boot", "--json", path,
                                   "--svg", svg], capture_output=True, text=True, timeout=600)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            data = json.load(open(path))
            programs = {row["program"] for row in data["results"]}
            self.assertTrue({"user-integers", "kernel-memory", "system-calls", "page-faults"} <= programs, programs)
            self.assertTrue(all(row["median"] > 0 for row in data["results"]))
            self.assertIn("<svg", open(svg).read())


if __name__ == "__main__":
    unittest.main()
