# SPDX-License-Identifier: GPL-2.0-or-later
"""-nographic on a terminal: raw while the machine runs, as it was on every way out, with the status of that way."""

import os
import pty
import signal
import subprocess
import termios
import time
import unittest

from guest import XIAOMA


class Terminal(unittest.TestCase):
    def leave(self, way):
        """Starts a machine on a terminal, calls way(process, terminal) and returns the process's status."""
        terminal, line = pty.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, line)
        before = termios.tcgetattr(line)
        machine = subprocess.Popen([XIAOMA, "run", "-m", "16", "-nographic"], stdin=line, stdout=line, stderr=line,
                                   start_new_session=True)
        deadline = time.monotonic() + 30
        while termios.tcgetattr(line) == before:
            self.assertLess(time.monotonic(), deadline, "the terminal never became raw")
            time.sleep(0.05)
        try:
            way(machine, terminal)
            status = machine.wait(30)
        finally:
            machine.kill()
        self.assertEqual(termios.tcgetattr(line), before)
        return status

    def test_keys(self):
        self.assertEqual(self.leave(lambda _, terminal: os.write(terminal, b"\x01x")), 0)

        def by_monitor(_, terminal):
            os.write(terminal, b"\x01c")
            time.sleep(0.5)
            os.write(terminal, b"quit\r")
        self.assertEqual(self.leave(by_monitor), 0)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.assertEqual(self.leave(lambda machine, _, n=number: machine.send_signal(n)), 128 + number)

    def test_crashes(self):
        for number in (signal.SIGSEGV, signal.SIGABRT):
            self.assertEqual(self.leave(lambda machine, _, n=number: machine.send_signal(n)), -number)


if __name__ == "__main__":
    unittest.main()
