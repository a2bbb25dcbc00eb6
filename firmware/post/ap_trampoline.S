# SPDX-License-Identifier: GPL-2.0-or-later
# Where the other processors start: real mode, CS:IP = page:0. Each copies the table of MSR values that POST left at offset
# 0x100 (see processors.cc), counts itself, and halts until the operating system sends the next INIT.
.section .rodata
.code16
.globl ap_trampoline_start, ap_trampoline_end
ap_trampoline_start:
    cli
    movw %cs, %ax
    movw %ax, %ds
    movl %cr0, %eax
    andl $0x9FFFFFFF, %eax
    movl %eax, %cr0
    movw $0x108, %si
    movw 0x104, %di
1:  testw %di, %di
    jz 2f
    movl (%si), %ecx
    movl 4(%si), %eax
    movl 8(%si), %edx
    wrmsr
    addw $12, %si
    decw %di
    jmp 1b
2:  lock incl 0x100
3:  hlt
    jmp 3b
ap_trampoline_end:
