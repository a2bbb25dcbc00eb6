#!/usr/bin/env bash
# images/debian_disk.sh FILE: a raw disk of a minimal Debian as its own tools make it: an MBR with one ext4 partition,
# GRUB in the gap before it, systemd, Debian's cloud kernel with its initramfs, a login on tty1 and on ttyS0 (root, password
# "xiaoma"). Kept when FILE exists. Needs root for debootstrap's chroot; nothing is mounted by this script and no loop
# device is used: mke2fs fills the partition from the folder. Says on one line why it cannot, with status 3.
#   XM_DEBIAN_SUITE, XM_DEBIAN_MIRROR, XM_DEBIAN_KERNEL (linux-image-amd64, ...) choose others.
set -euo pipefail
out=$1
suite=${XM_DEBIAN_SUITE:-bookworm}
mirror=${XM_DEBIAN_MIRROR:-http://deb.debian.org/debian}
kernel=${XM_DEBIAN_KERNEL:-linux-image-cloud-amd64}
grub=/usr/lib/grub/i386-pc
uuid=786d7869-616f-4d61-8000-646562696130
partition_start=2048  # sectors; GRUB lives in the gap before
partition_sectors=$((1536 * 2048))
PATH=$PATH:/usr/sbin:/sbin

cannot() { echo "debian_disk.sh: $1" >&2; exit 3; }

[ -s "$out" ] && exit 0
[ "$(id -u)" = 0 ] || cannot "debootstrap needs root"
for tool in debootstrap sfdisk mke2fs grub-mkimage; do
  command -v "$tool" > /dev/null || cannot "$tool is not installed"
done
[ -s $grub/boot.img ] || cannot "grub-pc-bin is not installed"

mkdir -p "$(dirname "$out")"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

# The system, as any Debian administrator would get it.
debootstrap --variant=minbase \
  --include="systemd-sysv,udev,dbus,kmod,e2fsprogs,iproute2,procps,login,initramfs-tools,zstd,$kernel" \
  "$suite" "$root" "$mirror" > "$work/log" 2>&1 || { tail -3 "$work/log" >&2; cannot "debootstrap failed"; }
if grep -q " $root" /proc/mounts; then
  grep -o " $root[^ ]*" /proc/mounts | sort -r | xargs umount
fi
rm -f "$root"/var/cache/apt/archives/*.deb
echo xiaoma-debian > "$root/etc/hostname"
echo "127.0.0.1 localhost xiaoma-debian" > "$root/etc/hosts"
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" > "$root/etc/fstab"
echo 786d7869616f4d618000646562696130 > "$root/etc/machine-id"
echo root:xiaoma | chroot "$root" chpasswd
# systemd's getty generator starts ttyS0 by the kernel's console= by itself; enabled by name as an administrator would.
chroot "$root" systemctl enable --quiet serial-getty@ttyS0.service getty@tty1.service

# GRUB: modules and configuration in the file system, the core image in the gap.
mkdir -p "$root/boot/grub"
cp -r $grub "$root/boot/grub/i386-pc"
cat > "$root/boot/grub/grub.cfg" <<CFG
set timeout=1
insmod part_msdos
insmod ext2
search --no-floppy --fs-uuid --set=root $uuid
menuentry "Debian GNU/Linux" {
  linux /vmlinuz root=UUID=$uuid ro console=tty0 console=ttyS0
  initrd /initrd.img
}
CFG
grub-mkimage -O i386-pc -p '(,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2
[ "$(stat -c %s "$work/core.img")" -lt $(((partition_start - 1) * 512)) ] || cannot "GRUB's core image does not fit its gap"

# The disk: table, file system at its offset, boot sector without touching the table (bytes 440 to 511), core image.
disk=$work/disk.img
truncate -s $(((partition_start + partition_sectors) * 512)) "$disk"
echo "start=$partition_start, size=$partition_sectors, type=83, bootable" | sfdisk --quiet --label dos "$disk"
mke2fs -q -t ext4 -L debian -U $uuid -O ^metadata_csum_seed,^orphan_file -d "$root" \
  -E "offset=$((partition_start * 512)),root_owner=0:0" "$disk" $((partition_sectors / 2))k
dd if=$grub/boot.img of="$disk" bs=1 count=440 conv=notrunc status=none
dd if="$work/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
cp --sparse=always "$disk" "$out.new"
mv "$out.new" "$out"
