# SPDX-License-Identifier: GPL-2.0-or-later
"""Start a guest, wait for text, type, read its screen. Used by every boot and guest test.

    with Guest(["-m", "256", "-kernel", kernel, "-append", "console=ttyS0", "-nographic"]) as guest:
        guest.expect("/ # ")
        guest.send("uname -a\n")
        ...
        assert guest.wait_exit(30) == 0

When an expectation fails, the exception carries the last of what the guest said.
"""

import os
import re
import selectors
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("XM_BUILD", os.path.join(ROOT, "build", "release"))
XIAOMA = os.path.join(BUILD, "bin", "xiaoma")
CACHE = os.path.join(ROOT, "build", "test-cache")


class GuestError(AssertionError):
    pass


class Guest:
    """A running emulator whose standard input and output are the guest's serial port (or what argv makes of them)."""

    def __init__(self, argv, command=None, monitor=False, env=None):
        self.directory = tempfile.TemporaryDirectory(prefix="xm-guest-")
        self.monitor_path = None
        argv = list(argv)
        if monitor:
            self.monitor_path = os.path.join(self.directory.name, "monitor")
            argv += ["-monitor", f"unix:{self.monitor_path},server=on,wait=off"]
        self.argv = (command or [XIAOMA, "run"]) + argv
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=env, bufsize=0, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.output = ""
        self.position = 0  # everything before has been matched
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.directory.cleanup()

    def _pump(self, timeout):
        if self.ended or not self.selector.select(max(0, timeout)):
            return
        data = self.process.stdout.read(65536)
        if data:
            self.output += data.decode("utf-8", "replace")
        elif data == b"":
            self.ended = True
            self.selector.unregister(self.process.stdout)

    def _fail(self, what):
        tail = self.output[-3000:]
        raise GuestError(f"{what}\n--- command: {' '.join(self.argv)}\n--- last output:\n{tail}\n---")

    def expect(self, pattern, timeout=60):
        """Waits for a regular expression (or any of a list); returns the match. Matched text is used up."""
        patterns = [pattern] if isinstance(pattern, str) else pattern
        deadline = time.monotonic() + timeout
        while True:
            for item in patterns:
                match = re.search(item, self.output[self.position:])
                if match:
                    self.position += match.end()
                    return match
            if self.ended:
                self._fail(f"the emulator ended (status {self.process.wait()}) while waiting for {pattern!r}")
            if time.monotonic() > deadline:
                self._fail(f"no {pattern!r} within {timeout} s")
            self._pump(0.2)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, command, prompt, timeout=60):
        """Types a shell command, returns what it printed before the next prompt."""
        start = self.position
        self.send(command + "\n")
        self.expect(re.escape(command[-10:]) + r"\s*\r?\n", timeout)
        start = self.position
        match = self.expect(prompt, timeout)
        return self.output[start:self.position - len(match.group(0))]

    def wait_exit(self, timeout=60):
        deadline = time.monotonic() + timeout
        while not self.ended and time.monotonic() < deadline:
            self._pump(0.2)
        try:
            return self.process.wait(max(0.5, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._fail(f"still running after {timeout} s")

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def monitor(self, command, timeout=20):
        """One monitor command; returns its answer without the prompt."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                link = socket.socket(socket.AF_UNIX)
                link.settimeout(timeout)
                link.connect(self.monitor_path)
                break
            except OSError:
                link.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self._fail("cannot reach the monitor")
                time.sleep(0.1)
        with link:
            self._read_prompt(link)
            link.sendall(command.encode() + b"\n")
            answer = self._read_prompt(link)
        lines = answer.replace("\r", "").split("\n")
        return "\n".join(line for line in lines[1:] if not line.startswith("(xiaoma)"))

    @staticmethod
    def _read_prompt(link):
        data = b""
        while not data.endswith(b"(xiaoma) "):
            part = link.recv(65536)
            if not part:
                break
            data += part
        return data.decode("utf-8", "replace")

    def screen(self):
        """The VGA text screen."""
        return self.monitor("screentext")

    def expect_screen(self, pattern, timeout=60):
        deadline = time.monotonic() + timeout
        text = ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self._pump(0.2)
                self._fail(f"the emulator ended while waiting for {pattern!r} on the screen")
            text = self.screen()
            if re.search(pattern, text):
                return text
            self._pump(0.5)
        self._fail(f"no {pattern!r} on the screen within {timeout} s\n--- screen:\n{text}")
