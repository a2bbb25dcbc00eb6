#!/usr/bin/env bash
# images/debian_kernel.sh DIR: Debian's cloud kernel and a busybox initramfs, both from packages, as DIR/vmlinuz and
# DIR/busybox.cpio.gz. Nothing is installed: the kernel package is only unpacked.
set -euo pipefail
out=$1
mkdir -p "$out"
if [ ! -s "$out/vmlinuz" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # The lists of a fresh machine are empty, those of an old one may name a package that is gone: then once more.
  fetch() {
    local name
    name=$(apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '/Depends: linux-image/ && !n {n = $2} END {print n}') || return 1
    [ -n "$name" ] && (cd "$work" && apt-get download -qq "$name")
  }
  fetch 2> /dev/null || { apt-get update -qq && fetch; }
  dpkg-deb -x "$work"/linux-image-*.deb "$work/unpacked"
  cp "$work"/unpacked/boot/vmlinuz-* "$out/vmlinuz.new"
  mv "$out/vmlinuz.new" "$out/vmlinuz"
fi
"$(dirname "$0")/busybox_initramfs.sh" "$out/busybox.cpio.gz"
