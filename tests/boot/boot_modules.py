# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs with drivers of Debian's cloud kernel, which has virtio, IDE and CD as modules, and a script to run."""

import gzip
import os
import shutil
import subprocess
import tempfile

from guest import CACHE, ROOT

# In the order in which each needs what stands before it.
DRIVERS = ["failover", "net_failover", "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
           "virtio_net", "virtio_blk", "scsi_common", "scsi_mod", "libata", "ata_piix", "sd_mod", "cdrom", "sr_mod"]


def unpacked_kernel():
    """The tree of the kernel's package, the one whose vmlinuz is in CACHE."""
    tree = os.path.join(CACHE, "kernel-package")
    if not os.path.isdir(tree):
        depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], check=True, capture_output=True,
                                 text=True).stdout
        package = next(line.split()[1] for line in depends.splitlines() if "Depends: linux-image" in line)
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True, capture_output=True)
            archive = next(name for name in os.listdir(work) if name.endswith(".deb"))
            subprocess.run(["dpkg-deb", "-x", archive, "unpacked"], cwd=work, check=True)
            os.rename(os.path.join(work, "unpacked"), tree)
    return tree


def kernel():
    boot = os.path.join(unpacked_kernel(), "boot")
    return os.path.join(boot, next(name for name in os.listdir(boot) if name.startswith("vmlinuz")))


def initrd(name, script):
    """The path of an initramfs that loads all of DRIVERS and then runs the script."""
    found = {}
    for folder, _, files in os.walk(os.path.join(unpacked_kernel(), "lib", "modules")):
        found.update({file[:-3]: os.path.join(folder, file) for file in files if file.endswith(".ko")})
    path = os.path.join(CACHE, name + ".cpio.gz")
    with tempfile.TemporaryDirectory() as work:
        drivers, program = os.path.join(work, "drivers"), os.path.join(work, "script")
        os.mkdir(drivers)
        for driver in DRIVERS:
            shutil.copy(found[driver], drivers)
        with open(program, "w", encoding="ascii") as file:
            file.write(f"for m in {' '.join(DRIVERS)}; do insmod /drivers/$m.ko; done\n" + script)
        base = os.path.join(work, "base.gz")
        subprocess.run([os.path.join(ROOT, "images", "busybox_initramfs.sh"), base, program], check=True)
        names = "drivers\n" + "".join(f"drivers/{driver}.ko\n" for driver in DRIVERS)
        more = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=work, input=names.encode(), check=True,
                              capture_output=True).stdout
        with open(path, "wb") as file, open(base, "rb") as first:
            file.write(first.read() + gzip.compress(more))  # the kernel unpacks one archive after the other
    return path
