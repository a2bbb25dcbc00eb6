# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of the small system: Debian's busybox-static with links for its applets, bash, and the configuration of init, its services
and logins. One tree for the initramfs, the disk image and the CD, so that they behave alike."""
import os
import subprocess

# First program of the initramfs: mounts what user space expects, then a shell on the console (or the program that init= names).
INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /dev/shm 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /tmp 2>/dev/null
mount -t tmpfs -o mode=755 tmpfs /run 2>/dev/null
hostname xiaoma
ip link set lo up 2>/dev/null
[ -x /etc/rc ] && . /etc/rc
exec setsid -c /bin/sh -l
"""
# The full system: busybox init reads this. Virtual consoles wait for Enter, so that they cost nothing until someone looks.
INITTAB = """# Busybox init: <tty>::<action>:<command>
::sysinit:/etc/init.d/rcS
ttyS0::respawn:/sbin/getty -L -n -l /etc/init.d/login 115200 ttyS0 vt100
tty1::respawn:/sbin/getty -n -l /bin/login 38400 tty1 linux
tty2::askfirst:/sbin/getty -n -l /bin/login 38400 tty2 linux
tty3::askfirst:/sbin/getty -n -l /bin/login 38400 tty3 linux
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
"""
RCS = """#!/bin/sh
# Started once by init: file systems, host name, then the services of /etc/init.d/S*.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
grep -q ' /dev devtmpfs ' /proc/mounts || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,gid=5 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
# A root that cannot be written keeps its logs in memory.
if ! mount -o remount,rw / 2>/dev/null || ! ( : > /var/.writable ) 2>/dev/null; then
  mount -t tmpfs -o mode=755 tmpfs /var
  mkdir -p /var/log /var/spool/cron/crontabs /var/lib
  ln -s /run /var/run
fi
rm -f /var/.writable
hostname -F /etc/hostname
dmesg > /var/log/dmesg
for service in /etc/init.d/S*; do
  $service start
done
"""
RCK = """#!/bin/sh
# Started by init before the machine stops: services in reverse order, then the disks to rest.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
for service in $(ls -r /etc/init.d/S*); do
  $service stop
done
sync
mount -o remount,ro / 2>/dev/null
sync
"""
SERVICE = """#!/bin/sh
case $1 in
  start) {program} {options} ;;
  stop) killall {program} 2>/dev/null ;;
  restart) $0 stop; $0 start ;;
  *) echo "usage: $0 start|stop|restart" >&2; exit 1 ;;
esac
"""
# The loopback device, then a DHCP client for each card; the clients ask in the background, so that nothing waits for them.
NETWORK = """#!/bin/sh
case $1 in
  start)
    ip link set lo up
    for card in /sys/class/net/eth*; do
      [ -e $card ] && udhcpc -i ${card##*/} -b -t 3 -T 2 -p /run/udhcpc.${card##*/}.pid > /dev/null 2>&1 &
    done ;;
  stop) killall udhcpc 2>/dev/null ;;
  restart) $0 stop; $0 start ;;
  *) echo "usage: $0 start|stop|restart" >&2; exit 1 ;;
esac
"""
# What udhcpc calls with its news in the environment: a card to clear, an address to take.
UDHCPC = """#!/bin/sh
case $1 in
  deconfig)
    ip -4 addr flush dev $interface
    ip link set $interface up ;;
  bound|renew)
    ip -4 addr flush dev $interface
    ip addr add $ip/${mask:-24} dev $interface
    for gateway in $router; do
      ip route replace default via $gateway dev $interface && break
    done
    : > /etc/resolv.conf
    [ -z "$domain" ] || echo "search $domain" >> /etc/resolv.conf
    for server in $dns; do
      echo "nameserver $server" >> /etc/resolv.conf
    done ;;
esac
"""
SERVICES = {'S01syslogd': ('syslogd', '-S'), 'S02klogd': ('klogd', ''), 'S50crond': ('crond', '-L /var/log/cron')}
# On the serial line "autologin" among the kernel's words lets root in without asking.
LOGIN = """#!/bin/sh
grep -qw autologin /proc/cmdline && exec /bin/login -f root
exec /bin/login
"""
FSTAB = """proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
devpts /dev/pts devpts mode=620,gid=5 0 0
tmpfs /run tmpfs mode=755 0 0
tmpfs /tmp tmpfs mode=1777 0 0
"""
PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
user:x:1000:1000:user:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
# The password of root and of user is "xiaoma" (docs/guest-os.md).
HASH = '$6$xiaomaxiaoma$kFa//3PdbBaZsxaPHs5L8fMWLcHneBugVoOw2MadV1drfJfogd9xgfX6jNsO9ivSQ7y3nwz4hb/hsVaOvPNd5.'
SHADOW = f"""root:{HASH}:19000:0:99999:7:::
daemon:*:19000:0:99999:7:::
bin:*:19000:0:99999:7:::
user:{HASH}:19000:0:99999:7:::
nobody:*:19000:0:99999:7:::
"""
GROUP = """root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
users:x:100:
user:x:1000:
nogroup:x:65534:
"""
PROFILE = """export PATH=/bin:/sbin:/usr/bin:/usr/sbin PS1='\\w # '
[ "$(id -u)" = 0 ] || PS1='\\w $ '
[ -n "$HOME" ] && [ "$HOME" != / ] || export HOME=/root
cd "$HOME"
"""
ISSUE = "Xiaoma OS on \\m, \\l\n"


