// SPDX-License-Identifier: GPL-2.0-or-later
// First instructions of the loader core (physical 0x20000, 32-bit, EDX = BIOS drive), and the way back to real mode for BIOS calls and for
// starting a boot sector. This part comes first in the image, so that real-mode code reaches it as segment 2000h.
#define OFFSET(symbol) ((symbol) - _start)  // within the segment
  .section .start, "ax"
  .code32
  .globl _start, bios_regs, bios_opcode, bios_thunk, start_sector, enter_linux, enter_multiboot
_start:
  movl $0x6fff0, %esp
  lgdt gdt_pointer
  ljmpl $0x10, $1f
1:
  movl $0x18, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl %eax, %fs
  movl %eax, %gs
  cld
  movl $bss_start, %edi
  movl $bss_end, %ecx
  subl %edi, %ecx
  xorl %eax, %eax
  rep stosb
  pushl %edx
  call core_main
2:
  hlt
  jmp 2b

  .balign 4
bios_regs:                        // eax ebx ecx edx esi edi ebp eflags ds es, as struct BiosRegs
  .skip 36
bios_opcode:                      // in: "int N" or "hlt; nop"
  .word 0
saved_esp:
  .long 0

// Executes bios_opcode in real mode, interrupts on, with the registers of bios_regs; leaves there what came back.
bios_thunk:
  pushal
  movl %esp, saved_esp
  movw bios_opcode, %ax
  movw %ax, instruction
  lidt real_idt
  ljmpl $0x08, $OFFSET(1f)
  .code16
1:
  movw $0x20, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl %cr0, %eax
  andb $0xfe, %al
  movl %eax, %cr0
  ljmp $0x2000, $OFFSET(2f)
2:
  movw %cs, %ax
  movw %ax, %ds
  xorw %ax, %ax
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl $0x7000, %esp
  movl OFFSET(bios_regs) + 0, %eax
  movl OFFSET(bios_regs) + 4, %ebx
  movl OFFSET(bios_regs) + 8, %ecx
  movl OFFSET(bios_regs) + 12, %edx
  movl OFFSET(bios_regs) + 16, %esi
  movl OFFSET(bios_regs) + 20, %edi
  movl OFFSET(bios_regs) + 24, %ebp
  movw OFFSET(bios_regs) + 34, %es
  movw OFFSET(bios_regs) + 32, %ds
  sti
instruction:
  .word 0
  cli
  cld
  pushfl
  pushw %ds
  pushl %eax
  movw %cs, %ax
  movw %ax, %ds
  popl OFFSET(bios_regs) + 0
  popw OFFSET(bios_regs) + 32
  popl OFFSET(bios_regs) + 28
  movl %ebx, OFFSET(bios_regs) + 4
  movl %ecx, OFFSET(bios_regs) + 8
  movl %edx, OFFSET(bios_regs) + 12
  movl %esi, OFFSET(bios_regs) + 16
  movl %edi, OFFSET(bios_regs) + 20
  movl %ebp, OFFSET(bios_regs) + 24
  movw %es, OFFSET(bios_regs) + 34
  lgdtl OFFSET(gdt_pointer)
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $0x10, $3f
  .code32
3:
  movl $0x18, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl %eax, %fs
  movl %eax, %gs
  movl saved_esp, %esp
  popal
  ret

// void start_sector(u32 drive): the boot sector at 0000:7C00, as the BIOS would start it; DS:SI = 0000:07BE, a partition entry.
start_sector:
  movl 4(%esp), %edx
  lidt real_idt
  ljmpl $0x08, $OFFSET(1f)
  .code16
1:
  movw $0x20, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl %cr0, %eax
  andb $0xfe, %al
  movl %eax, %cr0
  ljmp $0x2000, $OFFSET(2f)
2:
  xorl %eax, %eax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl $0x7c00, %esp
  movw $0x7be, %si
  sti
  ljmp $0, $0x7c00

// void enter_linux(u32 entry, u32 boot_params): the 32-bit entry of the Linux boot protocol.
  .code32
enter_linux:
  movl 4(%esp), %eax
  movl 8(%esp), %esi
  xorl %ebx, %ebx
  xorl %ebp, %ebp
  xorl %edi, %edi
  jmp *%eax

// void enter_multiboot(u32 entry, u32 information): the machine state of Multiboot 0.6.96, section 3.2.
enter_multiboot:
  movl 4(%esp), %ecx
  movl 8(%esp), %ebx
  movl $0x2badb002, %eax
  jmp *%ecx

  .balign 8
gdt:
  .quad 0
  .quad 0x00009a020000ffff        // 0x08 16-bit code, base 0x20000
  .quad 0x00cf9a000000ffff        // 0x10 32-bit code: __BOOT_CS of Linux
  .quad 0x00cf92000000ffff        // 0x18 32-bit data: __BOOT_DS
  .quad 0x000092000000ffff        // 0x20 16-bit data
gdt_pointer:
  .word 39
  .long gdt
real_idt:
  .word 0x3ff
  .long 0
  .section .note.GNU-stack,"",@progbits
