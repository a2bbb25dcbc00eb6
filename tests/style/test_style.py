# SPDX-License-Identifier: GPL-2.0-or-later
"""House rules as tests: the layers, licence lines, file sizes, no marks of unfinished work."""

import os
import re
import shutil
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Which folders a folder may include, besides itself. Dependencies point down only.
LAYERS = {
    "emu/base": [],
    "emu/bus": ["emu/base"],
    "cpu": ["emu/base"],
    "devices": ["emu/base", "emu/bus"],
    "emu/host": ["emu/base", "emu/bus", "devices/block", "devices/net", "devices/char", "devices/display", "devices/virtio",
                 "devices/input"],
    "emu/trace": ["emu/base", "emu/bus", "cpu", "emu/machine"],
    "emu/machine": ["emu/base", "emu/bus", "emu/host", "cpu", "devices"],
    "emu/display": ["emu/base", "emu/bus", "emu/host", "devices", "emu/machine"],
    "emu/monitor": ["emu/base", "emu/bus", "emu/host", "cpu", "devices", "emu/machine", "emu/trace", "emu/display"],
    "emu/gdb": ["emu/base", "emu/bus", "emu/host", "cpu", "devices/char", "emu/machine"],
    "emu/cli": ["emu/base", "emu/bus", "emu/host", "cpu", "devices", "emu/machine", "emu/monitor", "emu/display", "emu/gdb",
                "emu/trace"],
}
# clang-format 14 breaks requires clauses and joined one-line accessors, of which these are made.
LAID_OUT_BY_HAND = {"emu/base/bits.h", "emu/base/check.h", "emu/base/result.h", "emu/bus/address_space.h", "emu/bus/archive.h",
                    "emu/bus/guest_memory.h", "emu/bus/interrupt_source.h", "emu/bus/virtual_clock.h"}
SOURCE = (".cc", ".h", ".S", ".asl", ".def")


def tracked():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listing.splitlines() if os.path.isfile(os.path.join(ROOT, path))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def layer_of(path):
    best = ""
    for layer in LAYERS:
        if path.startswith(layer + "/") and len(layer) > len(best):
            best = layer
    return best


class Style(unittest.TestCase):
    def test_includes_point_down(self):
        wrong = []
        for path in tracked():
            layer = layer_of(path)
            if not layer or not path.endswith((".cc", ".h")):
                continue
            for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M):
                target = layer_of(included)
                if not target or target == layer:
                    continue
                if not any(included.startswith(allowed + "/") for allowed in LAYERS[layer]):
                    wrong.append(f"{path} includes {included}")
        self.assertEqual(wrong, [])

    def test_freestanding_worlds_share_nothing_with_the_emulator(self):
        wrong = []
        for path in tracked():
            if path.startswith(("firmware/", "guest-os/")) and path.endswith((".cc", ".h", ".S")):
                for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M):
                    if included.startswith(("emu/", "cpu/", "devices/")):
                        wrong.append(f"{path} includes {included}")
        self.assertEqual(wrong, [])

    def test_sources_are_formatted(self):
        if shutil.which("clang-format") is None:
            self.skipTest("clang-format is not installed")
        version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
        if "version 14." not in version:
            self.skipTest("other versions than 14 format differently")
        mine = [path for path in tracked() if path.endswith((".cc", ".h")) and path not in LAID_OUT_BY_HAND]
        result = subprocess.run(["clang-format", "--dry-run", "--Werror", *mine], cwd=ROOT, capture_output=True, text=True)
        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: ", result.stderr, re.M)))
        self.assertEqual(wrong, [])
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_source_file_names_its_licence(self):
        missing = [path for path in tracked() if path.endswith(SOURCE) and "SPDX-License-Identifier" not in read(path)[:200]]
        self.assertEqual(missing, [])

    def test_headers_are_guarded(self):
        missing = [path for path in tracked() if path.endswith(".h") and "#pragma once" not in read(path)]
        self.assertEqual(missing, [])

    def test_no_unexplained_marks(self):
        marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
        found = [path for path in tracked() if path.endswith(SOURCE) and marks.search(read(path))]
        self.assertEqual(found, [])

    def test_files_have_one_reason_to_be_opened(self):
        long = []
        for path in tracked():
            if path.endswith((".cc", ".h")):
                lines = read(path).count("\n")
                if lines > 800:
                    long.append(f"{path}: {lines} lines")
        self.assertEqual(long, [])

    def test_no_binaries_and_no_large_files(self):
        large = [path for path in tracked() if os.path.getsize(os.path.join(ROOT, path)) > 1 << 20]
        self.assertEqual(large, [])


if __name__ == "__main__":
    unittest.main()
