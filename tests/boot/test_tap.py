# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest on a Linux bridge by the words of the course: -net nic,model=virtio -net tap,ifname=tap0,script=no,downscript=no.
The bridge and the TAP interface live in a network namespace of their own, so nothing of the host changes."""

import os
import subprocess
import unittest

import boot_modules
from guest import XIAOMA, Guest

QUICK = False
# The recipe itself; the shell then becomes the emulator.
BRIDGE = """
ip link set lo up
ip link add br0 type bridge
ip tuntap add mode tap tap0
ip link set tap0 master br0
ip addr add 192.168.57.1/24 dev br0
ip link set br0 up
ip link set tap0 up
exec "$0" "$@"
"""
SCRIPT = """
ip addr add 192.168.57.2/24 dev eth0
ip link set eth0 up
for i in 1 2 3 4 5; do ping -c 1 -W 2 192.168.57.1 > /dev/null && break; done
ping -c 3 -s 1400 192.168.57.1
echo LISTENING
head -c 3000000 /dev/zero | nc -l -p 80
echo SERVED
poweroff -f
"""


def bridges_here():
    probe = "ip link add br0 type bridge && ip tuntap add mode tap tap0"
    return os.path.exists("/dev/net/tun") and subprocess.run(["unshare", "-n", "sh", "-c", probe], capture_output=True).returncode == 0


class Tap(unittest.TestCase):
    @unittest.skipUnless(bridges_here(), "this host lets us make no network namespace with a bridge and a TAP interface")
    def test_bridge_recipe(self):
        words = ["-name", "course", "-m", "256", "-nographic", "-kernel", boot_modules.kernel(), "-initrd",
                 boot_modules.initrd("tap", SCRIPT), "-append", "console=ttyS0 quiet", "-net", "nic,model=virtio", "-net",
                 "tap,ifname=tap0,script=no,downscript=no"]
        with Guest(words, command=["unshare", "-n", "bash", "-c", BRIDGE, XIAOMA, "run"]) as guest:
            guest.expect(r"3 packets transmitted, 3 packets received", timeout=300)
            guest.expect("LISTENING")
            fetch = "for i in $(seq 40); do exec 3<>/dev/tcp/192.168.57.2/80 && break; sleep 1; done 2> /dev/null; cat <&3 | wc -c"
            said = subprocess.run(["nsenter", "-t", str(guest.process.pid), "-n", "bash", "-c", fetch], capture_output=True,
                                  text=True, timeout=120)
            self.assertEqual(said.stdout.strip(), "3000000", said.stderr)
            guest.expect("SERVED")
            self.assertEqual(guest.wait_exit(), 0)


if __name__ == "__main__":
    unittest.main()
