#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mkiso.py OUT.iso --build DIR [--add SOURCE:TARGET]... [--config FILE]

A bootable CD of the guest OS: El Torito without emulation, our CD boot sector and loader, kernel and initramfs in /boot. The system runs in
memory. Made by xorriso; the same input gives the same bytes. Says on one line why it cannot, with status 3, where xorriso is missing."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EPOCH = 1767225600  # 2026-01-01
CONFIG = """# Systems of the menu; the words are explained in docs/boot.md.
timeout 1
default 0
entry "Xiaoma OS from CD"
  kernel /boot/vmxiaoma rdinit=/sbin/init console=tty0 console=ttyS0 quiet autologin
  initrd /boot/initramfs.cpio.gz
"""
CONFIG_MEMTEST = """entry "Memory test (memtest86+)"
  linux /boot/memtest86+.bin console=ttyS0,115200
"""
CONFIG_END = """entry "First hard disk"
  chain (hd0)
entry "Restart"
  reboot
entry "Switch off"
  poweroff
"""
MEMTEST = '/boot/memtest86+x64.bin'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out')
    parser.add_argument('--build', required=True, help='where vmxiaoma and the boot chain were built (build/release)')
    parser.add_argument('--add', action='append', default=[], metavar='SOURCE:TARGET')
    parser.add_argument('--config', help='use this file as /boot/xiaoma.cfg')
    args = parser.parse_args()
    if shutil.which('xorriso') is None:
        print('mkiso.py: error: xorriso is not installed', file=sys.stderr)
        return 3
    guest = os.path.join(args.build, 'guest-os')
    with tempfile.TemporaryDirectory() as folder:
        boot = os.path.join(folder, 'boot')
        os.makedirs(boot)
        shutil.copy(os.path.join(guest, 'vmxiaoma'), boot)
        subprocess.run([sys.executable, os.path.join(HERE, 'mkinitramfs.py'), os.path.join(boot, 'initramfs.cpio.gz')], check=True)
        has_memtest = os.path.exists(MEMTEST)
        if has_memtest:
            shutil.copy(MEMTEST, os.path.join(boot, 'memtest86+.bin'))
        with open(os.path.join(boot, 'xmcd.img'), 'wb') as image:
            for part in ('cdboot.img', 'core.img'):
                image.write(open(os.path.join(guest, 'boot', part), 'rb').read())
        with open(os.path.join(boot, 'xiaoma.cfg'), 'w') as config:
            config.write(open(args.config).read() if args.config else CONFIG + (CONFIG_MEMTEST if has_memtest else '') + CONFIG_END)
        for item in args.add:
            source, _, target = item.partition(':')
            target = os.path.join(folder, target.strip('/') or os.path.basename(source))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)
        for where, folders, files in os.walk(folder):
            for name in folders + files:
                os.utime(os.path.join(where, name), (EPOCH, EPOCH))
                os.chmod(os.path.join(where, name), 0o755 if name in folders else 0o644)
        os.utime(folder, (EPOCH, EPOCH))
        os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
        done = subprocess.run(
            ['xorriso', '-as', 'mkisofs', '-quiet', '-R', '-V', 'XIAOMA', '-uid', '0', '-gid', '0', '-c', 'boot/boot.cat', '-b', 'boot/xmcd.img', '-no-emul-boot',
             '-boot-load-size', '4', '-boot-info-table', '-o', args.out + '.new', folder],
            capture_output=True, text=True, env=dict(os.environ, SOURCE_DATE_EPOCH=str(EPOCH)))
        if done.returncode != 0:
            print(f'mkiso.py: error: xorriso: {done.stderr.strip().splitlines()[-1:]}', file=sys.stderr)
            return 1
    os.replace(args.out + '.new', args.out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
