#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the guest kernel from an ext4 root partition that mke2fs made, on a virtio disk, without an initramfs.

disk.py [--build DIR] [--echo]
Checks that init comes from the disk and that files, directories and links of the image read back as they were put in, for each block size."""
import argparse
import hashlib
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from console import Guest, GuestError  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
export PS1='\\w # '
exec setsid -c /bin/sh
"""
SECTORS = 128 * 1024


def make_tree(root):
    """Fills the root directory; returns the MD5 of each file by its name in the guest."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ('bin', 'sbin', 'dev', 'proc', 'tmp', 'data/many'):
        os.makedirs(os.path.join(root, name))
    shutil.copy('/bin/busybox', os.path.join(root, 'bin'))
    for applet in ('sh', 'mount', 'setsid', 'ls', 'cat', 'md5sum', 'wc', 'poweroff', 'readlink', 'touch', 'head', 'stat'):
        os.symlink('busybox', os.path.join(root, 'bin', applet))
    with open(os.path.join(root, 'sbin/init'), 'w') as f:
        f.write(INIT)
    os.chmod(os.path.join(root, 'sbin/init'), 0o755)
    pattern = b''.join(struct.pack('<I', n) for n in range(1 << 18))
    with open(os.path.join(root, 'data/big'), 'wb') as f:
        for turn in range(10):
            f.write(pattern[turn:] + pattern[:turn])
    with open(os.path.join(root, 'data/sparse'), 'wb') as f:
        f.seek(5 << 20)
        f.write(b'end')
    for n in range(1000):
        with open(os.path.join(root, 'data/many', f'a-file-with-a-long-name-{n:04}'), 'w') as f:
            f.write(f'{n}\n')
    os.symlink('x' * 200, os.path.join(root, 'data/long-link'))
    sums = {}
    for name in ('bin/busybox', 'data/big', 'data/sparse'):
        with open(os.path.join(root, name), 'rb') as f:
            sums['/' + name] = hashlib.md5(f.read()).hexdigest()
    return sums


def make_disk(image, root, options):
    """One partition at sector 2048 with the tree in it."""
    part = image + '.part'
    for name in (part, image):
        if os.path.exists(name):
            os.unlink(name)
    subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', *options, '-d', root, part, f'{SECTORS // 2}k'], check=True, capture_output=True)
    entry = struct.pack('<B3sB3sII', 0x80, bytes(3), 0x83, bytes(3), 2048, SECTORS)
    with open(image, 'wb') as out, open(part, 'rb') as source:
        out.write(bytes(446) + entry + bytes(48) + b'\x55\xaa')
        out.seek(2048 * 512)
        shutil.copyfileobj(source, out)
    os.unlink(part)


def checks(sums):
    for name, value in sums.items():
        yield f'content of {name}', f'md5sum {name}', value
    yield 'many entries', 'ls /data/many | wc -l', '1000'
    yield 'an entry of many', 'cat /data/many/a-file-with-a-long-name-0731', '731'
    yield 'long symlink', 'readlink /data/long-link', 'x' * 200
    yield 'root is ext4', 'cat /proc/mounts', '/dev/vda1 / ext4 ro'
    yield 'device nodes', 'ls -l /dev/vda1', 'brw-rw----'
    yield 'partitions', 'cat /proc/partitions', f'{SECTORS // 2} vda1'
    yield 'read-only', 'touch /data/x 2>&1', 'Read-only file system'


def run(args, name, options, drive):
    out = os.path.join(args.build, 'guest-os', 'disk-test')
    os.makedirs(out, exist_ok=True)
    sums = make_tree(os.path.join(out, 'root'))
    image = os.path.join(out, 'disk.img')
    make_disk(image, os.path.join(out, 'root'), options)
    command = ['qemu-system-x86_64', '-kernel', os.path.join(args.build, 'guest-os', 'vmxiaoma'), '-append',
               'console=ttyS0 panic=-1 quiet root=/dev/vda1 rootfstype=ext4 ro', '-m', '256M', '-smp', '2', '-display', 'none', '-monitor', 'none',
               '-serial', 'stdio', '-no-reboot', '-nic', 'none', '-drive', f'file={image},format=raw,if=none,id=d', '-device', drive]
    guest = Guest(command, args.echo)
    failed = 0
    try:
        guest.expect(rb'# ', 60)
        for what, line, expected in checks(sums):
            _, output = guest.run(line, 60)
            good = expected in output
            failed += not good
            print(f'ok    {name}: {what}' if good else f'FAIL  {name}: {what}: expected {expected!r}, the guest said:\n{output}')
        guest.send('poweroff -f\n')
        guest.process.wait(30)
    except (GuestError, subprocess.TimeoutExpired) as error:
        failed += 1
        print(f'FAIL  {name}: {error}')
    finally:
        guest.close()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    parser.add_argument('--echo', action='store_true')
    args = parser.parse_args()
    modern, legacy = 'virtio-blk-pci,drive=d,disable-legacy=on', 'virtio-blk-pci,drive=d,disable-modern=on,vectors=0'
    failed = run(args, 'blocks of 4096', ['-b', '4096'], modern)
    failed += run(args, 'blocks of 1024', ['-b', '1024'], modern)
    failed += run(args, 'no extents, legacy virtio', ['-b', '4096', '-O', '^extents,^64bit,^metadata_csum'], legacy)
    print('all passed' if failed == 0 else f'{failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
