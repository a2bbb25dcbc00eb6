# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input ends with one clear line on stderr and status 125 (113 for a locked image)."""

import os
import socket
import subprocess
import tempfile
import unittest

from guest import XIAOMA


def run(*words, timeout=20):
    result = subprocess.run([XIAOMA, "run", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return result.returncode, result.stderr


class BadInput(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, contents):
        path = os.path.join(self.directory.name, name)
        with open(path, "wb") as out:
            out.write(contents)
        return path

    def refuse(self, *words, says, status=125):
        code, stderr = run(*words)
        self.assertEqual(code, status, stderr)
        lines = stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, stderr)
        self.assertTrue(lines[0].startswith("xiaoma: error: "), stderr)
        self.assertIn(says, lines[0])

    def test_unknown_option(self):
        self.refuse("-memory", "12", says="-memory")

    def test_slip_of_the_finger(self):
        self.refuse("-kernl", "x", says="did you mean -kernel?")

    def test_option_we_lack_names_an_alternative(self):
        self.refuse("-spice", "port=1", says="not supported")

    def test_missing_argument(self):
        self.refuse("-m", says="needs an argument")

    def test_too_little_memory(self):
        self.refuse("-m", "1", says="-m 1")

    def test_memory_that_is_no_number(self):
        self.refuse("-m", "lots", says="lots")

    def test_no_such_kernel(self):
        self.refuse("-kernel", "/nonexistent/vmlinuz", "-nographic", says="/nonexistent/vmlinuz")

    def test_empty_kernel(self):
        self.refuse("-kernel", self.file("empty", b""), "-nographic", says="empty")

    def test_truncated_kernel(self):
        header = bytearray(0x400)
        header[0x1FE:0x200] = b"\x55\xaa"
        header[0x202:0x206] = b"HdrS"
        header[0x206:0x208] = b"\x0f\x02"
        header[0x211] = 1
        header[0x1F1] = 8
        self.refuse("-kernel", self.file("short", bytes(header)), "-nographic", says="truncated")

    def test_kernel_that_is_none(self):
        self.refuse("-kernel", self.file("text", b"hello" * 1000), "-nographic", says="not a kernel")

    def test_no_such_disk(self):
        self.refuse("-hda", "/nonexistent.img", "-nographic", says="/nonexistent.img")

    def test_empty_disk(self):
        self.refuse("-hda", self.file("zero.img", b""), "-nographic", says="zero.img")

    def test_initrd_without_kernel(self):
        self.refuse("-initrd", self.file("initrd", b"x"), says="-initrd")

    def test_unknown_device(self):
        self.refuse("-device", "flux-capacitor", "-nographic", says="flux-capacitor")

    def test_unknown_property(self):
        self.refuse("-device", "virtio-rng-pci,colour=red", "-nographic", says="colour")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refuse("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=n",
                        "-nographic", says=str(port))

    def test_netdev_that_is_not_there(self):
        self.refuse("-device", "virtio-net-pci,netdev=nowhere", "-nographic", says="nowhere")


    def test_ids_given_twice(self):
        disk = self.file("a.img", bytes(1024))
        self.refuse("-chardev", "null,id=a", "-chardev", "null,id=a", says="duplicate id 'a': -chardev")
        self.refuse("-netdev", "user,id=a", "-netdev", "user,id=a", says="duplicate id 'a': -netdev")
        self.refuse("-device", "e1000,id=a", "-device", "e1000,id=a", says="duplicate id 'a': -device")
        drive = f"file={disk},format=raw,if=none,readonly=on,id=a"
        self.refuse("-drive", drive, "-drive", drive, says="duplicate id 'a': -drive")
        self.refuse("-drive", drive, "-device", "virtio-blk-pci,drive=a", "-device", "ide-hd,drive=a", "-display", "none",
                    says="in use by another device")

    def test_image_written_by_two_drives(self):
        disk = self.file("a.img", bytes(1024))
        self.refuse("-hda", disk, "-hdb", disk, says="two drives write the same image")

    def test_places_that_do_not_exist(self):
        disk = self.file("a.img", bytes(1024))
        self.refuse("-drive", f"file={disk},format=raw,if=floppy,index=2", "-display", "none", says="no such floppy drive")
        self.refuse("-drive", f"file={disk},format=raw,index=4", "-display", "none", says="no such IDE position")
        self.refuse("-device", "virtio-rng-pci,addr=20", "-display", "none", says="PCI slot")
        self.refuse("-device", "isa-debug-exit,iobase=0xffff,iosize=4", "-display", "none", says="no such ports")
        self.refuse("-device", "isa-debug-exit,iobase=0x60", "-display", "none", says="belong to")

    def test_values_of_no_meaning(self):
        self.refuse("-uuid", "12345678-1234-1234-1234-12345678xyz0", says="invalid UUID")
        self.refuse("-device", "e1000,bootindex=first", "-display", "none", says="bootindex")
        self.refuse("-device", "e1000,bootindex=1", "-device", "e1000,bootindex=1", "-display", "none", says="bootindex=1")
        self.refuse("", says="empty argument")
        self.refuse("-m", "99999999999999999999G", says="-m")
        self.refuse("-m", "200T", "-display", "none", says="200T")

    def test_folders(self):
        for option in ("-kernel", "-hda", "-bios", "-fda"):
            self.refuse(option, self.directory.name, "-display", "none", says="Is a directory")


class Verbs(unittest.TestCase):
    def test_help_names_every_option(self):
        text = subprocess.run([XIAOMA, "run", "--help"], capture_output=True, text=True, check=True).stdout
        for option in ["-kernel", "-drive", "-netdev", "-smp", "-nographic", "-snapshot"]:
            self.assertIn(option, text)

    def test_doctor_says_what_kvm_is(self):
        result = subprocess.run([XIAOMA, "doctor"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"(?m)^kvm +(yes|no)")

    def test_unknown_verb(self):
        result = subprocess.run([XIAOMA, "boot"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 125)
        self.assertIn("boot", result.stderr)

    def test_statuses_under_qemus_name(self):
        with tempfile.TemporaryDirectory() as directory:
            name = os.path.join(directory, "qemu-system-x86_64")
            os.symlink(XIAOMA, name)

            def status(*words):
                return subprocess.run([name, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode

            def program(code):
                path = os.path.join(directory, "boot.img")
                with open(path, "wb") as file:
                    file.write(code.ljust(510, b"\x90") + b"\x55\xaa")
                return ["-drive", f"file={path},format=raw", "-display", "none", "-no-reboot", "-serial", "null"]

            self.assertEqual(status("-version"), 0)
            self.assertEqual(status("-kernl", "x"), 1)
            self.assertEqual(status("-kernel", "/nonexistent"), 1)
            # An IDT of limit 0 and an interrupt: a triple fault. `xiaoma run` itself ends with 101.
            self.assertEqual(status(*program(b"\x2e\x0f\x01\x1e\x40\x7c\xcc".ljust(64, b"\0"))), 0)
            # A value written to isa-debug-exit is the guest's: (value << 1) | 1.
            self.assertEqual(status(*program(b"\xb0\x31\xe6\xf4\xf4"), "-device", "isa-debug-exit,iobase=0xf4"), 0x63)

    def test_device_help(self):
        text = subprocess.run([XIAOMA, "run", "-device", "help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("virtio-blk-pci", text)
        text = subprocess.run([XIAOMA, "run", "-device", "virtio-net-pci,help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("netdev", text)


if __name__ == "__main__":
    unittest.main()
