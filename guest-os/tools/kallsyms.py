#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kallsyms.py IN.elf OUT.S: the text symbols of a linked kernel as an assembler table (sorted addresses, demangled names)."""
import subprocess
import sys


def short(name):
    """A demangled name without its parameters and our outermost namespace: what fits a stack trace line."""
    depth, cut = 0, len(name)
    for i, c in enumerate(name):
        if c == '<':
            depth += 1
        elif c == '>':
            depth -= 1
        elif c == '(' and depth == 0 and i > 0 and not name.startswith('(anonymous', i):
            cut = i
            break
    return name[:cut].replace('xm::os::', '').replace('(anonymous namespace)::', '')[:80]


def main():
    out = subprocess.run(['nm', '-C', '-n', sys.argv[1]], capture_output=True, text=True, check=True).stdout
    symbols = []
    for line in out.splitlines():
        parts = line.split(' ', 2)
        if len(parts) == 3 and parts[1] in 'tTwW' and int(parts[0], 16) >= 0xffffffff80000000:
            symbols.append((int(parts[0], 16), short(parts[2])))
    with open(sys.argv[2], 'w') as f:
        f.write('.section .kallsyms, "a"\n.globl kallsyms_count, kallsyms_addresses, kallsyms_names\n.balign 8\n')
        f.write(f'kallsyms_count: .quad {len(symbols)}\nkallsyms_addresses:\n')
        for address, _ in symbols:
            f.write(f'.quad {address:#x}\n')
        f.write('kallsyms_names:\n')
        for _, name in symbols:
            f.write('.asciz "%s"\n' % name.replace('"', ''))
        f.write('.section .note.GNU-stack,"",@progbits\n')


main()
