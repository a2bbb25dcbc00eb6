# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of our kernel as user space sees them: /sys, uevents, and each kind of device by the ioctls and files its programs use."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import console  # noqa: E402
import ext4  # noqa: E402
from guest import BUILD, CACHE, ROOT, XIAOMA, Guest  # noqa: E402

QEMU = shutil.which("qemu-system-x86_64")
KERNEL = os.path.join(BUILD, "guest-os", "vmxiaoma")
PROGRAMS = os.path.join(ROOT, "tests", "guest", "programs")
# Command and a pattern its output must hold.
SYSFS = [
    ("ls /sys", r"block\s+class\s+devices[\s\S]*power"),
    ("readlink /sys/block/vda", r"^\.\./devices/pci0000:00/0000:00:0.\.0/virtio\d/block/vda$"),
    ("cd /sys/class/block/vda/; cat dev size queue/logical_block_size; cd", r"254:0\n8192\n512"),
    ("cat /sys/bus/pci/devices/0000:00:01.1/class /sys/bus/pci/devices/0000:00:01.1/vendor", r"0x010180\n0x8086"),
    ("basename $(readlink /sys/block/vda/device/driver)", r"^virtio_blk$"),
    ("basename $(readlink /sys/class/tty/ttyS0/device)", r"^serial8250$"),
    ("cat /sys/class/mem/null/uevent", r"MAJOR=1\nMINOR=3\nDEVNAME=null"),
    ("head -c 4 /sys/bus/pci/devices/0000:00:01.0/config | od -An -tx1", r"86 80 00 70"),
    ("(timeout 4 uevent env > /tmp/u &) ; sleep 1; echo add > /sys/class/mem/null/uevent; sleep 1; cat /tmp/u",
     r"ACTION=add\nDEVPATH=/devices/virtual/mem/null[\s\S]*SUBSYSTEM=mem[\s\S]*DEVNAME=null[\s\S]*SEQNUM=\d+"),
    ("mkdir /tmp/d; mount -t tmpfs d /tmp/d; mdev -s; echo mdev $?", r"mdev 0"),
]

CONSOLE = [
    ("printf '\\033[2J\\033[2;3H\\033[31mred\\303\\251' > /dev/tty1; head -c 172 /dev/vcs | tail -c 92; echo", r"  red"),
    ("head -c 4 /dev/vcsa | od -An -tu1", r"25\s+80\s+6\s+1"),
    ("dd if=/dev/vcsu bs=4 skip=85 count=1 2>/dev/null | od -An -tx1", r"e9 00 00 00"),
    ("chvt 4; console_test", r"console ok"),
    ("echo on4 > /dev/tty4; head -c 4 /dev/vcs; echo", r"^bon4"),
    ("chvt 1; openvt -w -c 2 echo opened; cat /dev/vcs2 | grep -c opened", r"^1$"),
    ("dumpkmap > /tmp/map; loadkmap < /tmp/map; echo map $?", r"map 0"),
    ("setlogcons 1; setconsole -r; resize < /dev/tty1; cat /proc/bus/input/devices", r"Keyboard|keyboard[\s\S]*Mouse"),
    ("ls /dev/input; cat /sys/class/input/mice/uevent", r"event0\s+event1\s+event2\s+mice[\s\S]*DEVNAME=input/mice"),
]

OTHERS = [
    ("hwclock -r", r"20\d\d"),
    ("date -s '2031-05-06 07:08:09' > /dev/null; hwclock -w; date -s '2001-01-01 00:00:00' > /dev/null; hwclock -s; date +%F_%H:%M",
     r"2031-05-06_07:0[89]"),
    ("cat /sys/class/rtc/rtc0/date /proc/driver/rtc", r"2031-05-06\nrtc_time\s*: 07:"),
    ("rtc_test", r"rtc ok"),
    ("head -c 600 /dev/hwrng | wc -c; head -c 32 /dev/hwrng | md5sum > /tmp/r1; head -c 32 /dev/hwrng | md5sum | cmp - /tmp/r1; echo differ $?",
     r"600[\s\S]*differ 1"),
    ("cat /proc/bus/input/devices; ls -l /dev/rtc", r"Power Button[\s\S]*rtc -> rtc0"),
]


