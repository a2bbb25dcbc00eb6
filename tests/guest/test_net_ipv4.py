# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv4 of our kernel, by the tools of busybox and a program over loopback: addresses, routes, ping, fragments, TCP, DHCP, /proc/net."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_devices  # noqa: E402
from guest import XIAOMA  # noqa: E402

NETWORK = ("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n")
# Command and a pattern its output must hold.
CHECKS = [
    ("ifconfig lo up; ifconfig lo", r"inet addr:127\.0\.0\.1  Mask:255\.0\.0\.0\n[^R]*UP LOOPBACK RUNNING  MTU:65536"),
    ("ping -c 2 -q 127.0.0.1", r"2 packets transmitted, 2 packets received"),
    ("ping -c 1 -s 65000 -q 127.9.8.7", r"1 packets received"),
    ("tcp_loopback", r"(ok [^\n]+\n){13}ok refused$"),
    ("tcp_loopback | grep -c FAIL", r"^0$"),
    ("ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; route add default gw 10.0.2.2; route -n",
     r"0\.0\.0\.0\s+10\.0\.2\.2\s+0\.0\.0\.0\s+UG[\s\S]*10\.0\.2\.0\s+0\.0\.0\.0\s+255\.255\.255\.0\s+U\s"),
    ("ping -c 1 -q 10.0.2.2", r"1 packets received"),
    ("ping -c 1 -s 4000 -q 10.0.2.2", r"1 packets received"),
    ("route add -net 10.9.0.0 netmask 255.255.0.0 reject; ping -c 1 -q 10.9.1.1", r"No route to host|(?i:unreachable)"),
    ("mkdir -p /tmp/w; head -c 3000000 /dev/urandom > /tmp/w/f; httpd -p 8080 -h /tmp/w; "
     "for i in 1 2 3; do wget -q -O /tmp/g$i http://10.0.2.15:8080/f & done; wait %2 %3 %4 2>/dev/null; sleep 1; "
     "cmp /tmp/w/f /tmp/g1 && cmp /tmp/w/f /tmp/g2 && cmp /tmp/w/f /tmp/g3 && echo same", r"same$"),
    ("netstat -tln", r"tcp\s+0\s+0 (0\.0\.0\.0|:::?)\S*:8080\s+\S+\s+LISTEN"),
    ("ifconfig eth0 0.0.0.0; udhcpc -i eth0 -n -q -t 5 -s /bin/true", r"lease of 10\.0\.2\.15 obtained"),
    ("grep -c TcpExt: /proc/net/netstat; grep -c ^Tcp: /proc/net/snmp", r"^2\n2$"),
    ("cat /proc/sys/net/ipv4/tcp_congestion_control; echo reno > /proc/sys/net/ipv4/tcp_congestion_control; "
     "cat /proc/sys/net/ipv4/tcp_congestion_control", r"^cubic\nreno$"),
]


class Ipv4(unittest.TestCase):
    def run_all(self, program, cpus):
        initrd = test_devices.initramfs("net_ipv4", ("tcp_loopback",))
        guest = test_devices.start(initrd, "rdinit=/bin/sh", program, cpus, NETWORK)
        try:
            guest.expect(rb"# ", 120)
            guest.run("mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t sysfs sys /sys")
            for command, pattern in CHECKS:
                with self.subTest(command):
                    _, output = guest.run(command, 120)
                    self.assertTrue(re.search(pattern, output, re.M), f"{command!r} said:\n{output}")
        finally:
            guest.close()

    def test_on_our_machine(self):
        if not os.path.exists(XIAOMA):
            self.skipTest("xiaoma is not built")
        self.run_all((XIAOMA, "run"), 1)

    def test_on_qemu_with_two_processors(self):
        if test_devices.QEMU is None:
            self.skipTest("QEMU is not installed")
        self.run_all((test_devices.QEMU,), 2)


if __name__ == "__main__":
    unittest.main()
