# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's Bochs 2.7 as a guest: a text screen on a pseudo terminal nobody reads, COM1 on a socket. Its build has the debugger, so a script
tells it to continue. The disk is IDE."""
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

BOCHS = shutil.which("bochs")
TERM_PLUGIN = "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so"
ROM = "/usr/share/bochs/BIOS-bochs-latest"
VGA_ROM = "/usr/share/vgabios/vgabios.bin"
AVAILABLE = BOCHS is not None and all(os.path.exists(p) for p in (TERM_PLUGIN, ROM, VGA_ROM))
CONFIG = """plugin_ctrl: speaker=0
display_library: term
megs: 256
romimage: file={rom}
vgaromimage: file={vga}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={image}, mode=volatile
boot: disk
com1: enabled=1, mode=socket-client, dev=localhost:{port}
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
cpu: count={cpus}, ips=50000000, model=corei7_haswell_4770
clock: sync=none, time0=local
"""


class BochsGuest:
    """The part of tests/lib/guest.py's Guest that a test on another machine needs."""

    def __init__(self, image, cpus=1):
        self.directory = tempfile.TemporaryDirectory(prefix="xm-bochs-")
        here = self.directory.name
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(60)
        paths = {name: os.path.join(here, name) for name in ("config", "script", "log")}
        with open(paths["config"], "w") as f:
            f.write(CONFIG.format(rom=ROM, vga=VGA_ROM, image=image, cpus=cpus, port=listener.getsockname()[1], log=paths["log"]))
        with open(paths["script"], "w") as f:
            f.write("c\n")
        self.log = paths["log"]
        master, slave = pty.openpty()
        self.process = subprocess.Popen([BOCHS, "-q", "-f", paths["config"], "-rc", paths["script"]], stdin=slave, stdout=slave, stderr=slave,
                                        env=dict(os.environ, TERM="linux"), cwd=here, start_new_session=True)
        os.close(slave)
        self.master = master
        threading.Thread(target=self._drain, daemon=True).start()
        self.serial, _ = listener.accept()
        listener.close()
        self.output = ""
        self.position = 0

    def _drain(self):
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.serial.close()
        os.close(self.master)
        self.directory.cleanup()

    def expect(self, pattern, timeout=60):
        end = time.monotonic() + timeout
        while not (found := re.compile(pattern, re.M).search(self.output, self.position)):
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.serial], [], [], left)[0]
            data = self.serial.recv(65536) if ready else b""
            if not data:
                raise AssertionError(f"waited {timeout} s for {pattern!r}; last output:\n{self.output[-3000:]}")
            self.output += data.decode("utf-8", "replace")
        self.position = found.end()
        return found

    def send(self, text):
        for byte in text.encode():  # Bochs's UART drops what comes faster than its line speed
            self.serial.sendall(bytes([byte]))
            time.sleep(0.002)

    def wait_exit(self, timeout):
        self.process.wait(timeout)
        return self.process.returncode