BLOCK = [
    ("dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; awk '$3 == \"vda\" { print NF, ($4 > 0), ($6 >= 8192), $12 }' /proc/diskstats", r"^20 1 1 0$"),
    ("printf 'n\\np\\n1\\n\\n+1M\\nn\\np\\n2\\n\\n\\nw\\n' | fdisk /dev/vda > /tmp/f 2>&1; cat /proc/partitions; ls /dev/vda*",
     r"vda1\n[\s\S]*vda2[\s\S]*/dev/vda1 +/dev/vda2"),
    ("cat /sys/block/vda/vda2/partition; readlink /sys/class/block/vda2/subsystem", r"^2$[\s\S]*class/block"),
    ("exec 7< /dev/vda1; blockdev --rereadpt /dev/vda 2>&1; exec 7<&-; blockdev --rereadpt /dev/vda && echo reread", r"busy[\s\S]*^reread"),
    ("cat /sys/block/vda/queue/scheduler; echo none > /sys/block/vda/queue/scheduler; cat /sys/block/vda/queue/scheduler",
     r"\[mq-deadline\] none\n\[none\] mq-deadline"),
    ("echo mq-deadline > /sys/block/vda/queue/scheduler; direct_test /dev/vda", r"direct ok"),
    ("mkdir /tmp/m; mount -o loop /small.img /tmp/m && echo looped > /tmp/m/file; losetup -a; umount /tmp/m; losetup -d /dev/loop0 2>/dev/null; losetup -a; echo end",
     r"/dev/loop0[\s\S]*small.img\s*\nend"),
    ("mount -o loop /small.img /tmp/m && cat /tmp/m/file; umount /tmp/m", r"^looped$"),
    ("dd if=/dev/zero of=/tmp/p bs=1k count=300 2>/dev/null; losetup -o 102400 /dev/loop1 /tmp/p 2>&1 || losetup -f -o 102400 /tmp/p; cat /sys/block/loop*/size", r"^400$"),
]


INITRAMFS = {}  # made once a run


def built(names):
    """Static programs of tests/guest/programs; words for mkinitramfs."""
    os.makedirs(CACHE, exist_ok=True)
    words = []
    for name in names:
        program = os.path.join(CACHE, name)
        subprocess.run(["gcc", "-static", "-O1", "-w", "-o", program, os.path.join(PROGRAMS, name + ".c")], check=True)
        words.append(f"--add={program}:bin/{name}")
    return words


def initramfs(name, programs=(), words=()):
    if name in INITRAMFS:
        return INITRAMFS[name]
    INITRAMFS[name] = make_initramfs(name, programs, words)
    return INITRAMFS[name]


def make_initramfs(name, programs, more):
    image = os.path.join(CACHE, name + ".cpio.gz")
    words = [*built(programs), *more]
    subprocess.run([sys.executable, os.path.join(ROOT, "images", "mkinitramfs.py"), image, *words], check=True, capture_output=True)
    return image


def start(initrd, append="", program=(XIAOMA, "run"), cpus=1, extra=("-nic", "none")):
    return console.Guest([*program, "-kernel", KERNEL, "-initrd", initrd, "-append", f"console=ttyS0 panic=-1 quiet {append}", "-m", "256",
                          "-smp", str(cpus), "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", *extra])


class Checks(unittest.TestCase):
    def run_all(self, guest, checks):
        try:
            guest.expect(rb"# ", 120)
            for command, pattern in checks:
                with self.subTest(command=command):
                    _, output = guest.run(command, 120)
                    self.assertTrue(re.search(pattern, output, re.M), f"wanted {pattern!r}, the guest said:\n{output}")
        finally:
            guest.close()


class Sysfs(Checks):
    def disk(self):
        os.makedirs(CACHE, exist_ok=True)
        path = os.path.join(CACHE, "four-megabytes.img")
        with open(path, "wb") as f:
            f.truncate(4 << 20)
        return ["-nic", "none", "-drive", f"file={path},format=raw,if=virtio,snapshot=on"]

    def test_on_xiaoma(self):
        self.run_all(start(initramfs("devices"), extra=self.disk()), SYSFS)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.run_all(start(initramfs("devices"), program=[QEMU], cpus=2, extra=self.disk()), SYSFS)

    test_on_qemu.QUICK = False


class Console(Checks):
    def test_on_xiaoma(self):
        self.run_all(start(initramfs("console", ["console_test"])), CONSOLE)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.run_all(start(initramfs("console", ["console_test"]), program=[QEMU], cpus=2), CONSOLE)

    test_on_qemu.QUICK = False


