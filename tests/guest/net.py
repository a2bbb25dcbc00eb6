#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of our kernel, set up and looked at by Debian's own programs: ip, tc, bridge, tcpdump, nft, ping.

net.py [--build DIR] [--machine qemu|xiaoma] [--only TEXT] [--echo]
`devices`: one guest behind -netdev user, with each kind of network card. `router`: three guests on two segments (QEMU only), the middle one
routes and translates addresses."""
import argparse
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from console import Guest, GuestError  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ['ip', 'tc', 'bridge', 'tcpdump', 'nft', 'ping']
FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin']

UP = 'ip link set lo up && ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2'
# Name, command, expected status, pattern that the output must contain.
CHECKS = [
    ('interface up', UP + ' && ip -br addr', 0, r'eth0 +UP +10\.0\.2\.15/24'),
    ('ping the gateway', 'ping -c 2 -W 5 10.0.2.2', 0, r'2 received, 0% packet loss'),
    ('neighbour learnt', 'ip neigh show 10.0.2.2; cat /proc/net/arp', 0, r'lladdr 52:55:0a:00:02:02 REACHABLE\n(.*\n)*10\.0\.2\.2 +0x1 +0x2 +52:55:0a:00:02:02'),
    ('route look-up', 'ip route get 192.0.2.1', 0, r'192\.0\.2\.1 via 10\.0\.2\.2 dev eth0 src 10\.0\.2\.15'),
    ('longest prefix', 'ip route add 192.0.2.0/24 dev lo; ip route get 192.0.2.1; ip route del 192.0.2.0/24', 0, r'192\.0\.2\.1 dev lo'),
    ('refusals are explained', 'ip link set eth0 mtu 1; ip route add 10.1.0.1/16 via 10.0.2.2; ip link add x type nosuch', 2,
     r'mtu less than device minimum\.\n.*Invalid prefix for given prefix length\.\n.*Unknown device type\.'),
    ('IPv6 by advertisement', 'i=0; while [ $i -lt 40 ] && ! ip -6 addr show dev eth0 | grep -q "scope site dynamic"; do sleep 0.5; i=$((i+1)); done; '
     'ip -6 addr show dev eth0; ip -6 route', 0, r'inet6 fe80::5054:ff:fe12:3456/64 scope link\n(.*\n)*default via fe80::2 dev eth0 proto ra'),
    ('capture', 'tcpdump -Z root -i eth0 -n -c 2 icmp > /tmp/cap 2>/dev/null & sleep 2; ping -c 1 -W 5 10.0.2.2 > /dev/null; wait; cat /tmp/cap', 0,
     r'10\.0\.2\.15 > 10\.0\.2\.2: ICMP echo request.*\n.*10\.0\.2\.2 > 10\.0\.2\.15: ICMP echo reply'),
    ('token bucket', 'tc qdisc add dev eth0 root tbf rate 80kbit burst 2kb latency 2s && ping -q -c 3 -s 1000 -i 0.01 -w 9 10.0.2.2 && '
     'tc -s qdisc show dev eth0 && tc qdisc del dev eth0 root && tc qdisc show dev eth0', 0,
     r'[3-9] received(.*\n)*qdisc tbf .* rate 80Kbit(.*\n)*.*overlimits [1-9](.*\n)*qdisc pfifo_fast'),
    ('filter', 'nft add table ip f && nft "add chain ip f in { type filter hook input priority 0; }" && '
     'nft add rule ip f in icmp type echo-reply counter drop && ! ping -c 1 -W 1 10.0.2.2 > /dev/null && nft list ruleset', 0,
     r'icmp type echo-reply counter packets 1 bytes 84 drop'),
    ('batch is undone', 'nft -f - <<E\nadd chain ip f two\nadd rule ip f two jump nowhere\nE\nnft list table ip f; nft flush ruleset; nft list ruleset', 0,
     r'No such file(.*\n)*table ip f \{\n\tchain in'),
    ('bridge and veth', 'ip link add br0 type bridge && ip link add va type veth peer name vb && ip link set va master br0 && '
     'for d in br0 va vb; do ip link set $d up; done && bridge link && ip -d link show br0', 0,
     r'va: .* master br0 state forwarding(.*\n)*.*bridge .*ageing_time 30000'),
    ('frames through the bridge', 'ip addr add 10.9.0.1/24 dev br0 && arping -D -c 1 -w 2 -I vb 10.9.0.1; bridge fdb show br br0', 0,
     r'Unicast reply from 10\.9\.0\.1(.*\n)*.*dev va master br0'),
    ('VLAN', 'ip link add link vb name vb.7 type vlan id 7 && ip link set vb.7 up && tcpdump -Z root -i va -e -n -c 1 arp > /tmp/cap 2>/dev/null & '
     'sleep 2; arping -D -c 1 -w 1 -I vb.7 10.9.7.1 > /dev/null; wait; cat /tmp/cap', 0, r'ethertype 802\.1Q \(0x8100\).* vlan 7'),
    ('tun', 'ip tuntap add dev t0 mode tun && ip -d link show t0 && ip link del t0 && ip link del vb.7 && ip link del va && ip link del br0 && ip -br link', 0,
     r'tun type tun pi off(.*\n)*eth0 +UP'),
    ('files', 'cat /sys/class/net/eth0/address /proc/net/dev', 0, r'52:54:00:12:34:56\n(.*\n)*  eth0: +[1-9]'),
]


def find(program):
    for folder in FOLDERS:
        name = os.path.join(folder, program)
        if os.access(name, os.X_OK):
            return os.path.realpath(name)
    return None


def make_root(build):
    """An initramfs with the programs and the libraries they name."""
    out = os.path.join(build, 'test-work', 'net.cpio')
    words, seen = [], set()
    for program in PROGRAMS:
        binary = find(program)
        words += ['--add', f'{binary}:usr/debian/{program}']
        for library in re.findall(r'/\S+', subprocess.run(['ldd', binary], capture_output=True, text=True, check=True).stdout):
            if library not in seen:
                seen.add(library)
                words += ['--add', f'{os.path.realpath(library)}:{library[1:]}']
    subprocess.run([sys.executable, os.path.join(TOP, 'images', 'mkinitramfs.py'), out, '--plain', *words], check=True, stdout=subprocess.DEVNULL)
    return out


def start(args, root, nets, cpus=2):
    """A guest with the network options given, its shell ready and the programs under their names."""
    kernel = os.path.join(args.build, 'guest-os', 'vmxiaoma')
    common = ['-kernel', kernel, '-initrd', root, '-append', 'console=ttyS0 panic=-1 quiet', '-smp', str(cpus), '-m', '256', '-no-reboot', *nets]
    if args.machine == 'qemu':
        command = ['qemu-system-x86_64', *common, '-display', 'none', '-monitor', 'none', '-serial', 'stdio']
    else:
        command = [os.path.join(args.build, 'bin', 'xiaoma'), 'run', *common, '-nographic']
    guest = Guest(command, args.echo)
    guest.expect(rb'[#$] ', 120)
    guest.run(f'for p in {" ".join(PROGRAMS)}; do alias $p=/usr/debian/$p; done')
    return guest


def check(guest, name, command, status, pattern, seconds=60):
    got, output = guest.run(command, seconds)
    output = re.sub(r' +$', '', output, flags=re.M)
    if got != status or not re.search(pattern, output, re.M):
        raise GuestError(f'{name}: {command}\nstatus {got}, wanted {status} and {pattern!r}; the guest said:\n{output}')


def devices(args, root):
    for device in ['virtio-net-pci', 'e1000']:
        guest = start(args, root, ['-netdev', 'user,id=n', '-device', f'{device},netdev=n'])
        try:
            # The second card has what is its own to show: packets both ways.
            for row in CHECKS if device == 'virtio-net-pci' else CHECKS[:8]:
                if args.only in row[0]:
                    check(guest, f'{device}: {row[0]}', *row[1:])
        finally:
            guest.close()
        print(f'{device}: ok')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def router(args, root):
    """client 10.1.0.2 -- 10.1.0.1 router 10.2.0.1 -- 10.2.0.2 server: plain routing, then masquerade and a forwarded port."""
    ports = [free_port(), free_port()]

    def card(number, role, mac):
        return ['-netdev', f'socket,id=n{number},{role}=127.0.0.1:{ports[number]}', '-device', f'virtio-net-pci,netdev=n{number},mac=52:54:00:00:00:{mac}']
    guests = []
    try:
        guests.append(start(args, root, card(0, 'listen', '11') + card(1, 'listen', '12'), 1))
        guests.append(start(args, root, card(0, 'connect', '21'), 1))
        guests.append(start(args, root, card(1, 'connect', '31'), 1))
        middle, client, server = guests
        check(middle, 'router up', 'ip addr add 10.1.0.1/24 dev eth0; ip addr add 10.2.0.1/24 dev eth1; ip link set eth0 up; ip link set eth1 up; '
              'echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward', 0, r'^1$')
        check(client, 'client up', 'ip link set eth0 up; ip addr add 10.1.0.2/24 dev eth0; ip route add default via 10.1.0.1; ip route', 0, r'default via 10\.1\.0\.1')
        check(server, 'server up', 'ip link set lo up; ip link set eth0 up; ip addr add 10.2.0.2/24 dev eth0; ip route add 10.1.0.0/24 via 10.2.0.1; '
              'head -c 300000 /dev/urandom > /tmp/big; httpd -p 80 -h /tmp; md5sum /tmp/big', 0, r'big')
        _, text = server.run('md5sum < /tmp/big')
        digest = re.search(r'[0-9a-f]{32}', text).group(0)
        check(client, 'routed', 'ping -c 2 -W 5 10.2.0.2', 0, r'ttl=63(.*\n)*2 packets transmitted, 2 received')
        check(client, 'bytes through the router', 'wget -q -O - http://10.2.0.2/big | md5sum', 0, digest)
        check(server, 'no way back', 'ip route del 10.1.0.0/24; ip route', 0, r'10\.2\.0\.0/24')
        check(middle, 'translation', 'nft add table ip n && nft "add chain ip n post { type nat hook postrouting priority 100; }" && '
              'nft add rule ip n post oifname eth1 masquerade && nft "add chain ip n pre { type nat hook prerouting priority -100; }" && '
              'nft add rule ip n pre iifname eth0 tcp dport 8080 dnat to 10.2.0.2:80 && nft list ruleset', 0, r'dnat to 10\.2\.0\.2:80')
        check(client, 'translated ping', 'ping -c 2 -W 5 10.2.0.2', 0, r'2 packets transmitted, 2 received')
        check(client, 'forwarded port', 'wget -q -O - http://10.1.0.1:8080/big | md5sum', 0, digest)
        check(middle, 'tracked', 'cat /proc/net/nf_conntrack', 0,
              r'src=10\.1\.0\.2 dst=10\.1\.0\.1 sport=\d+ dport=8080 src=10\.2\.0\.2 dst=10\.2\.0\.1 sport=80 dport=\d+ \[ASSURED\]')
    finally:
        for guest in guests:
            guest.close()
    print('router: ok')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['devices', 'router'])
    parser.add_argument('--build', default=os.path.join(TOP, 'build', 'release'))
    parser.add_argument('--machine', choices=['qemu', 'xiaoma'], default='qemu')
    parser.add_argument('--only', default='')
    parser.add_argument('--echo', action='store_true')
    args = parser.parse_args()
    missing = [p for p in PROGRAMS if find(p) is None]
    if missing:
        print('SKIP: this machine lacks', *missing)
        return 77
    os.makedirs(os.path.join(args.build, 'test-work'), exist_ok=True)
    root = make_root(args.build)
    try:
        devices(args, root) if args.what == 'devices' else router(args, root)
    except GuestError as error:
        print(error)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
