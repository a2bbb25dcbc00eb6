#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest programs (engine_programs.asm) on ours, QEMU's TCG, Bochs and natively, in one interleaved run.

    tests/bench/compare.py [--engines ours,qemu,bochs,native] [--rounds 3] [--seconds 0.3] [--only WORD] [--json FILE]

The same disk (bench_disk.asm) boots on each; what a program takes is the CPU time that the emulator's process used
between the program's two marks on the serial port. Scales are found in a first pass, so that a program runs for about
--seconds on each engine. Instruction counts are those of our interpreter, which are exact. Medians over the rounds.
An engine that is not installed is left out, and the report says so."""

import argparse
import json
import math
import os
import pty
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "release")
DISK = os.path.join(BUILD, "tests", "bench", "bench_disk.bin")
PROGRAMS_AT = 512          # in the disk image
FIRST_ENTRY, ENTRY_BYTES, SCALE_OFFSET = 8, 48, 8
NEEDS_SYSTEM, MOVES_BYTES = 1, 2
INTEGER = ["alu mix", "sieve", "pointer chase L1", "quicksort", "recursion (fib)", "bytecode interpreter", "indirect calls"]
FLOATING = ["SSE2 matmul", "n-body", "x87"]
SILENCE = 60              # seconds without a mark after which an engine is given up


class Program:
    def __init__(self, number, line):
        once, twice, operations, flags, name = line.split(maxsplit=4)
        self.number, self.name = number, name
        self.once, self.unit = int(once), int(twice) - int(once)  # instructions
        self.operations, self.flags = int(operations), int(flags)

    def instructions(self, scale):
        return self.once + self.unit * (scale - 1)

    def figure(self, scale, seconds):
        """Millions of instructions or of bytes a second, or nanoseconds an operation."""
        if self.flags & MOVES_BYTES:
            return self.operations * scale / seconds / 1e6
        if self.operations:
            return seconds / (self.operations * scale) * 1e9
        return self.instructions(scale) / seconds / 1e6

    def expected(self, speed):
        """Seconds a unit of scale, roughly."""
        if self.flags & MOVES_BYTES:
            return self.operations / speed
        return self.operations * 2e-6 if self.operations else self.unit / speed

    def unit_name(self):
        return "MB/s" if self.flags & MOVES_BYTES else "ns" if self.operations else "MIPS"


def cpu_seconds(pid):
    """Of all threads; schedstat counts nanoseconds where the host's kernel has it."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total * 1e-9


def make_disk(path, scales):
    image = bytearray(open(DISK, "rb").read())
    for number, scale in enumerate(scales):
        struct.pack_into("<Q", image, PROGRAMS_AT + FIRST_ENTRY + number * ENTRY_BYTES + SCALE_OFFSET, scale)
    with open(path, "wb") as file:
        file.write(image)


def watch_marks(process, path):
    """Seconds by program from the marks "bNN" and "eNN" in a growing file, until "dNN"."""
    seconds, begun, buffer, last = {}, {}, b"", time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while True:
            piece = file.read(4096)
            if not piece:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args[0]} ended early")
                if time.monotonic() - last > SILENCE:
                    raise RuntimeError(f"{process.args[0]}: no more marks; begun {sorted(begun)}, ended {sorted(seconds)}")
                time.sleep(0.001)
                continue
            now = cpu_seconds(process.pid)
            last = time.monotonic()
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                if mark := re.search(rb"([be])([0-9A-F]{2})\r?$", line):
                    number = int(mark.group(2), 16)
                    if mark.group(1) == b"b":
                        begun[number] = now
                    else:
                        seconds[number] = now - begun[number]
            if any(re.search(rb"d[0-9A-F]{2}\r?$", line) for line in (*lines, buffer)):
                return seconds  # the last new line may stay in the emulator


class Engine:
    """An emulator that boots the disk."""

    def command(self, folder, disk, serial):
        raise NotImplementedError

    def run(self, scales):
        with tempfile.TemporaryDirectory() as folder:
            disk = os.path.join(folder, "disk.img")
            make_disk(disk, scales)
            serial = os.path.join(folder, "serial")
            with open(serial, "wb"):
                pass
            terminal, slave = pty.openpty()
            process = subprocess.Popen(self.command(folder, disk, serial), cwd=folder, stdin=slave, stdout=slave, stderr=slave,
                                       env={**os.environ, "TERM": "xterm"})
            os.close(slave)
            drain = threading.Thread(target=self.drain, args=(terminal,), daemon=True)
            drain.start()
            try:
                return watch_marks(process, serial)
            finally:
                process.kill()
                process.wait()
                drain.join(5)

    @staticmethod
    def drain(terminal):
        try:
            while os.read(terminal, 65536):
                pass
        except OSError:
            pass
        os.close(terminal)


class Ours(Engine):
    name = "ours"
    program = os.path.join(BUILD, "bin", "xiaoma")
    speed = 400e6

    def command(self, folder, disk, serial):
        return [self.program, "run", "-m", "64", "-accel", "interp", "-drive", f"file={disk},format=raw", "-display", "none",
                "-serial", f"file:{serial}", "-monitor", "none"]


