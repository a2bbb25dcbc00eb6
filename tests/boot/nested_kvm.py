# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM on hardware virtualization where the host has none: QEMU's TCG plays a processor with SVM, Debian's kernel with its
kvm-amd module runs on it, and in that this emulator under -accel kvm. Slow, but it is the kernel's whole KVM.

    python3 tests/boot/nested_kvm.py [--debian]      about two minutes on an idle machine; --debian: its kernel as the guest, too

test_nested_kvm.py runs it when XM_NESTED_KVM is set.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guest import BUILD, CACHE, ROOT, XIAOMA  # noqa: E402

MODULES = ("irqbypass", "ccp", "kvm", "kvm-amd")
APPLETS = ("sh", "mount", "insmod", "cat", "grep", "sleep", "poweroff", "tail")

INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in irqbypass ccp kvm kvm-amd; do insmod /mod/$m.ko; done
X=/xm/bin/xiaoma
boot() {  # NAME PATTERN WORDS...: a guest that must say PATTERN
  name=$1 pattern=$2; shift 2
  : > /tmp/$name
  $X run -display none -serial file:/tmp/$name -monitor unix:/tmp/m.$name,server=on,wait=off "$@" < /dev/null &
  i=0
  while [ $i -lt 300 ] && ! grep -q "panic\\|$pattern" /tmp/$name; do sleep 1; i=$((i+1)); done
  grep -q "$pattern" /tmp/$name && ! grep -q panic /tmp/$name && echo "RESULT $name ok" || { echo "RESULT $name failed"; tail -n 30 /tmp/$name; }
}
OWN="-m 64 -kernel /xm/guest/vmxiaoma -initrd /xm/guest/initramfs -append console=ttyS0"
$X doctor | grep kvm
boot one "~ # " -accel kvm $OWN; $X ctl /tmp/m.one "info engine"; $X ctl /tmp/m.one quit
boot two "~ # " -accel kvm -smp 2 $OWN; $X ctl /tmp/m.two quit
boot switched "~ # " -accel kvm:interp $OWN
i=0
while [ $i -lt 10 ]; do $X ctl /tmp/m.switched "engine interp"; $X ctl /tmp/m.switched "engine kvm"; i=$((i+1)); done
$X ctl /tmp/m.switched "engine"; $X ctl /tmp/m.switched "info status"; $X ctl /tmp/m.switched quit
if [ -f /xm/guest/vmlinuz ]; then
  boot debian "busybox shell" -accel kvm -m 256 -kernel /xm/guest/vmlinuz -initrd /xm/guest/busybox -append console=ttyS0
fi
echo ALL-DONE
poweroff -f
"""


def host_kernel(folder):
    """Debian's kernel with modules, from its package; only unpacked."""
    text = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", text).group(1)
    subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", glob.glob(os.path.join(folder, "linux-image-*.deb"))[0], os.path.join(folder, "kernel")],
                   check=True)
    return glob.glob(os.path.join(folder, "kernel", "boot", "vmlinuz-*"))[0]


def build_initramfs(folder, own_initramfs, debian):
    root = os.path.join(folder, "root")
    for name in ("bin", "proc", "sys", "dev", "tmp", "mod", "xm/bin", "xm/firmware", "xm/guest"):
        os.makedirs(os.path.join(root, name))
    shutil.copy("/bin/busybox", os.path.join(root, "bin"))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(root, "bin", applet))
    for module in MODULES:
        found = glob.glob(os.path.join(folder, "kernel", "**", module + ".ko"), recursive=True)
        shutil.copy(found[0], os.path.join(root, "mod"))
    subprocess.run(["strip", "-o", os.path.join(root, "xm/bin/xiaoma"), XIAOMA], check=True)
    for image in glob.glob(os.path.join(BUILD, "firmware", "*.bin")):
        shutil.copy(image, os.path.join(root, "xm/firmware"))
    guests = {os.path.join(BUILD, "guest-os", "vmxiaoma"): "vmxiaoma", own_initramfs: "initramfs", **debian}
    for path, name in guests.items():
        shutil.copy(path, os.path.join(root, "xm/guest", name))
    libraries = subprocess.run(["ldd", XIAOMA], check=True, capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+)", libraries):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, root + path)
    with open(os.path.join(root, "init"), "w") as file:
        file.write(INIT)
    os.chmod(os.path.join(root, "init"), 0o755)
    out = os.path.join(folder, "initramfs")
    subprocess.run(f"cd {root} && find . | cpio -o -H newc --quiet | gzip -1 > {out}", shell=True, check=True)
    return out


def run(debian=False, timeout=1500):
    """Text of the run, and {guest: True if it came up}."""
    with tempfile.TemporaryDirectory(prefix="xm-nested-") as folder:
        kernel = host_kernel(folder)
        own = os.path.join(folder, "own.cpio.gz")
        subprocess.run(["python3", os.path.join(ROOT, "images", "mkinitramfs.py"), own], check=True, capture_output=True)
        more = {}
        if debian:
            subprocess.run([os.path.join(ROOT, "images", "debian_kernel.sh"), CACHE], check=True, capture_output=True)
            more = {os.path.join(CACHE, "vmlinuz"): "vmlinuz", os.path.join(CACHE, "busybox.cpio.gz"): "busybox"}
        initramfs = build_initramfs(folder, own, more)
        log = os.path.join(folder, "log")
        with open(log, "wb") as out:
            try:
                subprocess.run(["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "EPYC,+svm", "-m", "1024", "-kernel", kernel,
                                "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1", "-nographic", "-no-reboot", "-nic",
                                "none"], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=timeout)
            except subprocess.TimeoutExpired:
                out.write(b"\nTIMEOUT\n")
        with open(log, errors="replace") as file:
            text = file.read()
        return text, {name: word == "ok" for name, word in re.findall(r"RESULT (\w+) (ok|failed)", text)}


if __name__ == "__main__":
    output, results = run("--debian" in sys.argv[1:])
    print(output)
    sys.exit(0 if results and all(results.values()) and "ALL-DONE" in output else 1)
