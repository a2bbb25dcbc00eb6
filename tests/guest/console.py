# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives a guest over its serial console: start an emulator, wait for the prompt, run commands, collect output and status."""
import os
import re
import select
import subprocess
import time

ESCAPES = re.compile(rb'\x1b\[[0-9;?]*[A-Za-z]')


class GuestError(Exception):
    pass


class Guest:
    """One running machine. `command` is the emulator with all options; its stdin and stdout are the serial line."""

    def __init__(self, command, echo=False):
        self.log = b''
        self.position = 0
        self.counter = 0
        self.echo = echo
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def pump(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        if self.echo:
            print(data.decode('latin1'), end='', flush=True)
        self.log += data
        return bool(data)

    def expect(self, pattern, seconds=30):
        """Waits for a regular expression after what earlier calls matched; returns the match."""
        end = time.monotonic() + seconds
        compiled = re.compile(pattern, re.S)
        while True:
            found = compiled.search(self.log, self.position)
            if found:
                self.position = found.end()
                return found
            left = end - time.monotonic()
            if left <= 0 or not self.pump(min(left, 1)):
                raise GuestError(f'waited {seconds} s for {pattern!r}; the guest said:\n{self.tail()}')

    def tail(self):
        return ESCAPES.sub(b'', self.log[max(0, self.position - 200):]).decode('latin1')[-3000:]

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, command, seconds=30):
        """Runs a shell command; returns (status, output). The mark stands on the same line: what is typed ahead is echoed in the middle of
        the command's output, by any terminal."""
        self.counter += 1
        mark = f'@{self.counter}@'
        self.send(f"{command}; echo '{mark[:-1]}''@'$?@\n")
        found = self.expect(rb'(?:^|\n)?([^\n]*\n)?(.*?)' + mark.encode() + rb'(\d+)@', seconds)
        output = ESCAPES.sub(b'', self.log[found.start():found.start(3)]).decode('latin1').replace('\r', '')
        lines = [line for line in output.split('\n') if mark[:-1] not in line and not line.rstrip().endswith(command)]
        return int(found.group(3)), '\n'.join(lines).strip()


def qemu(kernel, initrd, append='', cpus=1, memory='256M', extra=()):
    return ['qemu-system-x86_64', '-kernel', kernel, '-initrd', initrd, '-append', f'console=ttyS0 panic=-1 quiet {append}', '-m', memory,
            '-smp', str(cpus), '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-nic', 'none', *extra]
