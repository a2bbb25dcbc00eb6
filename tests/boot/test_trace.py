# SPDX-License-Identifier: GPL-2.0-or-later
"""-trace-insn and `xiaoma trace`: the whole of a boot, against QEMU's single step, filters, files that are no traces."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from guest import BUILD, ROOT, XIAOMA, Guest

# Real mode, protected mode and long mode, with calls, loops, string instructions and a fault, without interrupts: the
# same instructions on every machine.
BOOT_SECTOR = """
    bits 16
    org 0x7c00
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    mov cx, 20
real: call twice
    loop real
    mov di, 0x9000
    mov cx, 16
    rep stosw
    lgdt [gdtr]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:protected
twice: add bx, bx
    inc bx
    ret
    bits 32
protected: mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x7c00
    mov edi, 0x10000
    xor eax, eax
    mov ecx, 0xC00
    rep stosd
    mov dword [0x10000], 0x11007
    mov dword [0x11000], 0x12007
    mov dword [0x12000], 0x87
    mov eax, 0x10000
    mov cr3, eax
    mov eax, 0x20
    mov cr4, eax
    mov ecx, 0xC0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, 0x80000011
    mov cr0, eax
    jmp 24:wide
    bits 64
wide: lidt [idtr]
    mov ecx, 1000
.next: push rcx
    imul rdx, rcx, 77
    xor rsi, rdx
    pop rcx
    dec ecx
    jnz .next
    ud2
handler: mov al, 1
    out 0xf4, al
.end: hlt
    jmp .end
    align 8
gdt: dq 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
gdtr: dw 31
    dd gdt
idtr: dw 16 * 7 - 1
    dq idt - 6 * 16
idt: dw handler, 24, 0x8E00, 0, 0, 0, 0, 0
    times 510 - ($ - $$) db 0
    dw 0xAA55
