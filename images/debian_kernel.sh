#!/usr/bin/env bash
# images/debian_kernel.sh DIR: Debian's cloud kernel and a busybox initramfs, both from packages, as DIR/vmlinuz and
# DIR/busybox.cpio.gz. Nothing is installed: the kernel package is only unpacked.
set -euo pipefail
out=$1
mkdir -p "$out"
if [ ! -s "$out/vmlinuz" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  name=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
  (cd "$work" && apt-get download -qq "$name" && dpkg-deb -x "$name"_*.deb unpacked)
  cp "$work"/unpacked/boot/vmlinuz-* "$out/vmlinuz.new"
  mv "$out/vmlinuz.new" "$out/vmlinuz"
fi
"$(dirname "$0")/busybox_initramfs.sh" "$out/busybox.cpio.gz"
