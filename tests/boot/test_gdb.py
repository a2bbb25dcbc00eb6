# SPDX-License-Identifier: GPL-2.0-or-later
"""GDB's own commands on our machine: from the reset vector to user mode, with the bundled kernel's symbols."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from guest import BUILD, ROOT, XIAOMA


@unittest.skipIf(shutil.which("gdb") is None, "gdb is not installed")
class Gdb(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xm-gdb-")
        cls.initramfs = os.path.join(cls.directory.name, "initramfs.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), cls.initramfs], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def gdb(self, commands, machine=(), timeout=240):
        """Starts a stopped machine, runs GDB's commands on it, returns what GDB printed."""
        path = os.path.join(self.directory.name, "gdb.sock")
        process = subprocess.Popen([XIAOMA, "run", "-m", "256", "-display", "none", "-S", "-gdb", f"unix:{path}", *machine],
                                   stderr=subprocess.DEVNULL)
        try:
            words = ["gdb", "-nx", "-batch", "-ex", "set confirm off", "-ex", "set pagination off", "-ex",
                     "set architecture i386:x86-64", "-ex", f"target remote {path}"]
            for command in commands:
                words += ["-ex", command]
            result = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
            return result.stdout + result.stderr
        finally:
            process.kill()
            process.wait()

    def kernel(self):
        return ["-kernel", os.path.join(BUILD, "guest-os", "vmxiaoma"), "-initrd", self.initramfs, "-append", "console=ttyS0",
                "-serial", "null", "-smp", "2"]

    def test_reset_vector_and_real_mode(self):
        text = self.gdb(["p/x $rip", "p/x $cs_base", "p/x $cs", "x/3xb 0xfffffff0", "stepi", "p/x $rip", "break *0xffff0011",
                         "continue", "p/x $rip", "info registers cr0 efer", "stepi", "stepi", "p/x $rip", "delete",
                         "p $eflags", "monitor info status"])
        self.assertIn("= 0xfff0", text)
        self.assertIn("= 0xffff0000", text)
        self.assertIn("= 0xf000", text)
        self.assertIn("0xe9", text)
        self.assertIn("= 0x10", text)
        self.assertIn("= 0x11", text)
        self.assertIn("cr0            0x60000010", text)
        self.assertIn("= 0x15", text)  # CLD and MOV behind the breakpoint
        self.assertIn("VM status: paused", text)

    def test_kernel_with_symbols_and_user_mode(self):
        symbols = os.path.join(BUILD, "guest-os", "kernel.elf")
        text = self.gdb([f"symbol-file {symbols}", "break start_kernel", "continue", "backtrace 2", "info line", "delete",
                         "info threads", "p/x $cs", "stepi", "next", "watch -location *(unsigned long*)($rsp-64)", "continue", "delete",
                         # Where a program called from, and what runs there.
                         "break entry_syscall_64", "continue", "set $back = $rcx", "delete", "break *$back", "continue",
                         "p/x $cs", "p $rip == $back"],
                        self.kernel())
        self.assertIn("start_kernel", text)
        self.assertIn("main.cc", text)
        self.assertRegex(text, r"Thread 1.*CPU#0")
        self.assertRegex(text, r"Thread 2.*CPU#1 \[")
        self.assertRegex(text, r"Hardware watchpoint \d+: -location")
        self.assertRegex(text, r"Old value = |New value = ")
        self.assertRegex(text, r"= 0x33\n\$\d+ = 1\n")

    def test_registers_and_memory_can_be_written(self):
        text = self.gdb(["set $rax=0x1122334455667788", "p/x $rax", "set {int}0x8000=0x12345678", "x/xw 0x8000",
                         "set $xmm3.uint128=5", "p $xmm3.uint128", "set $st0=1.5", "p $st0", "set {char}0x8001=0x7f", "x/4xb 0x8000"])
        self.assertIn("= 0x1122334455667788", text)
        self.assertIn("0x12345678", text)
        self.assertIn("= 5", text)
        self.assertIn("= 1.5", text)
        self.assertIn("0x78\t0x7f\t0x34\t0x12", text)

    def test_survives_what_no_debugger_sends(self):
        path = os.path.join(self.directory.name, "raw.sock")
        process = subprocess.Popen([XIAOMA, "run", "-display", "none", "-S", "-gdb", f"unix:{path}"], stderr=subprocess.DEVNULL)
        try:
            link = None
            for _ in range(100):
                try:
                    link = socket.socket(socket.AF_UNIX)
                    link.connect(path)
                    break
                except OSError:
                    subprocess.run(["sleep", "0.1"], check=True)
            link.settimeout(20)
            for body in ("m", "mzz,4", "m0,ffffffffffffffff", "M0,4:12", "Z9,0,0", "Z0", "P", "Pffffffff=00", "G12", "Hg7f", "Tff",
                         "qXfer:features:read:target.xml:ffffffff,10", "qThreadExtraInfo,99", "qRcmd,zz", "X0,5:a", "vNope", "!", "p500"):
                link.sendall(f"${body}#{sum(body.encode()) & 255:02x}".encode())
                answer = b""
                while b"#" not in answer or len(answer.split(b"#", 1)[1]) < 2:
                    answer += link.recv(65536)
                self.assertTrue(answer.startswith(b"+$"), body)
            link.sendall(b"$garbage#00")
            self.assertEqual(link.recv(1), b"-")
            self.assertIsNone(process.poll())
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    unittest.main()
