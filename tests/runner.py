#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs all tests of the tree and ends with the line `N passed, N failed, N skipped`.

    tests/runner.py [--quick] [--build DIR] [FILTER ...]

GoogleTest programs are found in BUILD/tests/*_test, Python tests in tests/{style,boot,guest,...}/test_*.py (unittest).
A test module or case with QUICK = False is left out by --quick, and so are the GoogleTest cases of QUICK_LEAVES_OUT. A
FILTER keeps programs and modules whose path holds it. A run has a budget of time: what it has not reached by then counts
as failed, with --quick as skipped.
"""

import argparse
import glob
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))


BUDGET_SECONDS = 28 * 60
QUICK_BUDGET_SECONDS = 4 * 60
# The long ones, each with a shorter relative that stays.
QUICK_LEAVES_OUT = {
    "cpu_test": "Unmasked/VectorSilicon.*",
    "decoder_oracle_test": "*.Capstone/*",
    "silicon_test": "*DecodeOnSilicon.*",
}


class Totals:
    def __init__(self, quick):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.quick = quick
        self.deadline = time.monotonic() + (QUICK_BUDGET_SECONDS if quick else BUDGET_SECONDS)

    def seconds_left(self):
        return self.deadline - time.monotonic()

    def not_reached(self, what, count=1):
        print(f"{what}: not reached, the time is spent", flush=True)
        if self.quick:
            self.skipped += count
        else:
            self.failed += count
            self.failures.append(f"{what}: not reached")


def run_gtest(program, totals, timeout):
    name = os.path.basename(program)
    if totals.seconds_left() <= 0:
        return totals.not_reached(name)
    words = [program, "--gtest_brief=1"]
    if totals.quick and name in QUICK_LEAVES_OUT:
        words.append("--gtest_filter=-" + QUICK_LEAVES_OUT[name])
    start = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        try:
            result = subprocess.run(words + [f"--gtest_output=json:{report.name}"], timeout=timeout,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
            output, status = result.stdout, result.returncode
        except subprocess.TimeoutExpired as error:
            output, status = (error.stdout or b"").decode(errors="replace") + "\ntimed out", -1
        text = open(report.name).read()
    if not text:
        print(output[-4000:])
        totals.failed += 1
        totals.failures.append(f"{name} (status {status})")
        return
    passed = failed = skipped = 0
    for suite in json.loads(text)["testsuites"]:
        for case in suite["testsuite"]:
            if case.get("failures"):
                failed += 1
                totals.failures.append(f"{name}: {suite['name']}.{case['name']}")
            elif case.get("result") == "SKIPPED":
                skipped += 1
            elif case.get("status") == "RUN":
                passed += 1
    if failed or status != 0:
        print(output[-6000:])
    if status != 0 and not failed:
        failed += 1
        totals.failures.append(f"{name} (status {status})")
    for line in output.splitlines():
        if "Skipped" in line or "skip:" in line:
            print("   ", line.strip())
    print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped ({time.monotonic() - start:.1f} s)", flush=True)
    totals.passed += passed
    totals.failed += failed
    totals.skipped += skipped


class Result(unittest.TestResult):
    def __init__(self, totals, module):
        super().__init__()
        self.totals = totals
        self.module = module

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def _say(self, word, test, detail=""):
        took = time.monotonic() - getattr(self, "began", time.monotonic())
        print(f"{self.module}: {word} {test.id().split('.', 1)[-1]} ({took:.1f} s){detail}", flush=True)

    def addSuccess(self, test):
        self.totals.passed += 1
        self._say("ok", test)

    def _bad(self, test, error):
        self.totals.failed += 1
        self.totals.failures.append(f"{self.module}: {test.id()}")
        self._say("FAILED", test, "\n" + self._exc_info_to_string(error, test))

    def addFailure(self, test, error):
        self._bad(test, error)

    def addError(self, test, error):
        self._bad(test, error)

    def addExpectedFailure(self, test, error):
        self.totals.passed += 1
        self._say("failed as expected", test)

    def addUnexpectedSuccess(self, test):
        self.totals.failed += 1
        self.totals.failures.append(f"{self.module}: {test.id()} passed, which it should not yet")
        self._say("PASSED UNEXPECTEDLY", test)

    def stopTest(self, test):
        super().stopTest(test)
        if self.totals.seconds_left() <= 0:
            self.stop()

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._bad(subtest, error)

    def addSkip(self, test, reason):
        self.totals.skipped += 1
        self._say("skipped", test, ": " + reason)


def run_module(path, totals):
    name = os.path.relpath(path, os.path.join(ROOT, "tests"))
    if totals.seconds_left() <= 0:
        return totals.not_reached(name)
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec.loader.exec_module(module)
    except Exception:  # whatever it is, the other modules still run
        totals.failed += 1
        totals.failures.append(f"{name}: cannot be loaded")
        print(f"{name}: cannot be loaded\n{traceback.format_exc()}", flush=True)
        return
    finally:
        sys.path.pop(0)
    if totals.quick and not getattr(module, "QUICK", True):
        return
    suite = unittest.TestSuite()
    for case in unittest.defaultTestLoader.loadTestsFromModule(module):
        for test in case:
            if not totals.quick or getattr(test, "QUICK", True):
                suite.addTest(test)
    planned = suite.countTestCases()
    result = Result(totals, name)
    suite.run(result)
    if result.shouldStop and result.testsRun < planned:
        totals.not_reached(f"{name}: {planned - result.testsRun} tests", planned - result.testsRun)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--gtest-only", action="store_true")
    parser.add_argument("filters", nargs="*")
    options = parser.parse_args()
    os.environ["XM_BUILD"] = os.path.abspath(options.build)

    def wanted(path):
        return not options.filters or any(word in path for word in options.filters)

    totals = Totals(options.quick)
    for program in sorted(glob.glob(os.path.join(options.build, "tests", "*_test"))):
        if wanted(program) and os.access(program, os.X_OK):
            run_gtest(program, totals, 600)
    if not options.gtest_only:
        folders = ["style", "cpu", "devices", "boot", "guest", "fuzz"]
        for folder in folders:
            for path in sorted(glob.glob(os.path.join(ROOT, "tests", folder, "test_*.py"))):
                if wanted(path):
                    run_module(path, totals)
    for failure in totals.failures:
        print("failed:", failure)
    sys.stderr.flush()
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped", flush=True)
    return 1 if totals.failed or totals.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
