#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the system-call programs of a built Linux Test Project under a kernel in QEMU and notes how each ended.

ltp.py --ltp FOLDER --out FILE [--kernel FILE] [--modules FOLDER] [--only REGEX] [--like FILE] [--cpus N] [--seconds N]
ltp.py --compare REFERENCE OURS

FOLDER is a source tree of the suite after ./configure LDFLAGS=-static && make. Its programs go onto an ext4 image (kept beside --out).
--kernel is the guest kernel unless told otherwise; a Linux kernel whose virtio-blk is a module needs --modules FOLDER with virtio*.ko.
--like runs only what passed in an earlier FILE. FILE gets lines "name status milliseconds"; statuses are exit codes as the suite has them
(0 passed, 4 warned, 32 not applicable), 256 + signal, 1000: time limit, 1001: the machine stopped. FILE.log has what the failing ones said."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from console import Guest, GuestError  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MODULES = ('virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk')
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue /tmp /ltp /ltproot/testcases
ln -s /ltp/bin /ltproot/testcases/bin
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue 2>/dev/null
mount -t tmpfs -o mode=1777 tmp /tmp
for turn in 1 2 3; do  # in whatever order they need each other
  for m in %s; do [ -f /modules/$m.ko ] && insmod /modules/$m.ko 2>/dev/null; done
done
mount -t ext4 -o ro /dev/vda /ltp || echo 'no programs'
ln -sf /proc/self/fd /dev/fd
ifconfig lo 127.0.0.1 up 2>/dev/null
export PATH=/ltp/bin:/bin:/sbin:/usr/bin:/usr/sbin HOME=/root LTPROOT=/ltproot LTP_DEV=/dev/vdb LTP_DEV_FS_TYPE=ext4 TMPDIR=/tmp KCONFIG_PATH=/ltp/config LTP_TIMEOUT_MUL=4 LTP_COLORIZE_OUTPUT=n
dmesg -n 1 2>/dev/null
first=$(sed 's/.*ltp_first=\\([0-9]*\\).*/\\1/' /proc/cmdline)
setsid run_list /list $first %d < /dev/null > /dev/console 2>&1
poweroff -f
"""


def commands(ltp, only):
    """(name, command line) of every entry of the suite's list whose program was built."""
    found = []
    built = {}
    for folder, _, files in os.walk(os.path.join(ltp, 'testcases')):
        for f in files:
            path = os.path.join(folder, f)
            if os.access(path, os.X_OK) and '.' not in f:
                built[f] = path
            elif f.endswith('.sh'):
                built[f] = path
    for line in open(os.path.join(ltp, 'runtest', 'syscalls')):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        name, command = line.split(None, 1)
        if command.split()[0] in built and (not only or re.search(only, name)):
            found.append((name, command))
    return found, built