class Qemu(Engine):
    name = "qemu"
    program = "qemu-system-x86_64"
    speed = 1000e6

    def command(self, folder, disk, serial):
        return [self.program, "-m", "64", "-accel", "tcg", "-cpu", "max", "-drive", f"file={disk},format=raw", "-display", "none",
                "-serial", f"file:{serial}", "-monitor", "none", "-nic", "none"]


class Bochs(Engine):
    name = "bochs"
    program = "bochs"
    speed = 100e6

    def command(self, folder, disk, serial):
        lines = ["megs: 64", "romimage: file=/usr/share/seabios/bios.bin", "vgaromimage: file=/usr/share/vgabios/vgabios.bin",
                 "display_library: term", "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
                 f"ata0-master: type=disk, path={disk}, mode=flat", "boot: disk", f"com1: enabled=1, mode=file, dev={serial}",
                 "cpu: model=corei7_haswell_4770, ips=4000000", "log: bochs.log", "panic: action=report",
                 "error: action=ignore", "info: action=report", "clock: sync=none",
                 "speaker: enabled=0", "sound: waveoutdrv=dummy"]  # its mixer overflows a buffer without a sound card
        with open(os.path.join(folder, "bochsrc"), "w") as file:
            file.write("\n".join(lines) + "\n")
        with open(os.path.join(folder, "debugger"), "w") as file:
            file.write("continue\n")  # Debian's has the debugger built in
        return [self.program, "-q", "-f", "bochsrc", "-rc", "debugger"]


class Native:
    name = "native"
    program = os.path.join(BUILD, "tests", "native_bench")
    speed = 4000e6

    def run(self, scales):
        out = subprocess.run([self.program, *map(str, scales)], check=True, capture_output=True, text=True).stdout
        return {int(number): float(seconds) for number, seconds in (line.split() for line in out.splitlines())}


def programs_of_disk():
    out = subprocess.run([os.path.join(BUILD, "tests", "engine_bench"), "--counts"], check=True, capture_output=True, text=True)
    return [Program(number, line) for number, line in enumerate(out.stdout.splitlines())]


def find_scales(engine, programs, chosen, seconds):
    """From a short run of each program to scales that take about `seconds`."""
    scales = [max(1, round(0.02 / p.expected(engine.speed))) if p in chosen else 0 for p in programs]
    took = engine.run(scales)
    wanted = [0] * len(programs)
    for number, spent in took.items():
        wanted[number] = max(1, round(scales[number] * seconds / max(spent, 1e-3)))
    return wanted


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def print_table(programs, engines, figures):
    names = [engine.name for engine in engines]
    print("| workload | unit | " + " | ".join(names) + " |" + "".join(f" ours/{n} |" for n in names if n != "ours"))
    print("|---|---|" + "---:|" * (2 * len(names) - ("ours" in names)))

    def ratio(program, name):
        mine, other = figures["ours"].get(program.name), figures[name].get(program.name)
        if not mine or not other:
            return None
        return other / mine if program.unit_name() == "ns" else mine / other

    for program in programs:
        cells = [figures[n].get(program.name) for n in names]
        if not any(cells):
            continue
        row = [f"{c:.1f}" if c else "-" for c in cells]
        if "ours" in names:
            row += [f"{r:.2f}" if (r := ratio(program, n)) else "-" for n in names if n != "ours"]
        print(f"| {program.name} | {program.unit_name()} | " + " | ".join(row) + " |")
    for title, group in (("geo-mean of 7 integer", INTEGER), ("geo-mean of 3 floating point", FLOATING)):
        means = [geometric_mean([figures[n][g] for g in group]) if all(g in figures[n] for g in group) else None for n in names]
        row = [f"**{m:.0f}**" if m else "-" for m in means]
        if "ours" in names and (mine := means[names.index("ours")]):
            row += [f"**{mine / m:.2f}**" if m else "-" for n, m in zip(names, means) if n != "ours"]
        print(f"| {title} | MIPS | " + " | ".join(row) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="ours,qemu,bochs,native")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--only", default="", help="programs whose name has this in it; several with commas")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the emulator is stopped too
    known = {engine.name: engine for engine in (Ours(), Qemu(), Bochs(), Native())}
    engines = []
    for name in options.engines.split(","):
        if name not in known:
            parser.error(f"no engine `{name}`; there are {', '.join(known)}")
        if shutil.which(known[name].program):
            engines.append(known[name])
        else:
            print(f"{name}: {known[name].program} is not installed, left out", file=sys.stderr)
    programs = programs_of_disk()
    chosen = [p for p in programs if any(word in p.name for word in options.only.split(","))]
    scales = {engine.name: find_scales(engine, programs, chosen, options.seconds) for engine in engines}
    samples = {engine.name: {} for engine in engines}
    for _ in range(options.rounds):
        for engine in engines:
            for number, seconds in engine.run(scales[engine.name]).items():
                program = programs[number]
                figure = program.figure(scales[engine.name][number], max(seconds, 1e-9))
                samples[engine.name].setdefault(program.name, []).append(figure)
    figures = {name: {p: statistics.median(values) for p, values in by.items()} for name, by in samples.items()}
    print_table(programs, engines, figures)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"figures": figures, "samples": samples}, file, indent=1)


if __name__ == "__main__":
    main()
