#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Root on an IDE disk with a GUID partition table, and an ISO 9660 CD with Rock Ridge in an ATAPI drive, under our kernel.

ide.py [--build DIR] [--echo] [--machine qemu|xiaoma]"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ext4  # noqa: E402
from console import Guest, GuestError  # noqa: E402

MEGABYTES = 96


def make_cd(image, root):
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(os.path.join(root, 'sub/deep'))
    with open(os.path.join(root, 'A long Name.txt'), 'w') as f:
        f.write('hello from a CD\n')
    data = bytes((n * 7 + n // 251) & 255 for n in range(3000001))
    with open(os.path.join(root, 'sub/deep/big'), 'wb') as f:
        f.write(data)
    os.symlink('sub/deep/../deep/big', os.path.join(root, 'link'))
    subprocess.run(['xorriso', '-as', 'mkisofs', '-quiet', '-R', '-o', image, root], check=True, capture_output=True)
    return hashlib.md5(data).hexdigest()


def make_gpt_disk(image, out):
    """The file system in the first partition of a GPT that sfdisk writes; returns the partition's offset in bytes."""
    part = image + '.part'
    ext4.make_disk(part, os.path.join(out, 'ide-root'), ['-b', '4096'], MEGABYTES)
    with open(image, 'wb') as f:
        f.truncate((MEGABYTES + 4) << 20)
    table = f'label: gpt\nstart=2048, size={MEGABYTES * 2048}\n'
    subprocess.run([ext4.tool('sfdisk'), '-q', image], input=table, check=True, capture_output=True, text=True)
    with open(image, 'r+b') as f, open(part, 'rb') as source:
        f.seek(2048 * 512)
        shutil.copyfileobj(source, f)
    os.unlink(part)
    return 2048 * 512


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=os.path.join(ext4.TOP, 'build', 'release'))
    parser.add_argument('--machine', choices=('qemu', 'xiaoma'), default='qemu')
    parser.add_argument('--echo', action='store_true')
    args = parser.parse_args()
    out = os.path.join(args.build, 'guest-os', 'ide-test')
    os.makedirs(out, exist_ok=True)
    disk, cd = os.path.join(out, 'disk.img'), os.path.join(out, 'cd.iso')
    digest = make_cd(cd, os.path.join(out, 'cd-root'))
    offset = make_gpt_disk(disk, out)
    report = ext4.Report()
    program = [os.path.join(args.build, 'bin', 'xiaoma'), 'run'] if args.machine == 'xiaoma' else ['qemu-system-x86_64']
    guest = Guest([*program, '-kernel', os.path.join(args.build, 'guest-os', 'vmxiaoma'), '-append', 'console=ttyS0 panic=-1 quiet root=/dev/sda1 rw',
                   '-m', '256M', '-smp', '2', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none',
                   '-drive', f'file={disk},format=raw,if=ide', '-cdrom', cd], args.echo)
    try:
        guest.expect(rb'# ', 120)
        for what, line, expected in (
                ('GUID partition', 'cat /proc/partitions', f'{MEGABYTES * 1024} sda1'),
                ('mount the CD', 'mkdir /mnt; mount -t iso9660 /dev/sr0 /mnt; cat "/mnt/A long Name.txt"', 'hello from a CD'),
                ('content', 'md5sum /mnt/link', digest),
                ('Rock Ridge symlink', 'readlink /mnt/link', 'sub/deep/../deep/big'),
                ('copy to the disk', 'cp /mnt/sub/deep/big /data/big; sync; md5sum /data/big', digest),
                ('a CD is read-only', 'touch /mnt/x 2>&1', 'Read-only'),
                ('unmount', 'umount /mnt; ls /mnt | wc -l', '0'),
                ('by DMA', 'cat /proc/interrupts', 'ata_piix')):
            _, output = guest.run(line, 120)
            report.check(expected in output, what, f'expected {expected!r}, the guest said:\n{output}')
        guest.send('mount -o remount,ro /; poweroff -f\n')
        guest.process.wait(60)
    except (GuestError, subprocess.TimeoutExpired) as error:
        report.check(False, 'IDE', error)
    finally:
        guest.close()
    part = os.path.join(out, 'part.img')
    with open(disk, 'rb') as source, open(part, 'wb') as f:
        source.seek(offset)
        f.write(source.read(MEGABYTES << 20))
    status, text = ext4.fsck(part)
    report.check(status == 0, 'e2fsck', text)
    print('all passed' if report.failed == 0 else f'{report.failed} failed')
    return 1 if report.failed else 0


if __name__ == '__main__':
    sys.exit(main())
