# SPDX-License-Identifier: GPL-2.0-or-later
# The BIOS32 service directory and the PCI BIOS in 32-bit protected mode [BIOS32 0.4; PCI BIOS 2.1 3.3]. Works with registers
# and the stack only: callers choose CS and need give it no access to data.

.section .text.structures, "ax"
.balign 16
bios32_header:
    .ascii "_32_"
    .long 0xF0000 + bios32_entry
    .byte 0, 1, 0                # revision, paragraphs, checksum (tools/patch_rom.py)
    .fill 5, 1, 0

.code32
bios32_entry:
    cmpl $0x49435024, %eax       # "$PCI"
    jne 1f
    testb %bl, %bl
    jne 2f
    movl $0xF0000, %ebx
    movl $0x10000, %ecx
    movl $pci32_entry, %edx
    xorb %al, %al
    lret
1:  movb $0x80, %al              # no such service
    lret
2:  movb $0x81, %al              # no such function
    lret

# AH = B1, AL = function, as INT 1Ah.
pci32_entry:
    pushfl
    cld
    call pci32_dispatch
    jc 1f
    popfl
    clc
    lret
1:  popfl
    stc
    lret

pci32_dispatch:
    cmpb $0x01, %al
    je pci32_present
    cmpb $0x02, %al
    je pci32_find_device
    cmpb $0x03, %al
    je pci32_find_class
    cmpb $0x08, %al
    jb 1f
    cmpb $0x0D, %al
    jbe pci32_configuration
1:  movb $0x81, %ah
    stc
    ret

pci32_present:
    movl $0x20494350, %edx       # "PCI "
    movw $0x0001, %ax            # success, mechanism 1
    movw $0x0210, %bx
    movb $0xFF, %cl              # any bus may exist
    clc
    ret

# CX device, DX vendor, SI index -> BX
pci32_find_device:
    pushl %edi
    pushl %ecx
    movl %ecx, %edi
    shll $16, %edi
    movw %dx, %di                # identification register as it must read
    xorl %ecx, %ecx
    call pci32_search
    jmp pci32_found

# ECX class code, SI index -> BX
pci32_find_class:
    pushl %edi
    pushl %ecx
    movl %ecx, %edi
    shll $8, %edi
    movl $0x08, %ecx
    call pci32_search
pci32_found:
    popl %ecx
    popl %edi
    movb $0x00, %ah
    jnc 1f
    movb $0x86, %ah              # device not found
    stc
1:  ret

# EDI value, CL register (0, or 8: compare without the revision), SI matches to skip -> BX, or carry.
pci32_search:
    pushl %eax
    pushl %edx
    pushl %esi
    xorl %ebx, %ebx
1:  movzwl %bx, %eax
    shll $8, %eax
    orl $0x80000000, %eax
    movb %cl, %al
    movw $0xCF8, %dx
    outl %eax, %dx
    movw $0xCFC, %dx
    inl %dx, %eax
    cmpb $0x08, %cl
    jne 2f
    xorb %al, %al
2:  cmpl %edi, %eax
    jne 3f
    subw $1, %si
    jc 4f
3:  incw %bx
    jnz 1b
    stc
    jmp 5f
4:  clc
5:  popl %esi
    popl %edx
    popl %eax
    ret

# BX bus and function, DI register, CL/CX/ECX value; functions 08-0A read, 0B-0D write a byte, word, doubleword.
pci32_configuration:
    pushl %edx
    pushl %eax
    movzwl %bx, %eax
    shll $8, %eax
    orl $0x80000000, %eax
    movw %di, %dx
    movb %dl, %al
    andb $0xFC, %al
    movw $0xCF8, %dx
    outl %eax, %dx
    movw %di, %dx
    andw $3, %dx
    addw $0xCFC, %dx
    movl %ecx, %eax
    cmpb $0x08, (%esp)
    je 1f
    cmpb $0x09, (%esp)
    je 2f
    cmpb $0x0A, (%esp)
    je 3f
    cmpb $0x0B, (%esp)
    je 4f
    cmpb $0x0C, (%esp)
    je 5f
    outl %eax, %dx
    jmp 6f
1:  inb %dx, %al
    movb %al, %cl
    jmp 6f
2:  inw %dx, %ax
    movw %ax, %cx
    jmp 6f
3:  inl %dx, %eax
    movl %eax, %ecx
    jmp 6f
4:  outb %al, %dx
    jmp 6f
5:  outw %ax, %dx
6:  popl %eax
    popl %edx
    movb $0x00, %ah
    clc
    ret
