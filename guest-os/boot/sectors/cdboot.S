// SPDX-License-Identifier: GPL-2.0-or-later
// cdboot.img: first 2048 bytes of the boot image of a CD (El Torito, no emulation), loaded at 0000:7C00 with DL = drive. The program that
// makes the disc writes the boot information table at offset 8: where this very file lies and how long it is [mkisofs, -boot-info-table].
// The rest of the file is the core image; it goes to 0000:8200, over the unused end of this part.
  .code16
  .text
  .globl _start
_start:
  jmp start
  .org 8
volume_descriptor:
  .long 16
file_start:
  .long 0                         // in sectors of 2048 bytes
file_length:
  .long 0
  .org 64
start:
  cli
  ljmp $0, $1f
1:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %ss
  movw $0x7c00, %sp
  sti
  cld
  movb %dl, drive
  movl file_length, %ebx
  addl $2047, %ebx
  shrl $11, %ebx
  decl %ebx                       // sectors of the core image
  movl file_start, %eax
  incl %eax
  movl %eax, packet + 8
2:
  testl %ebx, %ebx
  jz 4f
  movl $16, %ecx
  cmpl %ecx, %ebx
  ja 3f
  movl %ebx, %ecx
3:
  movw %cx, packet + 2
  pushl %ebx
  pushl %ecx
  movb $0x42, %ah
  movb drive, %dl
  movw $packet, %si
  int $0x13
  popl %ecx
  popl %ebx
  movw $message, %si
  jc give_up
  subl %ecx, %ebx
  addl %ecx, packet + 8
  shlw $7, %cx
  addw %cx, packet + 6
  jmp 2b
4:
  movb drive, %dl
  ljmp $0, $0x8200

give_up:
  lodsb
  testb %al, %al
  jz 5f
  movb $0x0e, %ah
  movw $7, %bx
  int $0x10
  jmp give_up
5:
  int $0x18
6:
  hlt
  jmp 6b

packet:
  .byte 16, 0
  .word 0, 0, 0x820
  .quad 0
drive:
  .byte 0
message:
  .asciz "xiaoma: cannot read the loader's core from the CD\r\n"
  .org 2048
  .section .note.GNU-stack,"",@progbits