def make_disk(image, built, config):
    """All programs, stripped, on one ext4 image."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(image)) as work:
        os.makedirs(os.path.join(work, 'bin'))
        for name, path in built.items():
            with open(path, 'rb') as f:
                is_program = f.read(4) == b'\x7fELF'
            target = os.path.join(work, 'bin', name)
            if not is_program or subprocess.run(['strip', '-o', target, path], capture_output=True).returncode != 0:
                shutil.copy(path, target)
        if config:
            shutil.copy(config, os.path.join(work, 'config'))
        size = sum(os.path.getsize(os.path.join(work, 'bin', n)) for n in os.listdir(os.path.join(work, 'bin')))
        if os.path.exists(image):
            os.remove(image)
        subprocess.run(['/sbin/mke2fs', '-q', '-t', 'ext4', '-d', work, image, f'{size // 1048576 * 11 // 10 + 64}M'], check=True)


def with_libraries(program, target):
    """Arguments that add a dynamic program of this machine and what it is linked with."""
    if not os.path.exists(program):
        return []
    add = [f'--add={program}:{target}']
    for line in subprocess.run(['ldd', program], capture_output=True, text=True).stdout.splitlines():
        found = re.search(r'(/\S+) \(0x', line)
        if found:
            add.append(f'--add={found.group(1)}:{found.group(1)[1:]}')
    return add


def make_initrd(out, tests, modules, seconds):
    with tempfile.TemporaryDirectory() as work:
        add = []
        runner = os.path.join(work, 'run_list')
        subprocess.run(['gcc', '-O1', '-w', '-static', '-o', runner, os.path.join(HERE, 'programs', 'run_list.c')], check=True)
        listing = os.path.join(work, 'list')
        with open(listing, 'w') as f:
            f.writelines(f'{name} {command}\n' for name, command in tests)
        init = os.path.join(work, 'init')
        with open(init, 'w') as f:
            f.write(INIT % (' '.join(MODULES), seconds))
        if modules:
            for m in MODULES:
                for folder, _, files in os.walk(modules):
                    if m + '.ko' in files:
                        add.append(f'--add={os.path.join(folder, m + ".ko")}:modules/{m}.ko')
        if os.path.exists('/bin/bash-static'):
            add.append('--add=/bin/bash-static:bin/bash')
        for target in ('mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'):
            add += with_libraries('/sbin/mke2fs', f'sbin/{target}')
        for program in ('/sbin/debugfs', '/sbin/tune2fs'):
            add += with_libraries(program, program[1:])
        subprocess.run([sys.executable, os.path.join(TOP, 'images', 'mkinitramfs.py'), out, '--init', init, f'--add={runner}:usr/bin/run_list',
                        f'--add={listing}:list', *add], check=True)


def run_from(args, initrd, disk, tests, first, out, log):
    """Runs tests from number `first` on until the machine ends; returns where to go on."""
    scratch = initrd + '.scratch'
    command = ['qemu-system-x86_64', '-kernel', args.kernel, '-initrd', initrd, '-append', f'console=ttyS0 panic=-1 quiet {args.append} ltp_first={first}',
               '-m', args.memory, '-smp', str(args.cpus), '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none',
               '-drive', f'file={disk},format=raw,if=virtio,readonly=on', '-drive', f'file={scratch},format=raw,if=virtio', '-device', 'virtio-rng-pci']
    with open(scratch, 'wb') as f:
        f.truncate(320 << 20)
    guest = Guest(command)
    current = first
    try:
        while True:
            m = guest.expect(rb'@> (\d+) (\S+)\r?\n|@@@ end', 180)
            if m.group(0) == b'@@@ end':
                return len(tests)
            current = int(m.group(1))
            m = guest.expect(rb'(.*?)\n@@ (\S+) (\d+) (\d+)\r?\n', args.seconds * 3 + 60)
            status = int(m.group(3))
            out.write(f'{tests[current][0]} {status} {int(m.group(4))}\n')
            out.flush()
            if status != 0:
                log.write(f'=== {tests[current][0]} ({status})\n{m.group(1).decode("latin1")}\n')
                log.flush()
            guest.log = guest.log[guest.position:]
            guest.position = 0
    except GuestError as error:
        out.write(f'{tests[current][0]} 1001 0\n')
        log.write(f'=== {tests[current][0]} (1001)\n{guest.log.decode("latin1")[-6000:]}\n{error}\n')
        return current + 1
    finally:
        guest.close()


def read_results(path):
    results = {}
    for line in open(path):
        name, status, _ = line.split()
        results[name] = int(status)
    return results


def compare(reference, ours):
    a, b = read_results(reference), read_results(ours)
    passing = [n for n in a if a[n] == 0]
    both = [n for n in passing if b.get(n) == 0]
    print(f'pass in the reference: {len(passing)}, of these here: {len(both)}; here alone: {sum(1 for n in b if b[n] == 0 and a.get(n, 1) != 0)}')
    groups = {re.sub(r'(_\d+)?\d*[a-zA-Z]?(_\d+)?$', '', n) for n in passing}
    bad = {re.sub(r'(_\d+)?\d*[a-zA-Z]?(_\d+)?$', '', n) for n in passing if b.get(n) != 0}
    print(f'groups: {len(groups)}, of these whole: {len(groups - bad)}')
    print('different: ' + ' '.join(f'{n}({b.get(n, "-")})' for n in passing if b.get(n) != 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ltp')
    parser.add_argument('--out')
    parser.add_argument('--kernel', default=os.path.join(TOP, 'build', 'release', 'guest-os', 'vmxiaoma'))
    parser.add_argument('--modules')
    parser.add_argument('--config', help='kernel configuration that the programs read to see what to expect')
    parser.add_argument('--append', default='')
    parser.add_argument('--only', default='')
    parser.add_argument('--like')
    parser.add_argument('--disk', help='an image of an earlier run, to save time')
    parser.add_argument('--memory', default='1G')
    parser.add_argument('--cpus', type=int, default=2)
    parser.add_argument('--seconds', type=int, default=120)
    parser.add_argument('--compare', nargs=2)
    args = parser.parse_args()
    if args.compare:
        return compare(*args.compare)
    tests, built = commands(args.ltp, args.only)
    if args.like:
        passed = read_results(args.like)
        tests = [t for t in tests if passed.get(t[0]) == 0]
    disk = args.disk or args.out + '.img'
    if not args.disk or not os.path.exists(disk):
        make_disk(disk, built, args.config)
    initrd = args.out + '.cpio.gz'
    make_initrd(initrd, tests, args.modules, args.seconds)
    print(f'{len(tests)} tests')
    first = 0
    with open(args.out, 'w') as out, open(args.out + '.log', 'w') as log:
        while first < len(tests):
            first = run_from(args, initrd, disk, tests, first, out, log)
    results = read_results(args.out)
    print({s: sum(1 for r in results.values() if r == s) for s in sorted(set(results.values()))})
    return 0


if __name__ == '__main__':
    sys.exit(main())
