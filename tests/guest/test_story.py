# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that maps the course's chapters to code names only files that exist."""

import os
import re
import unittest

from guest import ROOT

TOPS = ("guest-os/", "images/", "tests/", "docs/")


class Story(unittest.TestCase):
    def test_paths_exist(self):
        with open(os.path.join(ROOT, "docs", "guest-os-story.md")) as page:
            text = page.read()
        rows = [line.split("|")[3] for line in text.splitlines() if re.match(r"\| [A-Z]\d+ \|", line)]
        names = [name for row in rows for name in re.findall(r"`([^`]+)`", row) if "/" in name]
        names += [name for name in re.findall(r"`(tests/[^`]+|init/[^`]+)`", text)]
        self.assertGreater(len(names), 100)
        missing = [name for name in names if not os.path.exists(os.path.join(ROOT, name if name.startswith(TOPS) else "guest-os/kernel/" + name))]
        self.assertEqual(missing, [])


if __name__ == "__main__":
    unittest.main()
