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

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from system_tree import INIT, system_tree  # noqa: E402


def archive(entries):
    """The entries, sorted by name, as cpio "newc"."""
    out = bytearray()
    for number, name in enumerate(sorted(entries), 1):
        mode, data, rdev = entries[name]
        record(out, number, name, mode, data, rdev, 2 if mode >> 12 == 4 else 1)
    record(out, 0, 'TRAILER!!!', 0, b'', (0, 0), 1)
    out += bytes(-len(out) % 512)
    return bytes(out)


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

    a = system_tree(args.busybox, bash=None)
    a.put('dev/console', 0o020600, rdev=(5, 1))
    a.put('dev/null', 0o020666, rdev=(1, 3))
    a.put('init', 0o100755, open(args.init, 'rb').read() if args.init else INIT.encode())
    for item in args.add:
        source, _, target = item.partition(':')
        mode = 0o100755 if os.access(source, os.X_OK) else 0o100644
        a.put(target or os.path.basename(source), mode, open(source, 'rb').read())

    data = archive(a.entries)
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
