#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps every processor of our kernel busy for some time and asks the shell now and then whether it is alive.

stress.py [--build DIR] [--machine qemu|xiaoma] [--cpus N] [--minutes N] [--echo]
Workers: processes that come and go, pipelines, files on tmpfs and on an ext4 disk, timers, signals, reading /proc and /sys, threads with
futexes, and terminal output. It fails when the shell does not answer within two minutes, when a worker stops, or when the kernel complains;
e2fsck judges the disk at the end."""
import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ext4  # noqa: E402
from console import Guest, GuestError  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKERS = {
    'processes': 'while :; do /bin/true; (exit 3); sh -c "sh -c true"; n=$((n+1)); echo $n > /run/processes; done',
    'pipes': 'while :; do head -c 300000 /dev/zero | tr "\\0" x | gzip | gunzip | wc -c > /run/last; n=$((n+1)); echo $n > /run/pipes; done',
    'tmpfs': 'while :; do cp /bin/busybox /run/t1; mv /run/t1 /run/t2; cmp /bin/busybox /run/t2 || exit; rm /run/t2; n=$((n+1)); echo $n > /run/tmpfs; done',
    'disk': 'while :; do cp -r /etc /data/d$((n%5)) 2>/dev/null; dd if=/dev/zero of=/data/f$((n%3)) bs=64k count=20 2>/dev/null; rm -rf /data/d$(((n+2)%5)); [ $((n%7)) = 0 ] && sync; n=$((n+1)); echo $n > /run/disk; done',
    'timers': 'while :; do sleep 0.01; timeout 0.05 sleep 5; n=$((n+1)); echo $n > /run/timers; done',
    'signals': 'while :; do sh -c "while :; do :; done" & p=$!; kill -STOP $p; kill -CONT $p; kill $p; wait $p 2>/dev/null; n=$((n+1)); echo $n > /run/signals; done',
    'proc': 'while :; do cat /proc/[0-9]*/stat /proc/*/maps /proc/meminfo /proc/interrupts > /dev/null 2>&1; find /sys > /dev/null; n=$((n+1)); echo $n > /run/proc; done',
    'busy': 'while :; do n=$((n+1)); [ $((n%20000)) = 0 ] && echo $n > /run/busy; done',
}
INIT = """#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
export PS1='# '
exec setsid -c /bin/sh
"""


def make_disk(image, root):
    ext4.make_disk(image, root, ['-b', '4096'], 160)
    for name in ('sys', 'run', 'etc/one/two'):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for n in range(30):
        with open(os.path.join(root, 'etc/one', f'file{n}'), 'w') as f:
            f.write(f'{n}\n' * n * 50)
    for name, text in (('sbin/init', INIT), *((f'bin/w-{w}', f'#!/bin/sh\nn=0\n{line}\n') for w, line in WORKERS.items())):
        with open(os.path.join(root, name), 'w') as f:
            f.write(text)
        os.chmod(os.path.join(root, name), 0o755)
    os.unlink(image)
    subprocess.run([ext4.tool('mke2fs'), '-q', '-F', '-t', 'ext4', '-d', root, image, '160M'], check=True, capture_output=True)


def counts(guest):
    _, text = guest.run('for w in ' + ' '.join(WORKERS) + '; do echo $w $(cat /run/$w); done', 120)
    return dict(line.split() for line in text.splitlines() if len(line.split()) == 2)


def stress(guest, minutes):
    guest.expect(rb'# ', 120)
    for name in WORKERS:
        guest.run(f'w-{name} > /dev/null 2>&1 & :', 120)
    end = time.monotonic() + minutes * 60
    before, standing = {}, {}
    while time.monotonic() < end:
        time.sleep(min(15, max(0, end - time.monotonic())))
        now = counts(guest)
        for name in WORKERS:
            standing[name] = standing.get(name, 0) + 1 if now.get(name) == before.get(name) else 0
            if standing[name] > 8:
                raise GuestError(f'worker {name} stands still at {now.get(name)}')
        before = now
    print('turns:', ', '.join(f'{k} {v}' for k, v in before.items()))
    _, text = guest.run("dmesg | grep -E 'BUG at|Kernel panic|Oops|lock order' | head", 120)
    if text.strip():
        raise GuestError(text)
    guest.run('for w in ' + ' '.join(WORKERS) + '; do killall w-$w; done; sleep 1; sync', 240)
    guest.run('mount -o remount,ro /; cat /proc/mounts', 240)
    guest.send('poweroff -f\n')
    guest.process.wait(120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    parser.add_argument('--machine', default='qemu')
    parser.add_argument('--cpus', type=int, default=4)
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--echo', action='store_true')
    args = parser.parse_args()
    out = os.path.join(args.build, 'guest-os', 'stress')
    os.makedirs(out, exist_ok=True)
    image = os.path.join(out, f'stress-{args.machine}.img')
    make_disk(image, os.path.join(out, f'root-{args.machine}'))
    program = [os.path.join(args.build, 'bin', 'xiaoma'), 'run'] if args.machine == 'xiaoma' else ['qemu-system-x86_64']
    guest = Guest([*program, '-kernel', os.path.join(args.build, 'guest-os', 'vmxiaoma'), '-append',
                   'console=ttyS0 panic=-1 quiet root=/dev/vda rootfstype=ext4 rw', '-m', '256M', '-smp', str(args.cpus), '-display', 'none',
                   '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none', '-drive', f'file={image},format=raw,if=none,id=d',
                   '-device', 'virtio-blk-pci,drive=d'], args.echo)
    try:
        stress(guest, args.minutes)
    except (GuestError, subprocess.TimeoutExpired) as error:
        print(f'FAIL  {error}')
        return 1
    finally:
        guest.close()
    status, text = ext4.fsck(image)
    print('ok' if status == 0 else f'FAIL  e2fsck: {text}')
    return status


if __name__ == '__main__':
    sys.exit(main())
