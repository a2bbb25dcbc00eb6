#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the guest kernel with an initramfs and runs the checks of level 1 over the serial console.

level1.py [--build DIR] [--emulator qemu|COMMAND] [--cpus 1,4] [--only TEXT] [--echo]
COMMAND is a command line with {kernel} {initrd} {append} {cpus}; its stdin and stdout are the serial line. A failing check prints what the
guest said. Test programs are compiled static for glibc, musl and 32-bit glibc where the host has the compilers."""
import argparse
import os
import re
import shlex
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from console import Guest, GuestError, qemu  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

# Name, command, expected status, pattern that the whole output must contain.
CHECKS = [
    ('uname', 'uname -sm', 0, r'Linux x86_64'),
    ('init is pid 1', "ps -o pid,comm | grep -c '^ *[12] '", 0, r'2'),
    ('kthreadd is task 2', 'cat /proc/2/comm', 0, r'kthreadd'),
    ('pipeline', 'echo a b c | wc -w', 0, r'^3$'),
    ('exit status', 'sh -c "exit 3"', 3, r''),
    ('killed by signal', "sh -c 'kill -9 $$'", 137, r''),
    ('files', 'mkdir /tmp/x && echo hello > /tmp/x/f && ln -s f /tmp/x/l && ln /tmp/x/f /tmp/x/h && cat /tmp/x/l && stat -c %h /tmp/x/f && rm -r /tmp/x', 0, r'hello\n2'),
    ('rename', 'cd /tmp && mkdir a b && touch a/1 && mv a/1 b/2 && ls b && mv b c && ls c && rm -r a c; cd', 0, r'2\n2'),
    ('big file', 'dd if=/dev/zero of=/tmp/big bs=1M count=20 2>/dev/null && md5sum /tmp/big && rm /tmp/big', 0, r'8f4e33f3dc3e414ff94e5fb6905cba8c'),
    ('many processes', 'i=0; while [ $i -lt 100 ]; do /bin/busybox true; i=$((i+1)); done; echo $i', 0, r'^100$'),
    ('long pipeline', 'yes | head -100000 | md5sum', 0, r'eda1b2a5649ead4aaf46ae7bb418a101'),
    ('tar and gzip', 'tar c /bin /etc 2>/dev/null | gzip | gunzip | tar t | grep -c busybox', 0, r'^1$'),
    ('sleep', 'sleep 1; echo awake', 0, r'awake'),
    ('background job', 'sleep 100 & sleep 0.2; kill $!; wait $!; echo status $?', 0, r'status 143'),
    ('ps columns', 'ps -o pid,ppid,stat,comm | head -1', 0, r'PID +PPID +STAT +COMMAND'),
    ('top', 'top -b -n 1 | head -3', 0, r'Mem:.*\n.*CPU:.*\n.*Load'),
    ('free', 'free | head -2', 0, r'Mem: +\d+ +\d+'),
    ('mounts', 'mount', 0, r'proc on /proc type proc'),
    ('df', 'df /tmp', 0, r'tmpfs'),
    ('maps', 'cat /proc/self/maps', 0, r'r-xp .*/bin/busybox\n(.*\n)*.*\[heap\]\n(.*\n)*.*\[stack\]'),
    ('fdinfo', 'cat /proc/self/fdinfo/0', 0, r'pos:\s+\d+\nflags:\s+0\d+\nmnt_id:'),
    ('interrupts', 'cat /proc/interrupts', 0, r'LOC'),
    ('buddyinfo', 'cat /proc/buddyinfo', 0, r'Node 0, zone +DMA'),
    ('slabinfo', 'grep -c task_struct /proc/slabinfo', 0, r'^1$'),
    ('null and zero', 'head -c 16 /dev/zero | od -An -tx1; echo x > /dev/null; cat /dev/null', 0, r'00 00 00 00'),
    ('random', 'head -c 8 /dev/urandom | wc -c', 0, r'^8$'),
    ('fifo', 'mkfifo /tmp/p; (echo through > /tmp/p) & cat /tmp/p; rm /tmp/p', 0, r'through'),
    ('permissions', "touch /tmp/q; chmod 600 /tmp/q; su -s /bin/sh nobody -c 'cat /tmp/q' 2>&1; rm /tmp/q", 0, r'[Pp]ermission denied'),
    ('umask', 'umask 077; touch /tmp/u; stat -c %a /tmp/u; rm /tmp/u; umask 022', 0, r'^600$'),
    ('hostname', 'hostname', 0, r'xiaoma'),
    ('sysctl', 'cat /proc/sys/kernel/osrelease', 0, r'^6\.1'),
    ('no such file', 'cat /nonexistent 2>&1', 1, r'No such file or directory'),
    ('find proc', 'find /proc -maxdepth 3 > /dev/null 2>&1; echo alive', 0, r'alive'),
    ('mount tmpfs', 'mkdir -p /mnt/t && mount -t tmpfs -o size=64k tmpfs /mnt/t && ! dd if=/dev/zero of=/mnt/t/f bs=1k count=100 2>/dev/null && umount /mnt/t && echo full', 0, r'full'),
    ('stty', 'stty -a | head -1', 0, r'speed'),
    ('ulimit', 'sh -c "ulimit -n 20; ulimit -n"', 0, r'^20$'),
]
PROGRAMS = ('process', 'threads', 'events', 'unix_sockets', 'ipc', 'tracing')
COMPILERS = {'glibc': ['gcc', '-static'], 'musl': ['musl-gcc', '-static'], 'glibc32': ['gcc', '-m32', '-static']}


def build_programs(directory):
    """Compiles what can be compiled; returns the names of the results."""
    os.makedirs(directory, exist_ok=True)
    built = []
    for libc, compiler in COMPILERS.items():
        for name in PROGRAMS:
            if libc == 'glibc32' and name in ('ipc', 'tracing'):
                continue  # ipc(2) and 32-bit tracers are not there yet
            target = os.path.join(directory, f'{name}-{libc}')
            command = [*compiler, '-O1', '-w', '-pthread', '-o', target, os.path.join(HERE, 'programs', name + '.c')]
            try:
                subprocess.run(command, check=True, capture_output=True)
                built.append(target)
            except (OSError, subprocess.CalledProcessError):
                print(f'skip  {name}-{libc}: cannot be compiled here')
    return built


def run_checks(guest, only, programs):
    failed = 0
    checks = CHECKS + [(os.path.basename(p), os.path.basename(p), 0, r' ok|counter') for p in programs]
    if os.path.exists('/bin/bash-static'):
        checks.append(('bash', "bash -c 'x=$(for i in {1..3}; do echo $((i*i)); done); echo $x; trap \"echo int\" INT; kill -INT $$'", 0, r'1 4 9\nint'))
        checks.append(('job control', "bash -c 'set -m; sleep 5 & kill -STOP %1; sleep 1; jobs; kill -CONT %1; kill %1; wait; jobs'", 0, r'Stopped(.*\n)*.*Terminated'))
    for name, command, status, pattern in checks:
        if only and only not in name:
            continue
        start = time.monotonic()
        got, output = guest.run(command, 240)
        if got == status and re.search(pattern, output, re.M):
            print(f'ok    {name} ({time.monotonic() - start:.1f} s)')
        else:
            failed += 1
            print(f'FAIL  {name}: status {got} (expected {status}), output (expected /{pattern}/):\n{output}')
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    parser.add_argument('--emulator', default='qemu')
    parser.add_argument('--cpus', default='1,4')
    parser.add_argument('--only', default='')
    parser.add_argument('--echo', action='store_true')
    args = parser.parse_args()
    kernel = os.path.join(args.build, 'guest-os', 'vmxiaoma')
    programs = build_programs(os.path.join(args.build, 'guest-os', 'test-programs'))
    initrd = os.path.join(args.build, 'guest-os', 'test-initramfs.cpio.gz')
    add = [f'--add={p}:usr/bin/{os.path.basename(p)}' for p in programs]
    if os.path.exists('/bin/bash-static'):
        add.append('--add=/bin/bash-static:bin/bash')
    subprocess.run([sys.executable, os.path.join(TOP, 'images', 'mkinitramfs.py'), initrd, *add], check=True)
    failed = 0
    for cpus in (int(n) for n in args.cpus.split(',')):
        print(f'--- {cpus} processor(s)')
        if args.emulator == 'qemu':
            command = qemu(kernel, initrd, cpus=cpus)
        else:
            values = {'kernel': kernel, 'initrd': initrd, 'append': 'console=ttyS0 panic=-1 quiet', 'cpus': cpus}
            command = [word.format(**values) for word in shlex.split(args.emulator)]
        guest = Guest(command, args.echo)
        try:
            guest.expect(rb'# ', 120)
            failed += run_checks(guest, args.only, programs)
            guest.send('poweroff -f\n')
            guest.process.wait(120)
            print('ok    power off')
        except (GuestError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f'FAIL  {error}')
        finally:
            guest.close()
    print('all passed' if failed == 0 else f'{failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
