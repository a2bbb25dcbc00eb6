# SPDX-License-Identifier: GPL-2.0-or-later
# Structures that option ROMs and old systems search for in the F segment, and their far-call entries. Checksums are made by
# tools/patch_rom.py, which finds each structure by its signature.
.text
.code16
# The service stubs return with IRET; a far caller gets its flags wrapped in.
.macro far_entry name, service
\name:
    pushfw
    pushw %cs
    pushw $1f
    pushw %cs
    pushw $\service
    lretw
1:  lretw
.endm
far_entry pmm_far, entry_pmm
far_entry pnp_far, entry_pnp
far_entry vbe_window_call, entry_int10
.globl vbe_window_far
vbe_window_far:                  # VBE window function: as INT 10h 4F05, by a far call
    movw $0x4F05, %ax
    jmp vbe_window_call

.balign 16
    .ascii "$PMM"
    .byte 1, 16, 0               # revision, length, checksum
    .word pmm_far, 0xF000
    .fill 5, 1, 0
.balign 16
.globl pnp_structure
pnp_structure:
    .ascii "$PnP"
    .byte 0x10, 0x21             # version, length
    .word 0                      # control: no events
    .byte 0                      # checksum
    .long 0
    .word pnp_far, 0xF000
    .word 0
    .long 0xF0000
    .long 0
    .word 0xF000
    .long 0xF0000
