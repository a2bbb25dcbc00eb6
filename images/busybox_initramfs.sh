#!/usr/bin/env bash
# images/busybox_initramfs.sh FILE [SCRIPT]: an initramfs of Debian's static busybox whose init mounts proc, sys and dev
# and starts a shell on the console; with SCRIPT, runs that first. The same bytes each time.
set -euo pipefail
out=$1
script=${2:-}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,tmp,root,mnt}
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
if [ -n "$script" ]; then cp "$script" "$root/etc/test.sh"; fi
cat > "$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
export PATH=/bin:/sbin HOME=/root
[ -f /etc/test.sh ] && sh /etc/test.sh
echo "Xiaoma: busybox shell, poweroff -f ends"
exec setsid cttyhack sh
INIT
chmod 755 "$root/init"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --owner=0:0 --reproducible --quiet) | gzip -9n > "$out"
