# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP, the monitor and `xiaoma ctl`, as other people's clients use them."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest

from guest import XIAOMA


class Qmp:
    """A client of its own: what a management program does."""

    def __init__(self, path):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.link = socket.socket(socket.AF_UNIX)
                self.link.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.link.settimeout(30)
        self.file = self.link.makefile("rw")
        self.events = []

    def read(self):
        return json.loads(self.file.readline())

    def raw(self, text):
        self.file.write(text)
        self.file.flush()
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def call(self, name, /, **arguments):
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        reply = self.raw(json.dumps(request) + "\n")
        if "error" in reply:
            raise AssertionError(f"{name}: {reply['error']}")
        return reply["return"]

    def wait_event(self, name):
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            self.events.append(self.read())


class Control(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="xm-control-")
        self.qmp_path = os.path.join(self.directory.name, "qmp")
        self.monitor_path = os.path.join(self.directory.name, "monitor")
        self.process = None

    def tearDown(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
        self.directory.cleanup()

    def start(self, *words):
        self.process = subprocess.Popen([XIAOMA, "run", "-display", "none", "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                                         "-monitor", f"unix:{self.monitor_path},server=on,wait=off", *words],
                                        stderr=subprocess.PIPE)
        return Qmp(self.qmp_path)

    def ctl(self, path, *words):
        return subprocess.run([XIAOMA, "ctl", path, *words], capture_output=True, text=True, timeout=60)

    def test_greeting_negotiation_and_errors(self):
        qmp = self.start("-S", "-name", "tester")
        greeting = qmp.read()
        self.assertIn("version", greeting["QMP"])
        self.assertEqual(qmp.raw('{"execute": "query-status"}\n')["error"]["class"], "CommandNotFound")
        self.assertEqual(qmp.raw('{"execute": "qmp_capabilities", "id": 7}'), {"return": {}, "id": 7})
        self.assertEqual(qmp.call("query-status"), {"running": False, "singlestep": False, "status": "prelaunch"})
        self.assertEqual(qmp.call("query-name"), {"name": "tester"})
        for bad in ('{"execute": 5}', '{"no": "command"}', '{"execute": "stop", "extra": 1}', '{"execute": "x", "arguments": 3}',
                    '{"a": [1, }\n', "nonsense\n", '{"execute": "screendump"}', '{"execute": "memsave", "arguments": {"val": "x"}}'):
            self.assertIn("error", qmp.raw(bad), bad)
        self.assertEqual(qmp.raw('{"execute": "fly"}')["error"]["class"], "CommandNotFound")
        # Two objects at once, a string that holds braces, no white space.
        qmp.file.write('{"execute":"query-kvm","id":"a}{"}{"execute":"query-target","id":2}')
        qmp.file.flush()
        self.assertEqual(qmp.read()["id"], "a}{")
        self.assertEqual(qmp.read(), {"return": {"arch": "x86_64"}, "id": 2})

    def test_queries_tell_of_the_machine(self):
        disk = os.path.join(self.directory.name, "disk.img")
        with open(disk, "wb") as file:
            file.truncate(1 << 20)
        qmp = self.start("-S", "-smp", "2", "-m", "64", "-hda", disk, "-serial", "null")
        qmp.read()
        qmp.call("qmp_capabilities")
        cpus = qmp.call("query-cpus-fast")
        self.assertEqual([cpu["cpu-index"] for cpu in cpus], [0, 1])
        self.assertTrue(os.path.isdir(f"/proc/{self.process.pid}/task/{cpus[0]['thread-id']}"))
        self.assertEqual(qmp.call("query-block")[0]["inserted"]["file"], disk)
        self.assertIn("serial0", [row["label"] for row in qmp.call("query-chardev")])
        self.assertEqual(qmp.call("query-memory-size-summary")["base-memory"], 64 << 20)
        names = {row["name"] for row in qmp.call("query-commands")}
        for name in sorted(names):
            if name.startswith("query-"):
                qmp.call(name)
        self.assertIn("qom-list-types", names)
        self.assertIn("tcg-accel", [row["name"] for row in qmp.call("qom-list-types", implements="accel")])
        self.assertIn("drive", [row["name"] for row in qmp.call("device-list-properties", typename="virtio-blk-pci")])
        self.assertTrue([row for row in qmp.call("query-machines") if row.get("is-default")])

    def test_drives_and_cables_change(self):
        disk, cd = (os.path.join(self.directory.name, name) for name in ("disk.qcow2", "cd.iso"))
        base = os.path.join(self.directory.name, "base.img")
        for path in (cd, base):
            with open(path, "wb") as file:
                file.truncate(1 << 20)
        subprocess.run([XIAOMA, "img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk], check=True)
        qmp = self.start("-S", "-m", "64", "-drive", f"file={disk},format=qcow2,if=virtio,id=d", "-drive",
                         "if=ide,media=cdrom,id=c", "-netdev", "user,id=n", "-device", "e1000,netdev=n,id=card")
        qmp.read()
        qmp.call("qmp_capabilities")
        rows = {row["device"]: row for row in qmp.call("query-block")}
        self.assertEqual((rows["d"]["inserted"]["drv"], rows["d"]["inserted"]["image"]["virtual-size"],
                          rows["d"]["inserted"]["backing_file"], rows["d"]["removable"]), ("qcow2", 1 << 20, base, False))
        self.assertNotIn("inserted", rows["c"])
        qmp.call("blockdev-change-medium", id="c", filename=cd)
        rows = {row["device"]: row for row in qmp.call("query-block")}
        self.assertEqual((rows["c"]["inserted"]["file"], rows["c"]["inserted"]["ro"]), (cd, True))
        qmp.call("eject", id="c", force=True)
        self.assertNotIn("inserted", {row["device"]: row for row in qmp.call("query-block")}["c"])
        qmp.call("block_resize", device="d", size=3 << 20)
        self.assertIn("3145728 bytes", self.ctl(self.monitor_path, "info", "block").stdout)
        self.assertEqual(self.ctl(self.monitor_path, "block_resize d 4").returncode, 0)
        self.assertIn("4194304 bytes", self.ctl(self.monitor_path, "info", "block").stdout)
        qmp.call("set_link", name="card", up=False)
        self.assertEqual(self.ctl(self.monitor_path, "set_link card on").returncode, 0)
        for command, arguments in (("set_link", {"name": "nothing", "up": True}), ("set_link", {"name": "card"}),
                                   ("block_resize", {"device": "d", "size": 7}), ("eject", {"id": "d"})):
            self.assertIn("error", qmp.raw(json.dumps({"execute": command, "arguments": arguments}) + "\n"), command)

    def test_runs_stops_resets_and_quits(self):
        qmp = self.start("-S")
        qmp.read()
        qmp.call("qmp_capabilities")
        qmp.call("cont")
        qmp.wait_event("RESUME")
        self.assertEqual(qmp.call("query-status")["status"], "running")
        qmp.call("system_reset")
        reset = qmp.wait_event("RESET")
        self.assertEqual(reset["data"]["guest"], False)
        qmp.call("stop")
        qmp.wait_event("STOP")
        self.assertEqual(qmp.call("query-status")["status"], "paused")
        picture = os.path.join(self.directory.name, "screen.png")
        qmp.call("cont")
        time.sleep(1)
        qmp.call("screendump", filename=picture, format="png")
        with open(picture, "rb") as file:
            self.assertEqual(file.read(4), b"\x89PNG")
        self.assertIn("RIP=", qmp.call("human-monitor-command", command_line="info registers"))
        memory = os.path.join(self.directory.name, "memory")
        qmp.call("pmemsave", val=0xF0000, size=0x10000, filename=memory)
        with open(memory, "rb") as file:
            bytes_saved = file.read()
        self.assertEqual(len(bytes_saved), 0x10000)
        self.assertEqual(bytes_saved[0xFFF0], 0xE9)  # the BIOS's jump at the reset vector
        qmp.call("send-key", keys=[{"type": "qcode", "data": "ret"}])
        qmp.call("input-send-event", events=[{"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}])
        qmp.call("quit")
        self.assertEqual(qmp.wait_event("SHUTDOWN")["data"], {"guest": False, "reason": "host-qmp-quit"})
        self.assertEqual(self.process.wait(30), 0)

    def test_a_client_may_come_back(self):
        qmp = self.start("-S")
        qmp.read()
        qmp.call("qmp_capabilities")
        qmp.file.close()
        qmp.link.close()
        again = Qmp(self.qmp_path)
        self.assertIn("QMP", again.read())
        again.call("qmp_capabilities")
        self.assertEqual(again.call("query-status")["status"], "prelaunch")

    def test_ctl_speaks_both_protocols(self):
        self.start("-S").link.close()
        self.assertIn("VM status: paused", self.ctl(self.monitor_path, "info", "status").stdout)
        time.sleep(0.3)
        answer = self.ctl("unix:" + self.qmp_path, "query-status")
        self.assertEqual(json.loads(answer.stdout)["status"], "prelaunch", answer.stderr)
        self.assertIn("RIP=", self.ctl(self.qmp_path, "info registers").stdout)
        self.assertEqual(self.ctl(self.qmp_path, '{"execute": "query-target"}').stdout.split(), '{ "arch": "x86_64" }'.split())
        memory = os.path.join(self.directory.name, "memory")
        self.assertEqual(self.ctl(self.qmp_path, "pmemsave", "val=0", "size=512", f"filename={memory}").returncode, 0)
        self.assertEqual(os.path.getsize(memory), 512)
        refused = self.ctl(self.qmp_path, '{"execute": "fly"}')
        self.assertEqual((refused.returncode, len(refused.stderr.splitlines())), (1, 1))
        self.assertEqual(self.ctl(self.monitor_path, "fly").returncode, 1)
        missing = self.ctl(os.path.join(self.directory.name, "nobody"), "quit")
        self.assertEqual((missing.returncode, len(missing.stderr.splitlines())), (125, 1))
        self.assertEqual(self.ctl(self.monitor_path, "quit").returncode, 0)
        self.assertEqual(self.process.wait(30), 0)

    def test_one_place_by_four_addresses(self):
        self.start().link.close()
        time.sleep(1)
        text = self.ctl(self.monitor_path, "gva2hpa", "0x7c00").stdout
        self.assertRegex(text, r"gva: 0x7c00\s+gpa: 0x7c00\s+hva: 0x[0-9a-f]+\s+hpa: ")
        self.assertTrue(re.search(r"paging is off|^[0-9a-f]{16}: ", self.ctl(self.monitor_path, "info", "tlb").stdout, re.M))

    def test_mon_on_a_chardev(self):
        path = os.path.join(self.directory.name, "control")
        self.process = subprocess.Popen([XIAOMA, "run", "-display", "none", "-S", "-chardev",
                                         f"socket,id=c,path={path},server=on,wait=off", "-mon", "chardev=c,mode=control"],
                                        stderr=subprocess.PIPE)
        qmp = Qmp(path)
        self.assertIn("QMP", qmp.read())
        qmp.call("qmp_capabilities")
        self.assertEqual(qmp.call("query-status")["status"], "prelaunch")


if __name__ == "__main__":
    unittest.main()
