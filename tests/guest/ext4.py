#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes an ext4 disk from inside our kernel, then judges it on the host with e2fsck and debugfs.

ext4.py [--build DIR] [--echo] [--machine qemu|xiaoma] [--kernel FILE] [--cuts N] [--seed N] [--form WORD]
The first part works on a root disk of each form of mke2fs: many files, big files, links, renames, attributes, a remount. With
--cuts N the machine is killed N times at random moments under write load; each time the disk is replayed by the next start, files
that were synced must be whole, and e2fsck -fn must find nothing. --kernel boots another kernel (a Debian one) for comparison."""
import argparse
import os
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from console import Guest, GuestError  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
export PS1='# '
exec setsid -c /bin/sh
"""
STRESS = """#!/bin/sh
# Files are made, grown, renamed and removed for ever; every tenth is synced and then told to the console.
n=0
while :; do
  n=$((n + 1))
  d=/data/d$((n % 7))
  mkdir -p $d
  yes "file $n of the run $1" | head -c $((n * 977 % 150000)) > $d/f$n
  cp $d/f$n $d/c$n
  mv $d/c$n /data/d$(((n + 3) % 7))/m$n 2>/dev/null
  ln $d/f$n $d/l$n
  rm -f /data/d$((n % 5))/[fl]$((n - 20)) /data/d$((n % 7))/m$((n - 9))
  if [ $((n % 5)) = 0 ]; then
    yes "kept $n $1" | head -c $((n * 331 % 60000 + 1)) | dd of=/data/kept$n bs=100000 iflag=fullblock conv=fsync 2>/dev/null
    echo "KEPT $n"
  fi
done
"""


def tool(name):
    return shutil.which(name) or shutil.which(name, path='/sbin:/usr/sbin')


