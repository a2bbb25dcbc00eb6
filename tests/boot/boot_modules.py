# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs with drivers of Debian's kernels (cloud or full), in which nearly all drivers are modules, and a script to run."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile

from guest import CACHE, ROOT

CLOUD, FULL = "linux-image-cloud-amd64", "linux-image-amd64"
DRIVERS = ["virtio_pci", "virtio_net", "virtio_blk", "ata_piix", "sd_mod", "sr_mod"]


def unpacked_kernel(package=CLOUD):
    """The tree of the kernel's package; it is unpacked, not installed."""
    tree = os.path.join(CACHE, "kernel-package" if package == CLOUD else package)
    if not os.path.isdir(tree):
        def real_name():
            listing = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True).stdout
            return next((line.split()[1] for line in listing.splitlines() if "Depends: linux-image" in line), None)
        name = real_name()
        if name is None:  # the lists of a fresh machine are empty
            subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
            name = real_name()
        unpack(name, tree)
    return tree


def unpack(package, tree):
    """Fetches one Debian package and unpacks it as the folder `tree`."""
    if os.path.isdir(tree):
        return tree
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True, capture_output=True)
        archive = next(name for name in os.listdir(work) if name.endswith(".deb"))
        subprocess.run(["dpkg-deb", "-x", archive, "unpacked"], cwd=work, check=True)
        os.rename(os.path.join(work, "unpacked"), tree)
    return tree


def kernel(package=CLOUD):
    boot = os.path.join(unpacked_kernel(package), "boot")
    return os.path.join(boot, next(name for name in os.listdir(boot) if name.startswith("vmlinuz")))


def in_order(wanted, found):
    """The wanted modules and those they need, each after what it needs (the `depends=` words in the modules themselves).
    Names without a file are built into the kernel."""
    order = []

    def add(name):
        if name in order or name not in found:
            return
        with open(found[name], "rb") as file:
            needs = re.search(rb"\0depends=([^\0]*)\0", file.read())
        for needed in needs.group(1).decode().split(",") if needs else []:
            add(needed.replace("-", "_"))
        order.append(name)

    for name in wanted:
        add(name)
    return order


def initrd(name, script, drivers=DRIVERS, package=CLOUD):
    """The path of an initramfs that loads the drivers and then runs the script."""
    found = {}
    for folder, _, files in os.walk(os.path.join(unpacked_kernel(package), "lib", "modules")):
        found.update({file[:-3].replace("-", "_"): os.path.join(folder, file) for file in files if file.endswith(".ko")})
    order = in_order(drivers, found)
    path = os.path.join(CACHE, name + ".cpio.gz")
    with tempfile.TemporaryDirectory() as work:
        folder, program = os.path.join(work, "drivers"), os.path.join(work, "script")
        os.mkdir(folder)
        for driver in order:
            shutil.copy(found[driver], os.path.join(folder, driver + ".ko"))
        with open(program, "w", encoding="ascii") as file:
            file.write(f"for m in {' '.join(order)}; do insmod /drivers/$m.ko; done\n" + script)
        base = os.path.join(work, "base.gz")
        subprocess.run([os.path.join(ROOT, "images", "busybox_initramfs.sh"), base, program], check=True)
        names = "drivers\n" + "".join(f"drivers/{driver}.ko\n" for driver in order)
        more = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=work, input=names.encode(), check=True,
                              capture_output=True).stdout
        with open(path, "wb") as file, open(base, "rb") as first:
            file.write(first.read() + gzip.compress(more))  # the kernel unpacks one archive after the other
    return path
