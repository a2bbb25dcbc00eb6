// SPDX-License-Identifier: GPL-2.0-or-later
// Start of core.img, at 0000:8200 in real mode with DL = drive: opens the A20 gate, enters protected mode and unpacks the loader core, which
// follows as an LZMA stream, to 0x20000. Memory on the way: 0x8200 this part and the packed core, 0x20000 the core, 0x70000 the
// decompressor's probabilities, stack below 0x7c00.
#define CORE 0x20000
#define PROBABILITIES 0x70000
  .code16
  .section .start, "ax"
  .globl _start
_start:
  movb %dl, drive
  movw $0x2401, %ax               // A20: the BIOS, then the fast gate of port 92h
  int $0x15
  cli
  inb $0x92, %al
  testb $2, %al
  jnz 1f
  orb $2, %al
  andb $0xfe, %al                 // bit 0 would reset the machine
  outb %al, $0x92
1:
  lgdt gdt_pointer
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $0x08, $protected

  .code32
protected:
  movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl $0x7c00, %esp
  movl $0x12345678, 0x107c00      // the same cell as 0x7c00 while A20 is off
  movl $0x87654321, 0x7c00
  cmpl $0x12345678, 0x107c00
  jne no_a20
  pushl $PROBABILITIES
  pushl $CORE
  pushl $packed_core
  call lzma_decode
  testl %eax, %eax
  jz damaged
  movzbl drive, %edx
  movl $CORE, %eax
  jmp *%eax

no_a20:
  movl $no_a20_text, %esi
  jmp complain
damaged:
  movl $damaged_text, %esi
complain:                         // white on red in the top line: no BIOS here to print with
  movl $0xb8000, %edi
  movb $0x4f, %ah
2:
  lodsb
  testb %al, %al
  jz 3f
  stosw
  jmp 2b
3:
  hlt
  jmp 3b

  .balign 8
gdt:
  .quad 0
  .quad 0x00cf9a000000ffff
  .quad 0x00cf92000000ffff
gdt_pointer:
  .word 23
  .long gdt
drive:
  .byte 0
no_a20_text:
  .asciz "xiaoma: the A20 gate stays closed"
damaged_text:
  .asciz "xiaoma: the loader's core is damaged"
  .section .note.GNU-stack,"",@progbits