class Block(Checks):
    def image(self):
        os.makedirs(CACHE, exist_ok=True)
        small = os.path.join(CACHE, "small.img")
        if os.path.exists(small):
            os.unlink(small)
        subprocess.run([ext4.tool("mke2fs"), "-q", "-F", "-t", "ext4", small, "4M"], check=True, capture_output=True)
        return initramfs("block", ["direct_test"], [f"--add={small}:small.img"])

    def test_on_xiaoma(self):
        self.run_all(start(self.image(), extra=Sysfs.disk(self)), BLOCK)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.run_all(start(self.image(), program=[QEMU], cpus=2, extra=Sysfs.disk(self)), BLOCK)

    test_on_qemu.QUICK = False


class VirtioConsole(unittest.TestCase):
    def talk(self, path, data, wanted):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(60)
        link.connect(path)
        link.sendall(data)
        got = b""
        while wanted not in got:
            more = link.recv(4096)
            self.assertTrue(more, got)
            got += more
        link.close()

    def session(self, program):
        with tempfile.TemporaryDirectory() as folder:
            console_path, port_path = os.path.join(folder, "console"), os.path.join(folder, "port")
            guest = start(initramfs("devices"), program=program, cpus=2, extra=[
                "-nic", "none", "-device", "virtio-serial-pci", "-chardev", f"socket,id=c0,path={console_path},server=on,wait=off",
                "-device", "virtconsole,chardev=c0", "-chardev", f"socket,id=c1,path={port_path},server=on,wait=off",
                "-device", "virtserialport,chardev=c1,name=org.test.port"])
            try:
                guest.expect(rb"# ", 120)
                _, text = guest.run("sleep 1; cat /sys/class/virtio-ports/vport0p1/name; (setsid sh -c 'exec sh < /dev/hvc0 > /dev/hvc0 2>&1' &); echo", 60)
                self.assertIn("org.test.port", text)
                self.talk(console_path, b"echo hi $((6*7))\n", b"hi 42")
                guest.send("(while [ ! -s /tmp/x ]; do head -c 5 /dev/vport0p1 > /tmp/x; sleep 0.1; done; echo got $(cat /tmp/x) > /dev/vport0p1) &\n")
                self.talk(port_path, b"hello", b"got hello")
            finally:
                guest.close()

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.session([QEMU])

    def test_on_xiaoma(self):  # it has console ports only
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "console")
            guest = start(initramfs("devices"), extra=["-nic", "none", "-device", "virtio-serial-pci", "-chardev",
                                                       f"socket,id=c0,path={path},server=on,wait=off", "-device", "virtconsole,chardev=c0"])
            try:
                guest.expect(rb"# ", 120)
                guest.run("(setsid sh -c 'exec sh < /dev/hvc0 > /dev/hvc0 2>&1' &); echo", 60)
                self.talk(path, b"echo hi $((6*7))\n", b"hi 42")
            finally:
                guest.close()


class Framebuffer(Checks):
    CHECKS = [("cat /proc/fb; stty -F /dev/tty1 size; cat /sys/class/graphics/fb0/virtual_size", r"^0 \w[\s\S]*^37 100$[\s\S]*^800,600$"),
              ("echo 'on the framebuffer' > /dev/tty1; fb_test", r"fb ok"),
              ("chvt 2; fb_test; chvt 1", r"fb ok")]

    def test_on_xiaoma(self):
        self.run_all(start(initramfs("fb", ["fb_test"]), "video=800x600 console=tty0 console=ttyS0", extra=["-nic", "none", "-vga", "std"]), self.CHECKS)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.run_all(start(initramfs("fb", ["fb_test"]), "video=800x600 console=tty0 console=ttyS0", program=[QEMU],
                           extra=["-nic", "none", "-vga", "std"]), self.CHECKS)

    test_on_qemu.QUICK = False


class Others(Checks):
    def test_on_xiaoma(self):
        self.run_all(start(initramfs("others", ["rtc_test"]), extra=["-nic", "none", "-device", "virtio-rng-pci"]), OTHERS)

    @unittest.skipUnless(QEMU, "needs qemu-system-x86_64")
    def test_on_qemu(self):
        self.run_all(start(initramfs("others", ["rtc_test"]), program=[QEMU], extra=["-nic", "none", "-device", "virtio-rng-pci"]), OTHERS)

    test_on_qemu.QUICK = False

    def test_power_button(self):
        with Guest(["-m", "128", "-kernel", KERNEL, "-initrd", initramfs("devices"), "-append", "console=ttyS0 quiet rdinit=/sbin/init autologin",
                    "-nographic", "-no-reboot"], monitor=True) as guest:
            guest.expect("# ", timeout=120)
            guest.monitor("system_powerdown")
            self.assertEqual(guest.wait_exit(60), 0)


if __name__ == "__main__":
    unittest.main()