class Tree:
    """Entries by name: (mode with type, data, device numbers). A directory is there before what it holds."""

    def __init__(self):
        self.entries = {}

    def put(self, name, mode, data=b'', rdev=(0, 0)):
        name = name.strip('/')
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.put(parent, 0o040755)
        self.entries[name] = (mode, data, rdev)


def put_text(tree, name, text, mode=0o644):
    tree.put(name, 0o100000 | mode, text.encode())


def system_tree(busybox='/bin/busybox', bash='/bin/bash-static'):
    tree = Tree()
    for d in ('bin', 'sbin', 'usr/bin', 'usr/sbin', 'etc', 'proc', 'sys', 'dev', 'run', 'mnt', 'var/log', 'var/lib', 'lib', 'home',
              'var/spool/cron/crontabs'):
        tree.put(d, 0o040755)
    tree.put('root', 0o040700)
    tree.put('home/user', 0o040755)
    tree.put('tmp', 0o041777)
    tree.put('var/run', 0o120777, b'/run')
    tree.put('bin/busybox', 0o100755, open(busybox, 'rb').read())
    applets = subprocess.run([busybox, '--list-full'], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != 'bin/busybox' and applet.strip('/') not in tree.entries:
            tree.put(applet, 0o120777, b'/bin/busybox')
    if bash and os.path.exists(bash):
        tree.put('bin/bash', 0o100755, open(bash, 'rb').read())
    put_text(tree, 'etc/inittab', INITTAB)
    put_text(tree, 'etc/init.d/rcS', RCS, 0o755)
    put_text(tree, 'etc/init.d/rcK', RCK, 0o755)
    put_text(tree, 'etc/init.d/login', LOGIN, 0o755)
    for name, (program, options) in SERVICES.items():
        put_text(tree, 'etc/init.d/' + name, SERVICE.format(program=program, options=options), 0o755)
    put_text(tree, 'etc/init.d/S10network', NETWORK, 0o755)
    put_text(tree, 'etc/udhcpc/default.script', UDHCPC, 0o755)
    put_text(tree, 'etc/fstab', FSTAB)
    tree.put('etc/mtab', 0o120777, b'/proc/mounts')
    put_text(tree, 'etc/passwd', PASSWD)
    put_text(tree, 'etc/shadow', SHADOW, 0o640)
    put_text(tree, 'etc/group', GROUP)
    put_text(tree, 'etc/profile', PROFILE)
    put_text(tree, 'etc/shells', '/bin/sh\n/bin/ash\n/bin/bash\n')
    put_text(tree, 'etc/issue', ISSUE)
    put_text(tree, 'etc/hostname', 'xiaoma\n')
    put_text(tree, 'etc/hosts', '127.0.0.1 localhost xiaoma\n')
    return tree
