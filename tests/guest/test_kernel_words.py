# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of our kernel's command line, and what its guards do: each fault that memory protection forbids ends in a panic that names it,
with registers and a symbolised stack, and the machine ends as panic= says."""

import re
import unittest

import test_devices


def boot(words, cpus=1, extra=("-nic", "none")):
    return test_devices.start(test_devices.initramfs("words"), words, cpus=cpus, extra=extra)


class Words(unittest.TestCase):
    def ask(self, words, command, pattern, cpus=1):
        guest = boot(words, cpus)
        try:
            guest.expect(rb"# ", 120)
            _, text = guest.run(command, 120)
            self.assertTrue(re.search(pattern, text, re.M), f"{words}: wanted {pattern!r}:\n{text}")
            return guest.log.decode("latin1")
        finally:
            guest.close()

    def test_mem(self):
        self.ask("mem=64M", "grep MemTotal /proc/meminfo", r"MemTotal: +[56]\d{4} kB")

    def test_processors(self):
        self.ask("maxcpus=2", "grep -c ^processor /proc/cpuinfo", r"^2$", cpus=3)
        self.ask("nosmp", "grep -c ^processor /proc/cpuinfo", r"^1$", cpus=2)

    def test_interrupt_controllers(self):
        self.ask("noapic", "cat /proc/interrupts", r"4: .*XT-PIC +ttyS")
        self.ask("nolapic", "cat /proc/interrupts; sleep 1; echo slept", r"0: +[1-9]\d* .*XT-PIC +timer[\s\S]*slept")
        self.ask("acpi=off", "dmesg | grep -c ACPI:; sleep 1; cat /proc/uptime", r"^0$")

    def test_loglevel(self):
        # The test's own words hold "quiet"; a later word wins.
        self.assertNotIn("] Run /init", self.ask("", "dmesg | grep -c 'as init process'", r"^1$"))
        self.assertIn("] Run /init", self.ask("loglevel=7", "true; echo x", r"x"))

    def test_several_consoles(self):
        self.ask("console=tty0 console=ttyS0", "echo '<2>both of them' > /dev/kmsg; cat /dev/vcs1 | grep -o 'both of them'", r"both of them")

    def test_init(self):
        guest = boot("rdinit=/usr/bin/env answer=42 -- x=y")
        try:
            guest.expect(rb"answer=42", 60)
            guest.expect(rb"Attempted to kill init", 60)
        finally:
            guest.close()

    def test_nosmap(self):
        # Without the guard the kernel reads user memory: that is what the word is for.
        self.ask("nosmap", "echo ACCESS_USERSPACE > /sys/kernel/debug/provoke-crash/DIRECT; dmesg | tail -n 1", r"read 0x")

    def test_ways_to_restart(self):
        for way, status in (("acpi", 0), ("kbd", 0), ("pci", 0), ("triple", 101)):
            with self.subTest(way=way):
                guest = boot(f"reboot={way}")
                try:
                    guest.expect(rb"# ", 120)
                    guest.send("reboot -f\n")
                    self.assertEqual(guest.process.wait(60), status)
                finally:
                    guest.close()

    def test_noxsave(self):
        self.ask("noxsave", "i=0; while [ $i -lt 20 ]; do echo 'scale=3; 22/7' | bc; i=$((i+1)); done | uniq -c", r"^ +20 3.142$")

    def test_panic_seconds(self):
        guest = boot("panic=2")
        try:
            guest.expect(rb"# ", 120)
            guest.send("echo c > /proc/sysrq-trigger\n")
            guest.expect(rb"end Kernel panic - not syncing: sysrq triggered crash", 60)
            guest.process.wait(60)
        finally:
            guest.close()


class Guards(unittest.TestCase):
    def provoke(self, way, *patterns):
        guest = boot("", extra=["-nic", "none", "-device", "pvpanic"])
        try:
            guest.expect(rb"# ", 120)
            guest.send(f"echo {way} > /sys/kernel/debug/provoke-crash/DIRECT\n")
            for pattern in patterns:
                guest.expect(pattern, 60)
            guest.expect(rb"end Kernel panic - not syncing", 60)
            self.assertEqual(guest.process.wait(60), 100)
        finally:
            guest.close()

    def test_stack_overflow(self):
        self.provoke("EXHAUST_STACK", rb"double fault", rb"Call trace:\r\n.*recurse", rb"panic - not syncing: kernel stack overflow: stack of sh/\d+")

    def test_panic_has_registers_and_stack(self):
        self.provoke("PANIC", rb"panic - not syncing: dumptest", rb"CPU: 0 PID: \d+ Comm: sh", rb"do_panic.*\r\n.*provoke")

    def test_constants_and_text_are_read_only(self):
        self.provoke("WRITE_RO", rb"RIP: 0010:[0-9a-f]+ .*write_constant")
        self.provoke("WRITE_KERN", rb"RIP: 0010:[0-9a-f]+ .*write_text")

    def test_data_is_not_executable(self):
        self.provoke("EXEC_VMALLOC", rb"Call trace:\r\n.*run_data")

    def test_user_memory_is_neither_run_nor_read(self):
        self.provoke("EXEC_USERSPACE", rb"Call trace:\r\n.*run_user")
        self.provoke("ACCESS_USERSPACE", rb"RIP: 0010:[0-9a-f]+ .*read_user")

    def test_null_pointer(self):
        self.provoke("ACCESS_NULL", rb"RIP: 0010:[0-9a-f]+ .*write_null", rb"CR2: 0000000000000008")


if __name__ == "__main__":
    unittest.main()
