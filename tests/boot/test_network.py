# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel on virtio-net with the user-mode network: an address by DHCP, out to the host, and in by hostfwd."""

import http.server
import socket
import threading
import time
import unittest

import boot_modules
from guest import Guest

SCRIPT = """
ip link set eth0 up
udhcpc -i eth0 -q -n -s /bin/true 2>&1
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
wget -q -O - http://10.0.2.2:$(sed 's/.*web=\\([0-9]*\\).*/\\1/' /proc/cmdline)/
echo LISTENING
echo words-from-guest | nc -l -p 80
echo SERVED
poweroff -f
"""


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"words-from-host\n")

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Network(unittest.TestCase):
    QUICK = False

    def read_from_guest(self, port):
        """What the guest's server says; the forwarded port accepts before the guest does."""
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
                try:
                    data = link.recv(100)
                except OSError:
                    data = b""
            if data:
                return data
            time.sleep(1)
        return b""

    def test_to_the_host_and_from_it(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        port = free_port()
        initrd = boot_modules.initrd("network", SCRIPT)
        with Guest(["-m", "512", "-kernel", boot_modules.kernel(), "-initrd", initrd, "-append",
                    f"console=ttyS0 quiet web={server.server_address[1]}", "-nographic", "-netdev",
                    f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:80", "-device", "virtio-net-pci,netdev=n"]) as guest:
            guest.expect("lease of 10.0.2.15 obtained", timeout=240)
            guest.expect("words-from-host")
            guest.expect("LISTENING")
            self.assertEqual(self.read_from_guest(port), b"words-from-guest\n")
            guest.expect("SERVED")
            self.assertEqual(guest.wait_exit(), 0)


if __name__ == "__main__":
    unittest.main()
