#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mkdisk.py OUT.img --build DIR [--size MIB] [--add SOURCE:TARGET]... [--config FILE]

The disk of the guest OS: our boot sector and loader in the gap before the first partition, and one ext4 partition made by mke2fs with the
system tree, kernel, initramfs and the loader's configuration in /boot. The same input gives the same bytes: identities, times and owners
are fixed. Needs neither root nor mounts: mke2fs fills the partition from a folder, debugfs sets owners and times."""
import argparse
import os
import stat
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from system_tree import system_tree  # noqa: E402

SECTOR = 512
PARTITION_START = 2048            # sectors; the loader lives in the gap before
DISK_SIGNATURE = 0x786d6f73       # "xmos": root=PARTUUID=786d6f73-01
UUID = '786d7869-616f-4d61-8000-67756573746f'
EPOCH = 1767225600                # 2026-01-01: every time stamp of the image
# No feature that the kernel of Debian 12 lacks, so that the disk mounts there too.
FEATURES = '^metadata_csum_seed,^orphan_file'
CONFIG = """# Systems of the menu; the words are explained in docs/boot.md.
timeout 1
default 0
entry "Xiaoma OS"
  kernel /boot/vmxiaoma root=PARTUUID=786d6f73-01 console=tty0 console=ttyS0 quiet autologin
entry "Xiaoma OS, log in"
  kernel /boot/vmxiaoma root=PARTUUID=786d6f73-01 console=tty0 console=ttyS0
entry "Xiaoma OS in memory (no disk driver needed)"
  kernel /boot/vmxiaoma rdinit=/sbin/init console=tty0 console=ttyS0 quiet autologin
  initrd /boot/initramfs.cpio.gz
"""
CONFIG_MEMTEST = """entry "Memory test (memtest86+)"
  linux /boot/memtest86+.bin console=ttyS0,115200
"""
CONFIG_END = """entry "First sector of the second disk"
  chain (hd1)
entry "Restart"
  reboot
entry "Switch off"
  poweroff
"""
MEMTEST = '/boot/memtest86+x64.bin'


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f'mkdisk.py: error: {words[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}')
    return done.stdout


def write_tree(tree, folder):
    """Writes the entries below `folder`; owners and times are set later, in the image."""
    for name in sorted(tree.entries):
        mode, data, _ = tree.entries[name]
        path = os.path.join(folder, name)
        if stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)
        elif stat.S_ISLNK(mode):
            os.symlink(data.decode(), path)
        elif stat.S_ISREG(mode):
            with open(path, 'wb') as f:
                f.write(data)
        if not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode))


def make_partition(tree, path, mib):
    with tempfile.TemporaryDirectory() as folder:
        write_tree(tree, folder)
        os.chmod(folder, 0o755)
        environment = dict(os.environ, E2FSPROGS_FAKE_TIME=str(EPOCH), PATH=os.environ['PATH'] + ':/usr/sbin:/sbin')
        run('mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'xiaoma', '-U', UUID, '-O', FEATURES, '-b', '4096', '-m', '0',
            '-E', f'hash_seed={UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0', '-d', folder, path, f'{mib}M',
            env=environment)
    script = []
    for name in ['', 'lost+found', *sorted(tree.entries)]:
        script += [f'set_inode_field "/{name}" {field} {value}' for field, value in
                   (('uid', 0), ('gid', 0), ('atime', f'@{EPOCH}'), ('ctime', f'@{EPOCH}'), ('mtime', f'@{EPOCH}'), ('crtime', f'@{EPOCH}'),
                    ('atime_extra', 0), ('ctime_extra', 0), ('mtime_extra', 0), ('crtime_extra', 0), ('generation', 0))]
    with tempfile.NamedTemporaryFile('w', suffix='.debugfs') as commands:
        commands.write('\n'.join(script) + '\n')
        commands.flush()
        run('debugfs', '-w', '-f', commands.name, path, env=environment)


def install_loader(image, boot, sectors):
    """Boot sector (its code part only), diskboot and core image; the two places that point to the next part are filled in."""
    mbr, diskboot, core = (bytearray(open(os.path.join(boot, name), 'rb').read()) for name in ('boot.img', 'diskboot.img', 'core.img'))
    core_sectors = -(-len(core) // SECTOR)
    assert 2 + core_sectors <= PARTITION_START
    struct.pack_into('<Q', mbr, 0x5c, 1)
    struct.pack_into('<QH', diskboot, 500, 2, core_sectors)
    struct.pack_into('<I', mbr, 440, DISK_SIGNATURE)
    struct.pack_into('<B3sB3sII', mbr, 446, 0x80, b'\xfe\xff\xff', 0x83, b'\xfe\xff\xff', PARTITION_START, sectors)
    image.seek(0)
    image.write(mbr + diskboot + core)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out')
    parser.add_argument('--build', required=True, help='where vmxiaoma and the boot chain were built (build/release)')
    parser.add_argument('--size', type=int, default=62, help='MiB of the ext4 partition')
    parser.add_argument('--add', action='append', default=[], metavar='SOURCE:TARGET')
    parser.add_argument('--config', help='use this file as /boot/xiaoma.cfg')
    args = parser.parse_args()
    guest = os.path.join(args.build, 'guest-os')

    tree = system_tree()
    with tempfile.TemporaryDirectory() as folder:
        packed = os.path.join(folder, 'initramfs')
        run(sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'mkinitramfs.py'), packed)
        tree.put('boot/initramfs.cpio.gz', 0o100644, open(packed, 'rb').read())
    tree.put('boot/vmxiaoma', 0o100644, open(os.path.join(guest, 'vmxiaoma'), 'rb').read())
    has_memtest = os.path.exists(MEMTEST)
    if has_memtest:
        tree.put('boot/memtest86+.bin', 0o100644, open(MEMTEST, 'rb').read())
    config = open(args.config).read() if args.config else CONFIG + (CONFIG_MEMTEST if has_memtest else '') + CONFIG_END
    tree.put('boot/xiaoma.cfg', 0o100644, config.encode())
    for item in args.add:
        source, _, target = item.partition(':')
        tree.put(target or os.path.basename(source), 0o100755 if os.access(source, os.X_OK) else 0o100644, open(source, 'rb').read())

    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    partition = args.out + '.part'
    make_partition(tree, partition, args.size)
    temporary = args.out + '.new'
    with open(temporary, 'wb') as image, open(partition, 'rb') as source:
        install_loader(image, os.path.join(guest, 'boot'), args.size * 2048)
        image.seek(PARTITION_START * SECTOR)
        while chunk := source.read(1 << 20):
            if chunk.count(0) == len(chunk):
                image.seek(len(chunk), os.SEEK_CUR)
            else:
                image.write(chunk)
        image.truncate((PARTITION_START + args.size * 2048) * SECTOR)
    os.unlink(partition)
    os.replace(temporary, args.out)


if __name__ == '__main__':
    main()
