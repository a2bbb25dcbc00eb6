# SPDX-License-Identifier: GPL-2.0-or-later
# Short visits to protected mode, to reach physical addresses above 1 MiB from real mode [SDM3 9.9].
# The caller's GDTR comes back: programs that switch modes themselves may have loaded theirs already.
.text
.code16
.balign 8
flat_gdt:
    .quad 0
    .quad 0x00CF93000000FFFF     # 08: flat data
    .quad 0x00009B0F0000FFFF     # 10: the F segment
flat_gdt_end:
flat_gdt_pointer:
    .word flat_gdt_end - flat_gdt - 1
    .long 0xF0000 + flat_gdt

# void open_flat_fs()
.globl open_flat_fs
open_flat_fs:
    pushl %eax
    subl $8, %esp
    sgdtl (%esp)
    lgdtl %cs:flat_gdt_pointer
    movl %cr0, %eax
    incw %ax                     # PE is off in real mode
    movl %eax, %cr0
    movw $0x08, %ax
    movw %ax, %fs
    movl %cr0, %eax
    andb $0xFE, %al
    movl %eax, %cr0
    lgdtl (%esp)
    addl $8, %esp
    xorw %ax, %ax
    movw %ax, %fs                # base 0; the limit stays
    popl %eax
    retl

# void copy_physical(u32 to, u32 from, u32 length)
.globl copy_physical_flat
copy_physical_flat:
    pushl %esi
    pushl %edi
    movl %eax, %edi
    movl %edx, %esi
    subl $8, %esp
    sgdtl (%esp)
    lgdtl %cs:flat_gdt_pointer
    movl %cr0, %eax
    incw %ax
    movl %eax, %cr0
    movw $0x08, %ax
    movw %ax, %ds
    movw %ax, %es
    movl %cr0, %eax
    andb $0xFE, %al
    movl %eax, %cr0
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    cmpl %esi, %edi
    jbe 1f
    leal (%esi,%ecx), %eax
    cmpl %eax, %edi
    jb 2f
1:  movl %ecx, %edx
    shrl $2, %ecx
    addr32 rep movsl
    movl %edx, %ecx
    andl $3, %ecx
    addr32 rep movsb
    jmp 3f
2:  leal -1(%esi,%ecx), %esi     # overlapping, upwards: from the end
    leal -1(%edi,%ecx), %edi
    std
    addr32 rep movsb
    cld
3:  movw $0xE000, %ax
    movw %ax, %ds
    movw %ax, %es
    lgdtl (%esp)
    addl $8, %esp
    popl %edi
    popl %esi
    retl

# void enter_protected(u32 entry, u32 eax, u32 ebx): leaves for a 32-bit kernel, flat segments, paging and interrupts off
# [Multiboot 3.2; Xen PVH]. The table must outlive us: it is in the F segment.
.balign 8
kernel_gdt:
    .quad 0
    .quad 0
    .quad 0x00CF9B000000FFFF     # 10: flat code
    .quad 0x00CF93000000FFFF     # 18: flat data
kernel_gdt_end:
kernel_gdt_pointer:
    .word kernel_gdt_end - kernel_gdt - 1
    .long 0xF0000 + kernel_gdt
.globl enter_protected
enter_protected:
    cli
    movl %eax, %ebp
    movl %ecx, %ebx
    movl %edx, %eax
    lgdtl %cs:kernel_gdt_pointer
    movl %cr0, %ecx
    orb $1, %cl
    movl %ecx, %cr0
    ljmpl $0x10, $0xF0000 + enter_protected_32
.code32
enter_protected_32:
    movl $0x18, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %fs
    movl %ecx, %gs
    movl %ecx, %ss
    movl $0x7C00, %esp
    xorl %esi, %esi
    xorl %edi, %edi
    movl %ebp, %ecx
    xorl %ebp, %ebp
    jmp *%ecx
