# Debian packages the scripts need; sourced by ./run and ./check.
BUILD_PACKAGES="bash-static xorriso g++ cmake ninja-build pkg-config ccache acpica-tools nasm python3 libcapstone-dev libsdl2-dev libslirp-dev
  libzstd-dev zlib1g-dev libpng-dev libgtest-dev libgmock-dev libbenchmark-dev busybox-static e2fsprogs cpio zstd gzip
  libdw-dev libvncserver-dev nlohmann-json3-dev libcli11-dev libzydis-dev xfonts-terminus console-setup-linux libfmt-dev"
TEST_PACKAGES="bochs bochs-term bochsbios vgabios qemu-system-x86 qemu-utils seabios grub-pc-bin grub-common xorriso mtools isolinux syslinux syslinux-utils syslinux-common
  memtest86+ dosfstools ipxe-qemu git xvfb xdotool iproute2 tcpdump nftables iputils-ping
  clang-format musl-tools gcc-multilib bash-static debootstrap fdisk"

# install_packages NAME...: installs those that are missing; needs root only then.
install_packages() {
  local missing=()
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}
