#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mkinitramfs.py OUT.cpio.gz [--busybox FILE] [--add SOURCE:TARGET]... [--init FILE] [--zstd | --plain]

Builds the initramfs of the guest OS: Debian's busybox-static with links for its applets, an /init, and a few files of /etc. The same input
gives the same bytes: entries are sorted, times are zero, gzip stores no name. Needs no root: device nodes and owners are only written into
the archive ("newc" form, man 5 cpio)."""
import argparse
import gzip
import os
import subprocess
import sys

INIT = """#!/bin/sh
# First program of the initramfs: mounts what user space expects, then a shell on the console (or the program that init= names).
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /dev/shm 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /tmp 2>/dev/null
mount -t tmpfs -o mode=755 tmpfs /run 2>/dev/null
hostname xiaoma
[ -x /etc/rc ] && . /etc/rc
exec setsid -c /bin/sh -l
"""
PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
users:x:100:
nogroup:x:65534:
"""
PROFILE = """export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root PS1='\\w # '
cd /root
"""


class Archive:
    """Entries by name; written out sorted, each directory before what it holds."""

    def __init__(self):
        self.entries = {}

    def put(self, name, mode, data=b'', rdev=(0, 0)):
        name = name.strip('/')
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.put(parent, 0o040755)
        self.entries[name] = (mode, data, rdev)

    def bytes(self):
        out = bytearray()
        for number, name in enumerate(sorted(self.entries), 1):
            mode, data, rdev = self.entries[name]
            self.record(out, number, name, mode, data, rdev, 2 if mode >> 12 == 4 else 1)
        self.record(out, 0, 'TRAILER!!!', 0, b'', (0, 0), 1)
        out += bytes(-len(out) % 512)
        return bytes(out)

    @staticmethod
    def record(out, ino, name, mode, data, rdev, nlink):
        fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0, rdev[0], rdev[1], len(name) + 1, 0)
        out += b'070701' + b''.join(b'%08x' % f for f in fields) + name.encode() + b'\0'
        out += bytes(-len(out) % 4)
        out += data
        out += bytes(-len(out) % 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out')
    parser.add_argument('--busybox', default='/bin/busybox')
    parser.add_argument('--add', action='append', default=[], metavar='SOURCE:TARGET')
    parser.add_argument('--init', help='use this file as /init')
    parser.add_argument('--zstd', action='store_true')
    parser.add_argument('--plain', action='store_true')
    args = parser.parse_args()

    a = Archive()
    for d in ('bin', 'sbin', 'usr/bin', 'usr/sbin', 'etc', 'proc', 'sys', 'dev', 'run', 'mnt', 'var/log', 'var/run', 'lib'):
        a.put(d, 0o040755)
    a.put('root', 0o040700)
    a.put('tmp', 0o041777)
    a.put('dev/console', 0o020600, rdev=(5, 1))
    a.put('dev/null', 0o020666, rdev=(1, 3))
    a.put('bin/busybox', 0o100755, open(args.busybox, 'rb').read())
    applets = subprocess.run([args.busybox, '--list-full'], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != 'bin/busybox' and applet.strip('/') not in a.entries:
            a.put(applet, 0o120777, b'/bin/busybox')
    a.put('etc/passwd', 0o100644, PASSWD.encode())
    a.put('etc/group', 0o100644, GROUP.encode())
    a.put('etc/profile', 0o100644, PROFILE.encode())
    a.put('etc/hostname', 0o100644, b'xiaoma\n')
    a.put('etc/hosts', 0o100644, b'127.0.0.1 localhost xiaoma\n')
    a.put('init', 0o100755, open(args.init, 'rb').read() if args.init else INIT.encode())
    for item in args.add:
        source, _, target = item.partition(':')
        mode = 0o100755 if os.access(source, os.X_OK) else 0o100644
        a.put(target or os.path.basename(source), mode, open(source, 'rb').read())

    data = a.bytes()
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    if args.plain:
        packed = data
    elif args.zstd:
        packed = subprocess.run(['zstd', '-19', '-q', '--no-check', '-c'], input=data, capture_output=True, check=True).stdout
    else:
        packed = gzip.compress(data, 9, mtime=0)
    with open(args.out, 'wb') as f:
        f.write(packed)


if __name__ == '__main__':
    sys.exit(main())
