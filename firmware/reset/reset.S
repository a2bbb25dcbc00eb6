# SPDX-License-Identifier: GPL-2.0-or-later
# From the reset vector to POST in flat protected mode [SDM3 9.1.4, 9.9.1]. Runs from the ROM below 4 GiB, so that it does
# not matter what the chipset shows at F0000. Linked into the F segment image next to the fixed entry points.

.set kPostEntry, 0xFFFE7000      # fixed in post/post.ld
.set kRomFSegment, 0xFFFF0000

.section .text.reset, "ax"
.code16
.globl reset_entry
reset_entry:
    cli
    cld
    # A program that came back from protected mode by a reset has left a code in CMOS 0F and, for 5 and A, an address in
    # 40:67 [IBM AT BIOS, shutdown].
    movw $0x8F, %ax
    outb %al, $0x70
    inb $0x71, %al
    movb %al, %bl
    xorb %al, %al
    outb %al, $0x71
    movb $0x0F, %al
    outb %al, $0x70
    cmpb $0x05, %bl
    je resume_with_eoi
    cmpb $0x0A, %bl
    je resume
    lgdtl %cs:reset_gdt_pointer
    movl %cr0, %eax
    andl $0x9FFFFFFF, %eax       # caches on: CD and NW are set after reset
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x08, $kRomFSegment + reset_flat

resume_with_eoi:
    movb $0x20, %al
    outb %al, $0xA0
    outb %al, $0x20
resume:
    xorw %ax, %ax
    movw %ax, %ds
    ljmp *0x467

.code32
reset_flat:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $kPostEntry, %eax
    jmp *%eax

# POST ends here: back to real mode in the shadowed F segment, then to the 16-bit half of the firmware.
# Reached by a far jump through the 16-bit code descriptor, on the selector table below.
.code16
.globl enter_real_mode
enter_real_mode:
    movw $0x20, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    lidtl %cs:real_idt_pointer
    movl %cr0, %eax
    andl $0xFFFFFFFE, %eax
    movl %eax, %cr0
    ljmp $0xF000, $real_mode_start
real_mode_start:
    movw $0xE000, %ax
    movw %ax, %es
    movw $bss_start, %di
    movw $stack_top, %cx
    subw %di, %cx
    xorb %al, %al
    rep stosb
    jmp first_start

.balign 8
reset_gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF     # 08: flat code
    .quad 0x00CF93000000FFFF     # 10: flat data
    .quad 0x00009B0F0000FFFF     # 18: 16-bit code at F0000
    .quad 0x000093000000FFFF     # 20: 16-bit data at 0
reset_gdt_end:
reset_gdt_pointer:
    .word reset_gdt_end - reset_gdt - 1
    .long kRomFSegment + reset_gdt
real_idt_pointer:
    .word 0x3FF
    .long 0