"""


def trace(*words):
    return subprocess.run([XIAOMA, "trace", *words], capture_output=True, text=True, timeout=300)


class Trace(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xm-trace-")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def boot_sector(self):
        image = self.path("boot.img")
        with open(self.path("boot.asm"), "w", encoding="ascii") as file:
            file.write(BOOT_SECTOR)
        subprocess.run(["nasm", "-f", "bin", "-o", image, self.path("boot.asm")], check=True)
        with open(image, "ab") as file:
            file.truncate(1 << 20)
        return ["-drive", f"file={image},format=raw,if=ide", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]

    @staticmethod
    def addresses(lines):
        """Linear addresses within the boot sector; a repeated instruction counts once."""
        found = []
        for address in lines:
            if 0x7C00 <= address < 0x7E00 and (not found or found[-1] != address):
                found.append(address)
        return found

    def test_agrees_with_qemu_single_stepping(self):
        if shutil.which("qemu-system-x86_64") is None:
            self.skipTest("qemu-system-x86_64 is not installed")
        machine = self.boot_sector()
        file = self.path("boot.xmt")
        ours = subprocess.run([XIAOMA, "run", *machine, "-display", "none", "-trace-insn", file + ",range=0x7c00-0x7dff"],
                              timeout=120, capture_output=True, text=True)
        self.assertEqual(ours.returncode, 3, ours.stderr)
        log = self.path("qemu.log")
        # Firmware runs in the same pages as nothing of the boot sector, so dfilter keeps the log small.
        subprocess.run(["qemu-system-x86_64", *machine, "-display", "none", "-singlestep", "-d", "exec,nochain", "-dfilter",
                        "0x7c00..0x7dff", "-D", log], timeout=300)
        with open(log, encoding="utf-8", errors="replace") as lines:
            theirs = [int(match.group(1), 16) for match in re.finditer(r"\[[0-9a-f]+/([0-9a-f]+)/", lines.read())]
        shown = trace("show", file, "--json", "--no-events")
        mine = [json.loads(line)["linear"] for line in shown.stdout.splitlines() if '"linear"' in line]
        with open(self.path("boot.img"), "rb") as image:
            faulting = 0x7C00 + image.read(512).index(b"\x0f\x0b")  # UD2 never retires; QEMU logs the attempt
        self.assertEqual(theirs.count(faulting), 1)
        theirs.remove(faulting)
        mine, theirs = self.addresses(mine), self.addresses(theirs)
        self.assertGreater(len(mine), 6000)
        self.assertEqual(mine[:len(theirs)], theirs[:len(mine)])

    def test_whole_boot_of_our_own_system(self):
        initramfs = self.path("initramfs.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), initramfs], check=True)
        kernel = os.path.join(BUILD, "guest-os", "vmxiaoma")
        file = self.path("whole.xmt")
        words = ["-m", "256", "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0", "-nographic"]
        with Guest([*words, "-trace-insn", file]) as guest:
            guest.expect("# ", timeout=180)
            guest.send("poweroff -f\n")
            self.assertEqual(guest.wait_exit(120), 0)
        about = json.loads(trace("info", file, "--json").stdout)
        self.assertGreater(about["instructions"], 20_000_000)
        self.assertLess(about["bytes"], about["instructions"] / 4)
        symbols = os.path.join(BUILD, "guest-os", "kernel.elf")
        graph = self.path("flame.svg")
        counted = json.loads(trace("stat", file, "--json", "--symbols", symbols, "--flame-graph", graph).stdout)
        self.assertEqual(counted["instructions"], about["instructions"])
        self.assertEqual(counted["cpl0"] + counted["cpl3"], about["instructions"])
        self.assertGreater(counted["cpl3"], 1000)
        self.assertIn("schedule", trace("export", file, "--format", "folded", "--symbols", symbols).stdout)
        with open(graph, encoding="utf-8") as svg:
            self.assertIn("start_kernel", svg.read())
        first = trace("show", file, "--count", "1").stdout
        self.assertIn("00000000fffffff0", first)
        user = trace("show", file, "--cpl", "3", "--count", "50", "--no-events").stdout
        self.assertEqual(len(re.findall(r" 0:3 ", user)), 50)
        # The first kernel function by name, with file and line.
        self.assertRegex(trace("show", file, "--symbols", symbols, "--function", "start_kernel", "--count", "3",
                               "--no-events").stdout, r"start_kernel\+0x\w+ main\.cc:\d+")

    def test_starts_at_a_serial_text_and_at_a_symbol(self):
        initramfs = self.path("initramfs2.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), initramfs], check=True)
        kernel = os.path.join(BUILD, "guest-os", "vmxiaoma")
        symbols = os.path.join(BUILD, "guest-os", "kernel.elf")
        words = ["-m", "256", "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0", "-nographic", "-no-reboot"]
        file = self.path("text.xmt")
        run = subprocess.run([XIAOMA, "run", *words, "-budget", "60s", "-trace-insn",
                              f"{file},start=serial:Xiaoma,limit=1000"], capture_output=True, timeout=200,
                             input=b"poweroff -f\n" * 3)
        self.assertIn(run.returncode, (0, 124))
        self.assertEqual(json.loads(trace("info", file, "--json").stdout)["instructions"], 1000)
        file = self.path("symbol.txt")
        subprocess.run([XIAOMA, "run", *words, "-budget", "60000000", "-trace-insn",
                        f"{file},format=text,symbols={symbols},start=symbol:start_kernel,limit=5"], capture_output=True,
                       timeout=200, stdin=subprocess.DEVNULL)
        with open(file, encoding="utf-8") as lines:
            self.assertIn("start_kernel+0x0", [line for line in lines if " -- " not in line][0])

    def test_finds_the_first_divergence(self):
        machine = self.boot_sector()
        for name, more in (("a", ",limit=6000"), ("b", ",limit=6000"), ("c", ",limit=5000")):  # not to the end, which races with HLT
            subprocess.run([XIAOMA, "run", *machine, "-display", "none", "-trace-insn",
                            self.path(name) + ",range=0x7c00-0x7dff" + more], timeout=120)
        same = trace("diff", self.path("a"), self.path("b"))
        self.assertEqual((same.returncode, same.stderr), (0, ""), same.stdout)
        other = trace("diff", self.path("a"), self.path("c"), "--context", "2")
        self.assertEqual(other.returncode, 1)
        self.assertIn("5000 instructions alike", other.stdout)
        self.assertIn("> (end)", other.stdout)

    def test_bad_input_says_what_is_wrong(self):
        for words, text in ((("show", "/nonexistent"), "cannot read trace"), (("show", "/etc/passwd"), "not a trace"),
                            (("show",), "file"), (("dance",), "dance")):
            run = trace(*words)
            self.assertEqual(run.returncode, 125, words)
            self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
            self.assertIn(text, run.stderr)
        run = subprocess.run([XIAOMA, "run", "-display", "none", "-trace-insn", "/nonexistent/t"], capture_output=True, text=True)
        self.assertEqual((run.returncode, len(run.stderr.splitlines())), (125, 1), run.stderr)
        run = subprocess.run([XIAOMA, "run", "-display", "none", "-trace-insn", "t,colour=red"], capture_output=True, text=True)
        self.assertEqual((run.returncode, len(run.stderr.splitlines())), (125, 1), run.stderr)

    def test_a_full_disk_ends_the_run_with_its_status(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        run = subprocess.run([XIAOMA, "run", "-display", "none", "-budget", "30s", "-trace-insn", "/dev/full"],
                             capture_output=True, text=True, timeout=100)
        self.assertEqual(run.returncode, 111, run.stderr)
        self.assertIn("No space left", run.stderr)


if __name__ == "__main__":
    unittest.main()