def make_disk(image, root, options, megabytes):
    shutil.rmtree(root, ignore_errors=True)
    for name in ('bin', 'sbin', 'dev', 'proc', 'tmp', 'data'):
        os.makedirs(os.path.join(root, name))
    shutil.copy('/bin/busybox', os.path.join(root, 'bin'))
    applets = subprocess.run(['/bin/busybox', '--list'], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != 'busybox':
            os.symlink('busybox', os.path.join(root, 'bin', applet))
    for name, text in (('sbin/init', INIT), ('bin/stress', STRESS)):
        with open(os.path.join(root, name), 'w') as f:
            f.write(text)
        os.chmod(os.path.join(root, name), 0o755)
    if os.path.exists(image):
        os.unlink(image)
    subprocess.run([tool('mke2fs'), '-q', '-F', '-t', 'ext4', *options, '-d', root, image, f'{megabytes}M'], check=True, capture_output=True)


def command(args, image, cache='writeback'):
    words = 'console=ttyS0 panic=-1 quiet root=/dev/vda rootfstype=ext4 rw'
    program = [os.path.join(args.build, 'bin', 'xiaoma'), 'run'] if args.machine == 'xiaoma' else ['qemu-system-x86_64']
    return [*program, '-kernel', args.kernel or os.path.join(args.build, 'guest-os', 'vmxiaoma'), '-append', words, '-m', '256M', '-smp', '2',
            '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none',
            '-drive', f'file={image},format=raw,if=none,id=d,cache={cache}', '-device', 'virtio-blk-pci,drive=d']


def fsck(image):
    result = subprocess.run([tool('e2fsck'), '-fn', image], capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


class Report:
    def __init__(self):
        self.failed = 0

    def check(self, good, what, detail=''):
        self.failed += not good
        print(f'ok    {what}' if good else f'FAIL  {what}: {detail}', flush=True)


WORK = (
    ('many small files', 'mkdir /data/many; i=0; while [ $i -lt 1500 ]; do echo $i > /data/many/a-name-of-some-length-$i; i=$((i+1)); done; ls /data/many | wc -l', '1500'),
    ('found by name', 'cat /data/many/a-name-of-some-length-1234', '1234'),
    ('a big file', 'dd if=/dev/zero bs=64k count=300 2>/dev/null | tr "\\0" x > /data/big; md5sum /data/big; wc -c < /data/big', '19660800'),
    ('copy of it', 'cp /data/big /data/big2; cmp /data/big /data/big2 && echo same', 'same'),
    ('a sparse file', 'dd if=/dev/zero of=/data/sparse bs=1 count=1 seek=50000000 2>/dev/null; du -k /data/sparse', '/data/sparse'),
    ('links', 'ln /data/big /data/hard; ln -s /data/big /data/soft; stat -c %h /data/big; readlink /data/soft', '/data/big'),
    ('long symlink', f'ln -s {"y" * 150} /data/long; readlink /data/long', 'y' * 150),
    ('rename over', 'echo one > /data/r1; echo two > /data/r2; mv /data/r1 /data/r2; cat /data/r2', 'one'),
    ('move a directory', 'mkdir -p /data/p/q/r /data/t; mv /data/p/q /data/t/; ls -a /data/t/q; stat -c %h /data/p /data/t', 'r'),
    ('not empty', 'rmdir /data/t 2>&1', 'not empty'),
    ('truncate', 'truncate -s 1000 /data/big2; wc -c < /data/big2; truncate -s 5000 /data/big2; tail -c 100 /data/big2 | hexdump | tail -n 1', '64'),
    ('fallocate', 'fallocate -l 3000000 /data/fa; stat -c %s /data/fa; du -k /data/fa', '3000000'),
    ('modes', 'chmod 4751 /data/fa; chown 12:34 /data/fa; stat -c %a:%u:%g /data/fa', '751:12:34'),
    ('nodes', 'mknod /data/n1 c 5 1; mknod /data/n2 b 300 70000; mkfifo /data/n3; stat -c %t:%T /data/n2', '12c:11170'),
    ('open and removed', 'exec 5>/data/gone; rm /data/gone; echo still >&5; ls /data/gone 2>&1; exec 5>&-', 'No such file'),
    ('remove many', 'rm /data/many/*[02468]; ls /data/many | wc -l', '750'),
    ('a tree', 'cp -a /bin /data/bin; cp -a /data/bin /data/bin2; rm -r /data/bin; ls /data/bin2 | wc -l', ''),
    ('tar', 'tar cf /data/t.tar -C /data bin2 many && mkdir /data/x && tar xf /data/t.tar -C /data/x && diff -r /data/many /data/x/many && echo equal', 'equal'),
    ('space', 'df /data | tail -n 1', '%'),
    ('sync', 'sync; echo synced', 'synced'),
    ('remount', 'mount -o remount,ro / && touch /data/zz 2>&1; mount -o remount,rw / && touch /data/zz && echo again', 'again'),
)


def forms(args, out, report):
    for name, options, megabytes in (('blocks of 4096', ['-b', '4096'], 200), ('blocks of 1024', ['-b', '1024'], 160),
                                     ('no journal, no checksums', ['-b', '4096', '-O', '^has_journal,^metadata_csum,uninit_bg'], 160)):
        if args.form not in name:
            continue
        image = os.path.join(out, 'ext4.img')
        make_disk(image, os.path.join(out, 'ext4-root'), options, megabytes)
        guest = Guest(command(args, image), args.echo)
        try:
            guest.expect(rb'# ', 120)
            for what, line, expected in WORK:
                _, output = guest.run(line, 300)
                report.check(expected in output, f'{name}: {what}', f'expected {expected!r}, the guest said:\n{output}')
            _, sums = guest.run('cd /data; md5sum big big2 hard t.tar x/many/*99; cd /', 60)
            guest.send('mount -o remount,ro /; poweroff -f\n')
            guest.process.wait(60)
        except (GuestError, subprocess.TimeoutExpired) as error:
            report.check(False, f'{name}: work', error)
            continue
        finally:
            guest.close()
        status, text = fsck(image)
        report.check(status == 0, f'{name}: e2fsck', text)
        dump = subprocess.run([tool('debugfs'), '-R', 'cat /data/t.tar', image], capture_output=True).stdout
        digest = subprocess.run(['md5sum'], input=dump, capture_output=True).stdout.decode().split()[0]
        report.check(digest in sums, f'{name}: content by debugfs', sums)


def kept_files(image):
    listing = subprocess.run([tool('debugfs'), '-R', 'ls -p /data', image], capture_output=True, text=True).stdout
    return {line.split('/')[5] for line in listing.splitlines() if line.count('/') >= 6}


def cuts(args, out, report):
    image = os.path.join(out, 'cuts.img')
    make_disk(image, os.path.join(out, 'ext4-root'), ['-b', '4096'] if args.seed % 2 else ['-b', '1024'], 160)
    kept = {}
    rng = random.Random(args.seed)
    for turn in range(args.cuts):
        guest = Guest(command(args, image, rng.choice(('writeback', 'writethrough', 'unsafe'))), args.echo)
        try:
            guest.expect(rb'# ', 120)
            guest.send(f'stress {turn}\n')
            guest.expect(rb'KEPT (\d+)', 120)
            end = time.monotonic() + rng.uniform(0.5, args.longest)
            while time.monotonic() < end:
                guest.pump(0.05)
        except GuestError as error:
            report.check(False, f'cut {turn}: start', error)
        guest.process.kill()
        guest.close()
        told = [int(line.split()[1]) for line in guest.log.decode('latin1').splitlines() if line.startswith('KEPT ') and line.split()[1].isdigit()]
        for n in told:
            text = f'kept {n} {turn}\n'
            size = n * 331 % 60000 + 1
            kept[f'kept{n}'] = (text * (size // len(text) + 1))[:size].encode()
        # By e2fsck's own replay on a copy, then by ours at the next start.
        copy = image + '.copy'
        shutil.copyfile(image, copy)
        subprocess.run([tool('e2fsck'), '-fy', '-E', 'journal_only', copy], capture_output=True)
        first = subprocess.run([tool('e2fsck'), '-fy', copy], capture_output=True, text=True)
        status, text = fsck(copy)
        bad = [w for w in ('invalid', 'corrupt', 'Unattached', 'nconnected', 'Multiply', 'Missing') if w in first.stdout]
        report.check(status == 0 and not bad, f'cut {turn}: e2fsck after replay', first.stdout + text)
        lost = []
        for name, content in kept.items():
            there = subprocess.run([tool('debugfs'), '-R', f'cat /data/{name}', copy], capture_output=True).stdout
            if there != content:
                lost.append(f'{name}: {len(there)} of {len(content)} bytes')
        report.check(not lost, f'cut {turn}: {len(told)} synced files', lost)
    guest = Guest(command(args, image), args.echo)
    try:
        guest.expect(rb'# ', 120)
        guest.send('mount -o remount,ro /; poweroff -f\n')
        guest.process.wait(60)
    except (GuestError, subprocess.TimeoutExpired) as error:
        report.check(False, 'after the cuts: replay by our kernel', error)
    finally:
        guest.close()
    status, text = fsck(image)
    report.check(status == 0, 'after the cuts: e2fsck of what our kernel replayed', text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    parser.add_argument('--machine', choices=('qemu', 'xiaoma'), default='qemu')
    parser.add_argument('--kernel')
    parser.add_argument('--echo', action='store_true')
    parser.add_argument('--form', default='', help='only the forms whose name has this word')
    parser.add_argument('--cuts', type=int, default=0)
    parser.add_argument('--longest', type=float, default=4)
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    out = os.path.join(args.build, 'guest-os', 'ext4-test')
    os.makedirs(out, exist_ok=True)
    report = Report()
    if args.cuts:
        cuts(args, out, report)
    else:
        forms(args, out, report)
    print('all passed' if report.failed == 0 else f'{report.failed} failed')
    return 1 if report.failed else 0


if __name__ == '__main__':
    sys.exit(main())
